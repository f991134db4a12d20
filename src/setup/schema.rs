//! Knows which keys the configuration has, from its JSON Schema: unknown keys, environment names, paths. Pure.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::config::Config;
use super::problem::Problem;
use super::tree::{Node, Value};
use crate::serve::settings::{Choice, Form};

/// The schema with everything in place: no references to follow.
static INLINE: LazyLock<Json> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
});

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// A table with these keys.
    Table(&'a Map<String, Json>),
    /// A table with keys of the user's choice and values of one kind.
    Map(&'a Json),
    /// A list of one kind.
    List(&'a Json),
    /// A single value: its JSON type and format.
    Leaf(&'a str, &'a str),
}

/// The schema of the whole configuration.
pub(super) fn root() -> &'static Json {
    &INLINE
}

/// What a schema describes.
pub(super) fn kind(schema: &Json) -> Kind<'_> {
    let schema = present(schema);
    if let Some(Json::Object(keys)) = schema.get("properties") {
        return Kind::Table(keys);
    }
    let first = match schema.get("type") {
        Some(Json::Array(types)) => types.first(),
        other => other,
    };
    match (first.and_then(Json::as_str).unwrap_or("string"), schema.get("additionalProperties"), schema.get("items")) {
        ("object", Some(values), _) => Kind::Map(values),
        ("array", _, Some(items)) => Kind::List(items),
        (name, _, _) => Kind::Leaf(name, format(schema)),
    }
}

/// The `format` of a schema, or nothing.
pub(super) fn format(schema: &Json) -> &str {
    present(schema).get("format").and_then(Json::as_str).unwrap_or_default()
}

/// An optional value's own schema.
fn present(schema: &Json) -> &Json {
    let choices = schema.get("anyOf").and_then(Json::as_array);
    choices.and_then(|list| list.iter().find(|s| s.get("type") != Some(&Json::from("null")))).unwrap_or(schema)
}

/// The schema of the key at `path`.
fn find(path: &[String]) -> Option<&'static Json> {
    let mut schema = root();
    for part in path {
        schema = match kind(schema) {
            Kind::Table(keys) => keys.get(part)?,
            Kind::Map(values) => values,
            Kind::List(items) => items,
            Kind::Leaf(..) => return None,
        };
    }
    Some(schema)
}

/// What a form must know of the key at `path`.
pub(super) fn form(path: &[String]) -> Option<Form> {
    let schema = find(path)?;
    let own = present(schema);
    let kind = match kind(schema) {
        Kind::Table(_) | Kind::Map(_) => "object",
        Kind::List(_) => "array",
        Kind::Leaf(name, _) => name,
    };
    let is_null = |value: &Json| value == "null" || value.get("type").is_some_and(|kind| kind == "null");
    let may_be_null = |name: &str| schema.get(name).and_then(Json::as_array).is_some_and(|all| all.iter().any(is_null));
    let text = |value: &Json| value.as_str().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let listed = |name: &str| own.get(name).and_then(Json::as_array).into_iter().flatten();
    let named = listed("oneOf").filter_map(|one| {
        Some(Choice { value: one.get("const")?.clone(), about: one.get("description").and_then(text) })
    });
    let plain = listed("enum").map(|value| Choice { value: value.clone(), about: None });
    let number = |name: &str| own.get(name).and_then(Json::as_f64);
    let choices: Vec<Choice> = named.chain(plain).filter(|choice| !choice.value.is_null()).collect();
    Some(Form {
        r#type: kind.to_owned(),
        format: Some(format(schema).to_owned()).filter(|format| !format.is_empty()),
        r#enum: choices.iter().map(|choice| choice.value.clone()).collect(),
        choices,
        minimum: number("minimum"),
        maximum: number("maximum"),
        examples: schema
            .get("examples")
            .or_else(|| own.get("examples"))
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default(),
        default: schema.get("default").cloned().unwrap_or_default(),
        nullable: may_be_null("anyOf") || may_be_null("type"),
    })
}

/// What the reference says about the key at `path`, with its default.
pub(super) fn describe(path: &[String]) -> Option<String> {
    let schema = find(path)?;
    let text = schema.get("description")?.as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let default = schema.get("default").filter(|value| !value.is_null() && !value.is_object());
    Some(default.map_or_else(|| text.clone(), |value| format!("{text} Default: {value}")))
}

/// Takes out of the tree what the schema does not know, or knows as another kind, and says so.
///
/// `false` when the node itself has to go.
pub(super) fn check(node: &mut Node, schema: &Json, path: &str, problems: &mut Vec<Problem>) -> bool {
    let found = match &node.value {
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    };
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let expected = match (kind(schema), &mut node.value) {
        (Kind::Table(keys), Value::Table(table)) => {
            table.retain(|key, child| match keys.get(key) {
                Some(known) => check(child, known, &below(key), problems),
                None => {
                    problems.push(unknown(child, path, key, keys));
                    false
                }
            });
            return true;
        }
        (Kind::Map(values), Value::Table(table)) => {
            table.retain(|key, child| check(child, values, &below(key), problems));
            return true;
        }
        (Kind::List(items), Value::List(list)) => {
            list.retain_mut(|child| check(child, items, path, problems));
            return true;
        }
        (Kind::Leaf(..), Value::Scalar(_)) => return true,
        (Kind::Table(_) | Kind::Map(_), _) => format!("a table: write [{path}] on a line of its own"),
        (Kind::List(items), _) if matches!(kind(items), Kind::Table(_)) => {
            format!("a list of tables: write [[{path}]] with two brackets")
        }
        (Kind::List(items), _) if matches!(kind(items), Kind::Leaf("integer", _)) => "a list, such as [1, 2]".into(),
        (Kind::List(_), _) => "a list, such as [\"one\", \"two\"]".into(),
        (Kind::Leaf(..), _) => "a single value".into(),
    };
    problems.push(Problem::at(&node.origin, format!("`{path}` is {found}, expected {expected}")));
    false
}

fn unknown(child: &Node, path: &str, key: &str, known: &Map<String, Json>) -> Problem {
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("in [{path}]") };
    let problem = Problem::at(&key_of(child), format!("unknown key `{key}` {place}"));
    match nearest(key, &known) {
        Some(near) => problem.remedy(format!("did you mean `{near}`?")),
        None => problem.remedy(format!("known here: {}", known.join(", "))),
    }
}

/// The node's origin, pointing at the key instead of the value.
fn key_of(node: &Node) -> super::tree::Origin {
    match &node.origin {
        super::tree::Origin::File { file, key, .. } => {
            super::tree::Origin::File { file: *file, key: key.clone(), value: key.clone() }
        }
        other => other.clone(),
    }
}

/// The known name that was probably meant: at most a third of its letters differ. Long words are cut: nobody means them.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 40;
    let word: String = word.chars().take(LONGEST).collect::<String>().to_ascii_lowercase().replace('-', "_");
    let scored = known.iter().map(|name| (strsim::levenshtein(&word, name), *name));
    scored.filter(|(far, name)| *far <= (name.len().max(word.len()) / 3).max(1)).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["attempts", "base", "factor", "cap", "jitter", "reset_after"];
        assert_eq!(nearest("atempts", &known), Some("attempts"));
        assert_eq!(nearest("reset-after", &known), Some("reset_after"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn f1_a_form_knows_types_choices_and_limits() {
        let form = |key: &str| form(&key.split('.').map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let attempts = form("retry.attempts");
        assert_eq!((attempts.r#type.as_str(), attempts.minimum, attempts.default), ("integer", Some(0.0), 3.into()));
        let base = form("retry.base");
        assert_eq!((base.r#type.as_str(), base.format.as_deref(), base.nullable), ("string", Some("duration"), false));
        let mode: Vec<_> = form("mode.corrupt").choices.into_iter().map(|choice| choice.value).collect();
        assert_eq!(mode, ["off", "observe", "approve", "auto"]);
        assert!(super::form(&["nothing".to_owned()]).is_none());
    }

    #[test]
    fn every_kind_of_key_is_recognised() {
        let Kind::Table(keys) = kind(root()) else { panic!("the root is a table") };
        assert!(matches!(kind(&keys["source"]), Kind::List(items) if matches!(kind(items), Kind::Table(_))));
        assert!(matches!(kind(&keys["mode"]), Kind::Map(_)));
        assert!(matches!(kind(&keys["command"]), Kind::Map(values) if matches!(kind(values), Kind::Table(_))));
        let Kind::Table(state) = kind(&keys["state"]) else { panic!("state is a table") };
        assert!(matches!(kind(&state["dir"]), Kind::Leaf("string", "path")), "{}", state["dir"]);
    }
}
