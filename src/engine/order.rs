//! Shapes what people want of the engine, and how it answers. Pure.

use chrono::{DateTime, Utc};

use crate::vocab::{Damage, Id};

/// A person's (or program's) word about one thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Work on an ended or waiting incident again, with fresh attempts.
    Retry {
        /// Which.
        incident: Id,
        /// Who.
        by: String,
    },
    /// Somebody has seen it: nobody is reminded of it any more.
    Acknowledge {
        /// Which.
        incident: Id,
        /// Who.
        by: String,
    },
    /// Nobody is told of this class and subject for a while; healing goes on.
    Silence {
        /// Which.
        incident: Id,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// How long.
        until: DateTime<Utc>,
    },
    /// The repair that waits for approval may begin.
    Approve {
        /// Which.
        incident: Id,
        /// Who.
        by: String,
    },
    /// It may not.
    Reject {
        /// Which.
        incident: Id,
        /// Who.
        by: String,
    },
    /// An order about what somebody was shown: followed only while the incident stands as that revision of its notice told it.
    Seen {
        /// The revision that was shown.
        revision: u64,
        /// What is ordered.
        order: Box<Order>,
    },
    /// A download that a program tells of.
    RegisterJob(Box<NewJob>),
    /// A file was proven bad.
    Damaged(Box<Damage>),
    /// Fetch a download again.
    RetryJob {
        /// Which.
        job: Id,
        /// Who.
        by: String,
    },
}

impl Order {
    /// The incident it is about, where it is about one.
    #[must_use]
    pub fn incident(&self) -> Option<Id> {
        match self {
            Self::Retry { incident, .. }
            | Self::Acknowledge { incident, .. }
            | Self::Silence { incident, .. }
            | Self::Approve { incident, .. }
            | Self::Reject { incident, .. } => Some(*incident),
            Self::Seen { order, .. } => order.incident(),
            Self::RegisterJob(_) | Self::Damaged(_) | Self::RetryJob { .. } => None,
        }
    }
}

/// A download as a program registers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewJob {
    /// Its name for people; also how the bot's log calls it.
    pub name: Option<String>,
    /// Where it is saved.
    pub path: Option<String>,
    /// Where it comes from.
    pub url: Option<String>,
    /// Telegram's identifier of the file.
    pub file_id: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The log source that will speak of it.
    pub source: Option<String>,
}

/// Why an order is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such thing (any more).
    #[error("there is no {0}")]
    Missing(String),
    /// It is not in a state in which this can be done.
    #[error("{0}")]
    Conflict(String),
    /// It is not any more as it was shown to whoever orders.
    #[error("it has changed since that was shown; look at it again")]
    Changed,
    /// The engine has stopped.
    #[error("logmedic is stopping")]
    Stopped,
}
