//! Finds out what is in a bot's folder: logs, media, library, unit, tokens. I/O; changes nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::{Gid, Group, Uid, User};

use crate::setup::dotenv;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The bot's program: file name of the script, and the words that start it.
    pub command: Option<Vec<String>>,
    /// Libraries and tools that the bot names among its dependencies.
    pub libraries: Vec<String>,
    /// Where it logs.
    pub log: Option<LogPlace>,
    /// Where it saves.
    pub media: Vec<MediaDir>,
    /// The systemd unit that runs it.
    pub unit: Option<Unit>,
    /// Names of the known variables in `.env`.
    pub variables: Vec<String>,
    /// Whether a compose file runs a local Bot API server.
    pub local_server: bool,
    /// Whether a `config.toml` or tokens in files are there already.
    pub token_files: Vec<String>,
}

/// Where a bot logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// A file or a glob, relative to the folder.
    pub path: String,
    /// How many files that names now.
    pub files: usize,
}

/// A directory with media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDir {
    /// Its name in the folder.
    pub name: String,
    /// The path to write: its own name, or what a link leads to.
    pub path: String,
    /// Owner, by name where there is one.
    pub owner: String,
    /// Group, by name where there is one.
    pub group: String,
    /// Its mode.
    pub dir_mode: u32,
    /// The mode of the first file in it.
    pub file_mode: Option<u32>,
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, `bot.service`.
    pub name: String,
    /// `User=`.
    pub user: Option<String>,
}

/// Directories in which such bots save.
const MEDIA: &[&str] = &["models", "downloads", "download", "media", "videos", "files", "output"];
/// Programs such bots start with, and what runs them.
const SCRIPTS: &[(&str, &str)] = &[
    ("main.py", "python3"),
    ("bot.py", "python3"),
    ("app.py", "python3"),
    ("run.py", "python3"),
    ("index.js", "node"),
    ("bot.js", "node"),
];
/// Files that name dependencies.
const MANIFESTS: &[&str] =
    &["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "package.json", "Cargo.toml", "go.mod"];
/// Libraries and tools, as manifests name them.
const LIBRARIES: &[&str] = &[
    "python-telegram-bot",
    "aiogram",
    "pyTelegramBotAPI",
    "pyrogram",
    "telethon",
    "telegraf",
    "grammy",
    "node-telegram-bot-api",
    "teloxide",
    "telebot",
    "yt-dlp",
    "gallery-dl",
    "aria2",
    "ffmpeg",
    "httpx",
    "aiohttp",
    "requests",
];
/// Variables of `.env` that logmedic understands.
const VARIABLES: &[&str] =
    &["TELEGRAM_TOKEN", "BOT_TOKEN", "TELEGRAM_BOT_TOKEN", "ADMIN_ID", "ADMIN_IDS", "TELEGRAM_API_URL"];
const COMPOSE: &[&str] = &["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];
/// More names than this in one directory are not looked at: it is not a bot's folder.
const NAMES_MAX: usize = 2_000;
/// Manifests, units and the like are small; larger files are not read.
const TEXT_MAX: u64 = 1 << 20;

/// Looks at `dir`.
#[must_use]
pub fn look(dir: &Path) -> Found {
    let script = SCRIPTS.iter().find(|(file, _)| dir.join(file).is_file());
    let variables = dotenv::parse(&read(&dir.join(".env"))).into_iter().map(|(_, name, _)| name);
    Found {
        command: script.map(|(file, with)| vec![runner(dir, with), (*file).to_owned()]),
        libraries: libraries(dir),
        log: log(dir),
        media: MEDIA.iter().filter_map(|name| media(dir, name)).collect(),
        unit: unit(dir),
        variables: variables.filter(|name| VARIABLES.contains(&name.as_str())).collect(),
        local_server: COMPOSE.iter().any(|file| read(&dir.join(file)).contains("telegram-bot-api")),
        token_files: ["bot.token", "alerts.token"]
            .into_iter()
            .filter(|file| dir.join(file).is_file())
            .map(str::to_owned)
            .collect(),
    }
}

/// A small text file; nothing when it is missing, large, or no text.
fn read(path: &Path) -> String {
    let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= TEXT_MAX);
    if small { fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

/// The Python of the bot's own environment, where it has one.
fn runner(dir: &Path, with: &str) -> String {
    let own = [".venv/bin/python3", "venv/bin/python3", "env/bin/python3"];
    let own = own.into_iter().find(|path| with == "python3" && dir.join(path).exists());
    own.map_or_else(|| with.to_owned(), |path| format!("./{path}"))
}

fn libraries(dir: &Path) -> Vec<String> {
    let text: String = MANIFESTS.iter().map(|file| read(&dir.join(file)).to_ascii_lowercase() + "\n").collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words: Vec<&str> = text.split(|c| !is_word(c)).collect();
    let known = |name: &&&str| words.contains(&name.to_ascii_lowercase().as_str());
    LIBRARIES.iter().filter(known).map(|name| (*name).to_owned()).collect()
}

/// Names in a directory that can be written into a configuration, sorted.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    let plain = |name: &String| !name.contains(char::is_control);
    let mut names: Vec<String> =
        entries.take(NAMES_MAX).filter_map(Result::ok).filter_map(name).filter(plain).collect();
    names.sort();
    names
}

/// The log that was written last; several in `logs/` become a glob.
fn log(dir: &Path) -> Option<LogPlace> {
    let newest = |paths: &[PathBuf]| {
        let time =
            |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        paths.iter().max_by_key(|path| time(path)).cloned()
    };
    for below in ["logs", "log", ""] {
        let logs = names(&dir.join(below)).into_iter().filter(|name| name.ends_with(".log"));
        let paths: Vec<PathBuf> = logs.map(|name| Path::new(below).join(name)).collect();
        let full: Vec<PathBuf> = paths.iter().map(|path| dir.join(path)).filter(|path| path.is_file()).collect();
        match full.len() {
            0 if !below.is_empty() && dir.join(below).is_dir() => {
                return Some(LogPlace { path: format!("{below}/*.log"), files: 0 });
            }
            0 => {}
            1 => {
                let path = newest(&full)?.strip_prefix(dir).ok()?.to_string_lossy().into_owned();
                return Some(LogPlace { path: escape_glob(&path), files: 1 });
            }
            files => {
                let path = if below.is_empty() { "*.log".to_owned() } else { format!("{below}/*.log") };
                return Some(LogPlace { path, files });
            }
        }
    }
    None
}

/// A file name with characters that a glob would read as a pattern.
fn escape_glob(path: &str) -> String {
    if path.contains(['*', '?', '[']) { glob::Pattern::escape(path) } else { path.to_owned() }
}

fn media(dir: &Path, name: &str) -> Option<MediaDir> {
    let link = fs::symlink_metadata(dir.join(name)).ok()?;
    let real = if link.is_symlink() { fs::canonicalize(dir.join(name)).ok()? } else { PathBuf::from(name) };
    let meta = fs::metadata(dir.join(name)).ok().filter(fs::Metadata::is_dir)?;
    let owner = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten().map(|user| user.name);
    let group = Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten().map(|group| group.name);
    let path = real.to_str().filter(|path| !path.contains(char::is_control))?;
    Some(MediaDir {
        name: name.to_owned(),
        path: path.to_owned(),
        owner: owner.unwrap_or_else(|| meta.uid().to_string()),
        group: group.unwrap_or_else(|| meta.gid().to_string()),
        dir_mode: meta.mode() & 0o3777,
        file_mode: file_mode(&dir.join(name)),
    })
}

/// The mode of the first file in a directory or in its first directories.
fn file_mode(dir: &Path) -> Option<u32> {
    let here = names(dir);
    let below =
        here.iter().flat_map(|name| names(&dir.join(name)).into_iter().map(move |file| format!("{name}/{file}")));
    let mut metas = here.iter().cloned().chain(below).filter_map(|name| fs::symlink_metadata(dir.join(name)).ok());
    metas.find(fs::Metadata::is_file).map(|meta| meta.mode() & 0o777)
}

/// A unit in the folder, or an installed one that works in it.
fn unit(dir: &Path) -> Option<Unit> {
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        line.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let read_unit = |place: &Path, name: &String| {
        let text = read(&place.join(name));
        (name.ends_with(".service") && text.contains("ExecStart"))
            .then(|| (Unit { name: name.clone(), user: value(&text, "User") }, text))
    };
    if let Some((unit, _)) = names(dir).iter().find_map(|name| read_unit(dir, name)) {
        return Some(unit);
    }
    let system = Path::new("/etc/systemd/system");
    let here = dir.to_str()?;
    let works_here = |text: &str| {
        value(text, "WorkingDirectory").is_some_and(|wd| wd.trim_end_matches('/') == here)
            || text.lines().any(|line| line.trim().starts_with("ExecStart") && line.contains(&format!("{here}/")))
    };
    names(system)
        .iter()
        .filter_map(|name| read_unit(system, name))
        .find(|(_, text)| works_here(text))
        .map(|(unit, _)| unit)
}
