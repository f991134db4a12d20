//! Lines that strangers wrote: nothing in them steers a terminal, breaks a record, names a file into being or starts a
//! program (row H1).

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use super::rig::{Night, events, no_gap, of, until};

const RULE: &str = r"
[[rule]]
id = 'mine.evil'
class = 'auth'
severity = 'error'
pattern = '''LMEVIL (?P<path>.*)$'''
about = 'a line of the tests'
";

/// What comes behind `LMEVIL `.
fn payloads() -> Vec<Vec<u8>> {
    let texts = [
        "\u{1b}[2J\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{1b}\\",
        "\u{1b}P$q\u{1b}\\ \u{1b}c \u{1b}(0",
        "\u{9b}31m\u{9d}0;owned\u{9c}",
        "\u{202e}4pm.exe\u{2066}x\u{2069}\u{200b}\u{feff}\u{2028}y",
        "a\rLMTEST denied /nowhere/LM1",
        "bell\u{7} back\u{8}\u{8} tab\t vt\u{b} ff\u{c} del\u{7f}",
        "$(touch pwned) `touch pwned` ; touch pwned # | touch pwned && touch pwned",
        "\",\"seq\":1,\"kind\":\"outcome\",\"x\":\"\\u0000\\",
        "</script><script>alert(1)</script> %s %n {path} {0} ${HOME}",
        "../../../../etc/passwd",
        "--help -rf /",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(b"nul\0in the middle".to_vec());
    all.push(b"\xff\xfe\xc0\xaf\xed\xa0\x80 not text".to_vec());
    all
}

fn steers(c: char) -> bool {
    let bidi = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    bidi || (c.is_control() && c != '\n')
}

fn harmless(what: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| line.chars().any(steers)) {
        panic!("{what} steers the terminal: {line:?}");
    }
}

fn evil() -> Night {
    let night = Night::new("");
    std::fs::write(night.path("patterns.d/evil.toml"), RULE).unwrap();
    night
}

fn speak(night: &Night) -> u64 {
    let payloads = payloads();
    for payload in &payloads {
        night.say([b"LMEVIL ".as_slice(), payload.as_slice(), b"\n"].concat());
    }
    payloads.len() as u64
}

#[test]
fn h1_hostile_lines_stay_text_in_records_and_on_the_terminal() {
    for json in [false, true] {
        let night = evil();
        let mut command = night.command(&["run"]);
        if json {
            command.arg("--json");
        }
        let mut agent = night.spawn(command);
        night.reading(&mut agent);
        let mut said = speak(&night);
        // Bounded memory, and the cut is marked.
        let mut long = b"LMEVIL /nowhere/".to_vec();
        long.resize(10 << 20, b'a');
        long.push(b'\n');
        night.say(&long);
        said += 1;
        // The carriage return hides a second line of ours or does not; both are right, lost is wrong.
        let all = night.recorded("all of it", |all| (events(all) >= said).then(|| all.to_vec()));
        agent.stop();
        no_gap(&night.records());
        assert!(of(&all, "error").iter().any(|record| record["truncated"] == true), "the cut is marked");
        harmless("the output", &night.text("out"));
        harmless("stderr", &night.text("err"));
        harmless("the records file", &night.text("records.jsonl"));
        for args in [&["incidents"][..], &["incidents", "--json"], &["status"], &["jobs"]] {
            harmless(args[0], std::str::from_utf8(&night.ask(args).stdout).unwrap());
        }
        let id = all[0]["incident"].as_str().unwrap();
        for args in [&["incidents", id][..], &["incidents", id, "--json"]] {
            harmless("a story", std::str::from_utf8(&night.ask(args).stdout).unwrap());
        }
        assert!(!super::rig::exists(&night.path("pwned")));
        assert!(of(&night.records(), "action").is_empty(), "nothing was started");
    }
}

/// What a terminal is given while the agent hears hostile lines.
fn on_a_terminal(no_color: bool) -> String {
    let night = evil();
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut master, slave) = (File::from(pty.master), File::from(pty.slave));
    let mut command = night.command(&["run"]);
    if no_color {
        command.env("NO_COLOR", "1");
    }
    command.stdout(Stdio::from(slave)).stderr(Stdio::null());
    let mut agent = super::rig::Agent(command.spawn().unwrap());
    // Our copy of the slave goes with the command, so that its end is the terminal's end.
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut part = [0; 4096];
        // EIO is a terminal's end.
        while let Ok(n @ 1..) = master.read(&mut part) {
            all.extend_from_slice(&part[..n]);
        }
        all
    });
    night.reading(&mut agent);
    let said = speak(&night);
    night.recorded("all of it", |all| (events(all) >= said).then_some(()));
    agent.stop();
    until("the terminal's end", || reader.is_finished().then_some(()));
    String::from_utf8(reader.join().unwrap()).unwrap().replace("\r\n", "\n")
}

#[test]
fn a18_h1_a_terminal_gets_our_colours_and_nothing_else() {
    let plain = on_a_terminal(true);
    assert!(plain.contains("LMEVIL"));
    harmless("NO_COLOR", &plain);
    let coloured = on_a_terminal(false);
    assert!(coloured.contains("\u{1b}["));
    let sgr = regex::Regex::new("\u{1b}\\[(0|1|2|1;3[12]|3[1236])m").unwrap();
    harmless("colour", &sgr.replace_all(&coloured, ""));
}
