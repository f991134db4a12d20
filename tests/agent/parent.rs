//! `logmedic run -- COMMAND`: codes, signals, the last line, restarts, no configuration at all (rows A20, A24).

use std::fs;
use std::process::ExitStatus;

use super::rig::{Agent, Night, events, no_gap, of, until};

fn run(night: &Night, script: &str) -> Agent {
    night.spawn(night.command(&["run", "--", "sh", "-c", script]))
}

fn gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s[s.rfind(')').unwrap()..].starts_with(") Z"))
}

fn pid_in(night: &Night, name: &str) -> i32 {
    until("a process number", || night.text(name).strip_suffix('\n')?.parse().ok())
}

#[test]
fn a20_the_bots_code_is_ours_and_its_last_line_is_recorded() {
    let night = Night::new("");
    let code = |script: &str| -> Option<i32> { ExitStatus::code(&run(&night, script).end()) };
    assert_eq!(code("echo 'LMTEST denied /nowhere/LM1'; exit 7"), Some(7));
    let all = night.records();
    assert_eq!(events(&all), 1, "the last line before the end");
    assert!(night.text("out").contains("LMTEST denied /nowhere/LM1"));
    assert_eq!(code("echo 'LMTEST denied /nowhere/LM2'; kill -9 $$"), Some(128 + 9));
    assert_eq!(code("kill -SEGV $$"), Some(128 + 11));
    assert_eq!(code("true"), Some(0));
    assert_eq!(code("exec /no/such/program 2>/dev/null"), Some(127));
    no_gap(&night.records());
    assert_eq!(events(&night.records()), 2, "the last line before a kill");
}

#[test]
fn a20_ctrl_c_reaches_the_bot_and_kill_9_takes_it_along() {
    let night = Night::new("");
    let agent = run(&night, "trap 'echo heard; exit 5' INT; echo $$ > pid; while :; do sleep 0.02; done");
    pid_in(&night, "pid");
    agent.signal(2);
    assert_eq!(agent.end().code(), Some(5));
    assert!(night.text("out").contains("heard"));

    fs::remove_file(night.path("pid")).unwrap();
    let agent = run(&night, "sleep 999 & echo $! > child; echo $$ > pid; wait");
    let (bot, child) = (pid_in(&night, "pid"), pid_in(&night, "child"));
    agent.kill();
    until("the bot to end", || (gone(bot) && gone(child)).then_some(()));
}

#[test]
fn a20_a24_in_an_empty_folder_with_a_dotenv_it_just_works() {
    let night = Night::empty();
    fs::write(night.path(".env"), "TELEGRAM_TOKEN=110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\nADMIN_ID=4242\n")
        .unwrap();
    let line = r#"PermissionError: [Errno 13] Permission denied: '/nowhere/ana/a.mp4'"#;
    let mut command = night.command(&["run", "--", "sh", "-c", &format!("echo \"{line}\"; exit 3")]);
    // Alerts would go to Telegram itself.
    command.env("XDG_STATE_HOME", night.path("home")).env("LOGMEDIC_TELEGRAM__API_URL", "http://127.0.0.1:9");
    let agent = night.spawn(command);
    assert_eq!(agent.end().code(), Some(3));
    let out = night.text("out");
    assert!(out.contains(line), "{out}");
    let state = night.path("home/logmedic");
    assert!(fs::read_to_string(state.join("bot.log")).unwrap().contains(line));
    let records = fs::read_to_string(state.join("download_errors.jsonl")).unwrap();
    assert!(records.contains("\"class\":\"permission\""), "{records}");
    let refused = records.lines().find(|line| line.contains("\"refused\"")).unwrap();
    assert!(refused.contains("[[root]]"), "the line that would allow it is named: {refused}");
    assert!(!out.contains("AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw") && !records.contains("AAHdqTcvCH1vGWJxfSeofSAs0K5"));
    let names: Vec<_> = fs::read_dir(night.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "out, err, home and .env, nothing else: {names:?}");
}

#[test]
fn a20_a_crash_is_an_incident_with_its_restart() {
    let script = "if [ -e once ]; then echo $$ > pid; exec sleep 999; fi; touch once; exit 3";
    let night = Night::new(&format!("[bot]\ncommand = ['sh', '-c', '{script}']\nrestart = 'on-failure'\n"));
    let agent = night.start();
    pid_in(&night, "pid");
    let end = night.outcome("bot");
    assert_eq!((&end["class"], &end["result"]), (&"crash".into(), &"healed".into()));
    agent.signal(15);
    assert_eq!(agent.end().code(), Some(128 + 15));
    let all = night.records();
    no_gap(&all);
    let actions: Vec<_> = of(&all, "action").iter().map(|r| (r["strategy"].clone(), r["phase"].clone())).collect();
    assert_eq!(actions, [("restart_bot".into(), "started".into()), ("restart_bot".into(), "finished".into())]);
    assert_eq!(of(&all, "outcome").len(), 1, "asked to end is no crash");
}
