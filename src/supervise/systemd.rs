//! Tells systemd how we are. Does nothing where `$NOTIFY_SOCKET` is not set. I/O.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::vocab::{clean_line, shorten};

/// The longest status line; `systemctl status` shows about one line of a terminal.
const STATUS_LIMIT: usize = 200;

/// We are up: configuration read, database open, sources followed. Also ends a reload.
///
/// # Errors
/// When the message cannot be sent; the caller goes on all the same.
pub fn ready() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready])
}

/// A reload begins. [`ready`] must follow, whether the new configuration was taken or not.
///
/// `Type=notify-reload` wants the monotonic time with it (sd_notify(3)), and fails the reload without.
///
/// # Errors
/// When the message cannot be sent.
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

/// We are ending.
///
/// # Errors
/// When the message cannot be sent.
pub fn stopping() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping])
}

/// One line for `systemctl status`. Line ends are escaped: text from outside cannot add a second assignment.
///
/// # Errors
/// When the message cannot be sent.
pub fn status(text: &str) -> io::Result<()> {
    let line = clean_line(text);
    sd_notify::notify(&[NotifyState::Status(&shorten(&line, STATUS_LIMIT))])
}

/// We live. Send it every [`watchdog_interval`], from the loop whose health it stands for.
///
/// # Errors
/// When the message cannot be sent.
pub fn alive() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Watchdog])
}

/// How often [`alive`] is due: half of what the unit's `WatchdogSec` allows, as sd_watchdog_enabled(3) advises.
/// `None` where no watchdog is on for this process.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
