//! `logmedic explain 'LINE'`: which rule claims it, what it reads out, what would be done, why not another. I/O.

use std::io::Write;

use crate::classify::{Claim, Rules, Verdict};
use crate::vocab::{Class, clean_line, redact};

/// The most claims shown; the first of them decide.
const MAX_SHOWN: usize = 12;

/// What `explain` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The line, or a whole event with its line ends.
    pub line: String,
}

/// Runs the command. Exit code 0 when a rule claims the line, 1 when none does.
///
/// # Errors
/// When the output is closed.
pub fn run(args: &Args, rules: &Rules, out: &mut dyn Write) -> anyhow::Result<u8> {
    let explanation = rules.explain(args.line.as_bytes());
    let winner = explanation.claims.iter().find(|claim| claim.verdict == Verdict::Wins);
    match winner {
        Some(claim) => claimed(claim, out)?,
        None => {
            writeln!(out, "no rule claims it")?;
            let unknown = if explanation.looks_like_error {
                "It reads like an error: it is counted as unknown."
            } else {
                "It does not read like an error."
            };
            writeln!(out, "  {unknown}")?;
            writeln!(out, "  message: {}", clean_line(&redact(&explanation.message)))?;
        }
    }
    for claim in explanation.claims.iter().filter(|claim| claim.verdict != Verdict::Wins).take(MAX_SHOWN) {
        let class = claim.class.map_or("ignore", |class| class.as_str());
        let reason = match claim.verdict {
            Verdict::Objects(reason) => reason,
            Verdict::Wins | Verdict::Later => "it is asked later",
        };
        writeln!(out, "not {} ({class}, on {}): {reason}", clean_line(&claim.rule), claim.part)?;
    }
    if let Some(signal) = rules.signal(args.line.as_bytes()) {
        writeln!(out, "about a download: {} ({:?})", clean_line(&signal.rule), signal.means)?;
        for (name, value) in &signal.captures {
            writeln!(out, "  {name} = {}", clean_line(&redact(value)))?;
        }
    }
    Ok(u8::from(winner.is_none_or(|claim| claim.class.is_none())))
}

fn claimed(claim: &Claim, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(class) = claim.class else {
        writeln!(out, "ignored by {} (on {})", clean_line(&claim.rule), claim.part)?;
        return Ok(writeln!(out, "  {}", clean_line(&claim.about))?);
    };
    let severity = claim.severity.map_or("", |severity| severity.as_str());
    writeln!(out, "{class} ({severity}), claimed by {} on {}", clean_line(&claim.rule), claim.part)?;
    writeln!(out, "  {}", clean_line(&claim.about))?;
    for (name, value) in &claim.captures {
        writeln!(out, "  {name} = {}", clean_line(&redact(value)))?;
    }
    Ok(writeln!(out, "  what would be done: {}", plan(class))?)
}

/// What logmedic does about a class by default, in one sentence.
#[must_use]
pub const fn plan(class: Class) -> &'static str {
    match class {
        Class::Timeout => {
            "wait, then fetch the file again, three times at most; nothing, if the bot succeeds meanwhile."
        }
        Class::Permission => {
            "ask the system whether the bot's user may use the path; if not, restore owner, group and mode."
        }
        Class::MissingPath => "look whether the directory is missing; if so, make it and fetch the file again.",
        Class::Corrupt => "check the file; only if it is proven bad, set it aside and fetch it again.",
        Class::DiskFull => "tell how much is free and what fills the disk; hold downloads until there is room.",
        Class::ServerDown => "probe the server until it answers, then fetch again what failed because of it.",
        Class::RateLimited => "wait as long as the server asked, then fetch the file again.",
        Class::Auth => "tell the admin: token, cookies or membership have to be put right by a person.",
        Class::TooLarge => "tell the admin: the remote side has a limit, often a Bot API server without --local.",
        Class::NotFound => "tell the admin: the remote side does not have it; retried late, if at all.",
        Class::Conflict => "tell the admin: another program holds it.",
        Class::Crash => "leave it to the supervision policy: restart the bot with growing pauses, and tell.",
    }
}
