//! Reads files to their end and hashes them by BLAKE3, large ones on several threads. I/O.
//!
//! Never by mapping a file into memory: one that is cut meanwhile would kill the process. The tree of the hash is that of the
//! BLAKE3 paper: blocks of a power of two are its subtrees, so threads take blocks in turn, and the end puts them together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::pace::{Ended, Pace};

/// Read at once: what is hashed is still in the processor's own cache.
pub(super) const PIECE: usize = 128 << 10;

/// Hashed as one subtree: a power of two pieces.
const BLOCK: u64 = 1 << 20;

/// Files from here on are worth more than one thread.
pub(super) const LARGE: u64 = 8 << 20;

/// Why there is no hash.
#[derive(Debug)]
pub(super) enum Unhashed {
    /// Somebody asked for the end.
    Ended,
    /// It could not be read.
    Io(io::Error),
}

impl From<Ended> for Unhashed {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<io::Error> for Unhashed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The hash of the first `len` bytes of the file, in hexadecimal, on up to `threads` threads. `buffer` holds a [`PIECE`].
pub(super) fn hash(file: &File, len: u64, threads: usize, buffer: &mut [u8], pace: &Pace) -> Result<String, Unhashed> {
    if len < LARGE || threads < 2 {
        let mut hasher = Hasher::new();
        feed(&mut hasher, file, 0, len, buffer, pace)?;
        return Ok(hasher.finalize().to_hex().to_string());
    }
    let blocks = usize::try_from(len.div_ceil(BLOCK)).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let values = Mutex::new(vec![ChainingValue::default(); blocks]);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let stopped = AtomicU64::new(0);
    let work = || {
        let mut buffer = vec![0; PIECE];
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks || stopped.load(Ordering::Relaxed) > 0 {
                return;
            }
            let start = block as u64 * BLOCK;
            let mut hasher = Hasher::new();
            hasher.set_input_offset(start);
            match feed(&mut hasher, file, start, (start + BLOCK).min(len), &mut buffer, pace) {
                Ok(()) => {
                    values.lock().unwrap_or_else(PoisonError::into_inner)[block] = hasher.finalize_non_root();
                }
                Err(why) => {
                    stopped.store(1, Ordering::Relaxed);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without one more thread the others do its work.
            let _ = std::thread::Builder::new().name("library".into()).spawn_scoped(scope, || {
                pace.settle();
                work();
            });
        }
        work();
    });
    if let Some(why) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(why);
    }
    let values = values.into_inner().unwrap_or_else(PoisonError::into_inner);
    let middle = left(values.len());
    let root = merge_subtrees_root(&merge(&values[..middle]), &merge(&values[middle..]), Mode::Hash);
    Ok(root.to_hex().to_string())
}

/// Hashes `start..end` of the file; that it ends before is an error.
fn feed(
    hasher: &mut Hasher,
    file: &File,
    start: u64,
    end: u64,
    buffer: &mut [u8],
    pace: &Pace,
) -> Result<(), Unhashed> {
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(PIECE).min(buffer.len());
        file.read_exact_at(&mut buffer[..want], at)?;
        hasher.update(&buffer[..want]);
        at += want as u64;
        pace.spend(want as u64)?;
    }
    Ok(())
}

/// How many of so many blocks stand in the left half of the tree: the largest power of two below their number.
fn left(blocks: usize) -> usize {
    (blocks / 2 + blocks % 2).next_power_of_two()
}

fn merge(values: &[ChainingValue]) -> ChainingValue {
    match values {
        [] => ChainingValue::default(),
        [one] => *one,
        many => {
            let middle = left(many.len());
            merge_subtrees_non_root(&merge(&many[..middle]), &merge(&many[middle..]), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn c5_threads_and_one_thread_agree_with_the_plain_hash_at_every_odd_size() {
        let pace = Pace::new(0, false, || {});
        let mut buffer = vec![0; PIECE];
        let all: Vec<u8> = (0..21 * BLOCK as usize + 5).map(|n| (n * 31 + n / 777) as u8).collect();
        for len in [
            0,
            1,
            PIECE,
            PIECE + 1,
            8 << 20,
            (8 << 20) + 1,
            (9 << 20) - 1,
            9 << 20,
            16 << 20,
            (17 << 20) + 3,
            all.len(),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&all[..len]).unwrap();
            let plain = blake3::hash(&all[..len]).to_hex().to_string();
            for threads in [1, 2, 3] {
                assert_eq!(hash(&file, len as u64, threads, &mut buffer, &pace).unwrap(), plain, "{len} {threads}");
            }
            assert!(matches!(hash(&file, len as u64 + 1, 2, &mut buffer, &pace), Err(Unhashed::Io(_))), "{len}");
        }
    }

    #[test]
    fn c1_hashing_ends_when_it_is_told_to() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let pace = Pace::new(0, false, || {});
        pace.set(crate::operate::Order::End);
        assert!(matches!(hash(&file, 64 << 20, 2, &mut vec![0; PIECE], &pace), Err(Unhashed::Ended)));
    }
}
