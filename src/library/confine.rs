//! Becomes a program that reads strangers' files, with as little as it needs. I/O.
//!
//! `logmedic __confined MEMORY SECONDS PROGRAM [ARG]…` limits itself and then turns into the program: nothing between fork and
//! exec of the agent, and no unsafe code. What the program may still do: read standard input, write to standard output and error.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use super::pace::NICE;

/// Descriptors that it may have: input, output, errors, and the one file that it reads. A playlist that names other files opens none.
const FILES: u64 = 4;

/// Who owns nothing (`nobody` everywhere).
pub const NOBODY: u32 = 65_534;

/// The code of a shell for a program that is not there.
pub(super) const NOT_STARTED: u8 = 127;

/// What the hidden `__confined` command does; `args` is what follows it. Call it before any thread is started.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let (Some(memory), Some(seconds)) = (number(), number()) else { return usage() };
    let Some(program) = args.next() else { return usage() };
    if let Err(error) = confine(memory, seconds) {
        eprintln!("logmedic: failed to confine {}: {error}", program.display());
        return ExitCode::from(NOT_STARTED);
    }
    let error = Command::new(&program).args(args).exec();
    eprintln!("logmedic: failed to start {}: {error}", program.display());
    ExitCode::from(NOT_STARTED)
}

fn usage() -> ExitCode {
    eprintln!("logmedic: __confined is for logmedic itself");
    ExitCode::from(2)
}

fn confine(memory: u64, seconds: u64) -> nix::Result<()> {
    let owner = nix::sys::stat::fstat(std::io::stdin())?;
    // As root a network of nothing needs no more; others need a world of their own for it, which some systems refuse.
    if unshare(CloneFlags::CLONE_NEWNET).is_err() && !geteuid().is_root() {
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
    }
    if geteuid().is_root() {
        // Who may open the file once more, and has least.
        let (uid, gid) = match owner.st_mode {
            mode if mode & 0o004 != 0 => (NOBODY, NOBODY),
            _ => (owner.st_uid, owner.st_gid),
        };
        setgroups(&[])?;
        setgid(Gid::from_raw(gid))?;
        setuid(Uid::from_raw(uid))?;
    }
    // When logmedic dies, so does this. A change of the user would take it back.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let limits = [
        (Resource::RLIMIT_AS, memory),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, FILES),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, limit, limit)?;
    }
    // Where that is refused, it works as everybody does.
    let _ = rustix::process::setpriority_process(None, NICE);
    prctl::set_no_new_privs()
}
