//! Every event is counted once: kills, rotation, storms, standard input (rows A2, A3, A4, A7, A17).

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use logmedic::ledger::rusqlite;
use logmedic::vocab::Rng;

use super::rig::{Night, events, no_gap, of, until};

/// How often the agent is killed.
const KILLS: usize = 25;
/// Lines written between two kills.
const ROUND: usize = 60;
/// Lines after which the log is rotated.
const ROTATE: usize = 150;

/// Shifts `bot.log` to `bot.log.1`, that to `bot.log.2` and so on, as logrotate does.
fn rotate(night: &Night) {
    for n in (1..20).rev() {
        let _ = fs::rename(night.path(&format!("bot.log.{n}")), night.path(&format!("bot.log.{}", n + 1)));
    }
    let _ = fs::rename(night.path("bot.log"), night.path("bot.log.1"));
}

#[test]
fn a3_a17_every_line_counts_once_through_kills_rotation_and_torn_records() {
    let night = Night::new("[records]\npath = 'records.jsonl'\nmax_size = '64KiB'\nkeep = 200\n");
    let mut random = Rng::new(0x006e_6967_6874);
    // It knows the log before it is killed: which old logs are new to an agent that never saw any, nobody can say.
    let agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM0000000\n");
    night.outcome("LM0000000");
    agent.stop();
    let mut written = 1;
    for round in 0..KILLS {
        let agent = night.start();
        for _ in 0..ROUND {
            if written % ROTATE == ROTATE - 1 {
                rotate(&night);
            }
            night.say(format!("LMTEST denied /nowhere/LM{written:07}\n"));
            written += 1;
        }
        // The random moment of the kill, from "just starting" to "all done long ago"; nothing is waited for.
        std::thread::sleep(Duration::from_millis((random.unit() * 700.0) as u64));
        agent.kill();
        if round % 5 == 4 {
            let mut records = OpenOptions::new().append(true).open(night.path("records.jsonl")).unwrap();
            records.write_all(b"{\"schema\":\"logmedic.record/v1\",\"id\":\"x\",\"seq\":99999,\"te").unwrap();
        }
    }
    let agent = night.start();
    let all = night.recorded("every line", |all| (events(all) >= written as u64).then(|| all.to_vec()));
    agent.stop();
    let all_at_end = night.records();
    assert!(all_at_end.len() >= all.len());
    no_gap(&all_at_end);
    assert_eq!(events(&all_at_end), written as u64);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for record in of(&all_at_end, "error") {
        *seen.entry(record["subject"]["value"].as_str().unwrap()).or_default() += record["count"].as_u64().unwrap();
    }
    assert_eq!(seen.len(), written);
    assert!(seen.values().all(|count| *count == 1));
    assert_eq!(of(&all_at_end, "outcome").len(), written, "one incident each");
    assert!(night.path("records.jsonl.3").exists(), "the records were rotated too");
}

#[test]
fn a7_h4_a_storm_of_equal_lines_is_one_incident_with_a_count() {
    const LINES: u64 = 200_000;
    /// The agent at rest has about half of this, nearly all of it compiled rules.
    const RSS_KB: u64 = 300_000;
    let night = Night::new("");
    let agent = night.start_reading();
    let many = "LMTEST denied\n".repeat(10_000);
    for _ in 0..LINES / 10_000 {
        night.say(&many);
    }
    let all = night.recorded("the storm", |all| (events(all) >= LINES).then(|| all.to_vec()));
    assert_eq!(events(&all), LINES);
    assert!(agent.kilobytes("VmHWM:") < RSS_KB, "{} kB", agent.kilobytes("VmHWM:"));
    agent.stop();
    let all = night.records();
    no_gap(&all);
    assert_eq!(events(&all), LINES);
    assert_eq!(of(&all, "outcome").len(), 1);
    let records = of(&all, "error").len();
    assert!(records < 60, "at most one record a second: {records}");
    assert_eq!(night.count("SELECT count(*) FROM notice WHERE key NOT GLOB 'agent:*'"), 1, "one alert");
    assert_eq!(night.count("SELECT max(revision) FROM notice WHERE key NOT GLOB 'agent:*'"), 1, "told once");
}

#[test]
fn a17_numbers_go_on_when_the_state_is_lost_but_the_records_are_not() {
    let night = Night::new("");
    for n in 1..=3 {
        let agent = night.start_reading();
        night.say(format!("LMTEST denied /nowhere/LM{n}\n"));
        night.outcome(&format!("LM{n}"));
        agent.stop();
        fs::remove_dir_all(night.path("state")).unwrap();
    }
    let all = night.records();
    no_gap(&all);
    assert_eq!(events(&all), 3);
}

#[test]
fn a3_what_a_storm_counted_before_a_kill_is_written_at_the_next_start() {
    let night = Night::new("");
    let agent = night.start_reading();
    night.say("LMTEST denied\n".repeat(100));
    // Counted and committed, but folded: the second after the first record is not over.
    until("the storm's position", || {
        let sql = "SELECT coalesce(max(json_extract(json, '$.offset')), 0) FROM checkpoint";
        (night.count(sql) == 1_400).then_some(())
    });
    agent.kill();
    // As if the next start came an hour later.
    let db = rusqlite::Connection::open(night.path("state/state.db")).unwrap();
    let sql = "UPDATE row SET json = json_set(json, '$.ended_at', '2020-01-01T00:00:00Z') WHERE kind = 'incident'";
    assert_eq!(db.execute(sql, []).unwrap(), 1);
    drop(db);
    let _agent = night.start_reading();
    night.recorded("all of the storm", |all| (events(all) == 100).then_some(()));
    no_gap(&night.records());
}

#[test]
fn a1_standard_input_is_worked_off_to_its_end_and_then_it_ends_by_itself() {
    let night = Night::new("");
    fs::write(
        night.path("config.toml"),
        "[state]\ndir='state'\n[records]\npath='records.jsonl'\n[[source]]\nname='in'\nstdin=true\n",
    )
    .unwrap();
    let mut command = night.command(&["run"]);
    let mut agent = night.spawn({
        command.stdin(Stdio::piped());
        command
    });
    let mut pipe = agent.0.stdin.take().unwrap();
    for n in 0..500 {
        writeln!(pipe, "LMTEST denied /nowhere/LM{n:07}").unwrap();
    }
    // Many of one: all but the first wait to be written, and the end comes before their second is over.
    pipe.write_all("LMTEST denied\n".repeat(500).as_bytes()).unwrap();
    // The last line has no end.
    pipe.write_all(b"LMTEST denied /nowhere/LM9999999").unwrap();
    drop(pipe);
    assert_eq!(agent.end().code(), Some(0));
    let all = night.records();
    no_gap(&all);
    assert_eq!(events(&all), 1_001);
}

#[test]
fn a2_a4_a_traceback_in_several_writes_is_one_event() {
    let night = Night::new("[limits]\njoin_wait = '5s'\n");
    let agent = night.start_reading();
    for part in [
        "2026-11-22 01:02:03,456 ERROR download failed\r\nTraceback (most recent ",
        "call last):\r\n  File \"/srv/bot/main.py\", line 7, in <module>\r\n",
        "    open('/nowhere/LM1/x.mp4', 'wb')\r\n",
        "PermissionError: [Errno 13] Permission denied: '/nowhere/LM1/x.mp4'",
        "\r\n2026-11-22 01:02:04,000 INFO next\r\n",
    ] {
        night.say(part);
    }
    let end = night.outcome("/nowhere/LM1/x.mp4");
    agent.stop();
    let all = night.records();
    no_gap(&all);
    let errors = of(&all, "error");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!((&errors[0]["class"], &errors[0]["count"]), (&"permission".into(), &1.into()));
    assert_eq!(errors[0]["offset"], 0);
    assert!(errors[0]["text"].as_str().unwrap().contains("line 7, in <module>"));
    assert_eq!(end["result"], "refused");
}
