//! Says which steps heal which class. Pure.
//!
//! A plan is a list of steps; each has one question to the system. A step whose question is answered *sound* is
//! skipped, so a fault that the system does not show leaves nothing to do; after a step the same question proves it.

use serde::{Deserialize, Serialize};

use super::{Expect, Fetch, Policy, Question, Repair};
use crate::correlate::Facts;
use crate::vocab::{Class, Strategy, Subject, SubjectKind};

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Change something.
    Act {
        /// What shows whether it is needed, and afterwards whether it worked.
        ask: Question,
        /// The change.
        repair: Repair,
    },
    /// Probe until the question is answered *sound*.
    Await {
        /// The question.
        ask: Question,
    },
    /// Nothing can be fetched: what the user configured for that.
    Fallback {
        /// Whether the file is missing at all.
        ask: Question,
    },
}

impl Step {
    /// The step's question.
    #[must_use]
    pub const fn ask(&self) -> &Question {
        match self {
            Self::Act { ask, .. } | Self::Await { ask } | Self::Fallback { ask } => ask,
        }
    }

    /// The word for it in records.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        match self {
            Self::Act { repair, .. } => repair.strategy(),
            Self::Await { ask: Question::Server { .. } } => Strategy::WaitForServer,
            Self::Await { .. } => Strategy::Wait,
            Self::Fallback { .. } => Strategy::Alert,
        }
    }

    /// Whether the step fetches from the upstream server.
    #[must_use]
    pub const fn fetches(&self) -> bool {
        matches!(self, Self::Act { repair: Repair::Redownload { .. }, .. })
    }
}

/// The steps for an incident. None at all: nothing can be repaired here, the admin is told.
#[must_use]
pub fn plan(class: Class, subject: &Subject, facts: &Facts, policy: &Policy) -> Vec<Step> {
    let path = facts.path.clone();
    let server = match subject.kind {
        SubjectKind::Server => Some(subject.value.clone()),
        _ if facts.url.is_none() || facts.file_id.is_some() || facts.file_path.is_some() => {
            Some(policy.bot_api.clone())
        }
        _ => facts.url.as_deref().and_then(crate::correlate::origin),
    };
    let await_server = server.map(|url| Step::Await { ask: Question::Server { url } });
    let mut steps = Vec::new();
    match class {
        Class::Timeout if facts.wanted().is_none() => steps.extend(await_server),
        Class::Timeout | Class::RateLimited => {}
        Class::ServerDown => steps.extend(await_server),
        Class::Permission => steps.extend(path.map(|path| Step::Act {
            ask: Question::Access { path: path.clone() },
            repair: Repair::RestoreAccess { path },
        })),
        Class::MissingPath => steps.extend(path.map(|path| Step::Act {
            ask: Question::Directory { path: path.clone() },
            repair: Repair::CreateDirectory { path },
        })),
        Class::Corrupt => steps.extend(facts.wanted().map(|path| Step::Act {
            ask: Question::Integrity { path: path.to_owned(), expect: expect(facts) },
            repair: Repair::Quarantine { path: path.to_owned(), expect: expect(facts) },
        })),
        Class::DiskFull => steps.push(Step::Await { ask: Question::Space { path, need: facts.size } }),
        Class::Auth | Class::TooLarge | Class::NotFound | Class::Conflict | Class::Crash => return steps,
    }
    steps.extend(fetch(facts, policy));
    steps
}

/// The step that brings the wanted file, where one is known.
fn fetch(facts: &Facts, policy: &Policy) -> Option<Step> {
    let path = facts.wanted()?.to_owned();
    let ask = Question::Download { path: path.clone(), expect: expect(facts) };
    let from = if let Some(id) = &facts.file_id {
        Fetch::FileId(id.clone())
    } else if let Some(file) = &facts.file_path {
        Fetch::FilePath(file.clone())
    } else if policy.redownload_command {
        // Before a bare URL: that may be a page, and the user's command knows what to do with it.
        let known = [("url", &facts.url), ("file_id", &facts.file_id)];
        let variables = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        Fetch::Command { variables: variables.collect() }
    } else if let Some(url) = facts.url.as_ref().filter(|url| crate::correlate::is_plain_download(url)) {
        Fetch::Url(url.clone())
    } else if facts.target.is_some() || facts.size.is_some() {
        // A download is known to have failed, but not where it came from.
        return Some(Step::Fallback { ask });
    } else {
        return None;
    };
    let repair = Repair::Redownload { from, path, expect: expect(facts) };
    Some(Step::Act { ask, repair })
}

fn expect(facts: &Facts) -> Expect {
    Expect { size: facts.size, sha256: None, bad: facts.bad.clone() }
}
