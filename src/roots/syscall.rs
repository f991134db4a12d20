//! System calls that the libraries lack; with `classify/simd.rs` the only unsafe code.
//!
//! `fchmodat2` (Linux 6.6) changes the mode of an `O_PATH` descriptor; neither `nix` nor the C library offers it.
//! `getxattr` tells whether a file has an access control list, which the mode bits do not show.
//! `malloc_trim` and `madvise` give back the memory that only the start of the program needed.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::Mode;

/// Sets the mode of what `fd` (also one of `O_PATH`) refers to; never follows a name again.
pub(super) fn chmod_by_descriptor(fd: BorrowedFd<'_>, mode: u32) -> nix::Result<()> {
    // SAFETY: the descriptor is borrowed, hence open; the path is a static C string; no memory is written.
    let done = unsafe {
        libc::syscall(libc::SYS_fchmodat2, fd.as_raw_fd(), c"".as_ptr(), mode as libc::mode_t, libc::AT_EMPTY_PATH)
    };
    match Errno::result(done) {
        Ok(_) => Ok(()),
        // An older kernel or a sandbox: the descriptor's own entry in /proc is the same object.
        Err(Errno::ENOSYS) => nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(),
            Mode::from_bits_truncate(mode),
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        ),
        Err(errno) => Err(errno),
    }
}

/// Whether what `fd` refers to has a POSIX access control list.
pub(super) fn has_acl(fd: BorrowedFd<'_>) -> bool {
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())) else { return false };
    // SAFETY: both strings end with NUL and outlive the call; a null buffer of length 0 only asks for the size.
    let size = unsafe { libc::getxattr(path.as_ptr(), c"system.posix_acl_access".as_ptr(), std::ptr::null_mut(), 0) };
    size > 0
}

/// Gives back what only the start needed: free pages of the heap, and pages of the program's own code and constants. What is
/// still in use of these is in the page cache and comes back at its next use, some microseconds for 64 KiB.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes no memory that is in use, and any thread may call it at any time.
        let _ = unsafe { libc::malloc_trim(0) };
    }
    let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
    for (start, length) in clean_mappings(&maps, &program.to_string_lossy()) {
        // SAFETY: the mapping is read-only, of a file that cannot be written while it runs, and holds no page that differs
        // from the file: what is read there afterwards is what was read there before.
        let _ = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED) };
    }
}

/// Start and length of each read-only mapping of `program` of which no page was ever changed; relocated constants were.
fn clean_mappings(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut open = false;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
            let (start, end) = (number(start), number(end));
            let mode = words.next().unwrap_or_default();
            open = matches!(mode, "r-xp" | "r--p") && line.ends_with(program) && words.nth(3) == Some(program);
            if open {
                found.push((start, end.saturating_sub(start)));
            }
        } else if open
            && matches!(first, "Anonymous:" | "Private_Dirty:" | "Shared_Dirty:" | "Swap:")
            && words.next() != Some("0")
        {
            found.pop();
            open = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_of_the_program_that_equal_its_file_are_given_back() {
        let mapping = |range: &str, mode: &str, file: &str, dirty: u32| {
            format!(
                "{range} {mode} 00001000 fe:00 42 {file}\nSize: 8 kB\nPrivate_Dirty: {dirty} kB\nAnonymous: {dirty} kB\n"
            )
        };
        let maps = mapping("1000-3000", "r--p", "/usr/bin/logmedic", 0)
            + &mapping("3000-9000", "r-xp", "/usr/bin/logmedic", 0)
            + &mapping("9000-a000", "r--p", "/usr/bin/logmedic", 4)
            + &mapping("a000-b000", "rw-p", "/usr/bin/logmedic", 0)
            + &mapping("b000-c000", "r-xp", "/usr/lib/libc.so.6", 0)
            + &mapping("c000-d000", "r-xp", "", 0);
        assert_eq!(clean_mappings(&maps, "/usr/bin/logmedic"), [(0x1000, 0x2000), (0x3000, 0x6000)]);
        give_back_memory();
        assert!(std::fs::read_to_string("/proc/self/smaps").is_ok(), "and the program goes on");
    }
}
