//! Finds, reads, mixes and checks the configuration. I/O.
//!
//! Nothing fails half-way: every problem of every file and variable is collected and shown in one run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::config::Config;
use super::overlay::{self, Variable};
use super::problem::{Problem, Problems};
use super::schema::{self, Kind};
use super::tree::{Node, Origin, Text, Value};
use super::units::FilePath;
use super::{dotenv, secrets, validate};
use crate::ledger::probes::StoredSetting;

/// A configuration file is written by hand; what is larger is another file.
const FILE_MAX: u64 = 1 << 20;
/// More files than this in `conf.d` are a slip (a whole tree copied there).
const PARTS_MAX: usize = 100;
/// More problems than this help nobody; the first ones are shown.
const PROBLEMS_MAX: usize = 100;

/// Where the process finds itself. No `Debug`: environments hold tokens.
#[derive(Clone)]
pub struct Surroundings {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Whether this is root.
    pub root: bool,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn current() -> io::Result<Self> {
        let text = |s: &OsStr| s.to_string_lossy().into_owned();
        let vars = std::env::vars_os().map(|(name, value)| (text(&name), text(&value))).collect();
        Ok(Self { vars, cwd: std::env::current_dir()?, root: nix::unistd::geteuid().is_root() })
    }

    /// A variable that is set to something.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The user's directory of this kind (XDG), or the customary one below the home directory.
    fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| self.var("HOME").map(|home| Path::new(home).join(below_home)))
    }
}

/// A configuration that holds.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is configured, with defaults and secrets filled in.
    pub config: Config,
    /// The main file; `None` when there is none.
    pub file: Option<PathBuf>,
    /// Directory of the user's own rules (`patterns.d` beside the file).
    pub patterns_dir: Option<PathBuf>,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Who says so.
    pub state_dir_origin: String,
    /// What works but should be known.
    pub warnings: Vec<String>,
    /// Every value that was said, with the place.
    pub tree: Node,
    /// The files that were read.
    pub files: Vec<Text>,
}

impl Loaded {
    /// The file of error records.
    #[must_use]
    pub fn records_path(&self) -> PathBuf {
        let named = self.config.records.path.as_ref().map(|file| file.path.clone());
        named.unwrap_or_else(|| self.state_dir.join("download_errors.jsonl"))
    }

    /// What is logmedic's own, wherever it lies: nothing there is ever repaired.
    #[must_use]
    pub fn own_places(&self) -> Vec<PathBuf> {
        let backups = self.config.backup.directory.as_ref().map(|directory| &directory.path);
        let named = self.file.iter().chain(&self.patterns_dir).chain(backups).cloned();
        named.chain([self.state_dir.clone(), self.records_path()]).collect()
    }

    /// The directory that the configuration belongs to: of the main file, else the working directory.
    #[must_use]
    pub fn base_dir<'a>(&'a self, around: &'a Surroundings) -> &'a Path {
        self.file.as_deref().and_then(Path::parent).unwrap_or(&around.cwd)
    }
}

/// Loads the configuration: `explicit` (`--config`), else the first of the known places that has one, else none.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(explicit: Option<&Path>, around: &Surroundings) -> Result<Loaded, Problems> {
    load_with(explicit, around, &[])
}

/// The same with settings that were changed while logmedic ran: they come before the files, and after the environment.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_with(
    explicit: Option<&Path>,
    around: &Surroundings,
    settings: &[StoredSetting],
) -> Result<Loaded, Problems> {
    let mut reading = Reading::new(around);
    let file = reading.locate(explicit);
    if !reading.problems.is_empty() {
        return Err(reading.failed());
    }
    reading.load(file, settings)
}

/// The configuration of a folder that has none: environment and `.env` only.
///
/// # Errors
/// Everything that is wrong with those.
pub fn zero(around: &Surroundings) -> Result<Loaded, Problems> {
    Reading::new(around).load(None, &[])
}

struct Reading<'a> {
    around: &'a Surroundings,
    files: Vec<Text>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Whether a file was not TOML throughout.
    torn: bool,
}

impl<'a> Reading<'a> {
    fn new(around: &'a Surroundings) -> Self {
        Self { around, files: Vec::new(), problems: Vec::new(), warnings: Vec::new(), torn: false }
    }

    fn failed(mut self) -> Problems {
        // In the order of the files, as a person would go through them; what stands in no file comes last.
        self.problems.sort_by_key(|problem| match &problem.origin {
            Some(Origin::File { file, value, .. }) => (*file, value.start),
            _ => (usize::MAX, 0),
        });
        self.problems.truncate(PROBLEMS_MAX);
        Problems { list: self.problems, files: self.files }
    }

    /// The main file. One that was named must exist; the customary places may be empty.
    fn locate(&mut self, explicit: Option<&Path>) -> Option<PathBuf> {
        let named = explicit.map(Path::to_owned).or_else(|| self.around.var("LOGMEDIC_CONFIG").map(PathBuf::from));
        if let Some(path) = named {
            return Some(self.around.cwd.join(path));
        }
        let user = self.around.xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("logmedic/config.toml"));
        let places = user.into_iter().chain([PathBuf::from("/etc/logmedic/config.toml")]);
        // A home that may not be entered (a unit with ProtectHome) has no configuration for us.
        places.into_iter().find(|path| path.exists())
    }

    fn load(mut self, file: Option<PathBuf>, settings: &[StoredSetting]) -> Result<Loaded, Problems> {
        let mut tree = Node::empty();
        let base = file.as_deref().and_then(Path::parent).unwrap_or(&self.around.cwd).to_owned();
        if let Some(path) = &file {
            self.read_config(path, &mut tree);
            for part in self.parts(&base.join("conf.d")) {
                self.read_config(&part, &mut tree);
            }
        }
        settings.iter().filter_map(setting).for_each(|node| tree.lay(node));
        let (environment, dotenv) = (self.environment(), self.dotenv(&base.join(".env")));
        let variables: Vec<Variable> = environment.into_iter().chain(dotenv).collect();
        flatten_modes(&mut tree);
        schema::check(&mut tree, schema::root(), "", &mut self.problems);
        // The environment comes before `.env`; the last one laid wins.
        let reversed: Vec<Variable> = variables.into_iter().rev().collect();
        overlay::keys(&mut tree, &reversed, &mut self.problems);
        let variables: Vec<Variable> = reversed.into_iter().rev().collect();
        overlay::bots_own(&mut tree, &variables, &mut self.problems);

        let mut config = self.read_values(&mut tree);
        trim_urls(&mut config);
        let whole = self.problems.is_empty();
        if !self.torn {
            validate::check(&config, &tree, whole, &mut self.problems);
        }
        let credentials = self.around.var("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        secrets::resolve(&mut config, &mut tree, credentials.as_deref(), &mut self.problems);
        super::channels::resolve(&mut config, &mut tree, &mut self.problems);
        let state = self.state_dir(&config, &tree);
        if !self.problems.is_empty() {
            return Err(self.failed());
        }
        let (state_dir, state_dir_origin) = state.unwrap_or_default();
        let patterns_dir = file.as_ref().map(|_| base.join("patterns.d"));
        let Self { files, warnings, .. } = self;
        Ok(Loaded { config, file, patterns_dir, state_dir, state_dir_origin, warnings, tree, files })
    }

    /// The parts in `conf.d`, in name order.
    fn parts(&mut self, dir: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.unreadable(dir, &error);
                return Vec::new();
            }
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut parts: Vec<PathBuf> = paths.filter(|p| p.extension() == Some(OsStr::new("toml"))).collect();
        parts.sort();
        if parts.len() > PARTS_MAX {
            let message = format!("{} holds {} files, more than {PARTS_MAX}", dir.display(), parts.len());
            self.problems.push(Problem::general(message).remedy("move what is not configuration elsewhere"));
            parts.truncate(PARTS_MAX);
        }
        parts
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "name the file with --config FILE, or write one with: logmedic init".to_owned(),
            io::ErrorKind::PermissionDenied => {
                format!("let this user read it: chmod u+r {0}, or: chown \"$USER\" {0}", path.display())
            }
            _ => "name a readable TOML file".to_owned(),
        };
        let problem = Problem::general(format!("failed to read {}: {error}", path.display())).remedy(remedy);
        self.problems.push(Problem { denied: error.kind() == io::ErrorKind::PermissionDenied, ..problem });
    }

    fn read_config(&mut self, path: &Path, tree: &mut Node) {
        let text = match read_bounded(path) {
            Ok((text, meta)) => {
                self.check_owner(path, &meta);
                text
            }
            Err(error) => return self.unreadable(path, &error),
        };
        let file = self.files.len();
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let origin = Origin::File { file, key: span.clone(), value: span };
            let problem = Problem::at(&origin, error.message());
            self.problems.push(problem.remedy("correct the TOML here: key = \"text\", key = 5, [section]"));
        }
        // What could be read of a torn file is laid all the same: the load fails, but finds more of what is wrong.
        tree.lay(Node::from_file(file, &table));
        self.torn |= !errors.is_empty();
        self.files.push(Text { path: shorter(path, &self.around.cwd), text });
    }

    /// Who may write the configuration decides what logmedic runs.
    fn check_owner(&mut self, path: &Path, meta: &fs::Metadata) {
        let mode = meta.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let who = if mode & 0o002 != 0 { "every user of this machine" } else { "a whole group" };
            let message = format!("{who} may change {} (mode {mode:04o}), and so what logmedic runs", path.display());
            self.problems.push(Problem::general(message).remedy(format!("chmod go-w {}", path.display())));
        }
        if self.around.root && meta.uid() != 0 {
            let message = format!(
                "{} belongs to user {}, who can so decide what root runs; chown root {0}",
                path.display(),
                meta.uid()
            );
            self.warnings.push(message);
        }
    }

    fn environment(&self) -> Vec<Variable> {
        let named = |(name, text): (&String, &String)| Variable {
            name: name.clone(),
            text: text.clone(),
            origin: Origin::Env { name: name.clone() },
        };
        self.around.vars.iter().map(named).collect()
    }

    /// The bot's own `.env`. It is the bot's file: a mode that is too wide is worth a warning, not a refusal.
    fn dotenv(&mut self, path: &Path) -> Vec<Variable> {
        let (text, meta) = match read_bounded(path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.warnings.push(format!("failed to read {}: {error}", path.display()));
                return Vec::new();
            }
        };
        let shown = shorter(path, &self.around.cwd);
        if meta.mode() & 0o007 != 0 {
            let warning = format!("every user of this machine may read {}; chmod o= {0}", shown.display());
            self.warnings.push(warning);
        }
        let named = |(line, name, text): (usize, String, String)| {
            let origin = Origin::DotEnv { path: shown.clone(), line, name: name.clone() };
            Variable { name, text, origin }
        };
        // The last line wins within the file, as for the bots that read it.
        dotenv::parse(&text).into_iter().rev().map(named).collect()
    }

    /// Reads the typed values. What cannot be read is reported, left out, and the rest is read again.
    fn read_values(&mut self, tree: &mut Node) -> Config {
        for _ in 0..PROBLEMS_MAX {
            let value = self.to_toml(tree, schema::root());
            let error = match serde_path_to_error::deserialize::<_, Config>(value) {
                Ok(config) => return config,
                Err(error) => error,
            };
            let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
            let path: Vec<String> = path.iter().map(|s| s.trim_matches(['[', ']']).to_owned()).collect();
            let shown = error.path().to_string();
            let said = error.into_inner().to_string();
            let said = said.trim().lines().next().unwrap_or_default();
            let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            let key: Vec<String> = path.iter().cloned().chain(missing.map(str::to_owned)).collect();
            let message = format!("`{shown}`: {}", plain_words(said));
            let mut problem = Problem::at(&tree.nearest(&path).origin, message);
            problem.remedy = schema::describe(&key).map(|text| match missing {
                Some(name) => format!("add `{name} = …`. {text}"),
                None => text,
            });
            self.problems.push(problem);
            if !tree.prune(&path) {
                break;
            }
        }
        Config::default()
    }

    /// Plain values for serde, with each path resolved against the place that says it.
    fn to_toml(&self, node: &Node, schema: &serde_json::Value) -> toml::Value {
        match (&node.value, schema::kind(schema)) {
            (Value::Scalar(toml::Value::String(shown)), Kind::Leaf(_, "path")) => {
                let home = self.around.var("HOME").map(Path::new);
                let path = FilePath::resolve(shown, &self.base(&node.origin), home).path;
                let fields = [("path", path.to_string_lossy().into_owned()), ("shown", shown.clone())];
                toml::Value::Table(fields.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect())
            }
            (Value::Scalar(value), _) => value.clone(),
            (Value::List(list), Kind::List(items)) => {
                toml::Value::Array(list.iter().map(|item| self.to_toml(item, items)).collect())
            }
            (Value::List(_), _) => toml::Value::Array(Vec::new()),
            (Value::Table(table), kind) => {
                let child = |(key, node): (&String, &Node)| {
                    let schema = match kind {
                        Kind::Table(keys) => keys.get(key)?,
                        Kind::Map(values) => values,
                        _ => return None,
                    };
                    Some((key.clone(), self.to_toml(node, schema)))
                };
                toml::Value::Table(table.iter().filter_map(child).collect())
            }
        }
    }

    /// The directory that relative paths said by `origin` belong to.
    fn base(&self, origin: &Origin) -> PathBuf {
        let parent = |path: &Path| self.around.cwd.join(path).parent().map(Path::to_owned);
        match origin {
            Origin::File { file, .. } => self.files.get(*file).and_then(|text| parent(&text.path)),
            Origin::DotEnv { path, .. } => parent(path),
            Origin::Env { .. } | Origin::Credential { .. } | Origin::Setting { .. } => None,
        }
        .unwrap_or_else(|| self.around.cwd.clone())
    }

    /// The state directory and who says so.
    fn state_dir(&mut self, config: &Config, tree: &Node) -> Option<(PathBuf, String)> {
        if let Some(dir) = &config.state.dir {
            let origin = tree.get(&["state", "dir"]).map(|node| super::problem::place(&node.origin, &self.files));
            return Some((dir.path.clone(), origin.unwrap_or_default()));
        }
        // systemd separates several directories by colons; the first is ours.
        let systemd = self.around.var("STATE_DIRECTORY").and_then(|dirs| dirs.split(':').next());
        if let Some(dir) = systemd {
            return Some((self.around.cwd.join(dir), "env STATE_DIRECTORY".into()));
        }
        let named = self.around.var("XDG_STATE_HOME").is_some_and(|dir| Path::new(dir).is_absolute());
        if self.around.root && !named {
            return Some((PathBuf::from("/var/lib/logmedic"), "default for root".into()));
        }
        if let Some(dir) = self.around.xdg("XDG_STATE_HOME", ".local/state") {
            return Some((dir.join("logmedic"), "default".into()));
        }
        let problem = Problem::general("no place for the state directory: neither HOME nor XDG_STATE_HOME is set");
        self.problems.push(problem.remedy("set LOGMEDIC_STATE__DIR, or write dir = \"/a/directory\" under [state]"));
        None
    }
}

/// A changed setting as a tree of its own. `None` for what is no single value: nobody can have stored it.
fn setting(stored: &StoredSetting) -> Option<Node> {
    let origin = Origin::Setting { key: stored.key.clone(), account: stored.account.clone() };
    let value: toml::Value = match serde_json::from_str(&stored.json).ok()? {
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Bool(flag) => flag.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        _ => return None,
    };
    let leaf = Node::scalar(origin.clone(), value);
    Some(stored.key.rsplit('.').fold(leaf, |node, key| Node {
        origin: origin.clone(),
        value: Value::Table(BTreeMap::from([(key.to_owned(), node)])),
    }))
}

fn read_bounded(path: &Path) -> io::Result<(String, fs::Metadata)> {
    let other = |text: &str| io::Error::other(text.to_owned());
    // Looked at before it is opened: opening a FIFO would wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(other("not a regular file"));
    }
    let file = fs::File::open(path)?;
    let meta = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(other("larger than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        other(&format!("line {line} is not UTF-8 text"))
    })?;
    Ok((text, meta))
}

/// The path as a person in the working directory would write it.
fn shorter(path: &Path, cwd: &Path) -> PathBuf {
    path.strip_prefix(cwd).map_or_else(|_| path.to_owned(), Path::to_owned)
}

/// `aria2.disk_full = "off"` under `[mode]` is a table in a table to TOML; people mean the rule's id.
fn flatten_modes(tree: &mut Node) {
    let Value::Table(top) = &mut tree.value else { return };
    let Some(Node { value: Value::Table(modes), .. }) = top.get_mut("mode") else { return };
    for (pack, node) in std::mem::take(modes) {
        match node.value {
            Value::Table(rules) => {
                modes.extend(rules.into_iter().map(|(rule, node)| (format!("{pack}.{rule}"), node)));
            }
            value => drop(modes.insert(pack, Node { origin: node.origin, value })),
        }
    }
}

/// serde's words for types, in words that people use.
fn plain_words(said: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("expected i64", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
        ("a boolean", "true or false"),
        ("unknown variant", "unknown word"),
    ];
    WORDS.iter().fold(said.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Bots write the address with `/bot` or a slash at the end, as their libraries want it.
fn trim_urls(config: &mut Config) {
    for url in [&mut config.bot_api.url, &mut config.telegram.api_url] {
        let short = url.trim().trim_end_matches('/');
        *url = short.strip_suffix("/bot").unwrap_or(short).to_owned();
    }
}

#[cfg(test)]
mod tests;
