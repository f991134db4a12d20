//! Copies bytes with their checksum, in pieces, with safe points between them. I/O.

use std::fs::File;
use std::io::{self, Read, Write as _};

use ring::digest::{Context, SHA256};

use super::watch::{Stopped, Watch};

/// Bytes between two safe points: some milliseconds on a slow disk.
const BLOCK: usize = 1 << 20;

/// So much is written before it is forced to the disk: then the last force is short, and the end comes within a second.
const FORCE: u64 = 32 << 20;

/// Why a copy ended early.
#[derive(Debug)]
pub enum Broken {
    /// Somebody asked for it.
    Stopped,
    /// What is copied cannot be read.
    From(io::Error),
    /// It cannot be written.
    To(io::Error),
}

impl From<Stopped> for Broken {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Copies until the end, at most `limit` bytes, and forces it to the disk; without `to` it only reads. `done` grows with it.
/// Returns how many bytes it was, and their SHA-256 in hex.
///
/// # Errors
/// Which side failed.
pub fn copy(
    from: &mut dyn Read,
    mut to: Option<&mut File>,
    limit: u64,
    done: &mut u64,
    watch: &mut dyn Watch,
) -> Result<(u64, String), Broken> {
    let mut block = vec![0; BLOCK];
    let (mut sum, mut size, mut loose) = (Context::new(&SHA256), 0u64, 0u64);
    while size < limit {
        watch.point(*done)?;
        let wanted = usize::try_from(limit - size).unwrap_or(BLOCK).min(BLOCK);
        let got = match from.read(&mut block[..wanted]) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::From(error)),
        };
        sum.update(&block[..got]);
        size += got as u64;
        *done += got as u64;
        if let Some(to) = to.as_deref_mut() {
            to.write_all(&block[..got]).map_err(Broken::To)?;
            loose += got as u64;
            if loose >= FORCE {
                to.sync_data().map_err(Broken::To)?;
                loose = 0;
            }
        }
    }
    if let Some(to) = to {
        to.sync_all().map_err(Broken::To)?;
    }
    watch.point(*done)?;
    Ok((size, hex(sum.finish().as_ref())))
}

/// The SHA-256 of these bytes, in hex.
#[must_use]
pub fn sum(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let two = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(two).map(char::from).collect()
}
