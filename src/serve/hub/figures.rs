//! Counts what the hub does: for people, and for Prometheus.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

use super::frame::{Frame, Topic};
use crate::vocab::{Role, rfc3339};

type Label = [(&'static str, &'static str); 1];

/// Seconds from a frame's birth to its hand-over to the system, for one client.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// One topic's figures, found without looking up a label.
struct OfTopic {
    topic: Topic,
    sent: Counter,
    delivery: Histogram,
}

/// All figures.
pub struct Figures {
    connections: Family<Label, Gauge>,
    sent: Family<Label, Counter>,
    delivery: Family<Label, Histogram, fn() -> Histogram>,
    broadcasts: Counter,
    errors: Counter,
    gaps: Counter,
    lost: AtomicU64,
    /// Unix milliseconds, 0 for never.
    last_broadcast: AtomicI64,
    topics: Vec<OfTopic>,
}

/// Connections by role.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Connections {
    /// All.
    pub total: i64,
    /// Of viewers.
    pub viewer: i64,
    /// Of operators.
    pub operator: i64,
    /// Of admins.
    pub admin: i64,
}

/// How the hub is and what it did since it started.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HubStats)]
pub struct Stats {
    /// Connections now.
    pub connections: Connections,
    /// Accounts that are connected.
    pub user_count: usize,
    /// Their names; empty for viewers.
    pub users: Vec<String>,
    /// Between two pings.
    pub heartbeat_s: u64,
    /// Frames handed over, each for one client.
    pub messages_sent: u64,
    /// Frames told, each to all who want it.
    pub broadcasts: u64,
    /// Connections that broke or were closed for a fault.
    pub errors: u64,
    /// Times that a client was told it missed something.
    pub gaps: u64,
    /// Frames given up for clients that were too slow.
    pub lost: u64,
    /// Frames that wait for the slowest client now.
    pub waiting: usize,
    /// When something was told last, RFC 3339.
    pub last_broadcast: Option<String>,
}

impl Figures {
    pub(super) fn new() -> Self {
        let sent: Family<Label, Counter> = Family::default();
        let delivery: Family<Label, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let topics = Topic::ALL.iter().map(|&topic| {
            let label = [("topic", topic.word())];
            let (sent, delivery) = (sent.get_or_create_owned(&label), delivery.get_or_create_owned(&label));
            OfTopic { topic, sent, delivery }
        });
        Self {
            topics: topics.collect(),
            connections: Family::default(),
            sent,
            delivery,
            broadcasts: Counter::default(),
            errors: Counter::default(),
            gaps: Counter::default(),
            lost: AtomicU64::new(0),
            last_broadcast: AtomicI64::new(0),
        }
    }

    fn of_role(&self, role: Role) -> Gauge {
        self.connections.get_or_create_owned(&[("role", role.as_str())])
    }

    pub(super) fn joined(&self, role: Role) {
        self.of_role(role).inc();
    }

    pub(super) fn left(&self, role: Role) {
        self.of_role(role).dec();
    }

    pub(super) fn told(&self, frames: usize, at: DateTime<Utc>) {
        self.broadcasts.inc_by(frames as u64);
        self.last_broadcast.store(at.timestamp_millis(), Ordering::Relaxed);
    }

    /// These frames were handed over for one client.
    pub(super) fn delivered(&self, frames: &[Frame]) {
        for frame in frames {
            if let Some(of) = self.topics.iter().find(|of| of.topic == frame.topic) {
                of.sent.inc();
                of.delivery.observe(frame.born.elapsed().as_secs_f64());
            }
        }
    }

    pub(super) fn error(&self) {
        self.errors.inc();
    }

    pub(super) fn gap(&self) {
        self.gaps.inc();
    }

    pub(super) fn lost(&self, frames: usize) {
        self.lost.fetch_add(frames as u64, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, heartbeat: Duration, user_count: usize, users: Vec<String>, waiting: usize) -> Stats {
        let [viewer, operator, admin] =
            [Role::Viewer, Role::Operator, Role::Admin].map(|role| self.of_role(role).get());
        let last = DateTime::from_timestamp_millis(self.last_broadcast.load(Ordering::Relaxed));
        Stats {
            connections: Connections { total: viewer + operator + admin, viewer, operator, admin },
            user_count,
            users,
            heartbeat_s: heartbeat.as_secs(),
            messages_sent: self.topics.iter().map(|of| of.sent.get()).sum(),
            broadcasts: self.broadcasts.get(),
            errors: self.errors.get(),
            gaps: self.gaps.get(),
            lost: self.lost.load(Ordering::Relaxed),
            waiting,
            last_broadcast: last.filter(|at| at.timestamp_millis() > 0).map(rfc3339),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for role in Role::ALL {
            drop(self.of_role(*role));
        }
        registry.register("logmedic_ws_connections", "WebSocket connections", self.connections.clone());
        registry.register("logmedic_ws_messages_sent", "Frames handed over, each for one client", self.sent.clone());
        registry.register("logmedic_ws_broadcasts", "Frames told", self.broadcasts.clone());
        registry.register(
            "logmedic_ws_send_errors",
            "Connections that broke or were closed for a fault",
            self.errors.clone(),
        );
        registry.register("logmedic_ws_gaps", "Times that a client was told it missed something", self.gaps.clone());
        let about = "From the news of a change to its hand-over to the system, for one client";
        registry.register("logmedic_ws_delivery_seconds", about, self.delivery.clone());
    }
}
