//! `logmedic init`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;

use super::{Done, Failure};
use crate::setup::cli::InitArgs;
use crate::setup::init::{Found, look, next_steps, summary, text};
use crate::setup::load::Surroundings;
use crate::vocab::clean_line;

/// Writes a configuration for the working directory and says what was found and what comes next.
///
/// # Errors
/// When the file exists already or cannot be written.
pub fn init(args: &InitArgs, around: &Surroundings) -> Done {
    let found = look(&around.cwd);
    let config = text(&found);
    let shown = args.output.display().to_string();
    if args.stdout {
        let mut out = super::stdout();
        out.write_all(config.as_bytes())?;
        out.flush()?;
        tell(&mut io::stderr().lock(), &found, &shown)?;
        return Ok(0);
    }
    // `create_new` refuses what is there, a dangling link too.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(around.cwd.join(&args.output)).map_err(|error| {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::failed(format!(
                "failed to write {shown}: it exists already and is never overwritten; write another with: logmedic init --output logmedic.toml"
            )),
            _ => Failure::io("write", &args.output, &error),
        }
    })?;
    file.write_all(config.as_bytes()).map_err(|error| Failure::io("write", &args.output, &error))?;
    let mut out = super::stdout();
    writeln!(out, "wrote {shown}")?;
    tell(&mut out, &found, &shown)?;
    Ok(0)
}

fn tell(out: &mut impl Write, found: &Found, file: &str) -> io::Result<()> {
    writeln!(out, "found:")?;
    for line in summary(found) {
        writeln!(out, "  {}", clean_line(&line))?;
    }
    writeln!(out, "next:")?;
    for line in next_steps(found, file) {
        writeln!(out, "  {}", clean_line(&line))?;
    }
    out.flush()
}
