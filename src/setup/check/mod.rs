//! Looks before anything runs whether it will work (preflight). I/O; changes nothing.

mod files;
mod places;
mod probes;
mod system;
mod telegram;

use std::path::Path;

use serde::Serialize;

use super::load::{Loaded, Surroundings};
use super::problem::Problems;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Works.
    Ok,
    /// Works, but should be known.
    Warn,
    /// Will not work.
    Fail,
}

/// One line of the preflight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `config`, `disk`, `token` …
    pub check: &'static str,
    /// How it came out.
    pub level: Level,
    /// One sentence.
    pub detail: String,
    /// What would help.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// A path as one word of a shell command: remedies are copied into terminals, and file names are strangers' text.
fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(plain) && !text.starts_with('-') {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A configuration that does not load: a line a problem.
#[must_use]
pub fn unloaded(problems: &Problems) -> Vec<Finding> {
    let lines = problems.lines();
    lines
        .into_iter()
        .map(|line| match line.rsplit_once("; ") {
            Some((detail, remedy)) => Finding::fail("config", detail, remedy),
            None => Finding::fail("config", line, "correct that line"),
        })
        .collect()
}

/// Tells the problems of the rule files that belong to a configuration.
pub type RuleProblems = fn(&Loaded) -> Vec<String>;

/// Everything that can be known before the start. Without `rules` that line is left out.
pub async fn all(loaded: &Loaded, around: &Surroundings, rules: Option<RuleProblems>) -> Vec<Finding> {
    let mut findings = config(loaded);
    match rules.map(|problems| problems(loaded)) {
        None => {}
        Some(problems) if problems.is_empty() => findings.push(Finding::ok("rules", "every rule compiles")),
        Some(problems) => {
            let line =
                |problem: &String| Finding::fail("rules", problem.clone(), "correct the rule, or set enabled = false");
            findings.extend(problems.iter().map(line));
        }
    }
    findings.extend(files::sources(&loaded.config));
    findings.extend(places::state_and_records(loaded));
    findings.extend(places::roots(loaded));
    findings.extend(places::disks(loaded));
    findings.extend(system::privileges(&loaded.config));
    findings.extend(system::watches());
    findings.extend(system::bot_command(loaded, around));
    findings.extend(system::pictures(&loaded.config));
    findings.extend(system::second_instance(&loaded.state_dir));
    findings.extend(telegram::all(&loaded.config).await);
    findings.extend(probes::all(loaded).await);
    findings
}

fn config(loaded: &Loaded) -> Vec<Finding> {
    let first = match &loaded.file {
        Some(file) => Finding::ok("config", format!("{} is valid", file.display())),
        None => Finding::warn(
            "config",
            "no configuration file: only the bot's output is watched, repairs of files are refused",
            "logmedic init",
        ),
    };
    let warnings = loaded.warnings.iter().map(|warning| match warning.rsplit_once("; ") {
        Some((detail, remedy)) => Finding::warn("config", detail, remedy),
        None => Finding::warn("config", warning.clone(), "look at that file"),
    });
    std::iter::once(first).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_word_of_the_command() {
        assert_eq!(word(Path::new("/srv/bot/a.log")), "/srv/bot/a.log");
        assert_eq!(word(Path::new("/a b;rm -rf ~")), "'/a b;rm -rf ~'");
        assert_eq!(word(Path::new("it's $(x)")), "'it'\\''s $(x)'");
        assert_eq!(word(Path::new("-rf")), "'-rf'");
    }
}
