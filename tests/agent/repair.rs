//! Repairs from outside: cut off in the middle, overtaken by the bot, forbidden, held back by a mode (rows A6b, A8,
//! A10, A16, H1).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::Value;

use super::launched::{gated, is_gone, kill_9, launchers};
use super::rig::{Night, exists, no_gap, of, until};

/// Rules for lines that name a file that is not there, or may not be used.
pub const RULES: &str = r"
[[rule]]
id = 'mine.lost'
class = 'timeout'
severity = 'error'
pattern = '''^LMTEST lost (?P<path>.+)$'''
about = 'a line of the tests'

[[rule]]
id = 'mine.watched'
class = 'timeout'
severity = 'error'
pattern = '''^LMTEST watched (?P<path>.+)$'''
about = 'a line of the tests'

[[rule]]
id = 'mine.asked'
class = 'timeout'
severity = 'error'
pattern = '''^LMTEST asked (?P<path>.+)$'''
about = 'a line of the tests'

[[rule]]
id = 'mine.gone'
class = 'missing_path'
severity = 'error'
pattern = '''^LMTEST gone (?P<path>.+)$'''
about = 'a line of the tests'

[[rule]]
id = 'mine.locked'
class = 'permission'
severity = 'error'
pattern = '''^LMTEST locked (?P<path>.+)$'''
about = 'a line of the tests'
";

/// A folder in which lost files are brought by `fetch.sh`: it notes that it ran and copies a sound file.
pub fn night(extra: &str, before_copy: &str) -> Night {
    let night = Night::new("");
    let program = night.path("fetch.sh");
    let (runs, sound) = (night.path("runs"), night.path("sound.gz"));
    let script = format!("#!/bin/sh\necho $$ >> {}\n{before_copy}\ncp {} \"$1\"\n", runs.display(), sound.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let packed = Command::new("sh").arg("-c").arg(format!("echo sound | gzip > {}", sound.display())).status();
    assert!(packed.unwrap().success());
    fs::write(night.path("patterns.d/repair.toml"), RULES).unwrap();
    night.configure(&format!("[command.redownload]\nargv = ['{}', '{{path}}']\n{extra}", program.display()));
    night
}

pub fn runs(night: &Night) -> usize {
    night.text("runs").lines().count()
}

pub fn lost(night: &Night, name: &str) -> String {
    let path = night.path(name).display().to_string();
    night.say(format!("LMTEST lost {path}\n"));
    path
}

pub fn story(all: &[Value]) -> Vec<String> {
    let told = |r: &Value| match r["kind"].as_str().unwrap() {
        "action" => format!("{} {} {}", r["strategy"].as_str().unwrap(), r["phase"].as_str().unwrap(), r["ok"]),
        "outcome" => r["result"].as_str().unwrap().to_owned(),
        kind => kind.to_owned(),
    };
    all.iter().map(told).collect()
}

#[test]
fn a16_a_repair_cut_off_with_its_launcher_is_ended_as_such_and_done_again_once() {
    let (night, gate) = gated("");
    let agent = night.start_reading();
    let path = lost(&night, "models/a.gz");
    until("the repair to begin", || (runs(&night) == 1).then_some(()));
    let first: i32 = night.text("runs").trim().parse().unwrap();
    let launcher = launchers(&night);
    agent.kill();
    // As a service manager does that ends all that is left, or a power cut.
    kill_9(launcher[0]);
    assert!(!exists(path.as_ref()));
    let _agent = night.start();
    until("the repair to begin again", || (runs(&night) == 2).then_some(()));
    // What both of them left running was ended before.
    assert!(is_gone(first));
    gate.open();
    assert_eq!(night.outcome(&path)["result"], "healed");
    let all = night.records();
    no_gap(&all);
    let wanted = [
        "error",
        "redownload started null",
        "redownload finished false",
        "redownload started null",
        "redownload finished true",
        "healed",
    ];
    assert_eq!(story(&all), wanted);
    assert_eq!((&all[1]["attempt"], &all[3]["attempt"]), (&1.into(), &1.into()), "a cut does not count");
    assert_eq!(fs::read(&path).unwrap(), fs::read(night.path("sound.gz")).unwrap());
    assert_eq!(runs(&night), 2);
}

#[test]
fn a8_what_the_bot_mends_itself_during_the_wait_is_left_to_it() {
    let night = night("[retry]\nbase = '2s'\n", "");
    let _agent = night.start_reading();
    let path = lost(&night, "models/b.gz");
    // Told that it is missing, and now waiting before the first attempt.
    until("the wait", || {
        let waits =
            "SELECT count(*) FROM row WHERE kind = 'incident' AND json_extract(json, '$.phase.phase') = 'waiting'";
        (night.count(waits) == 1).then_some(())
    });
    fs::copy(night.path("sound.gz"), &path).unwrap();
    assert_eq!(night.outcome(&path)["result"], "recovered");
    assert_eq!(story(&night.records()), ["error", "recovered"]);
    assert_eq!(runs(&night), 0);
}

#[test]
fn h1_outside_every_root_nothing_is_touched_and_the_remedy_is_named() {
    let night = night("[retry]\nbase = '20ms'\n", "");
    let outside = night.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.gz"), "not a gzip").unwrap();
    fs::set_permissions(outside.join("secret.gz"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&outside, night.path("models/way")).unwrap();
    symlink(outside.join("secret.gz"), night.path("models/link.gz")).unwrap();
    let look = || {
        let meta = fs::metadata(outside.join("secret.gz")).unwrap();
        let names = fs::read_dir(&outside).unwrap().count();
        (meta.mode(), meta.uid(), meta.ino(), meta.ctime_nsec(), names)
    };
    let before = look();
    let _agent = night.start_reading();
    for name in
        ["outside/new.gz", "models/../outside/new2.gz", "models/way/new3.gz", "models/way/secret.gz", "models/link.gz"]
    {
        let path = lost(&night, name);
        night.say(format!("LMTEST locked {path}\n"));
        let ends = night.recorded(&format!("both outcomes of {name}"), |all| {
            let ends: Vec<Value> =
                of(all, "outcome").into_iter().filter(|r| r["subject"]["value"] == path).cloned().collect();
            (ends.len() == 2).then_some(ends)
        });
        for end in ends {
            assert_eq!(end["result"], "refused", "{name}: {end}");
            let remedy = end["remedy"].as_str().unwrap_or_default();
            if name.starts_with("outside") {
                assert!(remedy.contains("[[root]]"), "{remedy}");
            }
        }
    }
    assert_eq!(look(), before);
    assert_eq!(runs(&night), 0);
    assert!(of(&night.records(), "action").is_empty());
}

#[test]
fn modes_hold_by_class_and_by_rule() {
    let night = night(
        "[retry]\nbase = '20ms'\n[mode]\ntimeout = 'off'\n'mine.watched' = 'observe'\n'mine.asked' = 'approve'\n",
        "",
    );
    let agent = night.start_reading();
    let off = lost(&night, "models/off.gz");
    let [watched, asked] = ["watched", "asked"].map(|word| {
        let path = night.path(&format!("models/{word}.gz")).display().to_string();
        night.say(format!("LMTEST {word} {path}\n"));
        path
    });
    let end = night.outcome(&off);
    assert_eq!(end["result"], "refused");
    assert!(end["detail"].as_str().unwrap().contains("off"), "{end}");
    let end = night.outcome(&watched);
    assert_eq!(end["result"], "alert_only");
    assert!(end["detail"].as_str().unwrap().contains("observe"), "{end}");
    let waits = "SELECT count(*) FROM row WHERE kind = 'incident' AND json_extract(json, '$.phase.on') = 'approval'";
    until("the wait for approval", || (night.count(waits) == 1).then_some(()));
    agent.kill();
    let _agent = night.start_reading();
    assert_eq!(night.count(waits), 1, "it waits on after a kill");
    let list = String::from_utf8(night.ask(&["incidents"]).stdout).unwrap();
    assert!(list.lines().any(|line| line.contains("approval") && line.contains("asked.gz")), "{list}");
    assert_eq!(runs(&night), 0);
    assert!(!exists(asked.as_ref()));
    assert!(of(&night.records(), "action").is_empty());
}

/// A root whose mode everybody may read, around everything that is logmedic's.
#[test]
fn h1_what_is_logmedics_own_in_a_root_is_never_repaired() {
    let night = night("[[root]]\nname = 'all'\npath = '.'\nfile_mode = '0666'\ndir_mode = '0777'\n", "");
    let agent = night.start_reading();
    let own = ["state", "state/state.db", "records.jsonl", "config.toml", "patterns.d/repair.toml"];
    let modes = || own.map(|name| fs::metadata(night.path(name)).unwrap().mode());
    let before = modes();
    for name in own {
        night.say(format!("LMTEST locked {}\nLMTEST gone {0}\nLMTEST lost {0}\n", night.path(name).display()));
    }
    for name in own {
        night.recorded(name, |all| {
            let about = |r: &&Value| r["kind"] == "outcome" && r["subject"]["value"].as_str().unwrap().ends_with(name);
            let ends: Vec<_> = all.iter().filter(about).map(ToString::to_string).collect();
            (ends.len() == 3 && ends.iter().all(|end| end.contains("belongs to logmedic itself"))).then_some(())
        });
    }
    assert_eq!(modes(), before);
    assert_eq!(runs(&night), 0, "nothing was fetched to their place");
    agent.stop();
}
