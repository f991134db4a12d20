//! Reads rule files from where they are and gives each source its rules. I/O.

use std::path::Path;
use std::sync::Arc;

use super::commands::Failure;
use super::load::{Loaded, Surroundings};
use crate::acquire::SourceSpec;
use crate::classify::{Problem, RuleSource, Rules, builtin};
use crate::engine::intake::RuleBook;

/// Rule files in one directory at most.
const FILES_MAX: usize = 500;

/// A rule file is text that a person wrote; larger ones are refused.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The user's own rule files, in name order.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn user_files(dir: &Path) -> Result<Vec<RuleSource>, Failure> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("read the rules directory", dir, &error)),
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .take(FILES_MAX)
        .collect();
    paths.sort();
    paths.iter().map(|path| user_file(path)).collect()
}

/// One rule file of the user's.
///
/// # Errors
/// When it cannot be read.
pub fn user_file(path: &Path) -> Result<RuleSource, Failure> {
    let read = std::fs::metadata(path).and_then(|meta| {
        if meta.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("larger than 4 MiB"));
        }
        std::fs::read_to_string(path)
    });
    let text = read.map_err(|error| Failure::io("read the rule file", path, &error))?;
    let pack = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(RuleSource { name: path.display().to_string(), pack, text, user: true })
}

/// All rules: the user's first, then the shipped ones.
///
/// # Errors
/// When a file cannot be read.
pub fn all(patterns_dir: Option<&Path>) -> Result<(Rules, Vec<Problem>), Failure> {
    let mut sources = patterns_dir.map(user_files).transpose()?.unwrap_or_default();
    sources.extend(builtin());
    Ok(Rules::compile(&sources))
}

/// The user's rule files, by the configuration in effect; a configuration that cannot be read has none, so that finished
/// logs can be looked at anywhere.
///
/// # Errors
/// When a rule file cannot be read.
pub fn own_sources(file: Option<&Path>, around: &Surroundings) -> Result<Vec<RuleSource>, Failure> {
    let loaded = match super::load::load(file, around) {
        Ok(loaded) => loaded,
        Err(problems) if file.is_some() => return Err(problems.into()),
        Err(_) => return Ok(Vec::new()),
    };
    loaded.patterns_dir.as_deref().map(user_files).transpose().map(Option::unwrap_or_default)
}

/// The user's rules and the shipped ones.
///
/// # Errors
/// When a rule file cannot be read.
pub fn own(file: Option<&Path>, around: &Surroundings) -> Result<(Rules, Vec<Problem>), Failure> {
    let mut sources = own_sources(file, around)?;
    sources.extend(builtin());
    Ok(Rules::compile(&sources))
}

/// What is wrong with the rules of this configuration, a sentence each; for the preflight check.
#[must_use]
pub fn problems(loaded: &Loaded) -> Vec<String> {
    let (rules, problems) = match all(loaded.patterns_dir.as_deref()) {
        Ok(read) => read,
        Err(failure) => return vec![failure.to_string()],
    };
    let mut out: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for source in &loaded.config.source {
        if let Err(error) =
            rules.restrict(&source.packs).map(drop).or_else(|e| if source.packs.is_empty() { Ok(()) } else { Err(e) })
        {
            out.push(format!("source '{}': {error}", source.name));
        }
    }
    out.extend(unknown_modes(loaded, &rules));
    out
}

/// Names in `[mode]` that name nothing: what the user wanted held back would be repaired all the same.
fn unknown_modes(loaded: &Loaded, rules: &Rules) -> Vec<String> {
    let probes = loaded.config.probe.iter().map(|probe| format!("{}{}", crate::vocab::PROBE_RULE, probe.name));
    let known: std::collections::BTreeSet<String> =
        rules.list().into_iter().map(|rule| rule.id).chain(probes).collect();
    let unknown = loaded.config.mode.0.keys().filter(|key| {
        *key != super::config::MODE_DEFAULT && key.parse::<crate::vocab::Class>().is_err() && !known.contains(*key)
    });
    unknown
        .map(|key| format!("[mode] '{key}' is neither a class nor a rule; `logmedic rules list` shows the rules"))
        .collect()
}

/// The rules of every source.
///
/// # Errors
/// When a rule file is wrong, or a pack or a rule in `[mode]` is not known.
pub fn load(loaded: &Loaded, specs: &[SourceSpec]) -> Result<RuleBook, Failure> {
    let (rules, problems) = all(loaded.patterns_dir.as_deref())?;
    if !problems.is_empty() {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::Other { code: 78, message: format!("failed to load the rules: {}", lines.join("; ")) });
    }
    let unknown = unknown_modes(loaded, &rules);
    if !unknown.is_empty() {
        return Err(Failure::Other { code: 78, message: format!("failed to use the modes: {}", unknown.join("; ")) });
    }
    let rules = Arc::new(rules);
    let mut book = RuleBook::new();
    for spec in specs {
        let packs = loaded.config.source.iter().find(|source| source.name == spec.name).map(|source| &source.packs);
        let own = match packs.filter(|packs| !packs.is_empty()) {
            None => Arc::clone(&rules),
            Some(packs) => Arc::new(rules.restrict(packs).map_err(|error| Failure::Other {
                code: 78,
                message: format!("failed to load the rules of source '{}': {error}", spec.name),
            })?),
        };
        book.insert(spec.name.clone(), own);
    }
    book.values().for_each(|rules| rules.warm());
    Ok(book)
}
