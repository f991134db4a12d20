//! `logmedic run`: watch and heal; with a command also be the bot's parent.

use std::io::IsTerminal as _;
use std::path::Path;

use super::{Done, Failure};
use crate::publish::terminal::{Style, Terminal};
use crate::setup::agent::{self, Wanted};
use crate::setup::cli::RunArgs;
use crate::setup::dispatch::colored;
use crate::setup::load::{self, Surroundings};
use crate::setup::policy;
use crate::supervise::files;

/// Runs the agent until it is told to stop or its bot ends; the bot's exit code is ours.
///
/// # Errors
/// When it cannot start.
pub fn run(args: RunArgs, file: Option<&Path>, around: Surroundings) -> Done {
    let loaded = load::load(file, &around)?;
    files::raise();
    let tty = std::io::stdout().is_terminal();
    let style = match (args.json, colored(tty)) {
        (true, _) => Style::Json,
        (false, true) => Style::Colour,
        (false, false) => Style::Plain,
    };
    log_to_stderr(colored(std::io::stderr().is_terminal()));
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let command =
        if args.command.is_empty() { loaded.config.bot.command.iter().map(Into::into).collect() } else { args.command };
    let bot = (!command.is_empty()).then(|| policy::bot(&loaded, command, args.raw));
    let (terminal, shown) = Terminal::start(style)
        .map_err(|error| Failure::failed(format!("failed to start the terminal's thread: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("failed to start the runtime: {error}")))?;
    let done = runtime.block_on(agent::run(Wanted { loaded, around, bot, terminal: Some(terminal) }));
    // A read from standard input cannot be interrupted: its thread is left to the process's end.
    runtime.shutdown_background();
    // The last lines are shown when every handle is gone.
    let _ = shown.join();
    done
}

/// logmedic's own messages go to stderr; `LOGMEDIC_LOG` chooses how many (`debug`, `warn` …).
fn log_to_stderr(colour: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOGMEDIC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,logmedic=info"));
    // A second call (tests) keeps the first one's choice.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .try_init();
}
