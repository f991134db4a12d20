//! Reads what the bot writes, always and at once, so that a full pipe never stops it. I/O.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use tokio::sync::oneshot;

use super::log::{LogFile, Stream};
use super::terminal::Terminal;

/// The most bytes handled at once, and the longest line kept whole: a pipe's usual size.
pub const CHUNK: usize = 64 * 1024;

/// A line without an end is passed on after so long, so that a prompt or a progress bar is seen.
const PARTIAL: Duration = Duration::from_millis(200);

/// Where the bot's output goes.
pub struct Sink {
    /// The log file; both readers share it, so lines do not mix.
    pub log: Mutex<LogFile>,
    /// Our own terminal.
    pub terminal: Option<Terminal>,
    /// As whom the log is written: the bot's user, when we are root and it is not. In a folder that the bot's user
    /// may change, a root that follows its links could be led to append to any file of the system.
    pub writer: Option<(Uid, Gid)>,
}

/// The two threads that read one run of the bot.
pub struct Readers {
    give_up: Arc<AtomicBool>,
    ends: [oneshot::Receiver<()>; 2],
}

impl Readers {
    /// Starts reading.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(out: PipeReader, err: PipeReader, sink: &Arc<Sink>) -> std::io::Result<Self> {
        let give_up = Arc::new(AtomicBool::new(false));
        let spawn = |pipe: PipeReader, stream: Stream, name: &str| {
            let (sink, give_up) = (Arc::clone(sink), Arc::clone(&give_up));
            let (done, end) = oneshot::channel();
            std::thread::Builder::new().name(name.into()).spawn(move || {
                if let Some((uid, gid)) = sink.writer {
                    setfsgid(gid);
                    setfsuid(uid); // of this thread only; the capabilities over files go with it
                }
                read(pipe, stream, &sink, &give_up);
                drop(done);
            })?;
            std::io::Result::Ok(end)
        };
        let ends = [spawn(out, Stream::Out, "bot-stdout")?, spawn(err, Stream::Err, "bot-stderr")?];
        Ok(Self { give_up, ends })
    }

    /// Waits until everything is read, at most so long: somebody outside the tree may hold the pipe open for ever.
    pub async fn finish(mut self, at_most: Duration) {
        let both = async {
            for end in &mut self.ends {
                let _ = end.await;
            }
        };
        if tokio::time::timeout(at_most, both).await.is_err() {
            self.give_up.store(true, Ordering::Relaxed);
            tracing::warn!("something outside the bot's process tree keeps its output open; no longer reading it");
        }
    }
}

fn read(mut pipe: PipeReader, stream: Stream, sink: &Sink, give_up: &AtomicBool) {
    let pass_on = |bytes: &[u8]| {
        if let Some(terminal) = &sink.terminal {
            terminal.show(stream, bytes);
        }
        sink.log.lock().unwrap_or_else(PoisonError::into_inner).append(stream, bytes);
    };
    let mut buffer = vec![0_u8; CHUNK];
    let mut held = 0; // so many bytes at the start of `buffer` are a line whose end has not come
    let mut since = Instant::now();
    while !give_up.load(Ordering::Relaxed) {
        let wait = if held > 0 { PARTIAL.saturating_sub(since.elapsed()) } else { PARTIAL };
        let ready = {
            let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO)) {
                Ok(n) => n > 0,
                Err(Errno::EINTR) => false,
                Err(_) => true, // the read below names the trouble
            }
        };
        if !ready {
            if held > 0 && since.elapsed() >= PARTIAL {
                pass_on(&buffer[..held]);
                held = 0;
            }
            continue;
        }
        let got = match pipe.read(&mut buffer[held..]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if held == 0 {
            since = Instant::now();
        }
        let end = held + got;
        let late = held > 0 && since.elapsed() >= PARTIAL;
        let whole = buffer[held..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| held + at + 1);
        let cut = if end == CHUNK && whole == 0 || late { end } else { whole };
        if cut > 0 {
            pass_on(&buffer[..cut]);
            buffer.copy_within(cut..end, 0);
            since = Instant::now();
        }
        held = end - cut;
    }
    if held > 0 {
        pass_on(&buffer[..held]);
    }
}
