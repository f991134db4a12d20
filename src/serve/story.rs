//! `incidents/{id}`: the whole story of one: the lines around it, the rule, each attempt with its evidence, the outcome, the
//! download. I/O.

use axum::Json;
use axum::extract::{FromRef, Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Identity, Viewer};
use super::incidents::{IncidentShown, shown};
use super::jobs::{JobShown, id_of, parsed, shown as job_shown};
use super::problem::Problem;
use super::rules::Book;
use crate::correlate::Job;
use crate::engine::Case;
use crate::ledger::{Ledger, jobs, store, story};
use crate::vocab::{Around, Body, Evidence, Id, Phase, Record, Strategy, utf16_len};

/// Records of an incident that are answered at most: a storm's are folded to one a second.
const STORY_MAX: u32 = 1_000;

/// What this route works with.
#[derive(Clone)]
struct Desk {
    ledger: Ledger,
    book: Book,
    identity: Identity,
}

impl FromRef<Desk> for Identity {
    fn from_ref(desk: &Desk) -> Self {
        desk.identity.clone()
    }
}

/// `incidents/{id}`.
pub fn router<S>(ledger: Ledger, book: Book, identity: Identity) -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(one)).with_state(Desk { ledger, book, identity })
}

/// An incident with everything that was written down about it.
#[derive(Serialize, ToSchema)]
pub struct IncidentStory {
    /// The incident.
    #[serde(flatten)]
    pub incident: IncidentShown,
    /// What was seen before a repair.
    #[schema(value_type = Object)]
    pub before: Evidence,
    /// What was seen after it.
    #[schema(value_type = Object)]
    pub after: Evidence,
    /// What its source said around the first event, and around the latest where that is another. Kept of the newest 2,000
    /// incidents.
    pub contexts: Vec<Context>,
    /// The rule that opened it, where it is still in effect.
    pub rule_info: Option<RuleOf>,
    /// Each repair that was begun, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its records, oldest first: events, actions with their evidence, outcome (`docs/RECORDS.md`).
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<Record>,
    /// There are more records than are shown.
    pub cut: bool,
    /// Its download.
    pub download: Option<JobShown>,
}

/// An event and the lines around it, secrets left out.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Context {
    /// `first` or `latest`.
    pub which: String,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The log source.
    pub source: String,
    /// The file as configured.
    pub file: Option<String>,
    /// Byte at which the event's first line starts in it.
    pub offset: u64,
    /// Up to eight events before, oldest first; one may have several lines.
    pub before: Vec<String>,
    /// The event itself.
    pub event: Marked,
    /// Up to five events after.
    pub after: Vec<String>,
}

/// A text, and where the rule's pattern matches it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Marked {
    /// The text.
    pub text: String,
    /// Start and end of the match, in UTF-16 units as JavaScript counts them; `null`: not in what is kept of it.
    pub r#match: Option<[usize; 2]>,
}

/// A rule, as far as a story needs it.
#[derive(Serialize, ToSchema)]
pub struct RuleOf {
    /// Its identifier.
    pub id: String,
    /// Its pack.
    pub pack: String,
    /// Whether you wrote it.
    pub user: bool,
    /// Its pattern.
    pub pattern: String,
    /// What it means and what heals it.
    pub about: String,
}

/// A repair that was begun.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// Its identifier in the records.
    pub action: String,
    /// What was done: `redownload`, `restore_access` …
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// 1 for the first.
    pub attempt: u32,
    /// How many are allowed.
    pub attempts: u32,
    /// How long it was waited before.
    pub delay_ms: u64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; `null` while it is under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether it worked.
    pub ok: Option<bool>,
    /// Why it was begun.
    pub reason: String,
    /// What came of it.
    pub detail: Option<String>,
    /// What was seen before.
    #[schema(value_type = Object)]
    pub before: Evidence,
    /// What was seen after.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Evidence>,
}

impl From<(String, Around)> for Context {
    fn from((which, around): (String, Around)) -> Self {
        let Around { source, file, offset, at, before, text, matched, after } = around;
        // A pattern over bytes may end in the middle of a character.
        let units = |end: usize| {
            let end = (0..=end.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            utf16_len(&text[..end])
        };
        let r#match = matched.map(|(start, end)| [units(start), units(end)]);
        Self { which, at, source, file, offset, before, event: Marked { r#match, text }, after }
    }
}

/// The repairs that these records tell of.
fn attempts(records: &[Record]) -> Vec<Attempt> {
    let mut all: Vec<(Id, Attempt)> = Vec::new();
    for record in records {
        let Body::Action { phase, action, strategy, attempt, attempts, delay_ms, ok, detail, evidence } = &record.body
        else {
            continue;
        };
        match (phase, all.iter_mut().rev().find(|(id, _)| id == action)) {
            (Phase::Finished, Some((_, begun))) => {
                (begun.ended_at, begun.ok) = (Some(record.at), *ok);
                (begun.detail, begun.after) = (Some(detail.clone()), Some(evidence.clone()));
            }
            (Phase::Started, _) => all.push((
                *action,
                Attempt {
                    action: action.to_string(),
                    strategy: *strategy,
                    attempt: *attempt,
                    attempts: *attempts,
                    delay_ms: *delay_ms,
                    started_at: record.at,
                    ended_at: None,
                    ok: None,
                    reason: detail.clone(),
                    detail: None,
                    before: evidence.clone(),
                    after: None,
                },
            )),
            // Its beginning is older than what is shown.
            (Phase::Finished, None) => {}
        }
    }
    all.into_iter().map(|(_, attempt)| attempt).collect()
}

fn rule_of(book: &Book, source: &str, id: &str) -> Option<RuleOf> {
    let rules = book.borrow().get(source).cloned()?;
    let info = rules.list().into_iter().find(|info| info.id == id)?;
    Some(RuleOf { id: info.id, pack: info.pack, user: info.user, pattern: info.pattern, about: info.about })
}

/// One incident with its whole story: the lines around it, the rule, each attempt with its evidence, the outcome, the download.
#[utoipa::path(get, path = "/incidents/{id}", tag = "incidents", params(("id" = String, Path, description = "The incident.")),
    responses((status = 200, body = IncidentStory), (status = 404, body = Problem)))]
async fn one(State(desk): State<Desk>, _: Viewer, Path(id): Path<String>) -> Result<Json<IncidentStory>, Problem> {
    let missing = || Problem::missing("incident_not_found", "there is no such incident (any more)");
    let id = id_of(&id, "incident_not_found")?.to_string();
    let found = desk.ledger.read(|db| {
        let Some(case) = store::row(db, "incident", &id)? else { return Ok(None) };
        Ok(Some((case, jobs::story(db, &id, STORY_MAX + 1)?, story::around(db, &id)?)))
    })?;
    let (case, mut lines, around) = found.ok_or_else(missing)?;
    let case: Case = serde_json::from_str(&case).map_err(|error| Problem::internal(&error))?;
    let cut = lines.len() > STORY_MAX as usize;
    lines.truncate(STORY_MAX as usize);
    let download = match case.incident.job.map(|job| job.to_string()) {
        Some(job) => desk.ledger.read(|db| store::row(db, "job", &job))?,
        None => None,
    };
    let records: Vec<Record> = parsed(&lines);
    Ok(Json(IncidentStory {
        incident: shown(&case),
        contexts: around.into_iter().map(Context::from).collect(),
        rule_info: rule_of(&desk.book, &case.incident.source, &case.incident.rule),
        attempts: attempts(&records),
        before: case.before,
        after: case.after,
        records,
        cut,
        download: download.and_then(|json| serde_json::from_str::<Job>(&json).ok()).map(|job| job_shown(&job)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f5_a_match_is_told_in_the_units_of_the_page() {
        let around = Around {
            source: "bot".into(),
            file: None,
            offset: 0,
            at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            before: Vec::new(),
            text: "é😀 denied".into(),
            matched: Some((7, 13)),
            after: Vec::new(),
        };
        let context = Context::from(("first".to_owned(), around.clone()));
        assert_eq!(context.event.r#match, Some([4, 10]));
        let torn = Context::from(("first".to_owned(), Around { matched: Some((1, 9_999)), ..around }));
        assert_eq!(torn.event.r#match, Some([0, 10]));
    }
}
