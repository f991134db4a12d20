//! Makes the one message that a channel carries of notices: a title, a text, an identifier for who sees it twice. Pure.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::render::{digest, render};
use super::texts::Texts;
use crate::ledger::channels::Item;
use crate::vocab::{Level, Notice, Severity};

/// Identifiers of digests have so many bytes of a hash.
const HASH_BYTES: usize = 12;

/// Why a message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The first message about it.
    New,
    /// It changed: it is over, louder, or needs a person now.
    Changed,
    /// Nobody acknowledged it.
    Reminder,
    /// Several at once.
    Digest,
    /// Somebody tries the channel.
    Test,
}

impl Why {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Reminder => "reminder",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// One message for any channel. Title and text are plain: no secrets, nothing hidden, the title is one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The same when the same is sent again: receivers may drop what they know.
    pub event: String,
    /// The entry it is about; nothing for a digest.
    pub thread: Option<String>,
    /// Something was sent of this entry before.
    pub follows: bool,
    /// Why it comes.
    pub why: Why,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// The loudest of what it tells.
    pub level: Level,
    /// The loudest of what it tells.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Several lines; may be empty.
    pub text: String,
    /// What it tells.
    pub notices: Vec<Notice>,
}

/// The message about one notice.
#[must_use]
pub fn single(notice: &Notice, item: &Item, reminder: bool, texts: &Texts) -> Note {
    let why = match (reminder, item.again) {
        (true, _) => Why::Reminder,
        (false, true) => Why::Changed,
        (false, false) => Why::New,
    };
    let (mut title, mut text) = split(&render(notice, texts).text);
    let mut event = format!("{}.{}", notice.key, item.revision);
    if reminder {
        let count = item.repeats.saturating_add(1);
        title = texts.fill("line.reminder", &[("title", &title), ("count", &texts.number(count.into()))]);
        let _ = write!(event, ".{count}");
    }
    if item.unsure {
        with_line(&mut text, texts.get("line.repeat"));
    }
    Note {
        event,
        thread: Some(notice.key.clone()),
        follows: item.again,
        why,
        at: notice.at,
        level: if item.silent { hushed(notice.level()) } else { notice.level() },
        severity: if item.silent { Severity::Info } else { notice.severity },
        title,
        text,
        notices: vec![notice.clone()],
    }
}

/// How the end of something silenced is shown: no sound, no colour of alarm.
fn hushed(level: Level) -> Level {
    if level == Level::Success { level } else { Level::Info }
}

/// One message about several notices.
#[must_use]
pub fn several(items: &[(Item, bool)], texts: &Texts, now: DateTime<Utc>) -> Note {
    let notices: Vec<Notice> = items.iter().filter_map(|(item, _)| item.notice.clone()).collect();
    let (title, mut text) = split(&digest(&notices, 0, texts).text);
    if items.iter().any(|(item, _)| item.unsure) {
        with_line(&mut text, texts.get("line.repeat"));
    }
    let mut hash = Sha256::new();
    for (item, reminder) in items {
        hash.update(format!("{}.{}.{}\n", item.id, item.revision, item.repeats + u32::from(*reminder)));
    }
    let told = || items.iter().filter_map(|(item, _)| Some((item.silent, item.notice.as_ref()?)));
    let level = |(silent, notice): (bool, &Notice)| if silent { hushed(notice.level()) } else { notice.level() };
    let level = told().map(level).max_by_key(|level| *level as u8).unwrap_or(Level::Info);
    let severity = |(silent, notice): (bool, &Notice)| if silent { Severity::Info } else { notice.severity };
    Note {
        event: format!("digest.{}", hex(&hash.finalize()[..HASH_BYTES])),
        thread: None,
        follows: false,
        why: Why::Digest,
        at: notices.iter().map(|notice| notice.at).max().unwrap_or(now),
        level,
        severity: told().map(severity).max().unwrap_or(Severity::Info),
        title,
        text,
        notices,
    }
}

/// A message that tries a channel, or shows how one looks.
#[must_use]
pub fn trial(notice: &Notice, texts: &Texts) -> Note {
    let (title, text) = split(&render(notice, texts).text);
    Note {
        event: format!("{}.test", notice.key),
        thread: Some(notice.key.clone()),
        follows: false,
        why: Why::Test,
        at: notice.at,
        level: notice.level(),
        severity: notice.severity,
        title,
        text,
        notices: vec![notice.clone()],
    }
}

fn split(text: &str) -> (String, String) {
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    (title.to_owned(), rest.to_owned())
}

fn with_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
