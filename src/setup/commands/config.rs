//! `logmedic config show|schema`.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::{Done, Failure};
use crate::setup::cli::{ConfigCommand, JsonArgs};
use crate::setup::load::{Loaded, Surroundings, load};
use crate::setup::problem::place;
use crate::setup::{reference, settings};
use crate::vocab::redact;

/// Carries out `config …`.
///
/// # Errors
/// When the configuration is wrong or the output cannot be written.
pub fn config(command: ConfigCommand, file: Option<&Path>, around: &Surroundings) -> Done {
    let mut out = super::stdout();
    match command {
        ConfigCommand::Show(args) => show(&settings::seen(load(file, around)?, around), args, &mut out)?,
        ConfigCommand::Schema { markdown: true } => out.write_all(reference::markdown().as_bytes())?,
        ConfigCommand::Schema { markdown: false } => writeln!(out, "{:#}", reference::schema())?,
    }
    out.flush()?;
    Ok(0)
}

/// Prints TOML that could be loaded again, each value with the place that said it; or one JSON object a value.
fn show(loaded: &Loaded, args: JsonArgs, out: &mut impl Write) -> Result<(), Failure> {
    let top = effective(loaded);
    if args.json {
        for (path, value, origin) in values(loaded) {
            super::json_line(out, &serde_json::json!({ "key": path.join("."), "value": value, "origin": origin }))?;
        }
        return Ok(());
    }
    let file = loaded.file.as_ref().map_or("none: defaults, environment and .env".into(), |f| f.display().to_string());
    writeln!(out, "# configuration file: {file}")?;
    for warning in &loaded.warnings {
        writeln!(out, "# warning: {warning}")?;
    }
    let (tables, values): (Vec<_>, Vec<_>) = top.iter().partition(|(_, value)| is_table(value));
    lines(&values, &[], loaded, out)?;
    for (name, value) in tables {
        table(value, std::slice::from_ref(name), loaded, out)?;
    }
    Ok(())
}

/// Everything in effect, without secrets.
fn effective(loaded: &Loaded) -> Map<String, Json> {
    let Ok(Json::Object(mut top)) = serde_json::to_value(&loaded.config) else { return Map::new() };
    top.values_mut().for_each(hide);
    if let Some(Json::Object(env)) = top.get_mut("bot").and_then(|bot| bot.get_mut("env")) {
        env.iter_mut().filter(|(name, _)| is_secret_name(name)).for_each(|(_, value)| *value = "[hidden]".into());
    }
    set(&mut top, "state", "dir", loaded.state_dir.display().to_string());
    set(&mut top, "records", "path", loaded.records_path().display().to_string());
    top
}

/// Every value in effect: its path, what it is, and who said it. Secrets are hidden.
pub(in crate::setup) fn values(loaded: &Loaded) -> Vec<(Vec<String>, Json, String)> {
    let mut values = Vec::new();
    flatten(&Json::Object(effective(loaded)), &mut Vec::new(), &mut values);
    let said = |(path, value): (Vec<String>, Json)| {
        let origin = origin(loaded, &path);
        (path, value, origin)
    };
    values.into_iter().map(said).collect()
}

/// Takes tokens and passwords out of every text: an address or an argument may hold one.
fn hide(value: &mut Json) {
    match value {
        Json::String(text) => *text = redact(text).into_owned(),
        Json::Array(list) => list.iter_mut().for_each(hide),
        Json::Object(map) => map.values_mut().for_each(hide),
        _ => {}
    }
}

/// Whether a variable for the bot is a secret, by its name.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASS", "KEY", "HASH", "SESSION", "AUTH"].iter().any(|word| name.contains(word))
}

fn set(top: &mut Map<String, Json>, section: &str, key: &str, value: String) {
    if let Some(Json::Object(table)) = top.get_mut(section) {
        table.insert(key.to_owned(), value.into());
    }
}

/// Whether TOML writes this as a section. An empty map or list of tables is shown as nothing.
fn is_table(value: &Json) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Json::is_object))
}

fn table(value: &Json, path: &[String], loaded: &Loaded, out: &mut impl Write) -> Result<(), Failure> {
    match value {
        Json::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                let inner: Vec<String> = path.iter().cloned().chain([index.to_string()]).collect();
                writeln!(out, "\n[[{}]]", path.join("."))?;
                if let Json::Object(map) = item {
                    lines(&map.iter().collect::<Vec<_>>(), &inner, loaded, out)?;
                }
            }
        }
        Json::Object(map) => {
            let (tables, values): (Vec<_>, Vec<_>) = map.iter().partition(|(_, value)| is_table(value));
            if !values.is_empty() {
                let name: Vec<String> = path.iter().map(|key| bare(key)).collect();
                writeln!(out, "\n[{}]", name.join("."))?;
                lines(&values, path, loaded, out)?;
            }
            for (name, value) in tables {
                let inner: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
                table(value, &inner, loaded, out)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn lines(values: &[(&String, &Json)], path: &[String], loaded: &Loaded, out: &mut impl Write) -> Result<(), Failure> {
    /// Origins stand in one column, unless a value is long.
    const COLUMN: usize = 44;
    for (key, value) in values {
        let whole: Vec<String> = path.iter().cloned().chain([(*key).clone()]).collect();
        let said = match to_toml(value) {
            Some(value) => format!("{} = {value}", bare(key)),
            None => format!("# {} is not set", bare(key)),
        };
        match value {
            Json::Null => writeln!(out, "{said}")?,
            _ => writeln!(out, "{said:COLUMN$} # {}", origin(loaded, &whole))?,
        }
    }
    Ok(())
}

/// A key as TOML writes it: in quotes where it needs them.
fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { key.to_owned() } else { toml::Value::String(key.to_owned()).to_string() }
}

fn to_toml(value: &Json) -> Option<String> {
    toml::Value::try_from(value).ok().filter(|_| !value.is_null()).map(|value| value.to_string())
}

fn flatten(value: &Json, path: &mut Vec<String>, values: &mut Vec<(Vec<String>, Json)>) {
    let children: Vec<(String, &Json)> = match value {
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Json::Array(list) if is_table(value) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => {
            values.push((path.clone(), value.clone()));
            return;
        }
    };
    for (key, child) in children {
        path.push(key);
        flatten(child, path, values);
        path.pop();
    }
}

/// Who said the value at `path`.
fn origin(loaded: &Loaded, path: &[String]) -> String {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(node) = loaded.tree.get(&keys) {
        return place(&node.origin, &loaded.files);
    }
    let said = |keys: &[&str]| loaded.tree.get(keys).is_some();
    match keys.as_slice() {
        ["state", "dir"] => loaded.state_dir_origin.clone(),
        ["bot_api" | "telegram", "token"] if said(&[keys[0], "token_file"]) => "token_file".into(),
        ["telegram", "token"] if loaded.config.telegram.shared => "bot_api.token".into(),
        ["telegram", "api_url"] if loaded.config.telegram.shared => "bot_api.url".into(),
        _ => "default".into(),
    }
}
