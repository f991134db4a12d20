//! Asks ffmpeg for one picture of a file: confined, with limits on time, memory and output. I/O.
//!
//! A media file may be an attack on whoever decodes it. Playlists and lists of files that call themselves .mp4 made ffmpeg read other
//! files and call servers (CVE-2016-1897, CVE-2016-1898, CVE-2017-9993: HLS, `concat`, playlists in the subtitles of an AVI). So ffmpeg
//! is told which of a few formats it is to read, of which none refers to other files, by the first bytes and not by the name; it may use no
//! protocol but `file`; its input is an open descriptor; and [`super::confine`] leaves it no second one, no network and no user of ours.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Settings;
use super::confine::NOT_STARTED;
use super::pace::Pace;
use super::picture::PICTURE_MAX;
use crate::operate::Order;
use crate::vocab::{clean_line, redact, shorten};

/// Pixels of the longer side.
const SIDE: u32 = 320;

/// Pictures of more pixels are claims: the largest cameras have 150 million.
pub(super) const PIXELS_MAX: u32 = 1 << 28;

/// What ffmpeg says of a failure, in bytes.
const SAID_MAX: u64 = 4_096;

/// How often it is looked whether it ended, or has to.
const LOOK: Duration = Duration::from_millis(5);

/// How long its output is still waited for after it ended.
pub(super) const DRAIN: Duration = Duration::from_millis(500);

/// Longest sentence that is kept of what it said.
const REASON_MAX: usize = 200;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoPicture {
    /// Somebody asked for the end.
    Ended,
    /// The program cannot be started: nothing to do with this file.
    NotStarted(String),
    /// It made none of this file: one sentence.
    Failed(String),
}

/// Where the program is; a word without a slash is looked for in `PATH`.
pub(super) fn find(program: &Path) -> Option<PathBuf> {
    let executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return Some(program.to_path_buf()).filter(|path| executable(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| executable(path))
}

/// How ffmpeg is told to read a file of this format; `None`: it is not asked.
pub(super) fn demuxer(format: &str) -> Option<&'static str> {
    Some(match format {
        "mp4" | "heic" | "avif" => "mov",
        "mkv" | "webm" => "matroska",
        "avi" => "avi",
        "ogg" => "ogg",
        "jpeg" => "jpeg_pipe",
        "png" => "png_pipe",
        "webp" => "webp_pipe",
        "gif" => "gif",
        _ => return None,
    })
}

/// The processes of one call. Dropped, all of them are killed.
pub(super) struct Group(pub(super) Child);

impl Group {
    pub(super) fn signal(&self, signal: Signal) {
        // Who is gone already needs no signal.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        // Killed, it ends at once.
        let _ = self.0.wait();
    }
}

/// One picture of the file, as JPEG: at `at`, or the first one.
pub(super) fn picture(
    settings: &Settings,
    program: &Path,
    file: &File,
    demuxer: &str,
    at: Option<Duration>,
    pace: &Pace,
) -> Result<Vec<u8>, NoPicture> {
    let start = |error: std::io::Error| NoPicture::NotStarted(format!("failed to start ffmpeg: {error}"));
    let mut command = command(settings, program, demuxer, at);
    command.stdin(Stdio::from(file.try_clone().map_err(start)?));
    let mut child = command.spawn().map_err(start)?;
    let (output, said) = (child.stdout.take(), child.stderr.take());
    let mut group = Group(child);
    // One byte more than allowed says that there is too much; the pipe breaks then.
    let output = read(output, PICTURE_MAX as u64 + 1).map_err(start)?;
    let said = read(said, SAID_MAX).map_err(start)?;
    let status = wait(&mut group, settings.timeout, pace);
    drop(group);
    // Somebody who left the group may hold a pipe for ever.
    let bytes = output.recv_timeout(DRAIN).unwrap_or_default();
    let said = said.recv_timeout(DRAIN).unwrap_or_default();
    let status = status?;
    if status.code() == Some(i32::from(NOT_STARTED)) {
        return Err(NoPicture::NotStarted(sentence(&said)));
    }
    if bytes.len() > PICTURE_MAX {
        return Err(NoPicture::Failed(format!("the picture is larger than {PICTURE_MAX} bytes")));
    }
    // Several pictures one after the other, or half of one, are none.
    if status.success() && bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]) {
        return Ok(bytes);
    }
    Err(NoPicture::Failed(match status.signal() {
        Some(signal) => {
            let name = Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            format!("ffmpeg was ended by {name}: it crashed, or needed more than [library] allows")
        }
        None if said.is_empty() => "ffmpeg found no picture in it".to_owned(),
        None => format!("ffmpeg says: {}", sentence(&said)),
    }))
}

fn command(settings: &Settings, program: &Path, demuxer: &str, at: Option<Duration>) -> Command {
    let seconds = settings.timeout.as_secs() + 1;
    let mut command = Command::new(&settings.program);
    command.arg("__confined").args([settings.memory.to_string(), seconds.to_string()]).arg(program);
    command.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1"]);
    command.args(["-protocol_whitelist", "file", "-max_pixels", &PIXELS_MAX.to_string(), "-f", demuxer]);
    if let Some(at) = at {
        // To the last whole picture before it: nothing between needs to be decoded.
        command.args(["-noaccurate_seek", "-ss", &format!("{:.3}", at.as_secs_f64())]);
    }
    command.args(["-i", "file:/dev/fd/0", "-map", "0:v:0", "-an", "-sn", "-dn", "-frames:v", "1"]);
    let scale = format!("scale={SIDE}:{SIDE}:force_original_aspect_ratio=decrease:force_divisible_by=2");
    command.args(["-vf", &scale, "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]);
    command.args(["-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p", "-f", "image2pipe", "pipe:1"]);
    command.env_clear().envs(settings.marker.clone()).current_dir("/").process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for its end; a pause holds it still as a whole.
fn wait(group: &mut Group, timeout: Duration, pace: &Pace) -> Result<ExitStatus, NoPicture> {
    let mut until = Instant::now() + timeout;
    loop {
        match group.0.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(NoPicture::Failed(format!("failed to wait for ffmpeg: {error}"))),
        }
        if pace.order() == Order::Run {
            if Instant::now() >= until {
                let seconds = timeout.as_secs();
                return Err(NoPicture::Failed(format!("ffmpeg took longer than the {seconds} s of [library] timeout")));
            }
            pace.nap(LOOK);
            continue;
        }
        let since = Instant::now();
        group.signal(Signal::SIGSTOP);
        pace.point().map_err(|_| NoPicture::Ended)?;
        group.signal(Signal::SIGCONT);
        until += since.elapsed();
    }
}

/// Reads on a thread, so that neither pipe holds the other up.
pub(super) fn read(
    from: Option<impl std::io::Read + Send + 'static>,
    limit: u64,
) -> std::io::Result<Receiver<Vec<u8>>> {
    let (tell, told) = channel();
    std::thread::Builder::new().name("library-read".into()).spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            // What came before an error is judged like all else.
            let _ = from.take(limit).read_to_end(&mut bytes);
        }
        // Nobody waits for it any more.
        let _ = tell.send(bytes);
    })?;
    Ok(told)
}

/// The last line that it said, fit to be shown.
fn sentence(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    let line = line.trim_start_matches("file:/dev/fd/0: ").trim_start_matches("logmedic: ");
    shorten(&clean_line(&redact(line)), REASON_MAX).into_owned()
}
