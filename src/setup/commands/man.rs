//! `logmedic man DIR`.

use std::path::Path;

use clap::CommandFactory as _;

use super::{Done, Failure};
use crate::setup::cli::Cli;

/// Writes a manual page for every command to `dir`.
///
/// # Errors
/// When the directory cannot be made or written to.
pub fn man(dir: &Path) -> Done {
    std::fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| Failure::io("write manual pages to", dir, &error))?;
    Ok(0)
}
