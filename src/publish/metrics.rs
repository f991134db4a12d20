//! Counts what happens and tells it to Prometheus. I/O: none; what only the ledger knows is put in when somebody asks.
//!
//! Base units only, and no path, name or identifier as a label, except a source's and a root's configured name: what strangers
//! write never becomes a time series.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::vocab::{Body, Phase, Record};

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// `Content-Type` of OpenMetrics, for those who ask for it.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `Content-Type` of the older format, for everybody else.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// From a line that is read to what it means being kept: a fraction of a millisecond to seconds.
const DETECTION: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// A repair may be a `chmod` or a download of gigabytes.
const ACTION: [f64; 12] = [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 7_200.0];

/// Everything that is counted. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    lines: Counter,
    bytes: Counter,
    events: Counts,
    open: Gauges,
    actions: Counts,
    action_duration: Histogram,
    detection: Histogram,
    tail_lag: Gauges,
    notifications: Counts,
    operations: Gauges,
    disk_free: Gauges,
}

/// What is put in when somebody asks, because only the ledger and the system know it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Open incidents by class.
    pub open: Vec<(String, u64)>,
    /// Bytes behind the end of its file, by source.
    pub tail_lag: Vec<(String, u64)>,
    /// Deliveries by channel and result.
    pub notifications: Vec<(String, String, u64)>,
    /// Operations by state.
    pub operations: Vec<(String, u64)>,
    /// Free bytes by root.
    pub disk_free: Vec<(String, u64)>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Nothing counted yet. `others` adds what other parts count themselves.
    #[must_use]
    pub fn new(others: impl FnOnce(&mut Registry)) -> Self {
        let inner = Inner {
            registry: Registry::default(),
            lines: Counter::default(),
            bytes: Counter::default(),
            events: Counts::default(),
            open: Gauges::default(),
            actions: Counts::default(),
            action_duration: Histogram::new(ACTION),
            detection: Histogram::new(DETECTION),
            tail_lag: Gauges::default(),
            notifications: Counts::default(),
            operations: Gauges::default(),
            disk_free: Gauges::default(),
        };
        Self(Arc::new(inner.registered(others)))
    }

    /// Log text was read.
    pub fn read(&self, bytes: &[u8]) {
        self.0.bytes.inc_by(bytes.len() as u64);
        self.0.lines.inc_by(memchr::memchr_iter(b'\n', bytes).count() as u64);
    }

    /// A record was made.
    pub fn record(&self, record: &Record) {
        match &record.body {
            Body::Error { count, .. } => {
                self.0.events.get_or_create(&label("class", record.class.as_str())).inc_by(*count);
            }
            Body::Action { phase: Phase::Finished, strategy, ok, action, .. } => {
                let result = if *ok == Some(true) { "ok" } else { "failed" };
                let labels = vec![("strategy", strategy.to_string()), ("result", result.to_owned())];
                self.0.actions.get_or_create(&labels).inc();
                // An identifier holds the moment at which it was made: that of the announcement.
                let millis = record.observed_at.timestamp_millis() - action.millis().cast_signed();
                self.0.action_duration.observe(millis.max(0) as f64 / 1000.0);
            }
            Body::Action { .. } | Body::Outcome { .. } => {}
        }
    }

    /// What a line means was kept so long after it was read.
    pub fn detected(&self, after: Duration) {
        self.0.detection.observe(after.as_secs_f64());
    }

    /// All of it as text, in OpenMetrics or in the older format.
    #[must_use]
    pub fn text(&self, asked: Asked, openmetrics: bool) -> String {
        let one = |family: &Gauges, name: &'static str, rows: Vec<(String, u64)>| {
            // What is not there any more is nothing; a gauge that kept its last number would lie.
            family.clear();
            for (word, count) in rows {
                family.get_or_create(&label(name, &word)).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        };
        one(&self.0.open, "class", asked.open);
        one(&self.0.tail_lag, "source", asked.tail_lag);
        one(&self.0.operations, "state", asked.operations);
        one(&self.0.disk_free, "root", asked.disk_free);
        for (channel, result, count) in asked.notifications {
            let labels = vec![("channel", channel), ("result", result)];
            self.0.notifications.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        if openmetrics { text } else { classic(&text) }
    }
}

impl Inner {
    fn registered(mut self, others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        registry.register("logmedic_lines_read", "Lines read from log sources", self.lines.clone());
        registry.register("logmedic_bytes_read", "Bytes read from log sources", self.bytes.clone());
        registry.register("logmedic_events", "Recognised failure events", self.events.clone());
        registry.register("logmedic_incidents_open", "Incidents that are not over", self.open.clone());
        registry.register("logmedic_actions", "Repairs that ended", self.actions.clone());
        let help = "Time from the announcement of a repair to its end";
        registry.register("logmedic_action_duration_seconds", help, self.action_duration.clone());
        let help = "Time from reading a line to keeping what it means";
        registry.register("logmedic_detection_latency_seconds", help, self.detection.clone());
        let help = "Bytes of a source's files that are not worked off yet";
        registry.register("logmedic_tail_lag_bytes", help, self.tail_lag.clone());
        registry.register("logmedic_notifications", "Deliveries to people", self.notifications.clone());
        registry.register("logmedic_operations", "Operations that are kept", self.operations.clone());
        registry.register(
            "logmedic_disk_free_bytes",
            "Free bytes on the file system of a root",
            self.disk_free.clone(),
        );
        let build = Gauges::default();
        build.get_or_create(&label("version", env!("CARGO_PKG_VERSION"))).set(1);
        registry.register("logmedic_build_info", "The running version", build);
        others(&mut registry);
        self.registry = registry;
        self
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

/// The older format: there a counter's family has the name of its samples, and nothing stands behind the last one.
fn classic(text: &str) -> String {
    let counters: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(text.len() + 1024);
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let rest = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match rest.and_then(|rest| rest.split_once(' ')) {
            Some((name, said)) if counters.contains(name) => {
                out.push_str(&line[..7]);
                out.push_str(name);
                out.push_str("_total ");
                out.push_str(said);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Metrics {
        let metrics = Metrics::new(|_| {});
        metrics.read(b"one\ntwo\nthr");
        metrics.detected(Duration::from_micros(800));
        metrics
    }

    fn asked() -> Asked {
        Asked {
            open: vec![("timeout".into(), 2)],
            tail_lag: vec![("bot".into(), 17)],
            notifications: vec![("telegram".into(), "sent".into(), 3)],
            operations: vec![("running".into(), 1)],
            disk_free: vec![("models \"x\"\n".into(), 5)],
        }
    }

    #[test]
    fn d4_every_promised_name_is_there_in_both_formats() {
        let names = [
            "logmedic_lines_read_total 2",
            "logmedic_bytes_read_total 11",
            "logmedic_incidents_open{class=\"timeout\"} 2",
            "logmedic_tail_lag_bytes{source=\"bot\"} 17",
            "logmedic_notifications_total{channel=\"telegram\",result=\"sent\"} 3",
            "logmedic_operations{state=\"running\"} 1",
            "logmedic_disk_free_bytes{root=\"models \\\"x\\\"\\n\"} 5",
            "logmedic_detection_latency_seconds_count 1",
            "logmedic_action_duration_seconds_count 0",
            "logmedic_build_info{version=",
        ];
        for openmetrics in [true, false] {
            let text = filled().text(asked(), openmetrics);
            for name in names {
                assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not in\n{text}");
            }
            assert_eq!(text.ends_with("# EOF\n"), openmetrics);
            assert_eq!(text.contains("# TYPE logmedic_lines_read_total counter"), !openmetrics);
        }
    }

    #[test]
    fn d4_a_class_without_an_open_incident_is_not_told_any_more() {
        let metrics = filled();
        let _ = metrics.text(asked(), false);
        assert!(!metrics.text(Asked::default(), false).contains("class=\"timeout\""));
    }
}
