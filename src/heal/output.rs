//! Builds what comes of a task, and hides secrets in it.

use std::time::Duration;

use serde_json::Value;

use crate::decide::{Answer, Finding, TaskOutput};
use crate::roots;
use crate::vocab::{Evidence, clean_line, redact};

/// A step of a repair; what ends the repair early is its output. Boxed: outputs are large, steps are many.
pub(super) type Step<T> = Result<T, Box<TaskOutput>>;

/// The object of `json!({…})` as evidence.
pub(super) fn evidence(value: Value) -> Evidence {
    match value {
        Value::Object(map) => map,
        _ => Evidence::new(),
    }
}

pub(super) fn transient(detail: impl Into<String>) -> Box<TaskOutput> {
    Box::new(TaskOutput::Transient {
        detail: detail.into(),
        evidence: Evidence::new(),
        retry_after: None,
        server: None,
    })
}

/// Another attempt may work, once `server` answers again or after the time it asked for.
pub(super) fn transient_of(
    detail: impl Into<String>,
    seen: Evidence,
    retry_after: Option<Duration>,
    server: Option<String>,
) -> Box<TaskOutput> {
    Box::new(TaskOutput::Transient { detail: detail.into(), evidence: seen, retry_after, server })
}

pub(super) fn permanent(detail: impl Into<String>) -> Box<TaskOutput> {
    Box::new(TaskOutput::Permanent { detail: detail.into(), evidence: Evidence::new() })
}

/// Something inside failed that may be different next time.
pub(super) fn failed(detail: impl Into<String>) -> Box<TaskOutput> {
    transient(detail)
}

pub(super) fn refused(detail: impl Into<String>, remedy: Option<String>) -> Box<TaskOutput> {
    Box::new(TaskOutput::Refused { detail: detail.into(), remedy, evidence: Evidence::new() })
}

pub(super) fn done(detail: impl Into<String>, seen: Evidence) -> TaskOutput {
    TaskOutput::Done { detail: detail.into(), evidence: seen }
}

pub(super) fn answer(finding: Finding, detail: impl Into<String>, seen: Evidence) -> Answer {
    Answer { finding, detail: detail.into(), evidence: seen }
}

pub(super) fn unknown(detail: impl Into<String>) -> Answer {
    answer(Finding::Unknown, detail, Evidence::new())
}

/// The answer when a step before the look itself ended it.
pub(super) fn answer_of(output: TaskOutput) -> Answer {
    match output {
        TaskOutput::Refused { detail, remedy, evidence } => answer(Finding::Refused { remedy }, detail, evidence),
        TaskOutput::Transient { detail, evidence, .. }
        | TaskOutput::Permanent { detail, evidence }
        | TaskOutput::Done { detail, evidence }
        | TaskOutput::NoSpace { detail, evidence } => answer(Finding::Unknown, detail, evidence),
        TaskOutput::Seen(seen) => seen,
        TaskOutput::Lost { detail } => unknown(detail),
        TaskOutput::Cancelled | TaskOutput::CalledOff => unknown("cancelled"),
    }
}

impl From<roots::Refusal> for Box<TaskOutput> {
    fn from(refusal: roots::Refusal) -> Self {
        refused(refusal.reason, refusal.remedy)
    }
}

impl From<roots::Error> for Box<TaskOutput> {
    fn from(error: roots::Error) -> Self {
        match error {
            roots::Error::Refused(refusal) => refusal.into(),
            roots::Error::NoSpace(_) => {
                Box::new(TaskOutput::NoSpace { detail: error.to_string(), evidence: Evidence::new() })
            }
            roots::Error::Denied { .. } => refused(
                error.to_string(),
                Some("run logmedic as root or as the bot's user (in its unit: User=), then try again".into()),
            ),
            roots::Error::Missing(_) | roots::Error::Exists(_) | roots::Error::Io { .. } => {
                transient(error.to_string())
            }
        }
    }
}

impl From<crate::ledger::Error> for Box<TaskOutput> {
    fn from(error: crate::ledger::Error) -> Self {
        failed(error.to_string())
    }
}

/// The output with every secret hidden and every control character escaped: it goes to records and people.
pub(super) fn sealed(mut output: TaskOutput) -> TaskOutput {
    let (detail, seen, remedy) = match &mut output {
        TaskOutput::Seen(Answer { finding: Finding::Refused { remedy }, detail, evidence }) => {
            (detail, evidence, remedy.as_mut())
        }
        TaskOutput::Seen(Answer { detail, evidence, .. }) => (detail, evidence, None),
        TaskOutput::Refused { detail, remedy, evidence } => (detail, evidence, remedy.as_mut()),
        TaskOutput::Done { detail, evidence }
        | TaskOutput::Transient { detail, evidence, .. }
        | TaskOutput::Permanent { detail, evidence }
        | TaskOutput::NoSpace { detail, evidence } => (detail, evidence, None),
        // A sentence of our own.
        TaskOutput::Lost { .. } | TaskOutput::Cancelled | TaskOutput::CalledOff => return output,
    };
    *detail = clean(detail);
    if let Some(remedy) = remedy {
        *remedy = redact(remedy).into_owned();
    }
    for value in seen.values_mut() {
        seal_value(value);
    }
    output
}

fn clean(text: &str) -> String {
    clean_line(&redact(text)).into_owned()
}

fn seal_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(seal_value),
        Value::Object(map) => map.values_mut().for_each(seal_value),
        _ => {}
    }
}
