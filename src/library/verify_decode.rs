//! Lets ffmpeg decode a file: confined, with limits on time, memory, words and reading. I/O.
//!
//! How much it reads is seen in `/proc`; beyond what it may, it is held still as a whole until that is paid for.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Settings;
use super::confine::NOT_STARTED;
use super::ffmpeg::{DRAIN, Group, PIXELS_MAX, find, read};
use super::pace::{Ended, Pace};
use super::verify::{Decoded, said};
use crate::media::{Kind, Verdict};
use crate::operate::Order;

/// What ffmpeg says, in bytes; the first words count.
const SAID_MAX: u64 = 64 << 10;

/// How often it is looked whether it ended, or has to.
const LOOK: Duration = Duration::from_millis(10);

/// So many bytes are read before they are paid for.
const PAY: u64 = 1 << 20;

/// Decoding may take so long, and a second more for each megabyte: slow machines decode films in real time.
const BASE: Duration = Duration::from_secs(600);

/// Beyond this nobody waits for a verdict.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// More memory than that was needed, where this share of the limit was in use.
const NEARLY: f64 = 0.8;

/// How ffmpeg is run.
#[derive(Clone, Debug)]
pub struct Decoder {
    ffmpeg: PathBuf,
    memory: u64,
    program: PathBuf,
    marker: Option<(String, String)>,
}

impl Decoder {
    /// As the library's settings say.
    pub(super) fn of(settings: &Settings) -> Self {
        let Settings { ffmpeg, memory, program, marker, .. } = settings.clone();
        Self { ffmpeg, memory, program, marker }
    }
}

impl Default for Decoder {
    /// For a command of its own: the `ffmpeg` of `PATH`, with two gigabytes.
    fn default() -> Self {
        Self { ffmpeg: "ffmpeg".into(), memory: 2 << 30, program: "/proc/self/exe".into(), marker: None }
    }
}

/// How ffmpeg is told to read such a file; `None`: it is not asked, because it cannot, or what it says would prove nothing.
fn demuxer(file: &File, verdict: &Verdict) -> Option<&'static str> {
    let mut head = [0; 24];
    let got = file.read_at(&mut head, 0).unwrap_or(0);
    let head = &head[..got];
    Some(match verdict.kind {
        // Still pictures in tiles, and what is encrypted, it cannot put together.
        Kind::Mp4 if verdict.evidence.contains_key("encrypted") => return None,
        Kind::Mp4 => match head.get(8..12) {
            Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" | b"avif" | b"avis") => return None,
            _ => "mov",
        },
        Kind::Mkv => "matroska",
        Kind::Riff => match head.get(8..12) {
            Some(b"AVI ") => "avi",
            Some(b"WAVE") => "wav",
            // Moving ones it does not know.
            Some(b"WEBP") if head.get(12..16) == Some(b"VP8X") => return None,
            Some(b"WEBP") => "webp_pipe",
            _ => return None,
        },
        Kind::Jpeg => "jpeg_pipe",
        Kind::Png => "png_pipe",
        Kind::Gif => "gif",
        Kind::Flac => "flac",
        Kind::Ogg => "ogg",
        Kind::Mp3 => "mp3",
        Kind::Aac => "aac",
        Kind::Ts => "mpegts",
        _ => return None,
    })
}

/// Decodes all of the file.
pub(super) fn decode(
    decoder: &Decoder,
    file: &File,
    size: u64,
    verdict: &Verdict,
    pace: &Pace,
) -> Result<Decoded, Ended> {
    let Some(demuxer) = demuxer(file, verdict) else {
        return Ok(Decoded::Untold("ffmpeg has no word on such files".into()));
    };
    let Some(program) = find(&decoder.ffmpeg) else {
        return Ok(Decoded::Untold(format!("{} is not installed", decoder.ffmpeg.display())));
    };
    let limit = (BASE + Duration::from_secs(size >> 20)).min(LONGEST);
    run(decoder, &program, file, demuxer, limit, pace)
}

fn command(decoder: &Decoder, program: &Path, demuxer: &str, limit: Duration) -> Command {
    let mut command = Command::new(&decoder.program);
    command.arg("__confined").args([decoder.memory.to_string(), limit.as_secs().to_string()]).arg(program);
    command.args(["-hide_banner", "-loglevel", "error", "-xerror", "-nostdin", "-threads", "1"]);
    command.args(["-protocol_whitelist", "file", "-max_pixels", &PIXELS_MAX.to_string(), "-f", demuxer]);
    command.args(["-i", "file:/dev/fd/0", "-map", "0:v?", "-map", "0:a?"]);
    if demuxer.ends_with("_pipe") {
        // What stands behind the picture would be taken for another one.
        command.args(["-frames:v", "1"]);
    }
    command.args(["-f", "null", "-"]);
    command.env_clear().envs(decoder.marker.clone()).current_dir("/").process_group(0);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn run(
    decoder: &Decoder,
    program: &Path,
    file: &File,
    demuxer: &str,
    limit: Duration,
    pace: &Pace,
) -> Result<Decoded, Ended> {
    let untold = |error: std::io::Error| Ok(Decoded::Untold(format!("failed to start ffmpeg: {error}")));
    let mut command = command(decoder, program, demuxer, limit);
    match file.try_clone() {
        Ok(input) => command.stdin(Stdio::from(input)),
        Err(error) => return untold(error),
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return untold(error),
    };
    let words = child.stderr.take();
    let mut group = Group(child);
    let words = match read(words, SAID_MAX) {
        Ok(words) => words,
        Err(error) => return untold(error),
    };
    let (status, memory) = wait(&mut group, limit, pace)?;
    drop(group);
    let words = words.recv_timeout(DRAIN).unwrap_or_default();
    let text = String::from_utf8_lossy(&words);
    let Some(status) = status else {
        return Ok(Decoded::Untold(format!("ffmpeg took longer than {} s", limit.as_secs())));
    };
    if status.code() == Some(i32::from(NOT_STARTED)) || text.contains("logmedic: ") {
        return Ok(Decoded::Untold(text.lines().next_back().unwrap_or("ffmpeg cannot be started").to_owned()));
    }
    if let Some(signal) = status.signal() {
        return Ok(Decoded::Untold(format!(
            "ffmpeg was ended by signal {signal}: it crashed, or needed more than it may"
        )));
    }
    if !status.success() && memory as f64 > decoder.memory as f64 * NEARLY {
        return Ok(Decoded::Untold("ffmpeg needs more than the memory of [library]".into()));
    }
    Ok(said(status.success(), &text))
}

/// Waits for its end; says how much memory it had at most. A pause holds it still as a whole.
fn wait(group: &mut Group, limit: Duration, pace: &Pace) -> Result<(Option<ExitStatus>, u64), Ended> {
    let (mut until, mut paid, mut memory) = (Instant::now() + limit, 0, 0);
    loop {
        match group.0.try_wait() {
            Ok(Some(status)) => return Ok((Some(status), memory)),
            Ok(None) => {}
            Err(_) => return Ok((None, memory)),
        }
        let seen = usage(group.0.id());
        memory = memory.max(seen.memory);
        let owed = seen.read.saturating_sub(paid);
        if pace.order() == Order::Run && owed < PAY {
            if Instant::now() >= until {
                return Ok((None, memory));
            }
            pace.nap(LOOK);
            continue;
        }
        let since = Instant::now();
        group.signal(Signal::SIGSTOP);
        paid = paid.max(seen.read);
        pace.spend(owed)?;
        group.signal(Signal::SIGCONT);
        until += since.elapsed();
    }
}

/// What the system says of a process; 0 where it does not.
struct Usage {
    /// Bytes that it asked to read, from wherever they came.
    read: u64,
    /// Address space at most.
    memory: u64,
}

fn usage(pid: u32) -> Usage {
    let number = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        value.split(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    Usage { read: number("io", "rchar:"), memory: number("status", "VmPeak:") * 1024 }
}
