//! Finds where an event begins without reading what stood before it. Pure.

use super::kind::{Kind, Line};
use super::{LINE_BYTES, skip_nul};

/// Whether this line (with or without its end) begins an event whatever stood before it: then the log may be cut here.
///
/// Lines for which it says no may begin one too; an [`super::Assembler`] tells.
#[must_use]
pub fn begins_event(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.len() <= LINE_BYTES && matches!(Line::new(skip_nul(line)).kind, Kind::Head | Kind::Start)
}

/// Where the line that holds the byte `at` begins, not before `least`.
#[must_use]
pub fn line_start(text: &[u8], at: usize, least: usize) -> usize {
    memchr::memrchr(b'\n', &text[least..at]).map_or(least, |end| least + end + 1)
}

/// Where the line after the one that holds the byte `at` begins; the text's end if there is none.
#[must_use]
pub fn next_line(text: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end + 1)
}

/// The last place after `from` at which the text may be cut, looking back from `to`, the start of a line.
#[must_use]
pub fn last_cut(text: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut end = to;
    while end > from {
        let start = line_start(text, end - 1, from);
        if start > from && begins_event(&text[start..end]) {
            return Some(start);
        }
        end = start;
    }
    None
}

/// The first place from `from`, the start of a line, on at which the text may be cut; lines that end before `to` only.
#[must_use]
pub fn first_cut(text: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut start = from;
    while start < to {
        let end = next_line(&text[..to], start);
        if begins_event(&text[start..end]) {
            return Some(start);
        }
        start = end;
    }
    None
}
