//! Finds out whether a process runs. I/O: `/proc`.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::Process;

/// A file that holds a process number is one short line.
const PID_FILE_MAX: u64 = 64;

/// What is read of a command line: program and script stand in front.
const ARGV_MAX: u64 = 8 * 1024;

/// Programs whose first argument says what they really are.
const INTERPRETERS: &[&str] = &["python", "pypy", "node", "bun", "deno", "ruby", "perl", "php", "java", "sh", "bash"];

/// The number of a process that runs, or why none does. `known` is the one that was found last.
pub(super) fn find(which: &Process, bot: Option<u32>, known: Option<u32>) -> Result<u32, String> {
    match which {
        Process::Bot => match bot {
            Some(pid) if runs(pid) => Ok(pid),
            Some(pid) => Err(format!("the bot's process {pid} is gone")),
            None => Err("the bot does not run".to_owned()),
        },
        Process::PidFile(path) => {
            let pid = pid_in(path)?;
            if runs(pid) { Ok(pid) } else { Err(format!("process {pid} of {} does not run", path.display())) }
        }
        Process::Named(name) => {
            // Most often it is the same as before: one small file instead of all of them.
            if let Some(pid) = known.filter(|pid| runs(*pid) && is_called(*pid, name)) {
                return Ok(pid);
            }
            let entries = fs::read_dir("/proc").map_err(|error| format!("failed to read /proc: {error}"))?;
            let us = std::process::id();
            let pids =
                entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let found = pids.filter(|pid| *pid != us).find(|pid| is_called(*pid, name) && runs(*pid));
            found.ok_or_else(|| format!("no process called {name} runs"))
        }
    }
}

fn pid_in(path: &Path) -> Result<u32, String> {
    let failed = |error: std::io::Error| format!("failed to read {}: {error}", path.display());
    // Looked at first: opening a FIFO would wait for ever.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut text = String::new();
    fs::File::open(path).and_then(|file| file.take(PID_FILE_MAX).read_to_string(&mut text)).map_err(failed)?;
    let number = text.split_whitespace().next().unwrap_or_default().parse().ok().filter(|pid| *pid > 0);
    number.ok_or_else(|| format!("{} does not hold the number of a process", path.display()))
}

/// Whether it is there and not a zombie.
fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, in parentheses, may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn is_called(pid: u32, name: &str) -> bool {
    let mut line = Vec::new();
    let read =
        fs::File::open(format!("/proc/{pid}/cmdline")).and_then(|file| file.take(ARGV_MAX).read_to_end(&mut line));
    if read.is_err() || line.is_empty() {
        return false;
    }
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    matches(&words, name)
}

/// Whether a command line is the program `name`: by its path, by its last part, or by the script it interprets.
fn matches(words: &[String], name: &str) -> bool {
    let Some(program) = words.first() else { return false };
    let is = |word: &str| if name.contains('/') { word == name } else { last_part(word) == name };
    if is(program) {
        return true;
    }
    let interpreter = last_part(program).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let script = words.iter().skip(1).find(|word| !word.starts_with('-'));
    INTERPRETERS.contains(&interpreter) && script.is_some_and(|script| is(script))
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_a_program_is_known_by_name_path_or_script() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(matches(&line("/usr/bin/telegram-bot-api --local"), "telegram-bot-api"));
        assert!(matches(&line("/usr/bin/telegram-bot-api"), "/usr/bin/telegram-bot-api"));
        assert!(matches(&line("/usr/bin/python3.12 -u /srv/main.py"), "main.py"));
        assert!(!matches(&line("vim main.py"), "main.py"), "an editor is not the bot");
        assert!(!matches(&line("/opt/x/telegram-bot-api-old"), "telegram-bot-api"));
    }

    #[test]
    fn e4_a_pid_file_is_believed_only_while_its_process_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot.pid");
        let which = Process::PidFile(path.clone());
        assert!(find(&which, None, None).is_err());
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(find(&which, None, None), Ok(std::process::id()));
        for bad in ["", "0", "-1", "99999999", "x"] {
            fs::write(&path, bad).unwrap();
            assert!(find(&which, None, None).is_err(), "{bad}");
        }
    }
}
