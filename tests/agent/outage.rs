//! What logmedic itself needs is away: its disk is full, Telegram does not answer (rows H4, A19).

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use logmedic::demo::serve;
use logmedic::demo::workspace::{ADMIN, ALERT_TOKEN};
use logmedic::demo::world::{Account, World};
use tokio_util::sync::CancellationToken;

use super::rig::{LONG, Night, events, no_gap, until};

/// A small file system of its own, gone with the test.
struct Tmpfs(PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn h4_a_full_disk_for_the_state_stops_neither_healing_nor_counting() {
    let night = Night::new("");
    fs::write(night.path("patterns.d/repair.toml"), super::repair::RULES).unwrap();
    let state = night.path("state");
    fs::create_dir(&state).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&state).output().unwrap();
    if !mounted.status.success() {
        eprintln!("skipped: cannot mount a tmpfs: {}", String::from_utf8_lossy(&mounted.stderr));
        return;
    }
    let _state = Tmpfs(state.clone());
    let mut agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM0\n");
    night.outcome("LM0");
    // Fills it to the last block: what is left after a write of 2 MiB failed is less than one.
    let _ = fs::write(state.join("filler"), vec![0; 2 << 20]);
    for n in 1..=100 {
        night.say(format!("LMTEST denied /nowhere/LM{n}\n"));
    }
    let path = night.path("models/ana");
    night.say(format!("LMTEST gone {}/a.mp4\n", path.display()));
    until("the repair", || path.exists().then_some(()));
    assert!(agent.0.try_wait().unwrap().is_none());
    assert!(night.text("err").contains("healing goes on"), "{}", night.text("err"));
    fs::remove_file(state.join("filler")).unwrap();
    assert_eq!(night.outcome("ana/a.mp4")["result"], "healed");
    night.recorded("everything", |all| (events(all) == 102).then_some(()));
    agent.stop();
    no_gap(&night.records());
    assert_eq!(events(&night.records()), 102);
}

#[test]
fn a19_an_alert_waits_for_telegram_through_a_kill_and_comes_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let night = Night::new(&format!(
        "[telegram]\ntoken = '{ALERT_TOKEN}'\nadmins = [{ADMIN}]\napi_url = 'http://127.0.0.1:{port}'\n"
    ));
    let agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM1\n");
    night.outcome("LM1");
    let owed = || night.count("SELECT count(*) FROM notice WHERE done = 0 AND key NOT GLOB 'agent:*'");
    assert_eq!(owed(), 1);
    agent.kill();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let account = Account::new(ALERT_TOKEN, "alerts_bot");
    let world = World::new(vec![account], night.path("server"), false);
    let stop = CancellationToken::new();
    let _agent = night.start_reading();
    assert_eq!(owed(), 1);
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port))).unwrap();
    let server = runtime.spawn(serve(listener, world.clone(), stop.clone()));
    let world = Arc::new(world);
    let about = |world: &World| -> Vec<String> {
        let inbox = world.inbox("alerts_bot", 0).into_iter().map(|sent| format!("{sent:?}"));
        inbox.filter(|shown| shown.contains("/nowhere/LM1")).collect()
    };
    runtime.block_on(world.wait_for(LONG, |world| about(world).into_iter().next())).unwrap();
    until("nothing owed", || (owed() == 0).then_some(()));
    assert_eq!(about(&world).len(), 1, "once");
    stop.cancel();
    runtime.block_on(server).unwrap().unwrap();
}
