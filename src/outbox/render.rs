//! Puts a notice into words: what it is and about what, what was done, the proof or what helps, the bot's own words. Pure.

use super::compose::{Draft, Rendered, Style};
use super::texts::{Part, Texts, parts};
use crate::ledger::outbox::Ordered;
use crate::vocab::{Class, Level, Notice, OutcomeResult, Severity, Stage, StepTold, Story, Strategy, redact};

/// Bounds in UTF-16 units; together they stay far below 4096.
const SUBJECT: usize = 300;
const SOURCE: usize = 60;
const SENTENCE: usize = 500;
const REMEDY: usize = 700;
const QUOTE: usize = 1_200;

/// Subjects are shorter in a list.
const LISTED_SUBJECT: usize = 60;

/// How many lines a digest lists; more is not read, and 100 entities are Telegram's limit.
const LISTED: usize = 30;

/// How many steps are told; the last ones matter.
const STEPS: usize = 8;

/// One notice as a message.
#[must_use]
pub fn render(notice: &Notice, texts: &Texts) -> Rendered {
    let mut draft = Draft::default();
    match &notice.story {
        Story::Incident { .. } => incident(&mut draft, &notice.story, texts),
        Story::Bot { what, detail } => {
            draft.push(Style::Bold, &bot_headline(what, texts));
            sentence(&mut draft, detail);
        }
        Story::Agent { what, detail, remedy } => {
            draft.push(Style::Bold, &agent_headline(what.as_deref(), notice.severity, texts));
            sentence(&mut draft, detail);
            remedy_line(&mut draft, remedy.as_deref(), texts);
        }
        Story::Probe { name, what, detail } => {
            draft.push(Style::Bold, &probe_headline(what, notice.severity, texts));
            draft.push(Style::Plain, " · ");
            draft.hostile(Style::Code, name, SOURCE);
            sentence(&mut draft, detail);
        }
        Story::Operation { what, state, detail, .. } => {
            draft.push(Style::Bold, &operation_headline(what, state, texts));
            sentence(&mut draft, detail);
        }
        Story::Custom { level, title, text, by } => {
            draft.push(Style::Bold, texts.get(&format!("icon.{}", level.as_str())));
            draft.push(Style::Plain, " ");
            draft.hostile(Style::Code, title, SUBJECT);
            if !text.trim().is_empty() {
                draft.line();
                draft.hostile(Style::Pre, text, QUOTE);
            }
            if !by.trim().is_empty() {
                draft.line();
                for part in parts(texts.get("line.by")) {
                    match part {
                        Part::Text(text) => draft.push(Style::Plain, text),
                        Part::Word(_) => draft.hostile(Style::Code, by, SOURCE),
                    }
                }
            }
        }
    }
    draft.done()
}

fn incident(draft: &mut Draft, story: &Story, texts: &Texts) {
    let Story::Incident { class, subject, source, text, count, steps, stage, .. } = story else { return };
    draft.push(Style::Bold, &headline(*class, stage, texts));
    draft.line();
    let number = texts.number(*count);
    for part in parts(texts.plural("line.subject", *count)) {
        match part {
            Part::Text(text) => draft.push(Style::Plain, text),
            Part::Word("subject") => draft.hostile(Style::Code, &subject.value, SUBJECT),
            Part::Word("source") => draft.hostile(Style::Code, source, SOURCE),
            Part::Word(_) => draft.push(Style::Plain, &number),
        }
    }
    let road = road(steps, texts);
    if !road.is_empty() {
        draft.line();
        draft.push(Style::Plain, &road);
    }
    match stage {
        // While it runs, the newest step says most.
        Stage::Working => sentence(draft, steps.last().map_or("", |step| &step.detail)),
        Stage::Held { detail, .. } => sentence(draft, detail),
        Stage::Ended { result, detail, remedy, .. } => {
            let failed = steps.iter().rfind(|step| step.ok == Some(false)).map_or("", |step| step.detail.as_str());
            if *result == OutcomeResult::Exhausted && failed != detail {
                sentence(draft, failed);
            }
            sentence(draft, detail);
            remedy_line(draft, remedy.as_deref(), texts);
        }
    }
    if !text.trim().is_empty() {
        draft.line();
        draft.hostile(Style::Pre, text, QUOTE);
    }
}

/// Who ordered what, when. Who it is may be the name of an account, chosen by whoever has it.
pub(super) fn ordered(order: &Ordered, texts: &Texts) -> Rendered {
    let mut draft = Draft::default();
    for part in parts(texts.get("line.ordered")) {
        match part {
            Part::Text(text) => draft.push(Style::Plain, text),
            Part::Word("what") => draft.push(Style::Plain, &order_word(&order.order, texts)),
            Part::Word("by") => draft.hostile(Style::Code, &order.by, SOURCE),
            Part::Word(_) => draft.push(Style::Plain, &order.at.format("%Y-%m-%d %H:%M UTC").to_string()),
        }
    }
    draft.done()
}

/// What was ordered, in words; a newer logmedic may know more orders.
pub(super) fn order_word(order: &str, texts: &Texts) -> String {
    let key = format!("ordered.{order}");
    if texts.has(&key) { texts.get(&key).to_owned() } else { word(order) }
}

fn sentence(draft: &mut Draft, text: &str) {
    if !text.trim().is_empty() {
        draft.line();
        draft.prose(text, SENTENCE);
    }
}

/// A remedy is a command or a line of configuration: code, so that one tap copies it. With backticks it is a sentence.
fn remedy_line(draft: &mut Draft, remedy: Option<&str>, texts: &Texts) {
    let Some(remedy) = remedy.map(str::trim).filter(|remedy| !remedy.is_empty()) else { return };
    draft.line();
    for part in parts(texts.get("line.remedy")) {
        match part {
            Part::Text(text) => draft.push(Style::Plain, text),
            Part::Word(_) if remedy.contains('`') => draft.prose(remedy, REMEDY),
            Part::Word(_) if remedy.contains('\n') => draft.hostile(Style::Pre, remedy, REMEDY),
            Part::Word(_) => draft.hostile(Style::Code, remedy, REMEDY),
        }
    }
}

/// `quarantine ✓ → download again ✓ (2/3)`: attempts of the same step are one.
fn road(steps: &[StepTold], texts: &Texts) -> String {
    let mut told: Vec<&StepTold> = Vec::new();
    for step in steps {
        match told.last_mut() {
            Some(last) if last.strategy == step.strategy => *last = step,
            _ => told.push(step),
        }
    }
    let skipped = told.len().saturating_sub(STEPS);
    let words: Vec<String> = told[skipped..].iter().map(|step| step_words(step, texts)).collect();
    format!("{}{}", if skipped > 0 { "… → " } else { "" }, words.join(" → "))
}

fn step_words(step: &StepTold, texts: &Texts) -> String {
    let word = texts.get(&format!("strategy.{}", step.strategy));
    // To tell is no repair: it neither works nor fails.
    let mark = match step.ok {
        _ if step.strategy == Strategy::Alert => "",
        Some(true) => " ✓",
        Some(false) => " ✗",
        None => " …",
    };
    let attempt = if step.attempts > 1 { format!(" ({}/{})", step.attempt, step.attempts) } else { String::new() };
    format!("{word}{mark}{attempt}")
}

fn headline(class: Class, stage: &Stage, texts: &Texts) -> String {
    let name = texts.get(&format!("class.{class}"));
    let mut letters = name.chars();
    let capital: String = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    let mut words = vec![("class", name), ("Class", capital.as_str())];
    let key = stage_key(stage);
    let icon = texts.get(&format!("icon.{key}"));
    let (on, duration);
    match stage {
        Stage::Working => {}
        Stage::Held { on: what, .. } => {
            on = held_on(what, texts);
            words.push(("on", &on));
        }
        Stage::Ended { duration_ms, .. } => {
            duration = texts.duration(*duration_ms);
            words.push(("duration", &duration));
        }
    }
    words.push(("icon", icon));
    texts.fill(&format!("headline.{key}"), &words)
}

const fn stage_key(stage: &Stage) -> &'static str {
    match stage {
        Stage::Working => "working",
        Stage::Held { .. } => "held",
        Stage::Ended { result, .. } => result.as_str(),
    }
}

/// Words of the engine's own; one that has no text is shown only if it is a word.
fn held_on(on: &str, texts: &Texts) -> String {
    let key = format!("held.{on}");
    if on != "other" && texts.has(&key) {
        texts.get(&key).to_owned()
    } else {
        texts.fill("held.other", &[("on", &word(on))])
    }
}

/// Letters, digits, `_` and `-` only, shortened: cannot be a link.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ')).take(40).collect()
}

fn bot_headline(what: &str, texts: &Texts) -> String {
    match what {
        "exited" | "restarted" | "gave_up" => {
            texts.fill(&format!("headline.{what}"), &[("icon", texts.get(&format!("icon.{what}")))])
        }
        other => texts.fill("headline.bot", &[("icon", texts.get("icon.info")), ("what", &word(other))]),
    }
}

fn agent_headline(what: Option<&str>, severity: Severity, texts: &Texts) -> String {
    let key = match what {
        Some("started") => "headline.agent_started",
        Some("stopped") => "headline.agent_stopped",
        _ => "headline.agent",
    };
    texts.fill(key, &[("icon", texts.get(&format!("icon.{severity}")))])
}

fn probe_headline(what: &str, severity: Severity, texts: &Texts) -> String {
    let icon = match what {
        "up" => texts.get("icon.recovered"),
        _ => texts.get(&format!("icon.{severity}")),
    };
    let key = match what {
        "down" | "up" | "added" | "removed" => format!("headline.probe_{what}"),
        _ => "headline.probe_changed".to_owned(),
    };
    texts.fill(&key, &[("icon", icon)])
}

fn operation_headline(what: &str, state: &str, texts: &Texts) -> String {
    let (key, icon) = match state {
        "completed" => ("headline.operation_completed", "icon.success"),
        "failed" => ("headline.operation_failed", "icon.error"),
        "cancelled" => ("headline.operation_cancelled", "icon.cancelled"),
        _ => ("headline.operation", "icon.info"),
    };
    texts.fill(key, &[("icon", texts.get(icon)), ("what", &word(what)), ("state", &word(state))])
}

/// Many notices as one message: how they stand in numbers, then one line each, those that need a person first.
///
/// `folded` is how many older ones were dropped because too many waited.
#[must_use]
pub fn digest(notices: &[Notice], folded: u64, texts: &Texts) -> Rendered {
    let mut draft = Draft::default();
    draft.push(Style::Bold, &texts.count("headline.digest", notices.len() as u64));
    let mut sorted: Vec<(Rank, &Notice)> = notices.iter().map(|notice| (rank(notice), notice)).collect();
    sorted.sort_by_key(|(rank, _)| *rank);
    let sums: Vec<String> = [Rank::Needs, Rank::Open, Rank::Healed, Rank::Closed]
        .iter()
        .filter_map(|wanted| {
            let count = sorted.iter().filter(|(rank, _)| rank == wanted).count() as u64;
            (count > 0).then(|| texts.count(&format!("digest.{}", wanted.key()), count))
        })
        .collect();
    draft.line();
    draft.push(Style::Plain, &sums.join(" · "));
    for (_, notice) in sorted.iter().take(LISTED) {
        draft.line();
        listed(&mut draft, notice, texts);
    }
    let more = sorted.len().saturating_sub(LISTED) as u64;
    for (key, count) in [("digest.more", more), ("digest.folded", folded)] {
        if count > 0 {
            draft.line();
            draft.push(Style::Plain, &texts.count(key, count));
        }
    }
    draft.done()
}

fn listed(draft: &mut Draft, notice: &Notice, texts: &Texts) {
    match &notice.story {
        Story::Incident { class, subject, count, stage, .. } => {
            let key = stage_key(stage);
            let name = texts.get(&format!("class.{class}"));
            draft.push(Style::Plain, &format!("{} {name} · ", texts.get(&format!("icon.{key}"))));
            // Hidden before it is cut: half a token is not recognised.
            draft.hostile(Style::Code, &tail(&redact(&subject.value)), LISTED_SUBJECT);
            let state = match stage {
                Stage::Held { on, .. } => texts.fill("state.held", &[("on", &held_on(on, texts))]),
                _ => texts.get(&format!("state.{key}")).to_owned(),
            };
            let times = if *count > 1 { format!(" · {}×", texts.number(*count)) } else { String::new() };
            draft.push(Style::Plain, &format!(" · {state}{times}"));
        }
        Story::Bot { what, .. } => draft.push(Style::Plain, &bot_headline(what, texts)),
        Story::Agent { what, detail, .. } => {
            draft.push(Style::Plain, &format!("{}: ", agent_headline(what.as_deref(), notice.severity, texts)));
            draft.hostile(Style::Code, detail, LISTED_SUBJECT);
        }
        Story::Probe { name, what, .. } => {
            draft.push(Style::Plain, &format!("{} · ", probe_headline(what, notice.severity, texts)));
            draft.hostile(Style::Code, name, LISTED_SUBJECT);
        }
        Story::Operation { what, state, .. } => draft.push(Style::Plain, &operation_headline(what, state, texts)),
        Story::Custom { level, title, .. } => {
            draft.push(Style::Plain, &format!("{} ", texts.get(&format!("icon.{}", level.as_str()))));
            draft.hostile(Style::Code, title, LISTED_SUBJECT);
        }
    }
}

/// The end of a long path says more than its start.
fn tail(path: &str) -> String {
    match path.char_indices().rev().nth(LISTED_SUBJECT - 3) {
        Some((at, _)) if at > 0 => format!("…{}", &path[at..]),
        _ => path.to_owned(),
    }
}

/// Where a notice stands in a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Needs,
    Open,
    Healed,
    Closed,
}

impl Rank {
    const fn key(self) -> &'static str {
        match self {
            Self::Needs => "needs",
            Self::Open => "open",
            Self::Healed => "healed",
            Self::Closed => "closed",
        }
    }
}

fn rank(notice: &Notice) -> Rank {
    let stage = match &notice.story {
        Story::Incident { stage, .. } => stage,
        Story::Bot { what, .. } if what == "gave_up" => return Rank::Needs,
        Story::Bot { what, .. } if what == "exited" => return Rank::Open,
        Story::Agent { .. } if notice.severity >= Severity::Error => return Rank::Needs,
        Story::Probe { what, .. } if what == "down" => return Rank::Open,
        Story::Operation { state, .. } if state == "failed" => return Rank::Needs,
        Story::Custom { level: Level::Error, .. } => return Rank::Needs,
        Story::Bot { .. }
        | Story::Agent { .. }
        | Story::Probe { .. }
        | Story::Operation { .. }
        | Story::Custom { .. } => return Rank::Closed,
    };
    match stage {
        Stage::Working => Rank::Open,
        Stage::Held { on, .. } if on == "approval" => Rank::Needs,
        Stage::Held { .. } => Rank::Open,
        Stage::Ended { result, .. } => match result {
            OutcomeResult::AlertOnly | OutcomeResult::Exhausted | OutcomeResult::Refused => Rank::Needs,
            OutcomeResult::Healed => Rank::Healed,
            OutcomeResult::Recovered
            | OutcomeResult::NotConfirmed
            | OutcomeResult::Cancelled
            | OutcomeResult::Interrupted => Rank::Closed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Lang;
    use super::*;
    use crate::vocab::{Id, Rng, Subject, SubjectKind, utf16_len};
    use chrono::DateTime;
    use teloxide::types::MessageEntityKind;

    fn incident(subject: &str, text: &str, steps: Vec<StepTold>, stage: Stage) -> Notice {
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let incident = Id::new(at, &mut Rng::new(7));
        let story = Story::Incident {
            incident,
            class: Class::Corrupt,
            subject: Subject { kind: SubjectKind::File, value: subject.into() },
            source: "bot".into(),
            text: text.into(),
            count: 12,
            steps,
            stage,
        };
        Notice { key: incident.to_string(), revision: 1, severity: Severity::Error, story, at }
    }

    fn step(strategy: Strategy, ok: Option<bool>, attempt: u32, attempts: u32) -> StepTold {
        StepTold { strategy, attempt, attempts, ok, detail: "server did not answer".into() }
    }

    fn healed(detail: &str) -> Stage {
        Stage::Ended { result: OutcomeResult::Healed, detail: detail.into(), remedy: None, duration_ms: 3_240 }
    }

    /// What Telegram refuses or misreads: entities that cross, leave the text or split a character.
    fn sound(message: &Rendered) -> Vec<String> {
        let units: Vec<u16> = message.text.encode_utf16().collect();
        assert!(!units.is_empty() && units.len() <= 4096, "{} units", units.len());
        assert!(message.entities.len() <= 100);
        let mut end = 0;
        message
            .entities
            .iter()
            .map(|entity| {
                assert!(entity.offset >= end, "entities cross");
                end = entity.offset + entity.length;
                assert!(entity.length > 0 && end <= units.len(), "an entity leaves the text");
                String::from_utf16(&units[entity.offset..end]).expect("an entity splits a character")
            })
            .collect()
    }

    #[test]
    fn a19_a_healed_incident_reads_in_two_seconds_in_both_languages() {
        let steps = vec![
            step(Strategy::Quarantine, Some(true), 1, 1),
            step(Strategy::Redownload, Some(false), 1, 3),
            step(Strategy::Redownload, Some(true), 2, 3),
        ];
        let notice = incident("models/ana/a.mp4", "moov atom not found", steps, healed("mp4 is whole, 48.2 MB"));
        let en = render(&notice, &Texts::shipped(Lang::En));
        assert_eq!(
            en.text,
            "🩹 Healed in 3.2 s · corrupt file\nmodels/ana/a.mp4 · bot, 12 times\nquarantine ✓ → download again ✓ (2/3)\n\
             mp4 is whole, 48.2 MB\nmoov atom not found"
        );
        assert_eq!(sound(&en), ["🩹 Healed in 3.2 s · corrupt file", "models/ana/a.mp4", "bot", "moov atom not found"]);
        let es = render(&notice, &Texts::shipped(Lang::Es));
        assert!(
            es.text.starts_with("🩹 Reparado en 3,2 s · archivo dañado\nmodels/ana/a.mp4 · bot, 12 veces\n"),
            "{}",
            es.text
        );
    }

    #[test]
    fn a19_h1_hostile_text_stays_inside_code_and_inside_the_limit() {
        let nasty =
            "\u{202e}\u{1b}[31m@admin https://evil.example /start `x` ``` <b>&\r\n".repeat(300) + &"😀".repeat(9_000);
        let steps = vec![StepTold { detail: nasty.clone(), ..step(Strategy::Redownload, Some(false), 3, 3) }; 50];
        let stages = [
            Stage::Working,
            Stage::Held { on: nasty.clone(), detail: nasty.clone() },
            Stage::Ended {
                result: OutcomeResult::Exhausted,
                detail: nasty.clone(),
                remedy: Some(nasty.clone()),
                duration_ms: u64::MAX,
            },
        ];
        for language in [Lang::En, Lang::Es] {
            let texts = Texts::shipped(language);
            let mut notices: Vec<Notice> =
                stages.iter().map(|stage| incident(&nasty, &nasty, steps.clone(), stage.clone())).collect();
            for story in [
                Story::Bot { what: nasty.clone(), detail: nasty.clone() },
                Story::Probe { name: nasty.clone(), what: nasty.clone(), detail: nasty.clone() },
                Story::Agent { what: None, detail: nasty.clone(), remedy: Some(nasty.clone()) },
                Story::Operation {
                    operation: nasty.clone(),
                    what: nasty.clone(),
                    state: nasty.clone(),
                    detail: nasty.clone(),
                },
                Story::Custom { level: Level::Warning, title: nasty.clone(), text: nasty.clone(), by: nasty.clone() },
            ] {
                notices.push(Notice { story, ..notices[0].clone() });
            }
            let many: Vec<Notice> = notices.iter().cycle().take(300).cloned().collect();
            for message in notices.iter().map(|notice| render(notice, &texts)).chain([digest(&many, 7, &texts)]) {
                sound(&message);
                assert!(!message.text.contains(['\u{202e}', '\u{1b}', '\r']), "a control character");
                let mut outside: Vec<u16> = message.text.encode_utf16().collect();
                for entity in message.entities.iter().rev().filter(|entity| entity.kind != MessageEntityKind::Bold) {
                    outside.drain(entity.offset..entity.offset + entity.length);
                }
                let outside = String::from_utf16(&outside).unwrap();
                assert!(
                    !outside.contains(['@']) && !outside.contains("://") && !outside.contains("/start"),
                    "{outside}"
                );
                let repeated = message.with_last_line(texts.get("line.repeat"));
                sound(&repeated);
                assert!(repeated.text.ends_with(texts.get("line.repeat")));
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        #[test]
        fn any_text_makes_a_message_that_telegram_takes(subject in ".{0,400}", text in ".{0,2000}", detail in ".{0,800}") {
            let stage = Stage::Ended {
                result: OutcomeResult::Refused,
                detail: detail.clone(),
                remedy: Some(subject.clone()),
                duration_ms: 1,
            };
            let notice = incident(&subject, &text, vec![], stage);
            let texts = Texts::shipped(Lang::Es);
            sound(&render(&notice, &texts).with_last_line("(posible repetición)"));
            sound(&digest(&[notice.clone(), notice], 1, &texts));
        }
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let token = "123456:AAFakeFakeFakeFakeFakeFakeFakeFake123";
        let stage = Stage::Ended {
            result: OutcomeResult::Refused,
            detail: format!("GET https://h/bot{token}/x"),
            remedy: Some(format!("curl https://h/bot{token}/getMe")),
            duration_ms: 1,
        };
        let subject = format!("/srv/{token}/videos/a_film_with_a_long_name_01.mp4");
        let notice = incident(&subject, &format!("bot{token}"), vec![], stage);
        for message in [render(&notice, &Texts::shipped(Lang::En)), digest(&[notice], 0, &Texts::shipped(Lang::En))] {
            assert!(!message.text.contains("Fake"), "{}", message.text);
        }
    }

    #[test]
    fn a_digest_counts_and_lists_those_that_need_a_person_first() {
        let ended = |result| Stage::Ended { result, detail: String::new(), remedy: None, duration_ms: 5 };
        let mut notices = vec![incident("a", "", vec![], healed("")), incident("b", "", vec![], Stage::Working)];
        notices.push(incident("c", "", vec![], ended(OutcomeResult::Exhausted)));
        let message = digest(&notices, 0, &Texts::shipped(Lang::En));
        assert_eq!(
            message.text,
            "📋 3 incidents\n1 needs you · 1 open · 1 healed\n❌ corrupt file · c · not healed · 12×\n\
             🔧 corrupt file · b · repairing · 12×\n🩹 corrupt file · a · healed · 12×"
        );
        let many = digest(&vec![notices[0].clone(); 1_000], 3, &Texts::shipped(Lang::En));
        assert!(many.text.contains("… and 970 more") && many.text.contains("3 older notices"), "{}", many.text);
        assert!(utf16_len(&many.text) < 4096);
    }
}
