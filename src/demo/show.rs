//! `logmedic demo`: sets the stage, plays the faults, prints the table, and takes everything down again.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::DemoError;
use super::scenario::{FAULTS, download, play, warm_up};
use super::stage::Stage;
use super::table::{Row, header};
use super::workspace::{Cast, Workspace};
use crate::vocab::Rng;

/// The pause between two faults while the show goes on: time to look around.
const PAUSE: Duration = Duration::from_secs(4);
/// So fast a video comes while the show goes on: slow enough to be watched.
const PACE: u64 = 256 * 1024;
/// So many videos stay on the small disk, which has room for twice as many.
const VIDEOS: usize = 6;
/// Where the dashboard is looked for first.
const DASHBOARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878);
/// How long the agent may take to say where its dashboard is.
const DASHBOARD_LIMIT: Duration = Duration::from_secs(20);
/// Exit code when interrupted before everything was shown, as shells have it for SIGINT.
const INTERRUPTED: u8 = 130;

/// `logmedic demo`: a self-contained show; needs no token and no network.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Show all six faults, print the table and exit: 0 only if every one ended as it must
    #[arg(long)]
    once: bool,
    /// One JSON object a fault instead of the table
    #[arg(long)]
    json: bool,
    /// An empty or new directory for everything the show makes; kept afterwards [default: a new one in $TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the directory
    #[arg(long)]
    keep: bool,
    /// Started as root: the user that the bot runs as
    #[arg(long, default_value = "nobody")]
    user: String,
}

/// Runs the show; gives the exit code.
///
/// # Errors
///
/// When it cannot even begin.
pub async fn run(args: DemoArgs) -> Result<u8, DemoError> {
    let keep = args.keep || args.dir.is_some();
    let program = std::env::current_exe().map_err(|e| DemoError::file("find", Path::new("the own program"), e))?;
    let space = Workspace::create(args.dir.as_deref(), &args.user, keep, program)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
    let listen = Some(DASHBOARD).filter(|address| !args.once && std::net::TcpListener::bind(address).is_ok());
    let mut stage = Stage::open(space, &Cast { listen, ..Cast::default() }).await?;
    let screen = Screen::new(&args);
    screen.say(&introduction(&stage));
    let mut tally = Tally::default();
    let shown = tokio::select! {
        shown = acts(&mut stage, &args, &screen, &mut tally) => shown,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if shown.is_err() || tally.bad > 0 {
        stage.space.keep();
    }
    let space = stage.close().await?;
    if space.kept() {
        screen.say(&format!("\nEverything is in {}", space.dir.display()));
    }
    shown?;
    screen.summary(&tally);
    Ok(tally.code())
}

async fn acts(stage: &mut Stage, args: &DemoArgs, screen: &Screen, tally: &mut Tally) -> Result<(), DemoError> {
    if !args.once {
        let link = stage.until(DASHBOARD_LIMIT, "the dashboard", Stage::dashboard).await.map_err(DemoError::NoStart)?;
        screen.say(&format!(
            "Dashboard: {link}\nThe link makes the first account, once; afterwards log in at its beginning.\n"
        ));
    }
    warm_up(stage).await.map_err(DemoError::NoStart)?;
    screen.say("Healthy downloads: saved by the bot, nothing for logmedic to do. Now the faults.\n");
    screen.header();
    for class in FAULTS {
        let row = play(stage, class).await;
        screen.row(&row);
        tally.count(&row);
    }
    if !args.json {
        screen
            .say(&format!("\nThe library: every file that was saved, checked.\n{}", stage.library().await.trim_end()));
    }
    if args.once {
        return Ok(());
    }
    screen.say("\nIt goes on at random until Ctrl+C.\n");
    let mut rng = Rng::new(u64::from(std::process::id()));
    loop {
        tokio::time::sleep(PAUSE).await;
        stage.space.tidy(VIDEOS);
        stage.world.set_pace(Some(PACE));
        let healthy = download(stage).await;
        stage.world.set_pace(None);
        if let Err(why) = healthy {
            screen.say(&format!("A healthy download did not come: {why}"));
        }
        let index = usize::try_from(rng.next_u64() % FAULTS.len() as u64).unwrap_or(0);
        let row = play(stage, FAULTS[index]).await;
        screen.row(&row);
        tally.count(&row);
    }
}

fn introduction(stage: &Stage) -> String {
    let (space, server) = (&stage.space, &stage.server);
    let bot = &space.identity;
    let drops = if bot.dropped_to { ", as root's child it dropped to that user" } else { "" };
    let disk = match &space.no_small_disk {
        None => "a small file system of its own".into(),
        Some(why) => format!("on the disk it is on; {why}"),
    };
    format!(
        "A local Bot API server on {server}, a teloxide bot as user {}{drops}, and `logmedic run` over both.\n  \
         folder   {}\n  config   config.toml\n  media    models/ ({disk})\n  bot      logs/bot.log\n  \
         agent    logs/agent.log\n  records  logs/download_errors.jsonl\n",
        bot.user,
        space.dir.display()
    )
}

/// How it went so far.
#[derive(Default)]
struct Tally {
    good: u32,
    bad: u32,
    not_shown: u32,
}

impl Tally {
    fn count(&mut self, row: &Row) {
        match row.ok {
            Some(true) => self.good += 1,
            Some(false) => self.bad += 1,
            None => self.not_shown += 1,
        }
    }

    fn code(&self) -> u8 {
        let all = (self.good + self.bad + self.not_shown) as usize >= FAULTS.len();
        match (self.bad, all) {
            (0, true) => 0,
            (0, false) => INTERRUPTED,
            _ => 1,
        }
    }
}

/// Standard output, for people or for programs.
struct Screen {
    json: bool,
    colour: bool,
}

impl Screen {
    fn new(args: &DemoArgs) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { json: args.json, colour: colour && !args.json }
    }

    /// A closed standard output ends nothing: the exit code still tells.
    fn print(text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn say(&self, text: &str) {
        if !self.json {
            Self::print(&format!("{text}\n"));
        }
    }

    fn header(&self) {
        if !self.json {
            Self::print(&header(self.colour));
        }
    }

    fn row(&self, row: &Row) {
        if self.json {
            Self::print(&format!("{}\n", serde_json::json!(row)));
        } else {
            Self::print(&row.lines(self.colour));
        }
    }

    fn summary(&self, tally: &Tally) {
        let Tally { good, bad, not_shown } = tally;
        self.say(&format!("\n{good} ended as they must, {bad} did not, {not_shown} not shown on this machine"));
    }
}
