//! Lays the show's results out as a table or as JSON lines. Pure.

use serde::Serialize;

use crate::vocab::{Class, clean_line};

/// Column titles and widths, in characters; together they fit a terminal of 120.
const COLUMNS: [(&str, usize); 6] =
    [("fault", 14), ("seen", 25), ("confirmed", 23), ("done", 19), ("proof", 24), ("s", 5)];
/// Between two columns.
const GAP: &str = "  ";
/// The most lines of one cell.
const MAX_LINES: usize = 6;

/// How one fault ended.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The fault that was made.
    pub fault: Class,
    /// What was done to the world.
    pub injected: String,
    /// The rule that saw it, and the bot's words.
    pub seen: String,
    /// What the system showed.
    pub confirmed: String,
    /// The repairs.
    pub done: String,
    /// What an onlooker finds now.
    pub proof: String,
    /// From the fault to the end of its incident.
    pub seconds: f64,
    /// Ended as it must. `null`: not shown on this machine.
    pub ok: Option<bool>,
    /// What is not as it must be, or why it is not shown.
    pub problem: Option<String>,
}

impl Row {
    /// A row without results yet.
    #[must_use]
    pub fn new(fault: Class) -> Self {
        let empty = String::new;
        Self {
            fault,
            injected: empty(),
            seen: empty(),
            confirmed: empty(),
            done: empty(),
            proof: empty(),
            seconds: 0.0,
            ok: None,
            problem: None,
        }
    }

    /// As table lines.
    #[must_use]
    pub fn lines(&self, colour: bool) -> String {
        let (mark, paint) = match self.ok {
            Some(true) => ("✔", "32"),
            Some(false) => ("✘", "31"),
            None => ("–", "33"),
        };
        let seconds = if self.seconds > 0.0 { format!("{:>5.1}", self.seconds) } else { String::new() };
        let fault = format!("{mark} {}", self.fault);
        let cells = [&fault, &self.seen, &self.confirmed, &self.done, &self.proof, &seconds];
        let mut text = layout(&cells.map(String::as_str), colour.then_some(paint));
        if let Some(problem) = &self.problem {
            text.push_str(&format!("  → {}\n", clean_line(problem)));
        }
        text
    }
}

/// The titles and a rule below them.
#[must_use]
pub fn header(colour: bool) -> String {
    let titles = layout(&COLUMNS.map(|(title, _)| title), colour.then_some("1"));
    let width: usize = COLUMNS.iter().map(|(_, width)| width + GAP.len()).sum();
    format!("{titles}{}\n", "─".repeat(width - GAP.len()))
}

/// Cells side by side, each wrapped in its column; the first one painted.
fn layout(cells: &[&str; 6], paint: Option<&str>) -> String {
    let wrapped: Vec<Vec<String>> = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| wrap(cell, width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = String::new();
    for line in 0..height {
        let mut row = String::new();
        for (cell, (_, width)) in wrapped.iter().zip(COLUMNS) {
            let part = cell.get(line).map_or("", String::as_str);
            row.push_str(&format!("{part:<width$}{GAP}"));
        }
        let row = row.trim_end();
        match paint {
            Some(paint) if line == 0 => text.push_str(&format!("\x1b[{paint}m{row}\x1b[0m\n")),
            _ => text.push_str(&format!("{row}\n")),
        }
    }
    text
}

/// Breaks at spaces where there are any; what comes from logs cannot steer the terminal.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines().map(clean_line) {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word: Vec<char> = word.chars().collect();
            loop {
                let taken = line.chars().count();
                let space = usize::from(taken > 0);
                if taken + space + word.len() <= width {
                    line.extend(std::iter::repeat_n(' ', space));
                    line.extend(word);
                    break;
                }
                if taken > 0 {
                    lines.push(std::mem::take(&mut line));
                    continue;
                }
                let rest = word.split_off(width);
                lines.push(word.into_iter().collect());
                word = rest;
            }
        }
        lines.push(line);
    }
    if lines.len() > MAX_LINES {
        lines.truncate(MAX_LINES);
        lines[MAX_LINES - 1] = "…".into();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_wrap_inside_their_columns_and_cannot_steer_the_terminal() {
        let mut row = Row::new(Class::Timeout);
        row.seen = format!("rust.timeout \x1b[2J {}", "x".repeat(70));
        row.ok = Some(true);
        let text = row.lines(false);
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(text.starts_with("✔ timeout"));
    }
}
