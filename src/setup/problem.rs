//! Shows what is wrong with a configuration: file, line, column and remedy. Pure.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use regex::Regex;

use super::tree::{Origin, Text};
use crate::vocab::printable;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, one sentence.
    pub message: String,
    /// What would help.
    pub remedy: Option<String>,
    /// Who said it, as far as known.
    pub origin: Option<Origin>,
    /// Whether a lack of permission is the cause (exit code 77 instead of 78).
    pub denied: bool,
}

impl Problem {
    /// A problem with what `origin` said.
    #[must_use]
    pub fn at(origin: &Origin, message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None, origin: Some(origin.clone()), denied: false }
    }

    /// A problem that belongs to no line.
    #[must_use]
    pub fn general(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None, origin: None, denied: false }
    }

    /// Adds what would help.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Everything that is wrong with a configuration, with the texts in which to show it.
#[derive(Clone, Debug)]
pub struct Problems {
    /// What is wrong; never empty.
    pub list: Vec<Problem>,
    /// The files that were read.
    pub files: Vec<Text>,
}

impl Problems {
    /// 77 when only permissions are missing, else 78.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.list.iter().all(|problem| problem.denied) { 77 } else { 78 }
    }

    /// `file:line:column: message; remedy`, one line a problem.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let place = problem.origin.as_ref().map(|origin| format!("{}: ", place(origin, &self.files)));
            let remedy = problem.remedy.as_ref().map(|remedy| format!("; {remedy}"));
            format!("{}{}{}", place.unwrap_or_default(), problem.message, remedy.unwrap_or_default())
        };
        self.list.iter().map(|problem| crate::vocab::clean_line(&line(problem)).into_owned()).collect()
    }

    /// The problems with the lines they stand in, for people.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> = self.list.iter().map(|problem| render(problem, &self.files, &renderer)).collect();
        shown.join("\n\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Problems {}

fn render(problem: &Problem, files: &[Text], renderer: &Renderer) -> String {
    let (message, span) = match &problem.origin {
        Some(Origin::File { file, value, .. }) => {
            (problem.message.clone(), files.get(*file).map(|f| (f, value.clone())))
        }
        Some(origin) => (format!("{}: {}", place(origin, files), problem.message), None),
        None => (problem.message.clone(), None),
    };
    let message = printable(&message).into_owned();
    let remedy = problem.remedy.as_ref().map(|remedy| printable(remedy).into_owned());
    let mut group = Level::ERROR.primary_title(message).elements(Vec::<annotate_snippets::Message<'_>>::new());
    if let Some((file, span)) = span {
        let text = masked(&file.text);
        let span = inside(&text, span);
        group = group.element(
            Snippet::source(text).path(file.path.display().to_string()).annotation(AnnotationKind::Primary.span(span)),
        );
    }
    if let Some(remedy) = remedy {
        group = group.element(Level::HELP.message(remedy));
    }
    renderer.render(&[group])
}

/// A span that lies in the text, on character boundaries, and does not run over many lines.
fn inside(text: &str, span: Range<usize>) -> Range<usize> {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let start = floor(span.start);
    let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    start..floor(span.end).clamp(start, line_end.max(start))
}

/// The text with secrets overwritten by stars of the same length, so that spans stay right.
fn masked(text: &str) -> String {
    static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?im)^[^#\n]*?\b[a-z_]*(?:token|password|secret)["']?\s*=\s*(?P<a>[^\n]*)|(?P<b>[0-9]{3,20}:[a-z0-9_-]{20,})"#).ok()
    });
    let Some(secret) = SECRET.as_ref() else { return String::new() };
    let mut out = text.to_owned();
    for found in secret.captures_iter(text) {
        if let Some(value) = found.name("a").or_else(|| found.name("b")) {
            out.replace_range(value.range(), &"*".repeat(value.len()));
        }
    }
    out
}

/// Where a value was said: `config.toml:3:8`, `env ADMIN_ID`, `.env:2`.
#[must_use]
pub fn place(origin: &Origin, files: &[Text]) -> String {
    match origin {
        Origin::File { file, value, .. } => match files.get(*file) {
            Some(text) => {
                let (line, column) = position(&text.text, value.start);
                format!("{}:{line}:{column}", text.path.display())
            }
            None => "default".into(),
        },
        Origin::Env { name } => format!("env {name}"),
        Origin::DotEnv { path, line, name } => format!("{}:{line} {name}", path.display()),
        Origin::Credential { path } => format!("credential {}", path.display()),
        Origin::Setting { key, account } => format!("setting {key} (changed by {account})"),
    }
}

/// Line and column of a byte, from 1; the column counts characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..inside(text, at..at).start];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_the_line_that_is_shown() {
        let text = "[bot_api]\ntoken = \"123456:AAFakeFakeFakeFakeFakeFakeFake\"\nurl = 5\n# 1234567:AAFakeFakeFakeFakeFakeFakeFake\n";
        let shown = masked(text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains("Fake"), "{shown}");
        assert!(shown.contains("url = 5"));
    }

    #[test]
    fn positions_are_counted_in_characters_and_never_out_of_the_text() {
        assert_eq!(position("a = 1\nñ = 2\n", 10), (2, 4));
        assert_eq!(position("é", 1), (1, 1));
        assert_eq!(inside("abc\ndef", 2..99), 2..3);
    }
}
