//! `logmedic check`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::{Done, Failure};
use crate::setup::check::{Finding, Level, RuleProblems, all, unloaded};
use crate::setup::cli::JsonArgs;
use crate::setup::dispatch::colored;
use crate::setup::load::{Surroundings, load};
use crate::vocab::{clean_line, redact};

/// Checks everything and prints a line a check. `rules` tells the problems of the rule files for a loaded
/// configuration; without it that line is left out.
///
/// # Errors
/// When the output cannot be written.
pub fn check(args: JsonArgs, file: Option<&Path>, around: &Surroundings, rules: Option<RuleProblems>) -> Done {
    let findings = match load(file, around) {
        Err(problems) => unloaded(&problems),
        Ok(loaded) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("failed to start: {error}")))?
            .block_on(all(&loaded, around, rules)),
    };
    print(&findings, args.json)?;
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Fail)))
}

/// A path or an address in a finding may hold a token.
fn without_secrets(finding: &Finding) -> Finding {
    let hide = |text: &String| redact(text).into_owned();
    Finding { detail: hide(&finding.detail), remedy: finding.remedy.as_ref().map(hide), ..finding.clone() }
}

fn print(findings: &[Finding], json: bool) -> Result<(), Failure> {
    let color = colored(std::io::stdout().is_terminal());
    let mut out = super::stdout();
    for finding in findings.iter().map(without_secrets) {
        if json {
            super::json_line(&mut out, &finding)?;
            continue;
        }
        let (word, paint) = match finding.level {
            Level::Ok => ("ok  ", "32"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("fail", "31"),
        };
        let word = if color { format!("\u{1b}[{paint}m{word}\u{1b}[0m") } else { word.to_owned() };
        let remedy = finding.remedy.as_ref().map(|remedy| format!(" -> {remedy}")).unwrap_or_default();
        let line = format!("{}{remedy}", finding.detail);
        writeln!(out, "{word}  {:10}  {}", finding.check, clean_line(&line))?;
    }
    out.flush()?;
    Ok(())
}
