//! Puts answers to `/status`, `/incidents` and `/jobs` into words. Pure.

use serde_json::Value;
use teloxide::types::{InlineKeyboardButton, InlineKeyboardMarkup};

use super::compose::{Draft, Rendered, Style};
use super::control::{Deed, Press};
use super::texts::Texts;
use crate::ledger::outbox::Unfinished;
use crate::vocab::Id;

/// What a list shows at most; more is not read on a telephone.
pub(super) const SHOWN: u32 = 10;

/// How much of a subject a list shows, in UTF-16 units.
const SUBJECT: usize = 80;

/// What was asked, with what was found.
pub(super) enum Asked {
    /// What can be asked.
    Help,
    /// Incidents and downloads, counted.
    Status(Unfinished, Unfinished),
    /// Incidents that are not over.
    Incidents(Unfinished),
    /// Downloads under way.
    Jobs(Unfinished),
}

/// One line of our own.
pub(super) fn line(text: &str) -> Rendered {
    let mut draft = Draft::default();
    draft.push(Style::Plain, text);
    draft.done()
}

/// The answer, and buttons for what in it waits for a word: in a storm its message may be one of many in a digest.
pub(super) fn answer(asked: &Asked, texts: &Texts) -> (Rendered, Option<InlineKeyboardMarkup>) {
    match asked {
        Asked::Help => (line(texts.get("control.help")), None),
        Asked::Status(incidents, jobs) => {
            let words = [
                ("incidents", &*texts.number(incidents.count)),
                ("waiting", &*texts.number(incidents.waiting)),
                ("jobs", &*texts.number(jobs.count)),
            ];
            (line(&texts.fill("control.status", &words)), None)
        }
        Asked::Incidents(found) => incidents(found, texts),
        Asked::Jobs(found) => (jobs(found, texts), None),
    }
}

/// What cannot be read (a newer logmedic wrote it) is counted and not listed.
fn rows(found: &Unfinished) -> Vec<Value> {
    found.rows.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()
}

fn rest(draft: &mut Draft, found: &Unfinished, listed: usize, texts: &Texts) {
    let more = found.count.saturating_sub(listed as u64);
    if more > 0 {
        draft.line();
        draft.push(Style::Plain, &texts.fill("control.more", &[("count", &texts.number(more))]));
    }
}

fn incidents(found: &Unfinished, texts: &Texts) -> (Rendered, Option<InlineKeyboardMarkup>) {
    let mut draft = Draft::default();
    draft.push(Style::Bold, &texts.count("control.incidents", found.count));
    let (all, mut keys) = (rows(found), Vec::new());
    for (place, case) in all.iter().enumerate() {
        let number = place + 1;
        let class = case["incident"]["class"].as_str().unwrap_or_default();
        draft.line();
        draft.push(Style::Plain, &format!("{number}. {} · ", texts.get(&format!("class.{class}"))));
        draft.hostile(Style::Code, case["incident"]["subject"]["value"].as_str().unwrap_or("?"), SUBJECT);
        if case["phase"]["on"] != "approval" {
            continue;
        }
        draft.push(Style::Plain, &format!(" · {}", texts.fill("state.held", &[("on", texts.get("held.approval"))])));
        let id = case["incident"]["id"].as_str().and_then(Id::parse);
        if let (Some(incident), Some(revision)) = (id, case["revision"].as_u64()) {
            let key = |deed: Deed| {
                let text = format!("{number}. {}", texts.get(&format!("button.{}", deed.as_str())));
                InlineKeyboardButton::callback(text, Press { deed, incident, revision }.data())
            };
            keys.push(vec![key(Deed::Approve), key(Deed::Reject)]);
        }
    }
    rest(&mut draft, found, all.len(), texts);
    (draft.done(), (!keys.is_empty()).then(|| InlineKeyboardMarkup::new(keys)))
}

fn jobs(found: &Unfinished, texts: &Texts) -> Rendered {
    let mut draft = Draft::default();
    draft.push(Style::Bold, &texts.count("control.jobs", found.count));
    let all = rows(found);
    for job in &all {
        draft.line();
        let percent = job["progress"]["percent"].as_f64().map(|percent| format!("{percent:.0} % · "));
        draft.push(Style::Plain, &percent.unwrap_or_default());
        let called = job["facts"]["path"].as_str().or(job["name"].as_str()).unwrap_or("?");
        draft.hostile(Style::Code, called, SUBJECT);
    }
    rest(&mut draft, found, all.len(), texts);
    draft.done()
}
