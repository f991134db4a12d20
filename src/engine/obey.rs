//! Follows what people order: retry, approve, reject, acknowledge, silence, register. Pure.

use std::collections::BTreeMap;

use super::case::By;
use super::order::{NewJob, Order, OrderError};
use super::state::State;
use super::{Case, Effect, Ordered, Phase, Row, RowKind, Silence};
use crate::correlate::{Facts, Incident, Job};
use crate::decide::plan;
use crate::vocab::{Class, Evidence, Id, Mode, OutcomeResult, Severity, Subject, SubjectKind, clean_line, shorten};

/// The rule name of incidents that a person opened.
const RULE: &str = "order.retry";

/// How much of a person's name and reason is kept, in characters.
const WORDS: usize = 200;

impl State {
    /// Follows an order and says how it went, after the commit. `row` is what it is about, where memory has let go of it.
    pub(super) fn ordered(&mut self, ticket: u64, order: Order, row: Option<&Row>, out: &mut Vec<Effect>) {
        if let Some(row) = row {
            // A row that cannot be read is as good as none.
            let _ = self.recall(row);
        }
        let result = self.obey(order, out);
        out.push(Effect::Answer { ticket, result });
    }

    /// Whether memory holds what an order is about, and else where it is stored.
    #[must_use]
    pub fn lacks(&self, order: &Order) -> Option<(RowKind, Id)> {
        if let Some(incident) = order.incident() {
            return (!self.cases.contains_key(&incident)).then_some((RowKind::Incident, incident));
        }
        match order {
            Order::Damaged(news) => {
                let job = news.job.filter(|job| self.jobs.get(*job).is_none())?;
                Some((RowKind::Job, job))
            }
            Order::RetryJob { job, .. } => self.jobs.get(*job).is_none().then_some((RowKind::Job, *job)),
            _ => None,
        }
    }

    fn recall(&mut self, row: &Row) -> serde_json::Result<()> {
        match row.kind {
            RowKind::Incident => {
                let case: Case = serde_json::from_str(&row.json)?;
                let id = case.incident.id;
                self.by_key.entry((case.incident.class, case.incident.subject.clone())).or_insert(id);
                self.cases.entry(id).or_insert(case);
                self.dirty.cases.insert(id);
            }
            RowKind::Job => {
                let job: Job = serde_json::from_str(&row.json)?;
                self.jobs.restore(job);
            }
            RowKind::Engine => {}
        }
        Ok(())
    }

    fn obey(&mut self, order: Order, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        match order {
            Order::Retry { incident, by } => self.retry(incident, &by, out),
            Order::Acknowledge { incident, by } => self.acknowledge(incident, &by, out),
            Order::Silence { incident, by, reason, until } => {
                let subject = self.known(incident)?.incident.subject.clone();
                let class = self.known(incident)?.incident.class;
                if until <= self.now.wall {
                    return Err(OrderError::Conflict("that moment is over; name a later one".into()));
                }
                let (by, reason) = (words(&by), words(&reason));
                let at = self.now.wall;
                let why = Some(reason.clone()).filter(|text| !text.is_empty());
                let who = by.clone();
                out.push(Effect::Silence(Box::new(Silence { incident, class, subject, by, reason, at, until })));
                self.note_order(incident, "silence", &who, why, out);
                Ok(incident)
            }
            Order::Approve { incident, by } => self.approve(incident, &by, out),
            Order::Reject { incident, by } => self.reject(incident, &by, out),
            Order::Seen { revision, order } => {
                if let Some(id) = order.incident()
                    && self.known(id)?.revision != revision
                {
                    return Err(OrderError::Changed);
                }
                self.obey(*order, out)
            }
            Order::Damaged(news) => self.damaged(*news, out),
            Order::RegisterJob(new) => self.register(*new),
            Order::RetryJob { job, by } => self.retry_job(job, &by, out),
        }
    }

    fn known(&self, id: Id) -> Result<&Case, OrderError> {
        self.cases.get(&id).ok_or_else(|| OrderError::Missing(format!("incident {id}")))
    }

    /// Writes into the case who ordered what, and has it shown to those who were told of the case.
    fn note_order(&mut self, id: Id, order: &str, by: &str, reason: Option<String>, out: &mut Vec<Effect>) {
        let at = self.now.wall;
        if let Some(case) = self.cases.get_mut(&id) {
            case.ordered(Ordered { order: order.to_owned(), by: words(by), at, reason });
            self.dirty.cases.insert(id);
        }
        self.show_order(id, out);
    }

    /// A new revision of what people were told: no news to most channels, but a live message shows who decided.
    fn show_order(&mut self, id: Id, out: &mut Vec<Effect>) {
        if self.cases.get(&id).is_some_and(|case| case.revision > 0 && !case.is_probe()) {
            self.tell(id, out);
        }
    }

    fn retry(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let done = self.retry_of(id, by, out)?;
        self.note_order(id, "retry", by, None, out);
        Ok(done)
    }

    fn retry_of(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let conflict = |why: &str| Err(OrderError::Conflict(why.to_owned()));
        match &self.known(id)?.phase {
            _ if self.known(id)?.is_probe() => conflict("its probe says when it is over; there is nothing to repeat"),
            Phase::Ended => self.reopen(id, by, out),
            Phase::Held { on } if on == "approval" => conflict("it waits for approval: approve or reject it"),
            Phase::Held { on } if on == "bot" => conflict("it waits for the bot's restart"),
            Phase::Held { .. } | Phase::Waiting => {
                let now = self.now.wall;
                if let Some(case) = self.cases.get_mut(&id) {
                    (case.attempt, case.carry, case.due) = (0, 0, Some(now));
                    case.before.insert("retried_by".into(), words(by).into());
                }
                self.dirty.cases.insert(id);
                Ok(id)
            }
            Phase::Looking | Phase::Acting | Phase::Proving => conflict("it is being worked on just now"),
        }
    }

    /// Works on an ended case again, from the first step, with fresh attempts. Whoever asks has seen what logmedic may do
    /// by itself: this one it does.
    fn reopen(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let incident = &self.known(id)?.incident;
        let key = (incident.class, incident.subject.clone());
        let other = self.by_key.get(&key).and_then(|other| self.cases.get(other));
        if let Some(other) = other.filter(|other| !other.ended()) {
            let why = format!("incident {} about the same thing is being worked on", other.incident.id);
            return Err(OrderError::Conflict(why));
        }
        let steps = plan(incident.class, &incident.subject, &incident.facts, &self.policy);
        if steps.is_empty() {
            return Err(OrderError::Conflict(format!("nothing can be repeated: {}", self.nothing_to_do(id))));
        }
        let Some(case) = self.cases.get_mut(&id) else { return Err(OrderError::Missing(format!("incident {id}"))) };
        let old = std::mem::replace(case, Case::new(case.incident.clone(), Mode::Auto, steps));
        (case.revision, case.acknowledged, case.orders) = (old.revision, old.acknowledged, old.orders);
        case.before.insert("retried_by".into(), words(by).into());
        self.by_key.insert(key, id);
        self.dirty.cases.insert(id);
        self.look(id, out);
        Ok(id)
    }

    fn acknowledge(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let by = By { by: words(by), at: self.now.wall };
        let case = self.cases.get_mut(&id).ok_or_else(|| OrderError::Missing(format!("incident {id}")))?;
        // The first one counts: an answer that is sent twice changes nothing.
        if case.acknowledged.is_none() {
            case.acknowledged = Some(by.clone());
            out.push(Effect::Acknowledged { incident: id, by: by.clone() });
            self.note_order(id, "acknowledge", &by.by, None, out);
        }
        Ok(id)
    }

    /// The case that waits for a person's word, with that word in its evidence.
    fn decided(&mut self, id: Id, order: &str, by: &str) -> Result<&mut Case, OrderError> {
        let by = words(by);
        let case = self.cases.get_mut(&id).ok_or_else(|| OrderError::Missing(format!("incident {id}")))?;
        if case.held_on() != Some("approval") {
            return Err(OrderError::Conflict("it does not wait for approval (any more)".into()));
        }
        let past = if order == "approve" { "approved_by" } else { "rejected_by" };
        case.before.insert(past.into(), by.clone().into());
        case.ordered(Ordered { order: order.to_owned(), by, at: self.now.wall, reason: None });
        self.dirty.cases.insert(id);
        Ok(case)
    }

    fn approve(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let case = self.decided(id, "approve", by)?;
        (case.mode, case.due) = (Mode::Auto, None);
        // The system is asked again: hours may lie between the question and this word.
        self.look(id, out);
        self.show_order(id, out);
        Ok(id)
    }

    fn reject(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        self.decided(id, "reject", by)?;
        self.end(id, OutcomeResult::Cancelled, format!("{} rejected the repair", words(by)), None, out);
        Ok(id)
    }

    fn register(&mut self, new: NewJob) -> Result<Id, OrderError> {
        let NewJob { name, path, url, file_id, size, source } = new;
        if name.is_none() && path.is_none() && url.is_none() && file_id.is_none() {
            return Err(OrderError::Conflict("a download needs a name, path, url or file_id".into()));
        }
        let facts = Facts { path, url, file_id, size, ..Facts::default() };
        let (wall, rng) = (self.now.wall, &mut self.rng);
        let source = source.unwrap_or_else(|| "api".to_owned());
        let id = self.jobs.register(&source, (name, facts), wall, || Id::new(wall, rng));
        self.dirty.jobs.insert(id);
        Ok(id)
    }

    /// Fetches a download again: in its incident where it has one, else in a new one. It is looked at first.
    fn retry_job(&mut self, id: Id, by: &str, out: &mut Vec<Effect>) -> Result<Id, OrderError> {
        let job = self.jobs.get(id).ok_or_else(|| OrderError::Missing(format!("job {id}")))?.clone();
        let of_job = self.cases.values().rev().find(|case| case.incident.job == Some(id));
        let open = of_job.filter(|case| !case.ended()).map(|case| case.incident.id);
        if let Some(open) = open {
            return self.retry(open, by, out);
        }
        if job.state.is_active() && job.stalled_since.is_none() {
            return Err(OrderError::Conflict("it is under way".into()));
        }
        let class = of_job.map_or(Class::Timeout, |case| case.incident.class);
        let subject = match job.facts.wanted() {
            Some(path) => Subject { kind: SubjectKind::File, value: path.to_owned() },
            None => Subject { kind: SubjectKind::Job, value: job.name.clone().unwrap_or_else(|| id.to_string()) },
        };
        let other = self.by_key.get(&(class, subject.clone())).and_then(|id| self.cases.get(id));
        if let Some(other) = other.filter(|other| !other.ended()) {
            let why = format!("incident {} about the same file is being worked on", other.incident.id);
            return Err(OrderError::Conflict(why));
        }
        let mut steps = plan(class, &subject, &job.facts, &self.policy);
        // A class that nothing can be done about by itself: a person may ask to fetch it all the same.
        if steps.is_empty() {
            steps = plan(Class::Timeout, &subject, &job.facts, &self.policy);
        }
        if steps.is_empty() || job.facts.wanted().is_none() {
            let why = "where it came from, or where it belongs, is not known: let the bot log `logmedic job=… file_id=… path=…`";
            return Err(OrderError::Conflict(why.into()));
        }
        let incident = self.new_id();
        let mut case = Case::new(self.asked_for(incident, class, subject.clone(), &job), Mode::Auto, steps);
        case.before =
            Evidence::from_iter([("ordered".to_owned(), "retry".into()), ("retried_by".to_owned(), words(by).into())]);
        case.ordered(Ordered { order: "retry".to_owned(), by: words(by), at: self.now.wall, reason: None });
        self.cases.insert(incident, case);
        self.by_key.insert((class, subject), incident);
        self.dirty.cases.insert(incident);
        self.look(incident, out);
        Ok(incident)
    }

    fn asked_for(&self, id: Id, class: Class, subject: Subject, job: &Job) -> Incident {
        Incident {
            id,
            class,
            subject,
            source: job.source.clone(),
            rule: RULE.to_owned(),
            severity: Severity::Info,
            job: Some(job.id),
            facts: job.facts.clone(),
            text: "a person asked to fetch it again".to_owned(),
            opened_at: self.now.wall,
            last_at: self.now.wall,
            count: 0,
            alive_since: false,
            flaps: 0,
            folds: BTreeMap::new(),
        }
    }
}

/// What a person wrote, fit for a record.
fn words(text: &str) -> String {
    shorten(&clean_line(text), WORDS).into_owned()
}
