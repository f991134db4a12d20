//! Two system calls that the libraries lack; with `classify/simd.rs` the only unsafe code.
//!
//! `fchmodat2` (Linux 6.6) changes the mode of an `O_PATH` descriptor; neither `nix` nor the C library offers it.
//! `getxattr` tells whether a file has an access control list, which the mode bits do not show.

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
