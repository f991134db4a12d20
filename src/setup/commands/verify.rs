//! `logmedic verify`: is this media file whole? A verdict per file and what shows it.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::media::{Depth, Kind, State, Verdict, check_with, is_media_name};
use crate::vocab::{Evidence, clean_line, shorten};

/// The longest one file is looked at or decoded; 4 GB of film decode in minutes.
const DECODE_LIMIT: Duration = Duration::from_secs(3600);
/// How often it is looked whether ffmpeg has ended.
const POLL: Duration = Duration::from_millis(20);
/// How much of what ffmpeg says is read; any word of it is enough.
const MAX_SAID: u64 = 64 * 1024;
/// How much of it is shown.
const SHOWN: usize = 300;

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
    let depth = if deep { Depth::Deep } else { Depth::Cheap };
    let until = Instant::now() + DECODE_LIMIT;
    let mut verdict = check_with(&mut file, length, &name, depth, &mut || Instant::now() < until);
    let nameless = verdict.kind == Kind::Unknown && is_media_name(&name);
    let decodable = nameless
        || matches!(
            verdict.kind,
            Kind::Mp4
                | Kind::Mkv
                | Kind::Jpeg
                | Kind::Png
                | Kind::Flac
                | Kind::Riff
                | Kind::Mp3
                | Kind::Ogg
                | Kind::Gif
        );
    if deep && decodable && matches!(verdict.state, State::Sound | State::Unknown) {
        decode(path, &mut verdict);
    }
    verdict
}

/// Lets ffmpeg decode the file. Its exit code alone proves nothing: it is 0 for many a cut file, but then it talks.
fn decode(path: &Path, verdict: &mut Verdict) {
    let Ok(path) = std::path::absolute(path) else { return };
    // Only this file: a playlist inside it must not make ffmpeg open others or the network.
    let mut input = std::ffi::OsString::from("file:");
    input.push(&path);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file", "-i"]).arg(input);
    command
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            verdict.evidence.insert("decoded".into(), "ffmpeg is not installed".into());
            return;
        }
        Err(error) => {
            verdict.evidence.insert("decoded".into(), format!("failed to start ffmpeg: {error}").into());
            return;
        }
    };
    let reader = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            let mut stderr = stderr;
            let _ = stderr.by_ref().take(MAX_SAID).read_to_end(&mut said);
            // The rest is read too, or ffmpeg would wait for us.
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).trim().to_owned()
        })
    });
    let until = Instant::now() + DECODE_LIMIT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
            _ => {
                if let Ok(group) = i32::try_from(child.id()) {
                    let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::SIGKILL);
                }
                let _ = child.wait();
                break None;
            }
        }
    };
    let said = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let Some(status) = status else {
        verdict.evidence.insert("decoded".into(), "ffmpeg took too long".into());
        return;
    };
    if status.success() && said.is_empty() {
        verdict.evidence.insert("decoded".into(), true.into());
        if verdict.state == State::Unknown {
            // Stream formats play to any cut without a complaint: that proves what is there, not that it is all.
            verdict.detail = format!("ffmpeg decodes all of it, but {}", verdict.detail);
        }
        return;
    }
    let first = said.lines().next().unwrap_or("no reason given");
    verdict.state = State::Broken;
    verdict.detail = format!("ffmpeg cannot decode it: {}", shorten(&clean_line(first), SHOWN));
    verdict.evidence.insert("decoded".into(), false.into());
}
