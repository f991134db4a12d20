//! `logmedic notifications`: what people were told; reading, clearing, sending, trying and previewing. Also while no agent runs.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use chrono::Utc;

use super::{Done, Failure, json_line, stdout};
use crate::ledger::notifications::{self as table, Filter};
use crate::ledger::rusqlite::{self, Connection, OpenFlags, Transaction, TransactionBehavior};
use crate::ledger::{Ledger, outbox as owed};
use crate::outbox::{self, ChannelPace, ChannelSettings, Lang, Note, Texts, Tried, Way};
use crate::serve::notifications::{Notification, custom};
use crate::setup::agent::state_failure;
use crate::setup::channels;
use crate::setup::load::{self, Loaded, Surroundings};
use crate::setup::policy;
use crate::vocab::{Level, Notice, Severity, Stage, Story, Subject, SubjectKind, clean_line, shorten};

/// How long the agent may keep the database busy before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// How much of a title a table shows.
const SHOWN: usize = 90;

/// Entries shown at most; as many as are kept.
const LIMIT_MAX: u32 = 10_000;

/// Lists what people were told, newest first, or does what a word behind it says.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do; without it they are listed.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Then go on and tell what changes.
    #[arg(long)]
    pub follow: bool,
    /// Only what nobody has read.
    #[arg(long)]
    pub unread: bool,
    /// Only this level: info, success, warning, error.
    #[arg(long, value_parser = level)]
    pub level: Option<Level>,
    /// Only what holds this text.
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// Mark one as read, or all.
    Read {
        /// Its identifier.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Take all entries out; what was not delivered of them is not delivered any more.
    Clear,
    /// Send a trial message at once, and tell what came of it. Exit code 1 when one did not arrive.
    Test {
        /// Only this channel, or `telegram`.
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Tell everybody something of your own; the running agent delivers it.
    Send {
        /// How loud: info, success, warning, error.
        #[arg(long, value_parser = level, default_value = "info")]
        level: Level,
        /// One line.
        title: String,
        /// More.
        #[arg(default_value = "")]
        text: String,
    },
    /// Show what would be sent, and send nothing.
    #[command(visible_alias = "dry-run")]
    Preview {
        /// An entry's identifier.
        #[arg(required_unless_present = "sample", conflicts_with = "sample")]
        id: Option<String>,
        /// Something made up instead of an entry.
        #[arg(long)]
        sample: bool,
        /// With the words of this channel.
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// In this language: en, es.
        #[arg(long, value_parser = language)]
        lang: Option<Lang>,
    },
}

fn level(text: &str) -> Result<Level, String> {
    Level::parse(text).ok_or_else(|| "write info, success, warning or error".to_owned())
}

fn language(text: &str) -> Result<Lang, String> {
    match text {
        "en" => Ok(Lang::En),
        "es" => Ok(Lang::Es),
        _ => Err("write en or es".into()),
    }
}

/// Does it.
///
/// # Errors
/// When the configuration is wrong, the state cannot be used, or there is no such entry or channel.
pub fn run(args: Args, file: Option<&Path>, around: &Surroundings) -> Done {
    let loaded = load::load(file, around)?;
    match args.action.clone() {
        None => list(&args, &loaded),
        Some(Action::Read { id, .. }) => {
            let count = change(&loaded, |tx| match &id {
                Some(id) => table::read(tx, id, Utc::now()).map(|found| found.map(usize::from)),
                None => table::read_all(tx, Utc::now()).map(Some),
            })?;
            let count = count.ok_or_else(|| unknown(id.as_deref().unwrap_or_default()))?;
            said(&format!("{count} marked as read"))
        }
        Some(Action::Clear) => {
            let count = change(&loaded, table::clear)?;
            said(&format!("{count} cleared"))
        }
        Some(Action::Send { level, title, text }) => {
            let notice = custom(level, &title, &text, &user(), Utc::now())
                .map_err(|error| Failure::Other { code: 2, message: format!("failed to send: {error}") })?;
            change(&loaded, |tx| owed::put(tx, &notice))?;
            said(&notice.key)
        }
        Some(Action::Test { channel, json }) => test(&loaded, channel.as_deref(), json),
        Some(Action::Preview { id, channel, lang, .. }) => preview(&loaded, id.as_deref(), channel.as_deref(), lang),
    }
}

fn unknown(id: &str) -> Failure {
    Failure::failed(format!("failed to find notification {id}; `logmedic notifications` lists them"))
}

fn said(text: &str) -> Done {
    let mut out = stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(0)
}

fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "command".into(), |user| user.name)
}

fn texts(loaded: &Loaded) -> Result<Texts, Failure> {
    let dir = loaded.config.telegram.templates.as_ref().map(|dir| dir.path.as_path());
    Texts::load(policy::language(loaded), dir).map_err(|error| Failure::Other { code: 78, message: error.to_string() })
}

fn list(args: &Args, loaded: &Loaded) -> Done {
    let mut out = stdout();
    let db = if loaded.state_dir.join("state.db").exists() {
        Some(Ledger::look(&loaded.state_dir).map_err(|error| state_failure(&error))?)
    } else {
        None
    };
    let filter = Filter {
        level: args.level,
        unread: args.unread.then_some(true),
        search: args.search.clone(),
        ..Filter::default()
    };
    let texts = texts(loaded)?;
    let look = || {
        let Some(db) = &db else { return Ok(Vec::new()) };
        let found = table::list(db, &filter, args.limit.min(LIMIT_MAX)).map_err(|error| failed(&error))?;
        Ok(found.into_iter().map(|entry| Notification::of(entry, &texts)).collect())
    };
    let nothing = (!args.json).then_some("nobody was told anything");
    super::list(args.follow && db.is_some(), look, nothing, &mut out, |out, one: &Notification| {
        show(out, one, args.json)
    })
}

fn show(out: &mut impl io::Write, one: &Notification, json: bool) -> Result<(), Failure> {
    if json {
        return json_line(out, one);
    }
    let mark = if one.read { ' ' } else { '*' };
    let title = shorten(&one.title, SHOWN);
    writeln!(out, "{mark} {}  {}  {:<7}  {}", clean_line(&one.id), one.at, one.level, clean_line(&title))?;
    Ok(())
}

fn failed(error: &rusqlite::Error) -> Failure {
    Failure::failed(format!("failed to use the state database: {error}"))
}

/// Changes the database beside the running agent, which notices it.
fn change<T>(loaded: &Loaded, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, Failure> {
    let path = loaded.state_dir.join("state.db");
    if !path.exists() {
        let dir = loaded.state_dir.display();
        return Err(Failure::failed(format!("failed to find any state in {dir}: start `logmedic run` first")));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(&path, flags).map_err(|error| failed(&error))?;
    db.busy_timeout(BUSY).map_err(|error| failed(&error))?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| failed(&error))?;
    let value = work(&tx).map_err(|error| failed(&error))?;
    tx.commit().map_err(|error| failed(&error))?;
    Ok(value)
}

fn test(loaded: &Loaded, name: Option<&str>, json: bool) -> Done {
    let (all, _) = channels::settings(loaded);
    let wanted: Vec<ChannelSettings> =
        all.into_iter().filter(|one| name.is_none_or(|name| name == one.name || name == one.full())).collect();
    let telegram = policy::telegram(loaded).filter(|_| name.is_none_or(|name| name == "telegram"));
    if wanted.is_empty() && telegram.is_none() {
        let message = match name {
            Some(name) => format!("failed to find a channel called {name}; `logmedic config show` lists them"),
            None => "failed to find a channel: add [telegram] with a token and admins, or a [[channel]]".to_owned(),
        };
        return Err(Failure::Other { code: 78, message });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("failed to start: {error}")))?;
    let tried: Vec<Tried> = runtime.block_on(async {
        let mut out = Vec::new();
        if let Some(telegram) = telegram {
            let texts = Texts::shipped(telegram.language);
            let reached = outbox::tell_now(&telegram, &texts.trial("telegram", Utc::now())).await;
            let (ok, all) = (reached == telegram.admins.len(), telegram.admins.len());
            out.push(Tried { channel: "telegram".into(), ok, detail: format!("{reached} of {all} chats reached") });
        }
        for one in &wanted {
            // Browsers are known to the running agent only.
            if !matches!(one.way, Way::Push(_)) {
                out.push(outbox::try_channel(one, &ChannelPace::default()).await);
            }
        }
        out
    });
    let mut out = stdout();
    for one in &tried {
        if json {
            json_line(&mut out, one)?;
        } else {
            let mark = if one.ok { "ok    " } else { "failed" };
            writeln!(out, "{mark}  {}  {}", one.channel, clean_line(&one.detail))?;
        }
    }
    out.flush()?;
    Ok(u8::from(!tried.iter().all(|one| one.ok)))
}

/// An incident that shows most of what a message can hold.
fn sample() -> Notice {
    let at = Utc::now();
    let incident = crate::vocab::Id::new(at, &mut crate::vocab::Rng::new(1));
    let story = Story::Incident {
        incident,
        class: crate::vocab::Class::DiskFull,
        subject: Subject { kind: SubjectKind::File, value: "models/ana/20260101_101010_ab12cd.mp4".into() },
        source: "bot".into(),
        text: "OSError: [Errno 28] No space left on device".into(),
        count: 3,
        steps: Vec::new(),
        stage: Stage::Ended {
            result: crate::vocab::OutcomeResult::AlertOnly,
            detail: "12 MiB are free, 256 MiB are wanted".into(),
            remedy: Some("make room, then: logmedic incidents".into()),
            duration_ms: 3_240,
        },
    };
    Notice { key: incident.to_string(), revision: 1, severity: Severity::Error, story, at }
}

fn preview(loaded: &Loaded, id: Option<&str>, name: Option<&str>, lang: Option<Lang>) -> Done {
    let notice = match id {
        None => sample(),
        Some(id) => {
            let db = Ledger::look(&loaded.state_dir).map_err(|error| state_failure(&error))?;
            let entry = table::get(&db, id).map_err(|error| failed(&error))?.ok_or_else(|| unknown(id))?;
            entry.notice.ok_or_else(|| Failure::failed("failed to read it: a newer logmedic wrote it"))?
        }
    };
    let (all, _) = channels::settings(loaded);
    let channel = match name {
        None => None,
        Some(name) => {
            let found = all.iter().find(|one| one.name == name || one.full() == name);
            let message = || format!("failed to find a channel called {name}; `logmedic config show` lists them");
            Some(found.ok_or_else(|| Failure::Other { code: 78, message: message() })?)
        }
    };
    let dir = match channel {
        Some(one) => one.templates_dir.clone(),
        None => loaded.config.telegram.templates.as_ref().map(|dir| dir.path.clone()),
    };
    let language = lang.or(channel.map(|one| one.language)).unwrap_or_else(|| policy::language(loaded));
    let texts = Texts::load(language, dir.as_deref())
        .map_err(|error| Failure::Other { code: 78, message: error.to_string() })?;
    let note: Note = outbox::trial(&notice, &texts);
    let mut out = stdout();
    match channel {
        None => writeln!(out, "{}\n{}", note.title, note.text)?,
        Some(one) => writeln!(out, "{}", outbox::preview(one, &note).map_err(Failure::failed)?)?,
    }
    out.flush()?;
    Ok(0)
}
