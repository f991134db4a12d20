//! Bad input gets a code, the place and the remedy, and loses nothing; reload takes all or nothing (rows H3, A5).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::rig::{Night, events, no_gap, told, until};

/// Runs it with a wrong configuration: it must end with the code and say all these words.
fn refuses(night: &Night, code: i32, words: &[&str]) {
    let (ended, out, err) = told(&night.ask(&["run"]));
    assert_eq!(ended, Some(code), "{out}\n{err}");
    for word in words {
        assert!(err.contains(word), "{word:?} is not in: {err}");
    }
}

#[test]
fn h3_a_wrong_configuration_names_file_line_and_remedy() {
    let night = Night::new("[retry]\natempts = 3\n");
    refuses(&night, 78, &["config.toml", "atempts", "attempts", "config.toml:16:1"]);
    night.configure("[bot_api]\ntoken_file = 'nope.token'\n");
    refuses(&night, 78, &["config.toml", "nope.token"]);
    night.configure("[mode]\n'mine.markr' = 'off'\n");
    refuses(&night, 78, &["mine.markr", "rules list"]);
    night.configure("");
    let text = night.text("config.toml").replace("path = 'bot.log'", "path = 'bot.log'\npacks = ['no-such-pack']");
    fs::write(night.path("config.toml"), text).unwrap();
    refuses(&night, 78, &["no-such-pack", "bot"]);
    night.configure("");
    let rule = "[[rule]]\nid = 'bad.one'\nclass = 'auth'\nseverity = 'error'\npattern = '''a(b'''\nabout = 'x'\n";
    fs::write(night.path("patterns.d/bad.toml"), rule).unwrap();
    refuses(&night, 78, &["bad.toml", "bad.one"]);
    fs::remove_file(night.path("patterns.d/bad.toml")).unwrap();
    fs::write(night.path("notes.txt"), "buy milk\n").unwrap();
    night.configure("[records]\npath = 'notes.txt'\n");
    refuses(&night, 77, &["notes.txt", "[records] path"]);
    assert_eq!(night.text("notes.txt"), "buy milk\n");
    fs::write(night.path("blocked"), "a file").unwrap();
    night.configure("");
    let text = night.text("config.toml").replace("dir = 'state'", "dir = 'blocked/state'");
    fs::write(night.path("config.toml"), text).unwrap();
    refuses(&night, 77, &["blocked/state", "[state] dir"]);
    // After all that it still starts.
    night.configure("");
    night.start_reading().stop();
}

#[test]
fn h3_a_second_agent_on_the_same_state_is_refused_and_the_first_goes_on() {
    let night = Night::new("");
    let agent = night.start_reading();
    refuses(&night, 78, &["another logmedic", &agent.pid().to_string(), "LOGMEDIC_STATE__DIR"]);
    night.say("LMTEST denied /nowhere/LM1\n");
    night.outcome("LM1");
    agent.stop();
    assert_eq!(events(&night.records()), 1);
}

#[test]
fn h3_as_another_user_what_cannot_be_read_or_written_is_said_and_mended_without_a_restart() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can run the agent as another user");
        return;
    }
    let night = Night::new("");
    let open = |name: &str, mode| fs::set_permissions(night.path(name), fs::Permissions::from_mode(mode)).unwrap();
    // The build's own directory may be closed to that user.
    fs::copy(env!("CARGO_BIN_EXE_logmedic"), night.path("logmedic")).unwrap();
    open("", 0o755);
    open("logmedic", 0o755);
    let as_nobody = || {
        let own = night.command(&[]);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(night.path("logmedic")).arg("run");
        command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(night.path("")).stdin(std::process::Stdio::null());
        command
    };
    let (code, _, err) = told(&as_nobody().output().unwrap());
    assert_eq!(code, Some(77), "{err}");
    assert!(err.contains("/state") && err.contains("[state] dir"), "{err}");

    open("", 0o777);
    night.say("LMTEST denied /nowhere/LM1\n");
    open("bot.log", 0o600);
    let mut agent = night.spawn(as_nobody());
    until("the complaint", || {
        assert!(agent.0.try_wait().unwrap().is_none(), "{}", night.text("err"));
        night.text("err").contains("bot.log").then_some(())
    });
    assert!(night.text("err").contains("ermission denied"), "{}", night.text("err"));
    open("bot.log", 0o644);
    // Whether the first line is old or new to it nobody can say; what comes now is new.
    until("the log to be read", || (night.count("SELECT count(*) FROM checkpoint") > 1).then_some(()));
    night.say("LMTEST denied /nowhere/LM2\n");
    night.outcome("LM2");
    no_gap(&night.records());
}

#[test]
fn reload_takes_a_good_change_and_keeps_the_old_one_before_a_bad_one() {
    let night = Night::new("");
    let (code, _, err) = told(&night.ask(&["reload"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("no logmedic runs"), "{err}");

    let agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM1\n");
    assert_eq!(night.outcome("LM1")["result"], "alert_only");
    night.configure("[mode]\nauth = 'off'\n");
    let (code, out, err) = told(&night.ask(&["reload"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("reloaded"), "{out}");
    night.say("LMTEST denied /nowhere/LM2\n");
    assert_eq!(night.outcome("LM2")["result"], "refused");

    for bad in ["[mode]\nauth = 'of'\n", "[mode]\nauht = 'auto'\n", "[mode]\n'mine.markr' = 'auto'\n"] {
        night.configure(bad);
        let (code, out, err) = told(&night.ask(&["reload"]));
        assert_eq!(code, Some(78), "{out}{err}");
        assert!(!err.is_empty());
    }
    night.configure("");
    let text = night.text("config.toml").replace("path = 'bot.log'", "path = 'bot.log'\npacks = ['no-such-pack']");
    fs::write(night.path("config.toml"), text).unwrap();
    let (code, out, err) = told(&night.ask(&["reload"]));
    assert_eq!(code, Some(78), "{out}{err}");
    assert!(err.contains("no-such-pack"), "{err}");
    night.say("LMTEST denied /nowhere/LM3\n");
    assert_eq!(night.outcome("LM3")["result"], "refused", "the old one stays");
    // A rule of the user's is read again too.
    night.configure("");
    fs::write(night.path("patterns.d/mine.toml"), super::rig::MARKER_RULE.replace("LMTEST", "LMOTHER")).unwrap();
    assert_eq!(told(&night.ask(&["reload"])).0, Some(0));
    night.say("LMTEST denied /nowhere/LM4\nLMOTHER denied /nowhere/LM5\n");
    assert_eq!(night.outcome("LM5")["result"], "alert_only");
    agent.stop();
    assert_eq!(events(&night.records()), 4);
}
