//! Shows and changes settings while logmedic runs: a layer over the files, checked exactly as they are. I/O: the ledger.
//!
//! Only what says how to heal and when to tell can be changed from afar. What decides which program is run, where logmedic
//! connects, whom it obeys and where it may write stands in files, which belong to whoever holds the machine.

use chrono::Utc;
use serde_json::{Map, Value as Json};

use super::commands::config::values;
use super::load::{self, Loaded, Surroundings};
use super::problem::place;
use super::schema;
use super::tree::Origin;
use crate::ledger::Ledger;
use crate::ledger::probes::{StoredSetting, settings as stored};
use crate::serve::settings::{Effect, Refused, Setting};
use crate::vocab::rfc3339;

/// What may be changed: whole sections (with a dot at the end) and single keys, and whether a change holds at once.
const CHANGEABLE: &[(&str, Effect)] = &[
    ("language", Effect::Restart),
    ("retry.", Effect::Now),
    ("mode.", Effect::Now),
    ("budget.", Effect::Now),
    ("breaker.", Effect::Now),
    ("disk.min_free", Effect::Restart),
    ("disk.check_every", Effect::Now),
    ("server_down.base", Effect::Now),
    ("server_down.cap", Effect::Now),
    ("server_down.restart_after", Effect::Now),
    ("corrupt.quarantine_keep", Effect::Restart),
    ("fallback.action", Effect::Now),
    ("download.max_size", Effect::Restart),
    ("download.stall", Effect::Restart),
    ("download.timeout", Effect::Restart),
    ("telegram.min_severity", Effect::Restart),
    ("records.max_size", Effect::Restart),
    ("records.keep", Effect::Restart),
    ("limits.", Effect::Restart),
];

/// Keys of the files that a reload carries out; everything else waits for a restart.
const RELOADED: &[&str] = &["probe.", "server_down.", "fallback."];

/// How many settings may be changed at once, and how many are kept: far above the number of keys.
const SETTINGS_MAX: usize = 500;

/// Longest key and longest text of a value, in bytes.
const LENGTH_MAX: usize = 256;

fn rule_for(key: &str) -> Option<Effect> {
    let fits = |name: &str| match name.strip_suffix('.') {
        Some(_) => key.len() > name.len() && key.starts_with(name),
        None => name == key,
    };
    CHANGEABLE.iter().find(|(name, _)| fits(name)).map(|(_, effect)| *effect)
}

/// Every value with who said it, and whether and how it can be changed.
#[must_use]
pub fn list(loaded: &Loaded) -> Vec<Setting> {
    let setting = |(path, value, origin): (Vec<String>, Json, String)| {
        let key = path.join(".");
        let rule = rule_for(&key);
        let reloaded = RELOADED.iter().any(|name| key.starts_with(name));
        let effect = rule.unwrap_or(if reloaded { Effect::Now } else { Effect::Restart });
        let changed = path_node(loaded, &path).is_some_and(|origin| matches!(origin, Origin::Setting { .. }));
        Setting {
            about: schema::describe(&path),
            schema: schema::form(&path),
            changeable: rule.is_some(),
            changed,
            effect,
            key,
            origin,
            value,
        }
    };
    values(loaded).into_iter().map(setting).collect()
}

fn path_node<'a>(loaded: &'a Loaded, path: &[String]) -> Option<&'a Origin> {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    loaded.tree.get(&keys).map(|node| &node.origin)
}

/// The configuration with what was changed while logmedic ran. When that does not fit the files any more, it is left out,
/// and said: a start must not fail for it.
#[must_use]
pub fn with_changes(ledger: &Ledger, loaded: Loaded, around: &Surroundings) -> Loaded {
    let changed = ledger.read(stored).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Vec::new()
    });
    laid(loaded, around, &changed)
}

/// The same for commands that only look.
#[must_use]
pub fn seen(loaded: Loaded, around: &Surroundings) -> Loaded {
    let changed = Ledger::look(&loaded.state_dir).ok().and_then(|db| stored(&db).ok()).unwrap_or_default();
    laid(loaded, around, &changed)
}

fn laid(loaded: Loaded, around: &Surroundings, changed: &[StoredSetting]) -> Loaded {
    if changed.is_empty() {
        return loaded;
    }
    match load::load_with(loaded.file.as_deref(), around, changed) {
        Ok(mixed) => mixed,
        Err(problems) => {
            for line in problems.lines() {
                tracing::warn!("settings changed while logmedic ran are left out: {line}");
            }
            loaded
        }
    }
}

/// What the configuration becomes with these changes (`null` takes a change back), and what is to be kept.
///
/// # Errors
/// When a key may not be changed, a value is wrong, or the environment says it already.
pub fn change(
    ledger: &Ledger,
    loaded: &Loaded,
    around: &Surroundings,
    changes: &Map<String, Json>,
    account: &str,
) -> Result<(Loaded, Vec<StoredSetting>), Refused> {
    let mut kept = ledger.read(stored).map_err(|error| Refused::Failed(error.to_string()))?;
    if changes.is_empty() || changes.len() > SETTINGS_MAX {
        return Err(Refused::Invalid(format!("name 1 to {SETTINGS_MAX} settings, such as {{\"retry.attempts\": 5}}")));
    }
    let at = rfc3339(Utc::now());
    for (key, value) in changes {
        allowed(key, value)?;
        kept.retain(|setting| setting.key != *key);
        if !value.is_null() {
            kept.push(StoredSetting {
                key: key.clone(),
                json: value.to_string(),
                at: at.clone(),
                account: account.to_owned(),
            });
        }
    }
    if kept.len() > SETTINGS_MAX {
        return Err(Refused::Invalid(format!("more than {SETTINGS_MAX} settings would be kept")));
    }
    let fresh = load::load_with(loaded.file.as_deref(), around, &kept)
        .map_err(|problems| Refused::Invalid(problems.lines().join("\n")))?;
    for key in changes.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key) {
        let path = path_of(key);
        let origin = path_node(&fresh, &path).filter(|origin| !matches!(origin, Origin::Setting { .. }));
        if let Some(origin) = origin {
            let who = place(origin, &fresh.files);
            return Err(Refused::Conflict(format!("`{key}` is said by {who}, which comes first; change it there")));
        }
    }
    Ok((fresh, kept))
}

fn allowed(key: &str, value: &Json) -> Result<(), Refused> {
    if key.len() > LENGTH_MAX || value.as_str().is_some_and(|text| text.len() > LENGTH_MAX) {
        return Err(Refused::Invalid(format!("a key or a text is longer than {LENGTH_MAX} bytes")));
    }
    if rule_for(key).is_none() {
        let path = path_of(key);
        if schema::describe(&path).is_some() {
            let why = "it decides what logmedic runs, where it connects, whom it obeys or where it writes";
            return Err(Refused::Forbidden(format!("`{key}` is changed in the configuration file only: {why}")));
        }
        let known: Vec<&str> = CHANGEABLE.iter().map(|(name, _)| *name).collect();
        let near = schema::nearest(key, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Refused::Unknown(format!("there is no setting `{key}`{near}")));
    }
    if value.is_array() || value.is_object() {
        return Err(Refused::Invalid(format!("`{key}` is a single value: a number, a text, true or false")));
    }
    Ok(())
}

/// The path of a key. Rule ids under `mode` hold dots themselves.
fn path_of(key: &str) -> Vec<String> {
    match key.split_once('.') {
        Some(("mode", rule)) => vec!["mode".to_owned(), rule.to_owned()],
        _ => key.split('.').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_only_what_says_how_to_heal_can_be_changed_from_afar() {
        let ok = |key: &str| allowed(key, &Json::from("x")).is_ok();
        for key in ["retry.attempts", "mode.corrupt", "mode.aria2.disk_full", "limits.repairs", "language"] {
            assert!(ok(key), "{key}");
        }
        for key in [
            "bot.command",
            "bot.env.PATH",
            "command.redownload.argv",
            "root.0.path",
            "source.0.path",
            "state.dir",
            "bot_api.url",
            "bot_api.token",
            "bot_api.token_file",
            "telegram.token",
            "telegram.api_url",
            "telegram.admins",
            "telegram.templates",
            "download.hosts",
            "download.allow_private",
            "server.listen",
            "records.path",
            "probe.0.http",
            "server_down.restart_command",
            "fallback.signal",
            "corrupt.purge",
            "",
            ".",
            "retry.",
            "retry",
        ] {
            assert!(!ok(key), "{key}");
        }
        assert!(matches!(allowed("bot.command", &Json::Null), Err(Refused::Forbidden(_))));
        assert!(matches!(allowed("retri.attempts", &Json::Null), Err(Refused::Unknown(_))));
    }
}
