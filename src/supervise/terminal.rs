//! Shows the bot's output on our own terminal without ever waiting for it. I/O; `plain` is pure.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use regex::bytes::Regex;
use tokio::sync::oneshot;

use super::log::Stream;
use crate::vocab::printable;

/// How many pieces (each at most [`super::output::CHUNK`]) may wait for a slow terminal: 4 MiB, a second of a very
/// talkative bot. The log has everything anyway.
const WAITING: usize = 64;

/// The terminal's side of the bot's output.
#[derive(Clone)]
pub struct Terminal {
    queue: SyncSender<(Stream, Vec<u8>)>,
    dropped: Arc<AtomicU64>,
}

impl Terminal {
    /// Starts the writer, which lives until every clone is dropped; then the receiver ends.
    ///
    /// # Errors
    /// When standard output or error cannot be duplicated, or no thread can be started.
    pub fn start(raw: bool) -> io::Result<(Self, oneshot::Receiver<()>)> {
        // Duplicates: the locks of `std::io::stdout` are not held while a stopped terminal makes us wait.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let err = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (queue, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let (done, finished) = oneshot::channel();
        std::thread::Builder::new().name("bot-terminal".into()).spawn(move || {
            write_all(&waiting, &counter, raw, out, err);
            drop(done);
        })?;
        Ok((Self { queue, dropped }, finished))
    }

    /// Shows bytes, or counts them as not shown.
    pub fn show(&self, stream: Stream, bytes: &[u8]) {
        if self.queue.try_send((stream, bytes.to_vec())).is_err() {
            self.dropped.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

fn write_all(waiting: &Receiver<(Stream, Vec<u8>)>, dropped: &AtomicU64, raw: bool, mut out: File, mut err: File) {
    let Ok(filter) = control_sequences() else { return };
    for (stream, bytes) in waiting {
        let file = if stream == Stream::Out { &mut out } else { &mut err };
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let _ = writeln!(file, "[logmedic: {missed} bytes not shown, the terminal is too slow; the log has them]");
        }
        // A closed terminal is no reason to stop the bot or the log: go on, silently.
        let _ = if raw { file.write_all(&bytes) } else { file.write_all(plain(&filter, &bytes).as_bytes()) };
    }
}

/// Well-formed ECMA-48 sequences: CSI (colours, cursor), strings (titles, links) and two-byte escapes.
fn control_sequences() -> Result<Regex, regex::Error> {
    Regex::new(r"(?-u)\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
}

/// Text that steers nothing: control sequences are removed, anything odd that is left is shown as an escape.
fn plain(filter: &Regex, bytes: &[u8]) -> String {
    let without = filter.replace_all(bytes, &b""[..]);
    let text = String::from_utf8_lossy(&without);
    // Progress bars paint over their own line; one line each is how that reads without a cursor.
    let text: Cow<'_, str> =
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text };
    printable(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_titles_vanish_and_nothing_steers() {
        let filter = control_sequences().unwrap();
        let plain = |bytes: &[u8]| plain(&filter, bytes);
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m\n"), "red\n");
        assert_eq!(plain(b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\n"), "abc\n");
        assert_eq!(plain(b"\x1bcreset\x1b(B\x1b7 x"), "reset x");
        assert_eq!(plain(b" 10%\r 20%\r\n"), " 10%\n 20%\n");
        assert_eq!(plain("tab\there ünïcode 日本\n".as_bytes()), "tab\there ünïcode 日本\n");
        assert_eq!(plain("x\u{202e}y\u{9b}31m".as_bytes()), "x\\u{202e}y\\u{9b}31m");
    }

    #[test]
    fn no_bytes_whatever_bring_a_control_character_through() {
        let filter = control_sequences().unwrap();
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let shown = plain(&filter, &bytes);
            assert!(shown.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{shown:?}");
        });
        // Sequences that only appear once others are removed.
        let nested = plain(&filter, b"\x1b\x1b[0m[2J \x1b]0;\x1b[0m\x07");
        assert!(!nested.contains('\x1b') && !nested.contains('\x07'), "{nested:?}");
    }
}
