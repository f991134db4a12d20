//! Shows records on the terminal, one line each; text from logs can never steer it.

use std::io::Write as _;
use std::sync::mpsc;

use chrono::Local;

use crate::vocab::{Body, OutcomeResult, Phase, Record, Severity, clean_line, json_text, shorten};

/// Lines that may wait for a slow terminal; more are dropped and counted, the engine never waits.
const QUEUE: usize = 1_000;

/// How much of a log line is shown, in characters.
const TEXT_SHOWN: usize = 160;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people, with colour.
    Colour,
    /// For people, without.
    Plain,
    /// The records themselves, one JSON object a line.
    Json,
}

/// A handle on the thread that writes to the terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    style: Style,
    lines: mpsc::SyncSender<String>,
    dropped: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Terminal {
    /// Starts the writing thread. It ends with the last handle.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(style: Style) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (lines, queue) = mpsc::sync_channel::<String>(QUEUE);
        let dropped = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let missed = std::sync::Arc::clone(&dropped);
        let thread = std::thread::Builder::new().name("terminal".into()).spawn(move || {
            let mut out = std::io::stdout();
            for line in queue {
                let missed = missed.swap(0, std::sync::atomic::Ordering::Relaxed);
                let notice = if missed > 0 { format!("({missed} lines were not shown)\n") } else { String::new() };
                // A closed terminal is no reason to stop healing.
                if writeln!(out, "{notice}{line}").and_then(|()| out.flush()).is_err() {
                    break;
                }
            }
        })?;
        Ok((Self { style, lines, dropped }, thread))
    }

    /// Shows one record.
    pub fn show(&self, record: &Record) {
        let line = match self.style {
            Style::Json => json_text(serde_json::to_string(record).unwrap_or_default()),
            style => render(record, style),
        };
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// One line for people: time, what, class, subject, sentence.
#[must_use]
pub fn render(record: &Record, style: Style) -> String {
    let (word, colour, text) = match &record.body {
        Body::Error { severity, text, count, .. } => {
            let colour = if *severity >= Severity::Error { "31" } else { "33" };
            let times = if *count > 1 { format!("×{count} ") } else { String::new() };
            ("seen", colour, format!("{times}{}", last_line(text)))
        }
        Body::Action { phase: Phase::Started, strategy, attempt, attempts, detail, .. } => {
            let of = if *attempts > 1 { format!(" {attempt}/{attempts}") } else { String::new() };
            ("doing", "36", format!("{strategy}{of}: {detail}"))
        }
        Body::Action { strategy, ok, detail, .. } => {
            let (word, colour) = if *ok == Some(true) { ("done", "32") } else { ("failed", "33") };
            (word, colour, format!("{strategy}: {detail}"))
        }
        Body::Outcome { result, detail, remedy, duration_ms, .. } => {
            let colour = match result {
                OutcomeResult::Healed | OutcomeResult::Recovered => "1;32",
                OutcomeResult::NotConfirmed | OutcomeResult::Cancelled => "2",
                _ => "1;31",
            };
            // What was over at once needs no time beside it.
            let took =
                if *duration_ms < 100 { String::new() } else { format!(" ({:.1} s)", *duration_ms as f64 / 1000.0) };
            let remedy = remedy.as_ref().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
            (result.as_str(), colour, format!("{detail}{took}{remedy}"))
        }
    };
    let time = record.observed_at.with_timezone(&Local).format("%H:%M:%S%.3f");
    let text = clean_line(&text).into_owned();
    let text = shorten(&text, 2 * TEXT_SHOWN);
    let subject = clean_line(&record.subject.value).into_owned();
    let subject = shorten(&subject, TEXT_SHOWN);
    let class = record.class;
    match style {
        Style::Colour => format!(
            "\u{1b}[2m{time}\u{1b}[0m \u{1b}[{colour}m{word:<13}\u{1b}[0m {class:<12} \u{1b}[1m{subject}\u{1b}[0m  {text}"
        ),
        Style::Plain | Style::Json => format!("{time} {word:<13} {class:<12} {subject}  {text}"),
    }
}

/// The cause of a traceback stands in its last line.
fn last_line(text: &str) -> &str {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(text);
    shorten_front(line)
}

fn shorten_front(line: &str) -> &str {
    line.char_indices().nth(2 * TEXT_SHOWN).map_or(line, |(at, _)| &line[..at])
}
