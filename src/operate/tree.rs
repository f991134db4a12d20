//! Looks up in `/proc` what belongs to a command and what that uses. I/O.

use std::collections::{HashMap, HashSet};
use std::fs;

use super::progress::Usage;

/// A process as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    pub(super) group: i32,
    /// Processor time of it and of its children that ended, in clock ticks.
    ticks: u64,
    /// Resident pages.
    pages: u64,
}

/// All processes that can be seen. Blocking: some milliseconds on a busy machine.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// `pid (name) state ppid pgrp …`, proc_pid_stat(5); the name may hold anything, brackets too.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    // The state is field 3 of the manual and the first here.
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<i64>().ok());
    let positive = |field: usize| number(field).map_or(0, |value| u64::try_from(value).unwrap_or(0));
    Some(Process {
        pid,
        parent: i32::try_from(number(4)?).ok()?,
        group: i32::try_from(number(5)?).ok()?,
        ticks: (14..=17).map(positive).sum(),
        pages: positive(24),
    })
}

/// The command's process group and everything below it.
pub(super) fn members(all: &[Process], root: i32) -> Vec<Process> {
    let mut below: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all {
        below.entry(process.parent).or_default().push(process.pid);
    }
    let mut found: HashSet<i32> = HashSet::new();
    let mut open: Vec<i32> = all.iter().filter(|p| p.pid == root || p.group == root).map(|p| p.pid).collect();
    while let Some(pid) = open.pop() {
        if found.insert(pid) {
            open.extend(below.remove(&pid).unwrap_or_default());
        }
    }
    all.iter().filter(|p| found.contains(&p.pid)).copied().collect()
}

/// What these processes use; the share of a core is for whoever knows what it was before.
pub(super) fn usage(members: &[Process]) -> Usage {
    let (ticks, pages) = members.iter().fold((0, 0), |(ticks, pages), p| (ticks + p.ticks, pages + p.pages));
    let per_second = setting(nix::unistd::SysconfVar::CLK_TCK, 100);
    Usage {
        cpu_percent: 0.0,
        cpu_ms: ticks * 1000 / per_second,
        memory_bytes: pages * setting(nix::unistd::SysconfVar::PAGE_SIZE, 4096),
        own_processes: true,
    }
}

/// What logmedic itself uses.
pub(super) fn own_usage() -> Usage {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(own, &stat));
    Usage { own_processes: false, ..usage(&stat.into_iter().collect::<Vec<_>>()) }
}

fn setting(name: nix::unistd::SysconfVar, usual: u64) -> u64 {
    let value = nix::unistd::sysconf(name).ok().flatten();
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let stat = "7 (a) b) S 3 7 7 0 -1 0 0 0 0 0 5 6 1 2 20 0 1 0 99 4096 12 0";
        let process = parse(7, stat).unwrap();
        assert_eq!((process.parent, process.group, process.ticks, process.pages), (3, 7, 14, 12));
    }
}
