//! Builds one message: plain text with entities, never markup, so that no text can break it. Pure.
//!
//! Telegram turns addresses, `@names`, `/commands` and `#tags` in plain text into links, but not inside code: text
//! that strangers wrote goes there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use teloxide::types::{MessageEntity, MessageEntityKind};

use crate::vocab::{clean_line, printable, redact, shorten, utf16_len};

/// Longest text Telegram takes, in UTF-16 units.
pub(super) const TEXT_LIMIT: usize = 4096;

/// Most entities Telegram reads in one message; further ones are dropped without a word.
const ENTITY_LIMIT: usize = 100;

/// More words than this that look like links make the whole sentence code.
const CODE_WORDS: usize = 6;

/// A message ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// At most 4096 UTF-16 units.
    pub text: String,
    /// Bold, code and pre, by UTF-16 offsets; never nested, never crossing.
    pub entities: Vec<MessageEntity>,
}

impl Rendered {
    /// Changes when what is shown changes.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        self.entities.hash(&mut hasher);
        hasher.finish().cast_signed()
    }

    /// The first line without formatting: for a server that refuses the whole. No text of strangers is in it.
    #[must_use]
    pub fn first_line(&self) -> Self {
        Self { text: self.text.lines().next().unwrap_or_default().to_owned(), entities: Vec::new() }
    }

    /// Changes when what is shown, or what can be pressed below it, changes.
    #[must_use]
    pub fn fingerprint_with(&self, buttons: &str) -> i64 {
        if buttons.is_empty() {
            return self.fingerprint();
        }
        let mut hasher = DefaultHasher::new();
        (self.fingerprint(), buttons).hash(&mut hasher);
        hasher.finish().cast_signed()
    }

    /// The same with another text as its last line.
    #[must_use]
    pub(super) fn with_last(self, line: Self) -> Self {
        let mut draft = Draft { text: self.text, entities: self.entities };
        draft.cut(TEXT_LIMIT.saturating_sub(utf16_len(&line.text) + 1));
        draft.entities.truncate(ENTITY_LIMIT.saturating_sub(line.entities.len()));
        draft.text.push('\n');
        let before = utf16_len(&draft.text);
        draft.text.push_str(&line.text);
        draft
            .entities
            .extend(line.entities.into_iter().map(|entity| MessageEntity { offset: entity.offset + before, ..entity }));
        draft.done()
    }

    /// The same with a last line.
    #[must_use]
    pub fn with_last_line(self, line: &str) -> Self {
        let room = TEXT_LIMIT.saturating_sub(utf16_len(line) + 1);
        let mut draft = Draft { text: self.text, entities: self.entities };
        draft.cut(room);
        draft.text.push('\n');
        draft.text.push_str(line);
        draft.done()
    }
}

/// Text that strangers wrote may be megabytes; what is far behind the part that is shown is not looked at.
const LOOKED_AT: usize = 16 * 1024;

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOOKED_AT)]
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Code,
    Pre,
}

/// A message being built.
#[derive(Debug, Default)]
pub(super) struct Draft {
    text: String,
    entities: Vec<MessageEntity>,
}

impl Draft {
    /// Adds text of our own or of the user's templates.
    pub(super) fn push(&mut self, style: Style, text: &str) {
        let offset = utf16_len(&self.text);
        let text = shorten(text, TEXT_LIMIT.saturating_sub(offset));
        // Only what a reader can see may be formatted: Telegram refuses nothing, but trims blanks around entities.
        if text.is_empty() || (style != Style::Plain && self.entities.len() >= ENTITY_LIMIT) {
            return;
        }
        let length = utf16_len(&text);
        self.text.push_str(&text);
        match style {
            Style::Plain => {}
            Style::Bold => self.entities.push(MessageEntity::bold(offset, length)),
            Style::Code => self.entities.push(MessageEntity::code(offset, length)),
            Style::Pre => self.entities.push(MessageEntity::pre(None, offset, length)),
        }
    }

    /// Adds text that strangers wrote, as code: one line (or several in a `pre`), no secrets, nothing hidden.
    pub(super) fn hostile(&mut self, style: Style, text: &str, limit: usize) {
        let text = redact(bounded(text));
        let text = if style == Style::Pre { printable(text.trim()) } else { clean_line(text.trim()) };
        self.push(style, &shorten(&text, limit));
    }

    /// Adds a sentence that may quote strangers: what stands in backticks or looks like a link becomes code.
    pub(super) fn prose(&mut self, text: &str, limit: usize) {
        let text = redact(bounded(text));
        let text = clean_line(text.trim());
        let text = shorten(&text, limit);
        if text.split(' ').filter(|word| looks_linked(word)).count() > CODE_WORDS || text.matches('`').count() > 12 {
            return self.push(Style::Code, &text);
        }
        for (place, part) in text.split('`').enumerate() {
            if place % 2 == 1 {
                self.push(Style::Code, part);
                continue;
            }
            let mut plain = String::new();
            for word in part.split_inclusive(' ') {
                let bare = word.trim_end_matches([' ', ',', '.', ';', ':', ')']).trim_start_matches('(');
                let Some(at) = word.find(bare).filter(|_| looks_linked(word)) else {
                    plain.push_str(word);
                    continue;
                };
                plain.push_str(&word[..at]);
                self.push(Style::Plain, &std::mem::take(&mut plain));
                self.push(Style::Code, bare);
                plain.push_str(&word[at + bare.len()..]);
            }
            self.push(Style::Plain, &plain);
        }
    }

    /// Starts a new line.
    pub(super) fn line(&mut self) {
        self.push(Style::Plain, "\n");
    }

    fn cut(&mut self, limit: usize) {
        self.text = shorten(&self.text, limit).into_owned();
        let end = utf16_len(&self.text);
        self.entities.retain_mut(|entity| {
            entity.length = entity.length.min(end.saturating_sub(entity.offset));
            entity.length > 0
        });
    }

    /// The finished message.
    pub(super) fn done(mut self) -> Rendered {
        self.text.truncate(self.text.trim_end().len());
        self.cut(TEXT_LIMIT);
        debug_assert!(self.entities.iter().all(|entity| !matches!(entity.kind, MessageEntityKind::TextLink { .. })));
        Rendered { text: self.text, entities: self.entities }
    }
}

/// Whether Telegram could make a word clickable: an address, a domain, a mention, a command, a tag, a number to call.
fn looks_linked(word: &str) -> bool {
    let word = word.trim_matches(|c: char| c == '(' || c == ')' || c == ',' || c == ';' || c.is_whitespace());
    let word = word.trim_end_matches(['.', ':']);
    let inner_dot = word.char_indices().any(|(at, c)| {
        c == '.' && at > 0 && word[at + 1..].chars().next().is_some_and(|next| next.is_alphanumeric() || next == '_')
    });
    let letters = word.chars().any(char::is_alphabetic);
    word.contains(['@', '#', '$'])
        || word.contains("://")
        || (word.contains('/') && letters)
        || (inner_dot && letters)
        || (word.starts_with('+') && word.len() > 5)
        || word.chars().filter(char::is_ascii_digit).count() > 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(message: &Rendered) -> Vec<(String, &'static str)> {
        let units: Vec<u16> = message.text.encode_utf16().collect();
        message
            .entities
            .iter()
            .map(|entity| {
                let kind = match entity.kind {
                    MessageEntityKind::Bold => "bold",
                    MessageEntityKind::Code => "code",
                    _ => "pre",
                };
                (String::from_utf16(&units[entity.offset..entity.offset + entity.length]).unwrap(), kind)
            })
            .collect()
    }

    #[test]
    fn a_sentence_cannot_smuggle_a_link_in() {
        let mut draft = Draft::default();
        draft.prose("see evil.example/x, or @admin (t.me/y). `chmod 2775 a` took 3.2 s at 1/3 https://a.b?c=d.", 500);
        let message = draft.done();
        assert_eq!(
            message.text,
            "see evil.example/x, or @admin (t.me/y). chmod 2775 a took 3.2 s at 1/3 https://a.b?c=d."
        );
        let code: Vec<String> = kinds(&message).into_iter().map(|(text, _)| text).collect();
        assert_eq!(code, ["evil.example/x", "@admin", "t.me/y", "chmod 2775 a", "https://a.b?c=d"]);
    }

    #[test]
    fn too_many_links_make_the_whole_sentence_code() {
        let mut draft = Draft::default();
        draft.prose(&"@a ".repeat(200), 300);
        assert_eq!(draft.entities.len(), 1);
    }

    #[test]
    fn the_limit_counts_utf16_units_and_entities_end_at_the_cut() {
        let mut draft = Draft::default();
        draft.push(Style::Bold, "😀 head");
        draft.line();
        draft.hostile(Style::Pre, &"😀".repeat(5_000), 10_000);
        draft.push(Style::Plain, "lost");
        let message = draft.done().with_last_line("(possible repeat)");
        assert!((TEXT_LIMIT - 2..=TEXT_LIMIT).contains(&utf16_len(&message.text)), "two units an emoji");
        assert!(message.text.ends_with("…\n(possible repeat)"));
        assert_eq!(kinds(&message).len(), 2);
        assert!(kinds(&message)[1].0.ends_with('…'), "the block ends before the last line");
    }
}
