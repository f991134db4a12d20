//! Lays environment variables and `.env` over the configuration. Pure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::problem::Problem;
use super::schema::{self, Kind};
use super::tree::{Node, Origin, Value};

/// Variables with this prefix set keys of the configuration: `LOGMEDIC_TELEGRAM__ADMINS` is `admins` in `[telegram]`.
const PREFIX: &str = "LOGMEDIC_";

/// A variable and where it comes from.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Names that bots use, and the key that each stands for when the configuration does not say it itself.
/// Earlier names win.
const BOTS_NAMES: &[(&str, &[&str])] = &[
    ("TELEGRAM_TOKEN", &["bot_api", "token"]),
    ("BOT_TOKEN", &["bot_api", "token"]),
    ("TELEGRAM_BOT_TOKEN", &["bot_api", "token"]),
    ("ADMIN_ID", &["telegram", "admins"]),
    ("ADMIN_IDS", &["telegram", "admins"]),
    ("TELEGRAM_API_URL", &["bot_api", "url"]),
];

/// Lays the `LOGMEDIC_…` variables over the tree. Without `__` only top-level values are meant, so that
/// `LOGMEDIC_CONFIG`, `LOGMEDIC_PATH` and the like keep their own meaning.
pub(super) fn keys(tree: &mut Node, variables: &[Variable], problems: &mut Vec<Problem>) {
    for variable in variables {
        let Some(rest) = variable.name.strip_prefix(PREFIX) else { continue };
        // Set to nothing means not set: compose files and units cannot leave a variable out.
        if variable.text.is_empty() {
            continue;
        }
        if !rest.contains("__") && !matches!(top_level(rest), Some(Kind::Leaf(..))) {
            continue;
        }
        let parts: Vec<&str> = rest.split("__").collect();
        let mut path = Vec::new();
        match set(tree, schema::root(), &parts, &mut path, variable) {
            Ok(()) => {}
            Err(problem) => problems.push(*problem),
        }
    }
}

fn top_level(name: &str) -> Option<Kind<'static>> {
    match schema::kind(schema::root()) {
        Kind::Table(keys) => keys.get(&name.to_ascii_lowercase()).map(schema::kind),
        _ => None,
    }
}

/// Walks down tree and schema together and puts the value where the name leads.
fn set(
    tree: &mut Node,
    schema: &Json,
    parts: &[&str],
    path: &mut Vec<String>,
    variable: &Variable,
) -> Result<(), Box<Problem>> {
    let wrong = |message: String| Box::new(Problem::at(&variable.origin, message));
    let Some((part, rest)) = parts.split_first() else {
        let node = value(schema, variable).map_err(wrong)?;
        tree.put(path, node);
        return Ok(());
    };
    let key = part.to_ascii_lowercase();
    match schema::kind(schema) {
        Kind::Table(keys) => {
            let Some(child) = keys.get(&key) else {
                let known: Vec<&str> = keys.keys().map(String::as_str).collect();
                let problem = wrong(format!("the configuration has no key `{key}` there"));
                return Err(match schema::nearest(&key, &known) {
                    Some(near) => Box::new(problem.remedy(format!("did you mean `{}`?", near.to_ascii_uppercase()))),
                    None => problem,
                });
            };
            path.push(key);
            set(tree, child, rest, path, variable)
        }
        Kind::Map(values) => {
            // A table of single values takes the rest of the name as one key: variables for the bot keep their
            // case, rule ids get their dots back.
            if matches!(schema::kind(values), Kind::Leaf(..)) {
                let is_name = values.get("type").is_some() && values.get("enum").is_none();
                path.push(if is_name { parts.join("__") } else { parts.join(".").to_ascii_lowercase() });
                return set(tree, values, &[], path, variable);
            }
            path.push(key);
            set(tree, values, rest, path, variable)
        }
        Kind::List(items) if matches!(schema::kind(items), Kind::Table(_)) && !rest.is_empty() => {
            let element = named(tree, path, part, &variable.origin);
            set(element, items, rest, &mut Vec::new(), variable)
        }
        Kind::List(_) | Kind::Leaf(..) => Err(wrong(format!("the configuration has nothing below that key: `{part}`"))),
    }
}

/// The element called `name` (case does not count) of the list of tables at `path`; made when it is not there.
fn named<'a>(tree: &'a mut Node, path: &[String], name: &str, origin: &Origin) -> &'a mut Node {
    let list = Node { origin: origin.clone(), value: Value::List(Vec::new()) };
    tree.slot(path, list).element(name, || {
        let mut node = Node { origin: origin.clone(), value: Value::Table(BTreeMap::new()) };
        node.put(&["name".into()], Node::scalar(origin.clone(), name.to_ascii_lowercase()));
        node
    })
}

/// Reads the text of a variable as the schema wants it.
fn value(schema: &Json, variable: &Variable) -> Result<Node, String> {
    let origin = &variable.origin;
    let text = variable.text.trim();
    let items = match schema::kind(schema) {
        Kind::Leaf(name, _) => return Ok(Node::scalar(origin.clone(), scalar(name, &variable.text))),
        Kind::List(items) if matches!(schema::kind(items), Kind::Leaf(..)) => items,
        _ => return Err("this names a table; name one of its keys".into()),
    };
    let Kind::Leaf(item_type, _) = schema::kind(items) else { return Ok(Node::empty()) };
    let words: Vec<toml::Value> = if text.starts_with('[') {
        let parsed: BTreeMap<String, Vec<toml::Value>> =
            toml::from_str(&format!("v = {text}")).map_err(|_| String::from("not a list; write [\"one\", \"two\"]"))?;
        parsed.into_values().flatten().collect()
    } else if schema::format(schema) == "words" {
        text.split_whitespace().map(|word| scalar(item_type, word)).collect()
    } else {
        text.split([',', ';']).map(str::trim).filter(|w| !w.is_empty()).map(|word| scalar(item_type, word)).collect()
    };
    let nodes = words.into_iter().map(|word| Node::scalar(origin.clone(), word)).collect();
    Ok(Node { origin: origin.clone(), value: Value::List(nodes) })
}

/// A value of this JSON type; text that is none stays text, so that the type check names it.
fn scalar(name: &str, text: &str) -> toml::Value {
    let trimmed = text.trim();
    let read = match name {
        "integer" => trimmed.parse().ok().map(toml::Value::Integer),
        "number" => trimmed.parse().ok().map(toml::Value::Float),
        "boolean" => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(toml::Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Some(toml::Value::Boolean(false)),
            _ => None,
        },
        _ => None,
    };
    read.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Fills what the configuration does not say from the variables that bots have anyway.
pub(super) fn bots_own(tree: &mut Node, variables: &[Variable], problems: &mut Vec<Problem>) {
    for (name, path) in BOTS_NAMES {
        let Some(variable) = variables.iter().find(|v| v.name == *name && !v.text.trim().is_empty()) else { continue };
        let has_file = path[1] == "token" && tree.get(&[path[0], "token_file"]).is_some();
        if tree.get(path).is_some() || has_file {
            continue;
        }
        if let Err(problem) = set(tree, schema::root(), path, &mut Vec::new(), variable) {
            problems.push(*problem);
        }
    }
}
