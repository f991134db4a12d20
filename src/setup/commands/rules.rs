//! `logmedic rules list` and `logmedic rules test`. I/O.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::classify::{MAX_FILE, Problem, RuleSource, Rules, SampleSource, builtin, builtin_samples, check, lint};
use crate::vocab::{clean_line, shorten};

/// The most files read from one directory of rules or samples; one more is another directory.
const MAX_FILES: usize = 1000;

/// How much of `about` a list shows, in UTF-16 units.
const SHOWN: usize = 100;

/// What `rules` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to do with the rules.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with rules.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Every rule in the order in which they are asked.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Runs every rule's samples.
    Test {
        /// A rule file, a pack's folder or a folder of packs; none tests the shipped ones.
        path: Option<PathBuf>,
    },
}

/// Runs the command; `sources` are the user's rule files, the shipped packs are added. Returns the exit code.
///
/// # Errors
/// When a file cannot be read or the output is closed.
pub fn run(args: &Args, sources: &[RuleSource], out: &mut dyn Write) -> anyhow::Result<u8> {
    match &args.action {
        Action::List { json } => {
            let all: Vec<RuleSource> = sources.iter().cloned().chain(builtin()).collect();
            let (rules, problems) = Rules::compile(&all);
            list(&rules, *json, out)?;
            tell(&problems, out)
        }
        Action::Test { path: None } => test(&builtin(), &builtin_samples(), out),
        Action::Test { path: Some(path) } => {
            let own = read_sources(path)?;
            let samples = read_samples(path)?;
            test(&own, &samples, out)
        }
    }
}

fn list(rules: &Rules, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    for rule in rules.list() {
        if json {
            serde_json::to_writer(&mut *out, &rule)?;
            writeln!(out)?;
        } else {
            let what = rule.class.map_or(rule.kind, |class| class.as_str());
            let about = shorten(&rule.about, SHOWN);
            writeln!(out, "{:<40} {what:<13} {}", clean_line(&rule.id), clean_line(&about))?;
        }
    }
    Ok(())
}

fn tell(problems: &[Problem], out: &mut dyn Write) -> anyhow::Result<u8> {
    for problem in problems {
        writeln!(out, "{}", clean_line(&problem.to_string()))?;
    }
    Ok(u8::from(!problems.is_empty()))
}

fn test(sources: &[RuleSource], samples: &[SampleSource], out: &mut dyn Write) -> anyhow::Result<u8> {
    let (rules, problems) = Rules::compile(sources);
    let mut code = tell(&problems, out)?;
    let report = check(&rules, samples);
    for failure in report.failures.iter().chain(&lint(&rules)) {
        code = 1;
        writeln!(out, "{}", clean_line(&failure.to_string()))?;
    }
    // Allowed, but whoever writes one should know.
    for rule in rules.list().iter().filter(|rule| rule.slow && rule.kind != "ignore") {
        let note = format!(
            "{}:{}: note: {} names no fixed text of three bytes or more, so it is asked about every event: slow",
            rule.file, rule.line, rule.id
        );
        writeln!(out, "{}", clean_line(&note))?;
    }
    let failed = report.failures.len();
    writeln!(out, "{} samples, {} rules hit, {failed} failures", report.samples, report.hit)?;
    Ok(code)
}

/// The rules of a file, a pack's folder or a folder of packs, compiled.
///
/// # Errors
/// When it cannot be read or a rule is wrong: whoever names rules wants these.
pub fn load(path: &Path) -> anyhow::Result<Rules> {
    let (rules, problems) = Rules::compile(&read_sources(path)?);
    if let Some(first) = problems.first() {
        bail!(
            "{first}{}",
            if problems.len() > 1 { format!(" (and {} more)", problems.len() - 1) } else { String::new() }
        );
    }
    Ok(rules)
}

/// Rule files under a path, in name order; what is in them counts as the user's only beside shipped packs.
fn read_sources(path: &Path) -> anyhow::Result<Vec<RuleSource>> {
    let files = files(path, "toml")?;
    if files.is_empty() {
        bail!("no rule file in {}; rule files end in .toml", path.display());
    }
    files
        .iter()
        .map(|file| Ok(RuleSource { name: shown(file), pack: pack(file), text: text(file)?, user: false }))
        .collect()
}

/// The samples that belong to these rule files: `samples/*.log` beside each.
fn read_samples(path: &Path) -> anyhow::Result<Vec<SampleSource>> {
    let mut folders: Vec<PathBuf> =
        files(path, "toml")?.iter().filter_map(|file| Some(file.parent()?.join("samples"))).collect();
    folders.dedup();
    let mut samples = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        for file in files(folder, "log")? {
            let pack = folder.parent().map(|parent| pack(&parent.join("rules.toml"))).unwrap_or_default();
            samples.push(SampleSource { name: shown(&file), pack, text: text(&file)? });
        }
    }
    Ok(samples)
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

/// `rules.toml` belongs to the pack its folder names, any other file is a pack of its own.
fn pack(file: &Path) -> String {
    let own = file.file_stem().unwrap_or_default();
    let folder = file.parent().and_then(Path::file_name).unwrap_or(own);
    (if own == "rules" { folder } else { own }).to_string_lossy().into_owned()
}

fn text(file: &Path) -> anyhow::Result<String> {
    let context = || format!("failed to read {}", file.display());
    let size = fs::metadata(file).with_context(context)?.len();
    if size > MAX_FILE as u64 {
        bail!("{} has {size} bytes; at most {MAX_FILE} are read: split it", file.display());
    }
    fs::read_to_string(file).with_context(context)
}

/// The file itself, or the files with this ending in a folder and its direct sub-folders, in name order.
fn files(path: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    super::classify::existing(path)?;
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    for depth in 0..2 {
        for folder in std::mem::take(&mut folders) {
            for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
                let entry = entry?.path();
                if entry.is_dir() && depth == 0 {
                    folders.push(entry);
                } else if entry.is_file() && entry.extension().is_some_and(|extension| extension == ending) {
                    found.push(entry);
                }
                if found.len() > MAX_FILES {
                    bail!("more than {MAX_FILES} files in {}; name a smaller folder", path.display());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}
