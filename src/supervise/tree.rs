//! Looks up process trees in `/proc`: children, descendants, and what an earlier run left behind. I/O.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable that marks every process of a bot's tree.
pub const MARKER: &str = "LOGMEDIC_RUN";

/// The name the shepherd shows in `ps`; not the program's own, so that `pkill logmedic` leaves it time to clean up.
pub const SHEPHERD_NAME: &str = "bot-shepherd";

/// How often a leftover is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long SIGKILL may take before we go on without; only a process stuck in the kernel needs longer.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// One process, as far as the tree matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
}

/// All processes that can be seen.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// `pid (name) state parent group …`, proc_pid_stat(5); the name may hold anything, brackets too.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, group })
}

/// The direct children of `parent`, zombies too.
#[must_use]
pub fn children(parent: i32) -> Vec<i32> {
    processes().into_iter().filter(|p| p.parent == parent).map(|p| p.pid).collect()
}

/// Everything below `root`, without it.
#[must_use]
pub fn descendants(root: i32) -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in processes() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        // `remove` also ends the walk if numbers were reused into a circle while we looked.
        for process in by_parent.remove(&pid).unwrap_or_default() {
            open.push(process.pid);
            found.push(process);
        }
    }
    found
}

/// A stable marker for the trees started by the agent that owns this state directory.
#[must_use]
pub fn marker_for(state_dir: &std::path::Path) -> String {
    // FNV-1a: the same in every build, which std's hashers do not promise. It is a name, not a secret.
    let hash = state_dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Processes whose environment `is` says yes to, except ourselves and what we descend from; of these users only, where some are
/// named. A zombie has no environment and is never among them.
#[must_use]
pub fn find(uids: Option<&[u32]>, is: &dyn Fn(&[u8]) -> bool) -> Vec<i32> {
    let all = processes();
    let parents: HashMap<i32, i32> = all.iter().map(|p| (p.pid, p.parent)).collect();
    let mut above = vec![i32::try_from(std::process::id()).unwrap_or(0)];
    while let Some(parent) = above.last().and_then(|pid| parents.get(pid)).filter(|p| !above.contains(p)) {
        above.push(*parent);
    }
    let of_them = |pid: i32| {
        uids.is_none_or(|uids| fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| uids.contains(&meta.uid())))
    };
    let environment = |pid: i32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| is(&environ));
    all.iter().map(|p| p.pid).filter(|pid| !above.contains(pid) && of_them(*pid) && environment(*pid)).collect()
}

/// Whether a process with this environment was started with our marker.
#[must_use]
pub fn marked(environ: &[u8], marker: &str) -> bool {
    environ.split(|b| *b == 0).any(|variable| {
        variable.strip_prefix(MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(marker.as_bytes())
    })
}

/// Ends what an earlier run left behind, of `uid` or our own user: politely, after `grace` by SIGKILL. Returns how many there
/// were.
///
/// Blocks. Only call it while holding what makes the agent the only one for its state directory.
#[must_use]
pub fn end_leftovers(marker: &str, uid: u32, grace: Duration) -> usize {
    let own = nix::unistd::geteuid().as_raw();
    end(&[uid, own], grace, &|environ| marked(environ, marker))
}

/// Ends the processes that [`find`] finds: politely, after `grace` by SIGKILL. Returns how many there were. Blocks.
#[must_use]
pub fn end(uids: &[u32], grace: Duration, is: &dyn Fn(&[u8]) -> bool) -> usize {
    let first = find(Some(uids), is);
    if first.is_empty() {
        return 0;
    }
    // A shepherd that lost its agent is already ending its tree; a second SIGTERM would cut the bot's cleaning up short.
    let shepherded = first
        .iter()
        .any(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == SHEPHERD_NAME));
    if !shepherded {
        send_all(&first, Signal::SIGTERM);
    }
    let polite = Instant::now() + grace;
    let last = polite + KILL_PATIENCE;
    loop {
        let left = find(Some(uids), is);
        let now = Instant::now();
        if left.is_empty() || now >= last {
            return first.len();
        }
        if now >= polite {
            send_all(&left, Signal::SIGKILL);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn send_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        let _ = kill(Pid::from_raw(*pid), signal); // gone already is fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_spaces_does_not_confuse() {
        let stat = "42 (a) S 1 (b) S 7 9 9 0 -1";
        assert_eq!(parse_stat(42, stat), Some(Process { pid: 42, parent: 7, group: 9 }));
        assert_eq!(parse_stat(42, "42 (cut"), None);
    }

    #[test]
    fn our_own_marker_never_names_us_or_our_parents() {
        // Whatever this test's own environment holds, neither it nor what started it may be found.
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!find(None, &|_| true).contains(&own));
        assert_eq!(marker_for(std::path::Path::new("/a")), marker_for(std::path::Path::new("/a")));
        assert_ne!(marker_for(std::path::Path::new("/a")), marker_for(std::path::Path::new("/b")));
    }
}
