//! Reads progress out of what a command writes, and keeps its last lines. Pure.
//!
//! Understood in a line: `37%`, `12/340`, and a JSON object with `progress` (a percentage), or `done` and `total`, and with it
//! `message`, `succeeded`, `failed`. A line may end with a carriage return, as progress bars do.

use std::collections::VecDeque;

use serde_json::Value;

use super::progress::Tally;
use crate::vocab::{clean_line, redact, shorten};

/// Bytes of a line that are looked at: nobody writes progress behind that, and a line may never end.
const LINE: usize = 4096;

/// Lines kept.
const LINES: usize = 50;

/// Characters kept of a line; with [`LINES`] some tens of kilobytes an operation.
const SHOWN: usize = 400;

/// Characters of a message.
const MESSAGE: usize = 200;

/// Cuts output into lines.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// Takes bytes in and gives each line that is complete.
    pub fn take(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.end(&mut line);
            } else if self.held.len() < LINE {
                self.held.push(*byte);
            } else {
                self.cut = true;
            }
        }
    }

    /// Gives what stands there without an end.
    pub fn end(&mut self, mut line: impl FnMut(&str)) {
        let mut text = String::from_utf8_lossy(&self.held).into_owned();
        if std::mem::take(&mut self.cut) {
            text.push('…');
        }
        self.held.clear();
        if !text.trim().is_empty() {
            line(text.trim_end());
        }
    }
}

/// The last lines of an output, harmless to show and without secrets.
#[derive(Clone, Debug, Default)]
pub struct Kept(VecDeque<String>);

impl Kept {
    /// Adds a line.
    pub fn add(&mut self, line: &str) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(plain(line, SHOWN));
    }

    /// All that is kept, the oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

fn plain(text: &str, limit: usize) -> String {
    shorten(&clean_line(&redact(text)), limit).into_owned()
}

/// Takes the progress of a line into the tally; `false`: the line tells none.
pub fn read(line: &str, tally: &mut Tally) -> bool {
    let line = line.trim();
    if line.starts_with('{') {
        return serde_json::from_str(line).is_ok_and(|value: Value| read_json(&value, tally));
    }
    let (percent, items) = (percent(line), items(line));
    if percent.is_none() && items.is_none() {
        return false;
    }
    tally.percent = percent;
    if let Some((done, total)) = items {
        (tally.done, tally.total) = (Some(done), Some(total));
    }
    tally.message = Some(plain(line, MESSAGE));
    true
}

fn read_json(value: &Value, tally: &mut Tally) -> bool {
    let count = |name: &str| value.get(name).and_then(Value::as_u64);
    let percent = value.get("progress").and_then(Value::as_f64);
    let done = count("done");
    if percent.is_none() && done.is_none() {
        return false;
    }
    tally.percent = percent;
    if done.is_some() {
        (tally.done, tally.total) = (done, count("total").or(tally.total));
    }
    tally.succeeded = count("succeeded").or(tally.succeeded);
    tally.failed = count("failed").or(tally.failed);
    if let Some(message) = value.get("message").and_then(Value::as_str) {
        tally.message = Some(plain(message, MESSAGE));
    }
    true
}

/// The last `37%` or `37.5 %` of a line that stands for itself.
fn percent(line: &str) -> Option<f64> {
    line.match_indices('%').filter_map(|(at, _)| percent_before(line[..at].trim_end_matches(' '))).next_back()
}

fn percent_before(text: &str) -> Option<f64> {
    let begin = text.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |at| at + last_len(text, at));
    let free = text[..begin].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '-' | '/' | '_'));
    let number = &text[begin..];
    // `5e3` and `nan` are no percentages.
    let digits = !number.is_empty() && number.len() <= 8 && number.starts_with(|c: char| c.is_ascii_digit());
    let percent: f64 = (free && digits).then(|| number.parse().ok())??;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

fn last_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

/// The first `12/340` of a line that stands for itself: no path, no date, not rsync's `to-chk=12/340` (what is left).
fn items(line: &str) -> Option<(u64, u64)> {
    line.match_indices('/').find_map(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + 1..]);
        let before = before.trim_end_matches(' ');
        let behind = behind.trim_start_matches(' ');
        let begin = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + last_len(before, at));
        let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let opens = before[..begin].chars().next_back().is_none_or(|c| c.is_whitespace() || "([|:#".contains(c));
        let closes = behind[end..].chars().next().is_none_or(|c| c.is_whitespace() || ")]|:,;.".contains(c));
        let (done, total) = (before[begin..].parse().ok()?, behind[..end].parse().ok()?);
        (opens && closes && total > 0 && done <= total).then_some((done, total))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally(line: &str) -> Option<(Option<f64>, Option<u64>, Option<u64>)> {
        let mut tally = Tally::default();
        read(line, &mut tally).then_some((tally.percent, tally.done, tally.total))
    }

    #[test]
    fn c9_progress_is_read_as_commands_write_it() {
        for (line, want) in [
            ("37%", Some((Some(37.0), None, None))),
            ("[download]  37.5% of 1.2GiB at 3MiB/s ETA 00:12", Some((Some(37.5), None, None))),
            ("12/340", Some((None, Some(12), Some(340)))),
            (" 4%|▏         | 12/340 [00:01<00:30, 10.0it/s]", Some((Some(4.0), Some(12), Some(340)))),
            ("  1.23G  37%  1.2MB/s  0:00:12 (xfr#5, to-chk=12/340)", Some((Some(37.0), None, None))),
            ("file 3 / 7: a.mp4", Some((None, Some(3), Some(7)))),
            (r#"{"progress":50,"message":"half"}"#, Some((Some(50.0), None, None))),
            (r#"{"done":3,"total":4,"failed":1}"#, Some((None, Some(3), Some(4)))),
            ("copied models/12/340/a.mp4", None),
            ("2026/11/25 10:00:00 begin", None),
            ("up 120%", None),
            ("7/5", None),
            (r#"{"level":"info"}"#, None),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(tally(line), want, "{line}");
        }
    }

    #[test]
    fn c9_output_is_bounded_and_harmless() {
        let (mut lines, mut kept) = (Lines::default(), Kept::default());
        lines.take(&vec![b'x'; 1 << 20], |line| kept.add(line));
        lines.take(b"\r\x1b[2Jevil \xff\n", |line| kept.add(line));
        (0..1000).for_each(|n| lines.take(format!("line {n}\n").as_bytes(), |line| kept.add(line)));
        lines.take(b"10%\r20%\rlast", |line| kept.add(line));
        lines.end(|line| kept.add(line));
        let kept = kept.lines();
        assert_eq!(kept.len(), LINES);
        assert_eq!(kept[LINES - 3..], ["10%", "20%", "last"]);
        assert!(kept.iter().all(|line| line.chars().all(|c| !c.is_control()) && line.chars().count() <= SHOWN));
    }

    proptest! {
        #[test]
        fn any_line_can_be_read(line in ".*") {
            let mut tally = Tally::default();
            read(&line, &mut tally);
            prop_assert!(tally.share().is_none_or(|share| (0.0..=100.0).contains(&share)));
        }
    }
}
