//! Declares the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The commit this was built from, where the build said it.
pub const COMMIT: Option<&str> = option_env!("LOGMEDIC_COMMIT");

/// Watches a download bot's log, confirms what went wrong, repairs it and proves the repair.
#[derive(Debug, Parser)]
#[command(name = "logmedic", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Configuration file. Without it: $LOGMEDIC_CONFIG, the user's logmedic/config.toml, /etc/logmedic/config.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 75 try again, 77 not permitted, 78 configuration wrong; \
with `run -- COMMAND` the bot's own code.";

/// Everything logmedic does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch and heal; with COMMAND also be the bot's parent.
    Run(RunArgs),
    /// A self-contained show: a misbehaving Bot API server, a downloading bot, and logmedic healing it.
    Demo(crate::demo::DemoArgs),
    /// The misbehaving Bot API server of the demo, alone; for tests of other programs.
    #[command(hide = true)]
    DemoServer(crate::demo::ServerArgs),
    /// The downloading bot of the demo, alone.
    #[command(hide = true)]
    DemoBot(crate::demo::BotArgs),
    /// Look at this folder and write a commented config.toml; never overwrites.
    Init(InitArgs),
    /// Check everything before it is needed: one line a check, with what would help.
    Check(JsonArgs),
    /// Recognise events in finished logs.
    Classify(super::commands::classify::Args),
    /// Tell which rule claims a line, what it captured and what would be done.
    Explain(super::commands::explain::Args),
    /// List or test rules.
    Rules(super::commands::rules::Args),
    /// Is this media file whole? One verdict a file; exit code 1 if any is not sound.
    Verify(super::commands::verify::Args),
    /// Files that were moved aside.
    Quarantine(super::commands::quarantine::Args),
    /// What the running agent is doing.
    Status(JsonArgs),
    /// Incidents, newest first.
    Incidents(ListArgs),
    /// Download jobs, newest first.
    Jobs(ListArgs),
    /// Watch what changes, as it changes, over the WebSocket of the running agent.
    #[command(subcommand)]
    Ws(super::commands::ws::WsCommand),
    /// What takes time: repairs, commands of `[[operation]]`; newest first.
    Operations(super::commands::operations::Args),
    /// The files under the roots: list, show, look for new ones, make small pictures.
    Library(super::commands::library::Args),
    /// What people were told: list, read, clear, send, test, preview.
    Notifications(super::commands::notifications::Args),
    /// The configuration in effect, or its schema.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who may log in to the agent's server; also while it runs.
    User(super::commands::user::Args),
    /// Tokens for scripts that use the agent's HTTP interface.
    Token(super::commands::token::Args),
    /// Make the running agent read its configuration and rules again.
    Reload,
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages.
    Man {
        /// Directory to write them to; made if missing.
        dir: PathBuf,
    },
    /// Print the version.
    Version(JsonArgs),
}

/// Only `--json`.
#[derive(Clone, Copy, Debug, Args)]
pub struct JsonArgs {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Tell what happens as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Pass the bot's output to the terminal as it is; without this, control sequences are shown as text.
    #[arg(long)]
    pub raw: bool,
    /// The bot, and its arguments.
    #[arg(last = true, value_name = "COMMAND", allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Print the configuration instead of writing it.
    #[arg(long)]
    pub stdout: bool,
    /// File to write; must not exist.
    #[arg(long, value_name = "FILE", default_value = "config.toml", conflicts_with = "stdout")]
    pub output: PathBuf,
}

/// `incidents`, `jobs`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// One of them, with its story.
    pub id: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Then go on and tell what changes.
    #[arg(long, conflicts_with = "id")]
    pub follow: bool,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

/// `config …`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every value in effect and where it comes from; secrets are hidden.
    Show(JsonArgs),
    /// The JSON Schema of the configuration.
    Schema {
        /// As a table of all keys in Markdown.
        #[arg(long)]
        markdown: bool,
    },
}
