//! System calls that the libraries lack, or have in an unsafe form only; with `classify/simd.rs` the only unsafe code.
//!
//! `fchmodat2` (Linux 6.6) changes the mode of an `O_PATH` descriptor; neither `nix` nor the C library offers it.
//! `getxattr` tells whether a file has an access control list, which the mode bits do not show.
//! `malloc_trim` and `madvise` give back the memory that only the start of the program needed.
//! `fork` and `clone` make a process of one that has a single thread, which no library can know.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid};

/// Bytes of stack for [`lend_memory`]: to read a message and to begin a program takes a few of 4 KiB, and only what is used is there.
const LENT_STACK: usize = 1024 * 1024;

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

/// Makes a second process that goes on from here, with a copy of everything; `None` there, its number here.
///
/// # Errors
/// When the system makes none, or this process has another thread: what that one held locked would stay locked in the copy.
pub fn fork() -> io::Result<Option<Pid>> {
    alone()?;
    // SAFETY: there is no other thread, so that no lock, of the allocator or any other, is held in the copy by nobody.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => Ok(Some(child)),
    }
}

/// Has `work` done by a new process in this one's memory, and comes back when that process has become another program or ended, as
/// it does at the end of `work`. It is a child of this process's parent. A program that is begun so need not wait until a copy
/// of this one's memory is taken down (a quarter of a millisecond).
///
/// # Errors
/// When the system makes none, or this process has another thread.
pub fn lend_memory(mut work: impl FnMut()) -> io::Result<()> {
    extern "C" fn enter(work: *mut c_void) -> c_int {
        // SAFETY: `lend_memory` gives a pointer to this, which lives until we are gone, and does not touch it meanwhile.
        unsafe { (*work.cast::<&mut dyn FnMut()>())() };
        0
    }
    alone()?;
    let (gone, goes) = io::pipe()?;
    let mut stack = vec![0_u128; LENT_STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast();
    let mut work: &mut dyn FnMut() = &mut work;
    let flags = libc::CLONE_VM | libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: of the two that share the memory only one works, as after `vfork`: this process has no other thread, and now only
    // makes system calls that touch no memory of the other's, until the other's copy of `goes` is closed, which the kernel does
    // after it has left the memory (`execve`, `_exit`). Stack and closure live until then. No signal but those of a crash has a
    // handler here.
    let made = unsafe { libc::clone(enter, top, flags, (&raw mut work).cast()) };
    Errno::result(made)?;
    drop(goes);
    // Nothing is ever written.
    while let Err(error) = nix::unistd::read(&gone, &mut [0]) {
        if error != Errno::EINTR {
            // It never fails; to go on could be to work beside the other.
            std::process::abort();
        }
    }
    Ok(())
}

/// # Errors
/// When this process has more than one thread.
fn alone() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.nth(1).is_some() {
        return Err(io::Error::other("there is another thread"));
    }
    Ok(())
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
            // Dirty pages do not count: a program that was installed just now is that until its file is on the disk.
            && matches!(first, "Anonymous:" | "Swap:")
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
    fn memory_is_not_lent_where_another_thread_could_use_it() {
        // Tests have threads of their own.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(fork().is_err());
                assert!(lend_memory(|| unreachable!()).is_err());
            });
        });
    }

    #[test]
    fn only_mappings_of_the_program_that_equal_its_file_are_given_back() {
        let mapping = |range: &str, mode: &str, file: &str, dirty: u32| {
            format!("{range} {mode} 00001000 fe:00 42 {file}\nSize: 8 kB\nPrivate_Dirty: 8 kB\nAnonymous: {dirty} kB\n")
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
