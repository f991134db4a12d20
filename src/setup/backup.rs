//! Tells the room of backups what there is: places, roots, schedule, and the configuration with or without its secrets. I/O.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::config::{Config, Root};
use super::load::{Loaded, Surroundings};
use super::schema::{self, Kind};
use super::tree::{Node, Origin, Value};
use crate::backup::{BackupTask, Piece, Place, Settings};
use crate::operate::Task;
use crate::operate::schedule::Schedule;
use crate::vocab::redact;

/// The name of the folder in the state directory.
const FOLDER: &str = "backups";

/// The largest file of a configuration: rule files may have 4 MiB.
const FILE_MAX: u64 = 4 << 20;

/// Files of one folder at most, as many as are read.
const FILES_MAX: usize = 500;

/// What stands for a secret that was left out.
const LEFT_OUT: &str = "\"left-out-of-this-backup\"";

/// The same for an address.
const LEFT_OUT_URL: &str = "\"https://left-out-of-this-backup.invalid/\"";

/// Makes and proves backups.
#[must_use]
pub fn task(loaded: &Loaded, around: &Surroundings) -> Box<dyn Task> {
    Box::new(BackupTask::new(settings(loaded, around)))
}

/// Where backups are kept.
#[must_use]
pub fn place(loaded: &Loaded) -> Place {
    Place::new(directory(loaded), loaded.state_dir.clone())
}

fn directory(loaded: &Loaded) -> PathBuf {
    let named = loaded.config.backup.directory.as_ref().map(|directory| directory.path.clone());
    named.unwrap_or_else(|| loaded.state_dir.join(FOLDER))
}

/// How backups are made.
#[must_use]
pub fn settings(loaded: &Loaded, around: &Surroundings) -> Settings {
    let backup = &loaded.config.backup;
    let daily = backup.at.as_deref().and_then(|at| Schedule::daily(at).ok());
    let files = Files::of(loaded, around);
    Settings {
        state: loaded.state_dir.clone(),
        directory: directory(loaded),
        roots: loaded.config.root.iter().map(Root::spec).collect(),
        pieces: Arc::new(move |secrets| files.read(secrets)),
        keep: backup.keep,
        keep_for: backup.keep_for.map(|age| age.0),
        media: backup.media,
        secrets: backup.secrets,
        schedule: backup.every.map(|every| Schedule::Every(every.0)).or(daily),
    }
}

/// The files of a configuration.
struct Files {
    base: PathBuf,
    main: Option<PathBuf>,
    templates: Option<PathBuf>,
    secrets: Vec<PathBuf>,
}

/// What was read so far.
#[derive(Default)]
struct Read {
    pieces: Vec<Piece>,
    names: BTreeSet<String>,
    unread: Vec<String>,
}

impl Files {
    fn of(loaded: &Loaded, around: &Surroundings) -> Self {
        let base = around.cwd.join(loaded.base_dir(around));
        let mut secrets = vec![base.join(".env")];
        secrets.extend(secret_files(&loaded.config));
        let templates = loaded.config.telegram.templates.as_ref().map(|file| file.path.clone());
        Self { base, main: loaded.file.clone(), templates, secrets }
    }

    fn read(&self, secrets: bool) -> (Vec<Piece>, Vec<String>) {
        let mut read = Read::default();
        if let Some(main) = &self.main {
            self.config(main, secrets, &mut read);
            for part in toml_files(&self.base.join("conf.d"), &mut read) {
                self.config(&part, secrets, &mut read);
            }
            for rules in toml_files(&self.base.join("patterns.d"), &mut read) {
                self.plain(&rules, false, &mut read);
            }
        }
        let templates = self
            .templates
            .iter()
            .flat_map(|path| if path.is_dir() { toml_files(path, &mut Read::default()) } else { vec![path.clone()] });
        templates.collect::<Vec<_>>().iter().for_each(|path| self.plain(path, false, &mut read));
        if secrets {
            self.secrets.iter().filter(|path| path.exists()).for_each(|path| self.plain(path, true, &mut read));
        }
        (read.pieces, read.unread)
    }

    /// A file that may hold secrets among other things.
    fn config(&self, path: &Path, secrets: bool, read: &mut Read) {
        let Some(content) = bounded(path, read) else { return };
        let Ok(text) = String::from_utf8(content) else {
            read.unread.push(format!("{} is no text", path.display()));
            return;
        };
        match without_secrets(&text) {
            Some(plain) => {
                let secret = secrets && plain != text;
                self.add(path, if secrets { text } else { plain }.into_bytes(), secret, read);
            }
            None if secrets => self.add(path, text.into_bytes(), true, read),
            None => read.unread.push(format!(
                "{} is not TOML throughout, so its secrets cannot be left out; correct it",
                path.display()
            )),
        }
    }

    fn plain(&self, path: &Path, secret: bool, read: &mut Read) {
        if let Some(content) = bounded(path, read) {
            self.add(path, content, secret, read);
        }
    }

    /// Adds a file: below the configuration's directory where it is, else apart, with the place it came from.
    fn add(&self, path: &Path, content: Vec<u8>, secret: bool, read: &mut Read) {
        let below = path.strip_prefix(&self.base).ok().and_then(Path::to_str).map(str::to_owned);
        let apart = || {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (0..)
                .map(|n| if n == 0 { format!("elsewhere/{name}") } else { format!("elsewhere/{n}-{name}") })
                .find(|name| !read.names.contains(name))
        };
        let from = below.is_none().then(|| path.to_path_buf());
        let Some(name) = below.or_else(apart) else { return };
        if read.names.insert(name.clone()) {
            read.pieces.push(Piece { path: name, from, content, secret });
        }
    }
}

/// Files that hold one secret each.
fn secret_files(config: &Config) -> Vec<PathBuf> {
    let own = [&config.bot_api.token_file, &config.telegram.token_file];
    let channels = config.channel.iter().flat_map(|channel| [&channel.url_file, &channel.secret_file]);
    own.into_iter().chain(channels).flatten().map(|file| file.path.clone()).collect()
}

/// The TOML files of a folder, in name order.
fn toml_files(dir: &Path, read: &mut Read) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            read.unread.push(format!("{}: {error}", dir.display()));
            return Vec::new();
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        read.unread.push(format!("{} holds more than {FILES_MAX} files", dir.display()));
        paths.truncate(FILES_MAX);
    }
    paths
}

fn bounded(path: &Path, read: &mut Read) -> Option<Vec<u8>> {
    let get = || {
        // A pipe would be waited for.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        let mut content = Vec::new();
        fs::File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut content)?;
        if content.len() as u64 > FILE_MAX {
            return Err(io::Error::other(format!("it is longer than {FILE_MAX} bytes")));
        }
        Ok(content)
    };
    get().map_err(|error| read.unread.push(format!("{}: {error}", path.display()))).ok()
}

/// Where secrets stand: what the schema calls one, and every variable of the bot.
fn secrets(node: &Node, schema: &serde_json::Value, path: &[&str], found: &mut Vec<(Range<usize>, &'static str)>) {
    match (schema::kind(schema), &node.value) {
        (Kind::Table(keys), Value::Table(table)) => {
            for (key, child) in table {
                if let Some(known) = keys.get(key) {
                    secrets(child, known, &[path, &[key]].concat(), found);
                }
            }
        }
        (Kind::Map(values), Value::Table(table)) => {
            table.values().for_each(|child| secrets(child, values, &[path, &["*"]].concat(), found));
        }
        (Kind::List(items), Value::List(list)) => list.iter().for_each(|child| secrets(child, items, path, found)),
        (Kind::Leaf(_, format), _) if format == "secret" || path == ["bot", "env", "*"] => {
            if let Origin::File { value, .. } = &node.origin {
                let instead = if path.last() == Some(&"url") { LEFT_OUT_URL } else { LEFT_OUT };
                found.push((value.clone(), instead));
            }
        }
        _ => {}
    }
}

/// The text of a configuration file without tokens, passwords and the bot's variables; `None` when it is no TOML.
fn without_secrets(text: &str) -> Option<String> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return None;
    }
    let node = Node::from_file(0, &table);
    let mut found = Vec::new();
    secrets(&node, schema::root(), &[], &mut found);
    // From the end, so that the places before stay where they are.
    found.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    let mut plain = text.to_owned();
    for (at, instead) in found {
        if plain.get(at.clone()).is_some() {
            plain.replace_range(at, instead);
        }
    }
    Some(redact(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_no_secret_of_a_configuration_is_left_in_it() {
        let text = r#"
language = "es"
[telegram]
token = "s3cret-one"   # mine
token_file = "alerts.token"
[bot_api]
token = '''s3cret-two'''
[bot]
env = { A = "s3cret-three", B = "s3cret-four" }
[[channel]]
name = "ops"
url = "https://hooks.example.org/s3cret-five"
secret = "s3cret-six"
[[channel]]
secret = "s3cret-seven"
[[probe]]
http = "http://me:s3cret-eight@host/"
"#;
        let plain = without_secrets(text).unwrap();
        assert!(!plain.contains("s3cret"), "{plain}");
        assert!(
            plain.contains("token_file = \"alerts.token\"") && plain.contains("# mine") && plain.contains("\"es\"")
        );
        assert!(DeTable::parse_recoverable(&plain).1.is_empty(), "it is TOML as before: {plain}");
        assert_eq!(without_secrets("token = "), None);
        assert_eq!(without_secrets("language = \"en\"\n").unwrap(), "language = \"en\"\n");
    }
}
