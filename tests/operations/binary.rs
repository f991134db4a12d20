//! Operations of the real binary, cut off by `kill -9`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::house::process;
use super::rig::{Night, until};

/// What `logmedic operations` shows.
fn operations(night: &Night, args: &[&str]) -> Vec<Value> {
    let output = night.ask(&[&["operations", "--json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn named(night: &Night, name: &str) -> Option<Value> {
    operations(night, &[]).into_iter().rev().find(|one| one["name"] == name)
}

fn lines(night: &Night, name: &str) -> usize {
    night.text(name).lines().count()
}

#[test]
fn c4_kill_9_loses_no_operation() {
    let night = Night::new(
        "[operations]\nat_once = 3\ncommands = 2\n\
         [[operation]]\nname = 'once'\nargv = ['sh', '-c', 'echo $$ >> once; exec sleep 600']\nevery = '1s'\npriority = 'critical'\n\
         [[operation]]\nname = 'again'\nargv = ['sh', '-c', 'echo $$ >> again; exec sleep 600']\nevery = '1s'\nresume = true\npriority = 'critical'\n\
         [[operation]]\nname = 'waits'\nargv = ['sh', '-c', 'echo $$ >> waits; exec sleep 600']\nevery = '1s'\npriority = 'low'\n",
    );
    let agent = night.start_reading();
    until("two to run and one to wait", || {
        (lines(&night, "once") == 1 && lines(&night, "again") == 1 && named(&night, "waits").is_some()).then_some(())
    });
    assert_eq!(named(&night, "waits").unwrap()["state"], "pending");
    let (once, again, waits) = ["once", "again", "waits"].map(|name| named(&night, name).unwrap()["id"].clone()).into();
    let first: i32 = night.text("once").trim().parse().unwrap();
    assert!(process(first).is_some());
    agent.kill();
    let _agent = night.start();
    let by_id = |id: &Value| operations(&night, &[id.as_str().unwrap()]).remove(0);
    until("the others to run", || (lines(&night, "again") == 2 && lines(&night, "waits") == 1).then_some(()));
    assert!(process(first).is_none(), "what the killed agent left was ended");
    let once = by_id(&once);
    assert_eq!((&once["state"], &once["interrupted"]), (&"failed".into(), &true.into()), "{once}");
    assert!(once["report"]["detail"].as_str().unwrap().contains("stopped in the middle"));
    until("their rows", || {
        let (again, waits) = (by_id(&again), by_id(&waits));
        let running = again["state"] == "running" && waits["state"] == "running";
        (running && again["runs"] == 2 && again["interrupted"] == true && waits["interrupted"] == false).then_some(())
    });
}

/// A rule for lines that name a file that is lost, and one for a directory.
const RULES: &str = r"
[[rule]]
id = 'mine.lost'
class = 'timeout'
severity = 'critical'
pattern = '''^LMTEST lost (?P<path>.+)$'''
about = 'a line of the tests'

[[rule]]
id = 'mine.gone'
class = 'missing_path'
severity = 'error'
pattern = '''^LMTEST gone (?P<path>.+)$'''
about = 'a line of the tests'
";

fn repairs(night: &Night) -> Vec<Value> {
    operations(night, &["--kind", "repair"])
}

#[test]
fn c1_a_repair_is_an_operation_and_kill_9_leaves_it_interrupted() {
    let night = Night::new("");
    let (fetch, gate) = (night.path("fetch.sh"), night.path("gate"));
    let script =
        format!("#!/bin/sh\necho $$ >> {}\nread go < {}\nexit 1\n", night.path("runs").display(), gate.display());
    fs::write(&fetch, script).unwrap();
    fs::set_permissions(&fetch, fs::Permissions::from_mode(0o755)).unwrap();
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(night.path("patterns.d/repair.toml"), RULES).unwrap();
    night.configure(&format!(
        "[retry]\nattempts = 1\nbase = '20ms'\n[command.redownload]\nargv = ['{}', '{{path}}']\n",
        fetch.display()
    ));
    let agent = night.start_reading();
    night.say(format!("LMTEST gone {}\n", night.path("models/new").display()));
    let done =
        until("the directory's operation", || repairs(&night).into_iter().find(|one| one["state"] == "completed"));
    assert_eq!(done["name"], "create_directory");
    assert_eq!((&done["priority"], &done["about"]["class"]), (&"high".into(), &"missing_path".into()));
    assert!(done["about"]["incident"].is_string() && done["report"]["detail"].is_string(), "{done}");
    night.say(format!("LMTEST lost {}\n", night.path("models/a.gz").display()));
    until("the download's operation", || {
        let running = repairs(&night).into_iter().any(|one| one["state"] == "running" && one["priority"] == "critical");
        (running && lines(&night, "runs") == 1).then_some(())
    });
    agent.kill();
    let _agent = night.start();
    until("the rows of both", || {
        let all: Vec<Value> = repairs(&night).into_iter().filter(|one| one["name"] == "redownload").collect();
        let states: Vec<_> =
            all.iter().map(|one| (one["state"].as_str().unwrap(), one["interrupted"] == true)).collect();
        (states == [("running", false), ("failed", true)]).then_some(())
    });
    writeln!(fs::OpenOptions::new().write(true).open(&gate).unwrap(), "go").unwrap();
    // The command went on without the agent; the operation that waits for it is a new one.
    until("its end", || repairs(&night).iter().all(|one| one["ended_at"].is_string()).then_some(()));
    assert_eq!(lines(&night, "runs"), 1);
    let text = String::from_utf8(night.ask(&["operations"]).stdout).unwrap();
    assert!(text.contains("interrupted") && text.contains("create_directory"), "{text}");
}
