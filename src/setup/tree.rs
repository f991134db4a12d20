//! Keeps configuration values together with the place that said them, and lays later files over earlier ones. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file that was read.
#[derive(Clone)]
pub struct Text {
    /// Where it is, as people should see it.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl fmt::Debug for Text {
    /// Only the path: the text may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file: its index in the list of files, and the bytes of the key and of the value.
    File {
        /// Index in the list of files.
        file: usize,
        /// The key.
        key: Range<usize>,
        /// The value.
        value: Range<usize>,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A line of a `.env` file.
    DotEnv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
    },
    /// A systemd credential.
    Credential {
        /// Its file.
        path: PathBuf,
    },
    /// Somebody who changed it while logmedic ran.
    Setting {
        /// The key.
        key: String,
        /// Who.
        account: String,
    },
}

/// A value and who said it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Who said it.
    pub origin: Origin,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Anything but a list or a table.
    Scalar(toml::Value),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// An empty table, for a configuration that no file says anything about.
    #[must_use]
    pub fn empty() -> Self {
        Self { origin: Origin::File { file: 0, key: 0..0, value: 0..0 }, value: Value::Table(BTreeMap::new()) }
    }

    /// A scalar said by `origin`.
    #[must_use]
    pub fn scalar(origin: Origin, value: impl Into<toml::Value>) -> Self {
        Self { origin, value: Value::Scalar(value.into()) }
    }

    /// Turns a parsed file into nodes.
    #[must_use]
    pub fn from_file(file: usize, table: &Spanned<DeTable<'_>>) -> Self {
        let span = table.span();
        Self { origin: Origin::File { file, key: span.clone(), value: span }, value: from_table(file, table.get_ref()) }
    }

    /// The node at `path` (keys, or indexes written as numbers), or the last one that is there on the way.
    #[must_use]
    pub fn nearest(&self, path: &[String]) -> &Self {
        let next = match (&self.value, path.first()) {
            (Value::Table(table), Some(key)) => table.get(key),
            (Value::List(list), Some(index)) => index.parse::<usize>().ok().and_then(|i| list.get(i)),
            _ => None,
        };
        next.map_or(self, |node| node.nearest(&path[1..]))
    }

    /// The node at exactly this path.
    #[must_use]
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        match (&self.value, path) {
            (_, []) => Some(self),
            (Value::Table(table), [key, rest @ ..]) => table.get(*key)?.get(rest),
            (Value::List(list), [index, rest @ ..]) => list.get(index.parse::<usize>().ok()?)?.get(rest),
            (Value::Scalar(_), _) => None,
        }
    }

    /// The node at this path of keys; where there is none, `fresh` is put there. Tables are made on the way.
    pub fn slot(&mut self, path: &[String], fresh: Self) -> &mut Self {
        let Some((key, rest)) = path.split_first() else { return self };
        let below = if rest.is_empty() { fresh.clone() } else { fresh.table() };
        self.entries().entry(key.clone()).or_insert(below).slot(rest, fresh)
    }

    /// Puts a node at this path of keys.
    pub fn put(&mut self, path: &[String], node: Self) {
        let slot = self.slot(path, node.clone());
        *slot = node;
    }

    /// The element of a list of tables whose `name` this is (case does not count), or a fresh one at the end.
    pub fn element(&mut self, name: &str, fresh: impl FnOnce() -> Self) -> &mut Self {
        if !matches!(self.value, Value::List(_)) {
            self.value = Value::List(Vec::new());
        }
        let Value::List(list) = &mut self.value else { unreachable!("it was made a list above") };
        let there = list.iter().position(|node| node.name().is_some_and(|n| n.eq_ignore_ascii_case(name)));
        let index = there.unwrap_or_else(|| {
            list.push(fresh());
            list.len() - 1
        });
        &mut list[index]
    }

    /// An empty table said by the same.
    fn table(&self) -> Self {
        Self { origin: self.origin.clone(), value: Value::Table(BTreeMap::new()) }
    }

    /// The entries of this table; what was no table becomes an empty one.
    fn entries(&mut self) -> &mut BTreeMap<String, Self> {
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(BTreeMap::new());
        }
        match &mut self.value {
            Value::Table(table) => table,
            _ => unreachable!("it was made a table above"),
        }
    }

    /// Takes the node at `path`, or the last one that is there on the way, out. `false` when only the root is there.
    pub fn prune(&mut self, path: &[String]) -> bool {
        let Some((key, rest)) = path.split_first() else { return false };
        match &mut self.value {
            Value::Table(table) => match table.get_mut(key) {
                Some(next) => next.prune(rest) || table.remove(key).is_some(),
                None => false,
            },
            Value::List(list) => match key.parse::<usize>().ok().filter(|i| *i < list.len()) {
                Some(index) => {
                    list[index].prune(rest) || {
                        list.remove(index);
                        true
                    }
                }
                None => false,
            },
            Value::Scalar(_) => false,
        }
    }

    /// Lays `over` on top: tables mix, tables in lists are replaced by `name`, everything else is replaced.
    pub fn lay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(base), Value::Table(more)) => {
                for (key, node) in more {
                    match base.get_mut(&key) {
                        Some(there) => there.lay(node),
                        None => drop(base.insert(key, node)),
                    }
                }
            }
            (Value::List(base), Value::List(more)) if !more.is_empty() && more.iter().all(|n| n.name().is_some()) => {
                for node in more {
                    match base.iter_mut().find(|there| there.name() == node.name()) {
                        Some(there) => *there = node,
                        None => base.push(node),
                    }
                }
            }
            (slot, value) => {
                *slot = value;
                self.origin = over.origin;
            }
        }
    }

    /// The `name` of a table in a list.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.get(&["name"])?.value {
            Value::Scalar(toml::Value::String(name)) => Some(name),
            _ => None,
        }
    }
}

fn from_table(file: usize, table: &DeTable<'_>) -> Value {
    let node = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let origin = Origin::File { file, key: key.span(), value: value.span() };
        Node { origin, value: from_value(file, value) }
    };
    Value::Table(table.iter().map(|(key, value)| (key.get_ref().to_string(), node((key, value)))).collect())
}

fn from_value(file: usize, value: &Spanned<DeValue<'_>>) -> Value {
    let text = |number: &str| toml::Value::String(number.to_owned());
    match value.get_ref() {
        DeValue::Table(table) => from_table(file, table),
        DeValue::Array(list) => Value::List(
            list.iter()
                .map(|item| Node {
                    origin: Origin::File { file, key: item.span(), value: item.span() },
                    value: from_value(file, item),
                })
                .collect(),
        ),
        DeValue::String(string) => Value::Scalar(toml::Value::String(string.to_string())),
        DeValue::Boolean(flag) => Value::Scalar(toml::Value::Boolean(*flag)),
        DeValue::Datetime(date) => Value::Scalar(toml::Value::Datetime(*date)),
        // A number beyond 64 bits stays text: the type check then shows it where it stands.
        DeValue::Integer(number) => Value::Scalar(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| text(number.as_str()), toml::Value::Integer),
        ),
        DeValue::Float(number) => {
            Value::Scalar(number.as_str().parse().map_or_else(|_| text(number.as_str()), toml::Value::Float))
        }
    }
}
