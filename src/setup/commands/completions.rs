//! `logmedic completions SHELL`.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::Done;
use crate::setup::cli::Cli;

/// Prints a completion script.
///
/// # Errors
/// When the output cannot be written.
pub fn completions(shell: clap_complete::Shell) -> Done {
    // Written to memory first: the generator panics when a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "logmedic", &mut script);
    let mut out = super::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(0)
}
