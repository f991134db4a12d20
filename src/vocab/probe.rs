//! Says how something that is looked at regularly changed: what probes tell the engine. Pure.

use super::{Class, Severity, Subject};

/// What a probe has to say. Saying the same twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeNews {
    /// The probe's name in the configuration.
    pub name: String,
    /// How it stands now.
    pub turn: ProbeTurn,
    /// What is wrong with its target while it is down.
    pub class: Class,
    /// What it looks at.
    pub subject: Subject,
    /// How loud its failure is.
    pub severity: Severity,
    /// What the last look showed, redacted.
    pub detail: String,
}

/// How a probe stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeTurn {
    /// Its looks fail.
    Down,
    /// Its looks are well (again).
    Up,
    /// Nobody looks any more: it was taken out of the configuration, or looks at something else now.
    Removed,
}

/// Rules of probes are called so, with the probe's name behind it.
pub const PROBE_RULE: &str = "probe.";
