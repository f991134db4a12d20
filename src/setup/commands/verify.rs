//! `logmedic verify`: is this media file whole? A verdict per file and what shows it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::library::{Decoder, look_at};
use crate::media::{Kind, State, Verdict};
use crate::vocab::{Evidence, clean_line};

/// Checks whether media files are whole.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Media files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Decode them as well, with ffmpeg where it is installed, and compare every checksum.
    #[arg(long)]
    pub deep: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    verdict: &'static str,
    kind: Kind,
    detail: &'a str,
    evidence: &'a Evidence,
}

/// Writes a verdict per file. Returns the exit code: 0 all sound, 1 otherwise.
///
/// # Errors
/// When the output cannot be written. A file that cannot be read has the verdict `unknown` and its reason.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let mut code = 0;
    for file in &args.files {
        let verdict = verify(file, args.deep);
        let state = verdict.state.as_str();
        let name = file.to_string_lossy();
        if args.json {
            let line = Line {
                file: &name,
                verdict: state,
                kind: verdict.kind,
                detail: &verdict.detail,
                evidence: &verdict.evidence,
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        } else {
            writeln!(out, "{state:<7}  {}  {}", clean_line(&name), clean_line(&verdict.detail))?;
        }
        if verdict.state != State::Sound {
            code = 1;
        }
    }
    out.flush()?;
    Ok(code)
}

fn verify(path: &Path, deep: bool) -> Verdict {
    let unreadable = |why: String| Verdict {
        kind: Kind::Unknown,
        state: State::Unknown,
        detail: format!("failed to read it: {why}"),
        evidence: Evidence::new(),
    };
    // A FIFO would wait for a writer for ever: only plain files are opened.
    let length = match std::fs::metadata(path) {
        Ok(facts) if facts.is_file() => facts.len(),
        Ok(_) => return unreadable("it is not a regular file".into()),
        Err(error) => return unreadable(error.to_string()),
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(error.to_string()),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    look_at(&mut file, length, &name, deep, &Decoder::default())
}
