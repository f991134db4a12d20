//! Goes from the command line to the command, and from its end to an exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use super::cli::{Cli, Command};
use super::commands::{self, Done, Failure};
use super::load::Surroundings;
use super::rulebook;
use crate::vocab::{clean_line, redact};

/// What `main` does.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is not worth a word.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => ExitCode::from(tell(&failure)),
    }
}

fn dispatch(cli: Cli) -> Done {
    let around = Surroundings::current()
        .map_err(|error| Failure::failed(format!("failed to find the working directory: {error}")))?;
    let file = cli.config.as_deref();
    match cli.command {
        Command::Run(args) => commands::run::run(args, file, around),
        Command::Demo(args) => commands::demo::demo(args),
        Command::DemoServer(args) => commands::demo::server(args),
        Command::DemoBot(args) => commands::demo::bot(args),
        Command::Status(args) => commands::status::status(args, file, &around),
        Command::Incidents(args) => commands::status::incidents(&args, file, &around),
        Command::Jobs(args) => commands::status::jobs(&args, file, &around),
        Command::Ws(command) => commands::ws::ws(command, file, &around, &mut commands::stdout()),
        Command::Operations(args) => commands::operations::operations(&args, file, &around),
        Command::Library(args) => commands::library::library(&args, file, &around),
        Command::Notifications(args) => commands::notifications::run(args, file, &around),
        Command::Reload => commands::reload::reload(file, &around),
        Command::User(args) => commands::user::run(&args, file, &around, &mut commands::stdout()),
        Command::Token(args) => commands::token::run(&args, file, &around, &mut commands::stdout()),
        Command::Classify(args) => {
            let rules = match &args.rules {
                Some(path) => commands::rules::load(path)?,
                None => rulebook::own(file, &around)?.0,
            };
            Ok(commands::classify::run(&args, &rules, &mut commands::stdout())?)
        }
        Command::Explain(args) => {
            let rules = rulebook::own(file, &around)?.0;
            Ok(commands::explain::run(&args, &rules, &mut commands::stdout())?)
        }
        Command::Rules(args) => {
            let sources = rulebook::own_sources(file, &around)?;
            Ok(commands::rules::run(&args, &sources, &mut commands::stdout())?)
        }
        Command::Verify(args) => Ok(commands::verify::run(&args, &mut commands::stdout())?),
        Command::Quarantine(args) => quarantine(&args, file, &around),
        Command::Init(args) => commands::init::init(&args, &around),
        Command::Check(args) => commands::check::check(args, file, &around, Some(rulebook::problems)),
        Command::Config(command) => commands::config::config(command, file, &around),
        Command::Completions { shell } => commands::completions::completions(shell),
        Command::Man { dir } => commands::man::man(&dir),
        Command::Version(args) => commands::version::version(args),
    }
}

fn quarantine(args: &commands::quarantine::Args, file: Option<&std::path::Path>, around: &Surroundings) -> Done {
    use commands::quarantine::{Error, run};
    let loaded = super::load::load(file, around)?;
    let roots: Vec<_> = loaded.config.root.iter().map(super::config::Root::spec).collect();
    run(args, &loaded.state_dir, &roots, &mut commands::stdout()).map_err(|error| match error {
        Error::Output(error) => Failure::from(error),
        other => Failure::failed(other.to_string()),
    })
}

/// Writes a failure to stderr and gives its exit code.
fn tell(failure: &Failure) -> u8 {
    let mut err = io::stderr().lock();
    // When stderr is gone there is nobody left to tell; the exit code still says it.
    match failure {
        Failure::Pipe => 0,
        Failure::Other { code, message } => {
            let _ = writeln!(err, "logmedic: {}", clean_line(&redact(message)));
            *code
        }
        Failure::Config(problems) => {
            let count = match problems.list.len() {
                1 => "1 problem".to_owned(),
                n => format!("{n} problems"),
            };
            let _ = writeln!(err, "logmedic: failed to load the configuration: {count}\n");
            let _ = writeln!(err, "{}", redact(&problems.render(colored(io::stderr().is_terminal()))));
            problems.exit_code()
        }
    }
}

/// Whether to use colour: on a terminal, unless `NO_COLOR` (<https://no-color.org>) is set to anything.
#[must_use]
pub fn colored(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
