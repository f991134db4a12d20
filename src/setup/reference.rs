//! Writes the reference of the configuration from its types: JSON Schema and Markdown. Pure.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::config::Config;
use super::schema::{Kind, format, kind, root};

/// The JSON Schema of `config.toml`.
#[must_use]
pub fn schema() -> Json {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".into(), "logmedic configuration".into());
    schema.to_value()
}

/// Every key with type, default and meaning, a table a section.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    let Kind::Table(keys) = kind(root()) else { return out };
    let (values, tables): (Vec<_>, Vec<_>) =
        keys.iter().partition(|(_, schema)| matches!(kind(schema), Kind::Leaf(..)));
    out.push_str("## At the top of the file\n\n");
    rows(&mut out, values.into_iter(), None);
    for (name, schema) in tables {
        let (heading, body) = match kind(schema) {
            Kind::List(items) => (format!("[[{name}]]"), items),
            Kind::Map(values) if matches!(kind(values), Kind::Table(_)) => (format!("[{name}.NAME]"), values),
            _ => (format!("[{name}]"), schema),
        };
        let _ = write!(out, "\n## `{heading}`\n\n{}\n\n", text_of(schema));
        match kind(body) {
            Kind::Table(keys) => rows(&mut out, keys.iter(), body.get("required").and_then(Json::as_array)),
            _ => {
                let _ = writeln!(out, "Default: `{}`", default_of(schema).unwrap_or_default());
            }
        }
    }
    out
}

fn rows<'a>(out: &mut String, keys: impl Iterator<Item = (&'a String, &'a Json)>, required: Option<&Vec<Json>>) {
    out.push_str("| key | holds | default | meaning |\n|---|---|---|---|\n");
    for (key, schema) in keys {
        let needed = required.is_some_and(|list| list.iter().any(|name| name == key));
        let default = match (needed, default_of(schema)) {
            (true, _) => "(must be set)".to_owned(),
            (false, Some(value)) => format!("`{value}`"),
            (false, None) => "(not set)".to_owned(),
        };
        let _ = writeln!(out, "| `{key}` | {} | {default} | {} |", holds(schema), text_of(schema).replace('|', "\\|"));
    }
}

fn text_of(schema: &Json) -> String {
    let text = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default_of(schema: &Json) -> Option<String> {
    let value = schema.get("default").filter(|value| !value.is_null())?;
    Some(match value {
        Json::Object(map) if map.is_empty() => "{}".into(),
        Json::Object(map) => map.iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    })
}

fn holds(schema: &Json) -> String {
    match kind(schema) {
        Kind::Table(_) | Kind::Map(_) => "table".into(),
        Kind::List(_) if format(schema) == "words" => "list of words".into(),
        Kind::List(items) => format!("list of {}s", holds(items)),
        Kind::Leaf(_, format @ ("duration" | "size" | "mode" | "path" | "secret")) => format.into(),
        Kind::Leaf(name, _) => match name {
            "integer" => "number".into(),
            "boolean" => "true or false".into(),
            "string" => "text".into(),
            other => other.into(),
        },
    }
}
