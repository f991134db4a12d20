//! Turns `[[probe]]` into what is looked at, and checks what types cannot say. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use super::config::{Config, Probe};
use super::load::Loaded;
use crate::probe::{Process, Spec, Target};

/// The name of the bot itself as a process.
const BOT: &str = "bot";

/// More probes than this belong into a monitoring system.
pub const PROBES_MAX: usize = 100;

/// What is looked at. `parent`: whether logmedic runs the bot itself.
#[must_use]
pub fn specs(loaded: &Loaded, parent: bool) -> Vec<Spec> {
    let spec = |probe: &Probe| {
        Some(Spec {
            name: probe.name.clone(),
            target: target(probe, &loaded.config, parent)?,
            every: probe.every.0,
            timeout: probe.timeout.0,
            fail_after: probe.fail_after,
            pass_after: probe.pass_after,
            severity: probe.severity,
        })
    };
    loaded.config.probe.iter().filter_map(spec).collect()
}

/// `None` when it names no target (the loader refuses that).
fn target(probe: &Probe, config: &Config, parent: bool) -> Option<Target> {
    if let Some(url) = &probe.http {
        let (status, contains) = (probe.status, probe.contains.clone());
        return Some(Target::Http { url: url.clone(), status, contains });
    }
    if let Some(address) = &probe.tcp {
        return Some(Target::Tcp { address: address.clone() });
    }
    if let Some(place) = &probe.disk {
        let root = config.root.iter().find(|root| root.name == place.shown);
        let path = root.map_or_else(|| place.path.clone(), |root| root.path.path.clone());
        return Some(Target::Disk { path, min_free: probe.min_free.unwrap_or(config.disk.min_free).0 });
    }
    if let Some(name) = &probe.process {
        return Some(Target::Process(match name.as_str() {
            BOT if parent => Process::Bot,
            path if path.contains('/') && path.ends_with(".pid") => Process::PidFile(path.into()),
            name => Process::Named(name.to_owned()),
        }));
    }
    probe.bot_api.then(|| Target::BotApi { url: config.bot_api.url.clone(), token: config.bot_api.token.clone() })
}

/// Something wrong with a probe: its number, the key, what, and what helps.
pub(super) type Wrong = (usize, Option<&'static str>, String, &'static str);

/// What is wrong with the probes.
pub(super) fn wrong(config: &Config) -> Vec<Wrong> {
    let mut out = Vec::new();
    let mut names = BTreeSet::new();
    for (index, probe) in config.probe.iter().enumerate() {
        let name = &probe.name;
        let mut must = |ok: bool, key: Option<&'static str>, message: String, remedy: &'static str| {
            if !ok {
                out.push((index, key, message, remedy));
            }
        };
        must(index < PROBES_MAX, None, format!("more than {PROBES_MAX} probes"), "keep those that matter");
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let good = (1..=64).contains(&name.len()) && name.chars().all(plain);
        must(good, Some("name"), format!("`{name}` is not a probe's name"), "write letters, digits, -, _ and . only");
        must(names.insert(name), Some("name"), format!("two probes are called `{name}`"), "give each its own name");
        must(
            probe.targets() == 1,
            None,
            format!("probe `{name}` must have exactly one of `http`, `tcp`, `disk`, `process` and `bot_api = true`"),
            "write http = \"http://127.0.0.1:8081/\", or tcp = \"127.0.0.1:5432\", or disk = \"models\"",
        );
        if let Some(url) = &probe.http {
            let good = url::Url::parse(url).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.host().is_some()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            let remedy = "write such as \"http://127.0.0.1:8081/\", without user and password";
            must(good, Some("http"), "`http` is not an address that can be called".to_owned(), remedy);
        }
        let only_http = |ok: bool| ok || probe.http.is_some();
        let remedy = "it belongs to a probe with `http`";
        must(only_http(probe.status.is_none()), Some("status"), "`status` has nothing to judge".into(), remedy);
        must(only_http(probe.contains.is_none()), Some("contains"), "`contains` has nothing to search".into(), remedy);
        let status = probe.status.is_none_or(|status| (100..600).contains(&status));
        must(status, Some("status"), "`status` is not one of HTTP".into(), "write 100 to 599");
        let text = probe.contains.as_ref().is_none_or(|text| (1..=1024).contains(&text.len()));
        must(text, Some("contains"), "`contains` is empty or too long".into(), "write 1 to 1024 bytes");
        let lone = probe.min_free.is_none() || probe.disk.is_some();
        must(lone, Some("min_free"), "`min_free` has no disk".into(), "it belongs to a probe with `disk`");
        if let Some(address) = &probe.tcp {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(['/', ' ', '@']));
            let good = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
            must(good, Some("tcp"), format!("`{address}` is not host:port"), "write such as \"127.0.0.1:5432\"");
        }
        if let Some(process) = &probe.process {
            let good = !process.trim().is_empty() && !process.contains(char::is_control);
            let absolute = !process.contains('/') || Path::new(process).is_absolute();
            must(
                good,
                Some("process"),
                "`process` names no process".into(),
                "write process = \"bot\" or a program's name",
            );
            must(absolute, Some("process"), "a path of a process must be absolute".into(), "write it from / on");
        }
        let every = (100..=86_400_000).contains(&probe.every.0.as_millis());
        must(every, Some("every"), "`every` is out of range".into(), "write \"100ms\" to \"1d\"");
        let timeout = (10..=60_000).contains(&probe.timeout.0.as_millis());
        must(timeout, Some("timeout"), "`timeout` is out of range".into(), "write \"10ms\" to \"60s\"");
        let limits = [("fail_after", probe.fail_after), ("pass_after", probe.pass_after)];
        for (key, value) in limits {
            must((1..=100).contains(&value), Some(key), format!("`{key}` is out of range"), "write 1 to 100");
        }
    }
    out
}
