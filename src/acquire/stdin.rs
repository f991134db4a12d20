//! Reads standard input to its end.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::outlet::{Outlet, Stopped};
use super::{CHUNK, Identity, Read};

/// Blocks in `read`; for a thread of its own, which ends with the input, or with the process.
pub(super) fn run(source: &str, outlet: &Outlet) -> Result<(), Stopped> {
    let stream = outlet.stream();
    outlet.send_blocking(Read::Opened {
        stream,
        source: source.into(),
        file: None,
        identity: Identity::Stdin,
        offset: 0,
    })?;
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let last = !is_more_waiting();
                outlet.send_blocking(Read::Bytes { stream, offset, bytes: buffer[..count].to_vec(), last })?;
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                outlet.trouble(source, format!("failed to read standard input: {error}"))?;
                break;
            }
        }
    }
    outlet.send_blocking(Read::Closed { stream })
}

fn is_more_waiting() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
