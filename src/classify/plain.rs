//! Takes off what a program did not write itself, and opens what it wrote its words into. Pure.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::event::build;
use super::literal::Literal;
use super::prefix::string_end;
use super::said::{self, Said, said};
use crate::assemble::{DOCKER, docker_line, uncarried};

/// An event as its program meant it.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    text: Cow<'a, [u8]>,
    /// Why something failed, then the message.
    pub(super) said: Vec<Said>,
}

impl Deref for Plain<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

/// What was put in front of every line ([`uncarried`]) or around it (docker), and colours are taken off; a traceback that a
/// logger put into one field of its line follows that line.
pub(super) fn plain(text: &[u8]) -> Plain<'_> {
    let mut text = contained(text).map_or(Cow::Borrowed(text), Cow::Owned);
    if memchr::memchr(0x1b, &text).is_some() {
        static COLOUR: LazyLock<Option<Regex>> = LazyLock::new(|| build(r"\x1b\[[\d;]{0,20}m"));
        if let Some(colour) = COLOUR.as_ref() {
            text = Cow::Owned(colour.replace_all(&text, &b""[..]).into_owned());
        }
    }
    if let Some(own) = uncarried(&text) {
        text = Cow::Owned(own);
    }
    if let Some(flat) = flattened(&text) {
        text = Cow::Owned(flat);
    }
    let said = said(&text);
    if let Some(traceback) = escaped_traceback(&text) {
        text = Cow::Owned([text.trim_ascii_end(), b"\n", &traceback].concat());
    }
    Plain { text, said }
}

/// The tracebacks of an exception group one below the other, without the tree that Python draws round them (PEP 654).
fn flattened(text: &[u8]) -> Option<Vec<u8>> {
    static BRANCH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(GROUP));
    BRANCH.find(text)?;
    let mut flat = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        let inner = line.trim_ascii_start();
        if inner.starts_with(b"+-") {
            continue;
        }
        let drawn = inner.strip_prefix(b"+ Exception Group ").or_else(|| inner.strip_prefix(b"| "));
        flat.extend_from_slice(drawn.filter(|_| inner.len() < line.len()).unwrap_or(line));
    }
    Some(flat)
}

/// Where the first exception of a group is drawn.
const GROUP: &[u8] = b"  +-+---------------- 1 ----------------";

/// The words of the container, when every line is docker's.
fn contained(text: &[u8]) -> Option<Vec<u8>> {
    if !text.starts_with(DOCKER) {
        return None;
    }
    let lines: Option<Vec<Vec<u8>>> = text.trim_ascii_end().split(|&b| b == b'\n').map(docker_line).collect();
    Some(lines?.join(&b'\n'))
}

/// What stands in the string of a traceback that is one field of a line: `"exc_info": "Traceback …\n  File …"`.
fn escaped_traceback(line: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'\\', line)?;
    static FINDERS: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| ESCAPED.map(Finder::new));
    let inside = FINDERS.iter().find_map(|text| text.find(line))?;
    if memchr::memchr(b'\n', line.trim_ascii_end()).is_some() {
        return None;
    }
    let is_quote = |at: &usize| line[..*at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0;
    let from = memchr::memrchr_iter(b'"', &line[..inside]).find(is_quote)?;
    let to = from + 1 + string_end(&line[from + 1..])?;
    serde_json::from_slice::<String>(&line[from..=to]).ok().map(String::into_bytes)
}

/// What a traceback in a string holds: Python's head, a frame of Node's or Java's, or where Java and others name what lies below.
const ESCAPED: [&[u8]; 4] = [br"Traceback (most recent call last):\n", br"\n    at ", br"\n\tat ", br"\nCaused by: "];

/// Texts of which every event holds one that [`plain`] changes, but for what was put in front of its lines.
pub(super) fn changed_texts() -> impl Iterator<Item = Literal> {
    // A colour may stand inside a text that a rule needs.
    let colours = b"0123456789;m".iter().map(|b| Literal::exact(&[0x1b, b'[', *b]));
    colours.chain([DOCKER, GROUP].into_iter().chain(ESCAPED).map(Literal::exact)).chain(said::texts())
}

/// Whether [`plain`] leaves every byte of this line where rules look for theirs: nothing in it is escaped, coloured or contained.
pub(super) fn is_literal(line: &[u8]) -> bool {
    memchr::memchr2(b'\\', 0x1b, line).is_none() && !line.starts_with(DOCKER)
}
