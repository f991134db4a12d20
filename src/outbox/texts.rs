//! Knows every text of the messages in English and Spanish, and the user's own. Reads `LANG.toml` when asked to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use toml::Spanned;

use super::settings::Lang;
use crate::vocab::{Class, Level, Notice, OutcomeResult, Severity, Story, Strategy};

const EN: &str = include_str!("texts/en.toml");
const ES: &str = include_str!("texts/es.toml");

/// A file of texts is a few kilobytes; a larger one is a mistake.
const FILE_LIMIT: u64 = 256 * 1024;

/// Keys that are not one per class, strategy or result, with the words each may fill in.
const KEYS: &[(&str, &[&str])] = &[
    ("icon.working", &[]),
    ("icon.held", &[]),
    ("icon.exited", &[]),
    ("icon.restarted", &[]),
    ("icon.gave_up", &[]),
    ("icon.info", &[]),
    ("icon.warning", &[]),
    ("icon.error", &[]),
    ("icon.success", &[]),
    ("icon.critical", &[]),
    ("headline.working", &["icon", "class", "Class"]),
    ("headline.held", &["icon", "class", "Class", "on"]),
    ("headline.exited", &["icon"]),
    ("headline.restarted", &["icon"]),
    ("headline.gave_up", &["icon"]),
    ("headline.bot", &["icon", "what"]),
    ("headline.agent", &["icon"]),
    ("headline.probe_down", &["icon"]),
    ("headline.probe_up", &["icon"]),
    ("headline.probe_added", &["icon"]),
    ("headline.probe_removed", &["icon"]),
    ("headline.probe_changed", &["icon"]),
    ("headline.agent_started", &["icon"]),
    ("headline.agent_stopped", &["icon"]),
    ("headline.operation", &["icon", "what", "state"]),
    ("headline.operation_completed", &["icon", "what"]),
    ("headline.operation_failed", &["icon", "what"]),
    ("headline.operation_cancelled", &["icon", "what"]),
    ("headline.digest_one", &["count"]),
    ("headline.digest_other", &["count"]),
    ("held.space", &[]),
    ("held.server", &[]),
    ("held.approval", &[]),
    ("held.upstream", &[]),
    ("held.wait", &[]),
    ("held.other", &["on"]),
    ("state.working", &[]),
    ("state.held", &["on"]),
    ("line.subject_one", &["subject", "source", "count"]),
    ("line.subject_other", &["subject", "source", "count"]),
    ("line.remedy", &["remedy"]),
    ("line.repeat", &[]),
    ("line.reminder", &["title", "count"]),
    ("line.by", &["by"]),
    ("line.ordered", &["what", "by", "at"]),
    ("button.approve", &[]),
    ("button.reject", &[]),
    ("button.retry", &[]),
    ("button.acknowledge", &[]),
    ("button.silence", &[]),
    ("ordered.approve", &[]),
    ("ordered.reject", &[]),
    ("ordered.retry", &[]),
    ("ordered.acknowledge", &[]),
    ("ordered.silence", &[]),
    ("control.stranger", &[]),
    ("control.unknown", &[]),
    ("control.changed", &[]),
    ("control.decided", &["what", "by"]),
    ("control.gone", &[]),
    ("control.refused", &["why"]),
    ("control.stopping", &[]),
    ("control.help", &[]),
    ("control.status", &["incidents", "waiting", "jobs"]),
    ("control.more", &["count"]),
    ("control.incidents_one", &["count"]),
    ("control.incidents_other", &["count"]),
    ("control.jobs_one", &["count"]),
    ("control.jobs_other", &["count"]),
    ("test.title", &[]),
    ("test.text", &["channel"]),
    ("digest.open_one", &["count"]),
    ("digest.open_other", &["count"]),
    ("digest.needs_one", &["count"]),
    ("digest.needs_other", &["count"]),
    ("digest.healed_one", &["count"]),
    ("digest.healed_other", &["count"]),
    ("digest.closed_one", &["count"]),
    ("digest.closed_other", &["count"]),
    ("digest.more_one", &["count"]),
    ("digest.more_other", &["count"]),
    ("digest.folded_one", &["count"]),
    ("digest.folded_other", &["count"]),
    ("number.decimal", &[]),
    ("number.thousands", &[]),
    ("check.token_ok", &["name"]),
    ("check.token_bad", &["error"]),
    ("check.token_bad_remedy", &[]),
    ("check.unreachable", &["url", "error"]),
    ("check.unreachable_remedy", &[]),
    ("check.chat_ok", &["chat"]),
    ("check.chat_bad", &["chat", "error"]),
    ("check.chat_start_remedy", &["name"]),
    ("check.chat_group_remedy", &["name"]),
    ("check.chat_moved_remedy", &["target"]),
    ("check.no_admins", &[]),
    ("check.no_admins_remedy", &[]),
];

/// What is wrong with a file of texts.
#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    /// It cannot be read.
    #[error("failed to read the texts {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// It is not TOML of the right shape.
    #[error("failed to read the texts {path}: {message}; every text stands in a section: [headline] healed = \"…\"")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A key that no message uses.
    #[error("failed to read the texts {path}:{line}: unknown key '{key}'; the nearest is '{nearest}'")]
    Key {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key.
        key: String,
        /// The most similar key.
        nearest: String,
    },
    /// A word in braces that the key does not know.
    #[error("failed to read the texts {path}:{line}: '{key}' has {{{word}}}, but can only fill in: {known}")]
    Placeholder {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key.
        key: String,
        /// The unknown word.
        word: String,
        /// What it knows.
        known: String,
    },
}

/// All texts of one language.
#[derive(Clone, Debug)]
pub struct Texts(BTreeMap<String, String>);

/// A piece of a text: as it stands, or a word to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Word(&'a str),
}

impl Texts {
    /// The shipped texts.
    #[must_use]
    pub fn shipped(language: Lang) -> Self {
        let text = match language {
            Lang::En => EN,
            Lang::Es => ES,
        };
        // The shipped files are proven whole by a test.
        Self(parse(text, Path::new("shipped")).unwrap_or_default())
    }

    /// The shipped texts with the user's own `LANG.toml` of `directory` over them; no such file is fine.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key, or fills in an unknown word.
    pub fn load(language: Lang, directory: Option<&Path>) -> Result<Self, TextsError> {
        let mut texts = Self::shipped(language);
        let Some(path) = directory.map(|directory| directory.join(language.as_str()).with_extension("toml")) else {
            return Ok(texts);
        };
        let read = std::fs::metadata(&path).and_then(|meta| {
            if meta.len() > FILE_LIMIT {
                Err(std::io::ErrorKind::FileTooLarge.into())
            } else {
                std::fs::read_to_string(&path)
            }
        });
        match read {
            Ok(text) => texts.0.extend(parse(&text, &path)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(TextsError::Io { path, source }),
        }
        Ok(texts)
    }

    /// A notice that tries a channel of this name.
    #[must_use]
    pub fn trial(&self, channel: &str, at: DateTime<Utc>) -> Notice {
        let story = Story::Custom {
            level: Level::Info,
            title: self.get("test.title").to_owned(),
            text: self.fill("test.text", &[("channel", channel)]),
            by: String::new(),
        };
        let key = format!("test-{}", at.timestamp_micros());
        Notice { key, revision: 1, severity: Severity::Info, story, at }
    }

    /// The text of a key.
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The text of `KEY_one` or `KEY_other`.
    pub(super) fn plural(&self, key: &str, count: u64) -> &str {
        self.get(&format!("{key}_{}", if count == 1 { "one" } else { "other" }))
    }

    /// A text with its words filled in.
    pub(super) fn fill(&self, key: &str, words: &[(&str, &str)]) -> String {
        fill(self.get(key), words)
    }

    /// A text that counts, with the number filled in.
    pub(super) fn count(&self, key: &str, count: u64) -> String {
        fill(self.plural(key, count), &[("count", &self.number(count))])
    }

    /// A number with its thousands set apart: `1,234,567`.
    pub(super) fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push_str(self.get("number.thousands"));
            }
            out.push(digit);
        }
        out
    }

    /// A duration as people say it: `3.2 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`.
    pub(super) fn duration(&self, ms: u64) -> String {
        let two = |big: u64, unit: &str, small: u64, sub: &str| match small {
            0 => format!("{} {unit}", self.number(big)),
            _ => format!("{} {unit} {small} {sub}", self.number(big)),
        };
        let seconds = ms / 1_000;
        match seconds {
            0 => format!("{ms} ms"),
            1..=9 => format!("{seconds}{}{} s", self.get("number.decimal"), ms % 1_000 / 100),
            10..=59 => format!("{seconds} s"),
            60..=3_599 => two(seconds / 60, "min", seconds % 60, "s"),
            3_600..=86_399 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
            _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        }
    }
}

/// The pieces of a text.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((word, after)) = rest.strip_prefix('{').and_then(|open| open.split_once('}')) {
            rest = after;
            return Some(Part::Word(word));
        }
        let end = rest.char_indices().skip(1).find(|&(_, c)| c == '{').map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(text))
    })
}

fn fill(text: &str, words: &[(&str, &str)]) -> String {
    parts(text)
        .map(|part| match part {
            Part::Text(text) => text,
            Part::Word(name) => words.iter().find(|(word, _)| *word == name).map_or("", |(_, value)| value),
        })
        .collect()
}

/// Every key with the words it may fill in.
fn known() -> BTreeMap<String, &'static [&'static str]> {
    let mut all: BTreeMap<String, &[&str]> = KEYS.iter().map(|(key, words)| ((*key).to_owned(), *words)).collect();
    all.extend(Class::ALL.iter().map(|class| (format!("class.{class}"), &[] as &[_])));
    all.extend(Strategy::ALL.iter().map(|strategy| (format!("strategy.{strategy}"), &[] as &[_])));
    for result in OutcomeResult::ALL {
        all.insert(format!("icon.{result}"), &[]);
        all.insert(format!("state.{result}"), &[]);
        all.insert(format!("headline.{result}"), &["icon", "class", "Class", "duration"]);
    }
    all
}

fn parse(text: &str, path: &Path) -> Result<BTreeMap<String, String>, TextsError> {
    type Sections = BTreeMap<String, BTreeMap<String, Spanned<String>>>;
    let sections: Sections = toml::from_str(text)
        .map_err(|error| TextsError::Toml { path: path.into(), message: error.to_string().trim().to_owned() })?;
    let known = known();
    let mut out = BTreeMap::new();
    for (section, keys) in sections {
        for (name, value) in keys {
            let key = format!("{section}.{name}");
            let line = 1 + text.get(..value.span().start).unwrap_or_default().matches('\n').count();
            let Some(words) = known.get(&key) else {
                let nearest = known.keys().max_by_key(|known| likeness(known, &key)).cloned().unwrap_or_default();
                return Err(TextsError::Key { path: path.into(), line, key, nearest });
            };
            let unknown = parts(value.as_ref()).find_map(|part| match part {
                Part::Word(word) if !words.contains(&word) => Some(word.to_owned()),
                _ => None,
            });
            if let Some(word) = unknown {
                let list: Vec<String> = words.iter().map(|word| format!("{{{word}}}")).collect();
                let known = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
                return Err(TextsError::Placeholder { path: path.into(), line, key, word, known });
            }
            out.insert(key, value.into_inner());
        }
    }
    Ok(out)
}

/// How much two keys have in common: the pairs of letters in both.
fn likeness(one: &str, other: &str) -> usize {
    one.as_bytes().windows(2).filter(|pair| other.as_bytes().windows(2).any(|found| found == *pair)).count() * 100
        / (one.len() + other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_every_key_and_no_other() {
        for text in [EN, ES] {
            let texts = parse(text, Path::new("shipped")).unwrap();
            assert_eq!(texts.keys().collect::<Vec<_>>(), known().keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_and_durations_read_well() {
        let (en, es) = (Texts::shipped(Lang::En), Texts::shipped(Lang::Es));
        let said: Vec<String> =
            [7, 3_240, 59_999, 125_000, 3_780_000, 187_200_000].iter().map(|ms| en.duration(*ms)).collect();
        assert_eq!(said, ["7 ms", "3.2 s", "59 s", "2 min 5 s", "1 h 3 min", "2 d 4 h"]);
        assert_eq!(es.duration(3_240), "3,2 s");
        assert_eq!(
            (en.number(1_234_567), es.number(1_000), en.number(12)),
            ("1,234,567".into(), "1.000".into(), "12".into())
        );
        assert_eq!(
            (en.count("digest.needs", 1), es.count("digest.needs", 2)),
            ("1 needs you".into(), "2 te necesitan".into())
        );
    }

    #[test]
    fn the_users_texts_override_single_keys_and_mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            std::fs::write(dir.path().join("en.toml"), text).unwrap();
            Texts::load(Lang::En, Some(dir.path()))
        };
        let own = load("[class]\ncorrupt = \"broken film\"\n").unwrap();
        assert_eq!((own.get("class.corrupt"), own.get("class.timeout")), ("broken film", "timeout"));
        let error = load("[headline]\nhealed = \"ok {klass}\"\n").unwrap_err().to_string();
        assert!(
            error.contains("en.toml:2") && error.contains("headline.healed") && error.contains("{klass}"),
            "{error}"
        );
        assert!(error.contains("{duration}"), "{error}");
        let error = load("\n[headline]\nheeled = \"ok\"\n").unwrap_err().to_string();
        assert!(error.contains("en.toml:3") && error.contains("'headline.healed'"), "{error}");
        assert!(load("healed = 1").unwrap_err().to_string().contains("en.toml"));
        assert!(Texts::load(Lang::Es, Some(dir.path())).is_ok(), "no file is fine");
    }
}
