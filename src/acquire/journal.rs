//! Reads a systemd unit's journal through `journalctl --follow`; an entry's cursor is its place.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::outlet::{Outlet, Stopped};
use super::{CHUNK, Identity, Read, Settings, StreamId};

/// The longest entry taken, as JSON: journald itself ends at 48 MiB, no log line comes near this.
const ENTRY: usize = 8 * 1024 * 1024;
/// How much of what `journalctl` complains about is kept.
const COMPLAINT: u64 = 4096;
/// How long to wait before `journalctl` is started again, doubled up to the cap.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_CAP: Duration = Duration::from_secs(60);
/// How many cursors wait at most for their entries to be worked off. Without the oldest one a later one is stored.
const WAITING: usize = 4096;

/// Which cursor may be stored: that of the last entry that was worked off completely.
///
/// A journal's checkpoint is a cursor with offset 0. The reader sends each entry's `Bytes` and then its `Identity`; an
/// event that still waits for continuations must not be behind the stored cursor.
#[derive(Debug, Default)]
pub struct Milestones {
    waiting: VecDeque<(u64, Identity)>,
}

impl Milestones {
    /// An `Identity` came after the bytes before `end`.
    pub fn note(&mut self, end: u64, identity: Identity) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((end, identity));
    }

    /// Everything before `safe_offset` has been worked off: the identity to store from now on, if a newer one.
    pub fn reached(&mut self, safe_offset: u64) -> Option<Identity> {
        let mut last = None;
        while self.waiting.front().is_some_and(|(end, _)| *end <= safe_offset) {
            last = self.waiting.pop_front().map(|(_, identity)| identity);
        }
        last
    }
}

struct Journal<'a> {
    source: &'a str,
    unit: &'a str,
    settings: &'a Settings,
    outlet: &'a Outlet,
    stream: StreamId,
    offset: u64,
    cursor: String,
}

/// Follows the unit's journal from `cursor` until it is told to stop; without one from now on, or from the start.
pub(super) async fn run(
    source: &str,
    unit: &str,
    cursor: Option<String>,
    settings: &Settings,
    outlet: &Outlet,
) -> Result<(), Stopped> {
    let cursor = match cursor {
        Some(cursor) => cursor,
        None if settings.from_start => String::new(),
        None => newest(unit, settings).await.unwrap_or_default(),
    };
    let stream = outlet.stream();
    let identity = Identity::Journal { cursor: cursor.clone() };
    outlet.send(Read::Opened { stream, source: source.into(), file: None, identity, offset: 0 }).await?;
    let mut journal = Journal { source, unit, settings, outlet, stream, offset: 0, cursor };
    let mut pause = AGAIN;
    loop {
        let before = journal.offset;
        let detail = journal.follow().await?;
        pause = if journal.offset > before { AGAIN } else { pause };
        let detail = format!("failed to read the journal of {unit}: {detail}; trying again in {} s", pause.as_secs());
        outlet.send(Read::Trouble { source: source.into(), detail }).await?;
        tokio::select! {
            () = outlet.stop.cancelled() => return Err(Stopped),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(AGAIN_CAP);
    }
}

/// The arguments all calls share. `--all`: without it long fields come as null.
fn command(unit: &str, settings: &Settings) -> Command {
    let mut command = Command::new(&settings.journalctl);
    command.args(["--quiet", "--no-pager", "--all", "--output=json"]).arg(format!("--unit={unit}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The cursor of the unit's newest entry.
async fn newest(unit: &str, settings: &Settings) -> Option<String> {
    let output = command(unit, settings).arg("--lines=1").output().await.ok()?;
    let last = output.stdout.split(|b| *b == b'\n').rfind(|line| !line.is_empty())?;
    entry(last).map(|(cursor, _)| cursor)
}

impl Journal<'_> {
    /// One run of `journalctl`; returns why it ended.
    async fn follow(&mut self) -> Result<String, Stopped> {
        let mut command = command(self.unit, self.settings);
        command.args(["--follow", "--no-tail"]);
        if !self.cursor.is_empty() {
            command.arg(format!("--after-cursor={}", self.cursor));
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(format!("{}: {error}; is systemd here?", self.settings.journalctl.display())),
        };
        let Some(stdout) = child.stdout.take() else { return Ok("no output".into()) };
        let mut lines = BufReader::with_capacity(CHUNK, stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = tokio::select! {
                () = self.outlet.stop.cancelled() => return Err(Stopped),
                read = bounded_line(&mut lines, &mut line) => read,
            };
            match read {
                Ok(true) => self.entry(&line, !lines.buffer().contains(&b'\n')).await?,
                Ok(false) => return Ok(complaint(child).await),
                Err(error) => return Ok(error.to_string()),
            }
        }
    }

    async fn entry(&mut self, line: &[u8], last: bool) -> Result<(), Stopped> {
        let stream = self.stream;
        let Some((cursor, mut text)) = entry(line) else {
            let detail = format!("an entry of the journal of {} could not be read and was left out", self.unit);
            return self.outlet.send(Read::Trouble { source: self.source.into(), detail }).await;
        };
        text.push(b'\n');
        for bytes in text.chunks(CHUNK) {
            let offset = self.offset;
            self.offset += bytes.len() as u64;
            self.outlet.send(Read::Bytes { stream, offset, bytes: bytes.to_vec(), last: false }).await?;
        }
        self.cursor.clone_from(&cursor);
        self.outlet.send(Read::Identity { stream, identity: Identity::Journal { cursor } }).await?;
        if last { self.outlet.send(Read::Idle { stream }).await } else { Ok(()) }
    }
}

/// Reads to the next newline; `false` at the end. What is longer than [`ENTRY`] is dropped and leaves a broken entry.
async fn bounded_line(lines: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let buffer = lines.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let newline = memchr::memchr(b'\n', buffer);
        let count = newline.unwrap_or(buffer.len());
        let room = ENTRY.saturating_sub(line.len());
        line.extend_from_slice(&buffer[..count.min(room)]);
        lines.consume(newline.map_or(count, |at| at + 1));
        if newline.is_some() {
            return Ok(true);
        }
    }
}

/// Cursor and message of one entry.
fn entry(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    let cursor = entry.get("__CURSOR")?.as_str()?.to_owned();
    let mut text = entry.get("MESSAGE").map(message).unwrap_or_default();
    while text.last() == Some(&b'\n') {
        text.pop();
    }
    Some((cursor, text))
}

/// Text, an array of bytes when it is no UTF-8, or several of both when the field was given more than once.
fn message(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Array(items) if items.iter().all(Value::is_u64) => {
            items.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
        }
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.is_array() || item.as_array().is_some_and(|a| a.iter().all(Value::is_u64)))
            .map(message)
            .collect::<Vec<_>>()
            .join(&b'\n'),
        _ => Vec::new(),
    }
}

/// Why it ended, in its own words.
async fn complaint(mut child: Child) -> String {
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read is not said.
        let _ = stderr.take(COMPLAINT).read_to_end(&mut words).await;
    }
    let words = String::from_utf8_lossy(&words);
    match child.wait().await {
        Ok(status) => format!("journalctl ended ({status}): {}", words.trim()),
        Err(error) => format!("journalctl ended: {error}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_text_bytes_or_several() {
        let of = |json: &str| entry(json.as_bytes()).unwrap().1;
        assert_eq!(of(r#"{"__CURSOR":"a","MESSAGE":"x\ny\n"}"#), b"x\ny");
        assert_eq!(of(r#"{"__CURSOR":"a","MESSAGE":[104,105,255]}"#), b"hi\xff");
        assert_eq!(of(r#"{"__CURSOR":"a","MESSAGE":["x","y"]}"#), b"x\ny");
        assert_eq!(of(r#"{"__CURSOR":"a","MESSAGE":null}"#), b"");
        assert_eq!(of(r#"{"__CURSOR":"a"}"#), b"");
        assert_eq!(entry(b"{}"), None);
        assert_eq!(entry(b"-- reboot --"), None);
    }

    #[test]
    fn a_cursor_counts_only_when_all_before_it_is_worked_off() {
        let cursor = |c: &str| Identity::Journal { cursor: c.into() };
        let mut milestones = Milestones::default();
        milestones.note(10, cursor("a"));
        milestones.note(20, cursor("b"));
        assert_eq!(milestones.reached(9), None);
        assert_eq!(milestones.reached(15), Some(cursor("a")));
        assert_eq!(milestones.reached(15), None);
        assert_eq!(milestones.reached(20), Some(cursor("b")));
    }
}
