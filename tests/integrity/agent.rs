//! Verifies a library with the real binary: verdicts, incidents, quarantine, reports, pauses and `kill -9`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};

use logmedic::ledger::rusqlite::Connection;
use serde_json::Value;

use super::media::make;
use super::rig::{Agent, Night, outcome, told, until};

const QUIET: &str = "[library]\nenabled = false\n";

/// Files of which nobody thinks that they are being written.
fn long_ago(night: &Night, name: &str) {
    let file = File::options().write(true).open(night.path(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
}

fn put(night: &Night, name: &str, bytes: &[u8]) {
    fs::write(night.path(name), bytes).unwrap();
    long_ago(night, name);
}

fn gz(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn run(night: &Night, args: &[&str]) -> Value {
    let output = night.ask(&[&["library"], args, &["--wait", "--json"]].concat());
    let (_, out, err) = told(&output);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

fn report(night: &Night) -> Vec<Value> {
    let (_, out, err) = told(&night.ask(&["library", "report", "--json"]));
    assert!(err.is_empty(), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verdicts(night: &Night) -> Vec<(String, String)> {
    let word = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let mut all: Vec<_> = report(night).iter().map(|one| (word(one, "path"), word(one, "verdict"))).collect();
    all.sort();
    all
}

fn operation(night: &Night, id: &str) -> Value {
    let (_, out, _) = told(&night.ask(&["operations", "--json", id]));
    serde_json::from_str(&out).unwrap_or(Value::Null)
}

#[test]
fn c7_damage_becomes_an_incident_and_what_cannot_be_fetched_again_stays() {
    let night = Night::new(QUIET);
    let whole = gz(&b"a line\n".repeat(5000));
    put(&night, "models/good.gz", &whole);
    put(&night, "models/cut.gz", &whole[..whole.len() / 2]);
    put(&night, "models/page.mp4", b"<!DOCTYPE html><html>");
    put(&night, "models/=cmd.mp4", b"");
    fs::write(night.path("models/new.gz"), &whole[..whole.len() / 2]).unwrap();
    let _agent = night.start_reading();
    assert_eq!(run(&night, &["populate"])["state"], "completed");
    let done = run(&night, &["verify"]);
    assert_eq!(done["state"], "completed", "{done}");
    let detail = done["report"]["detail"].as_str().unwrap();
    assert_eq!(detail, "5 files: 1 sound, 1 short, 2 broken, 1 unknown; 3 became incidents");
    let expected = [
        ("models/=cmd.mp4", "broken"),
        ("models/cut.gz", "short"),
        ("models/new.gz", "unknown"),
        ("models/page.mp4", "broken"),
    ];
    assert_eq!(verdicts(&night), expected.map(|(path, verdict)| (path.to_owned(), verdict.to_owned())));
    for name in ["cut.gz", "page.mp4", "=cmd.mp4"] {
        let end = night.outcome(name);
        assert_eq!(end["result"], "alert_only", "{end}");
        assert!(end["detail"].as_str().unwrap().contains("left where it is"), "{end}");
        assert!(night.path(&format!("models/{name}")).exists(), "{name}");
    }
    let (_, csv, _) = told(&night.ask(&["library", "report", "--csv"]));
    assert!(csv.starts_with("id,path,size,verdict,level,reason,checked_at,incident\r\n"), "{csv}");
    assert!(csv.lines().count() == 5 && csv.contains(",models/=cmd.mp4,0,broken,structure,it is empty,"), "{csv}");
    // Found again: nobody is told again. Only what was reported is looked at again.
    let again = run(&night, &["verify"]);
    assert!(!again["report"]["detail"].as_str().unwrap().contains("incident"), "{again}");
    put(&night, "models/cut.gz", &whole);
    assert_eq!(run(&night, &["populate"])["state"], "completed");
    let some = run(&night, &["verify", "--only-reported"]);
    assert!(some["report"]["detail"].as_str().unwrap().starts_with("2 files: 0 sound, 2 broken"), "{some}");
}

#[test]
fn c7_a_damaged_film_is_set_aside_and_fetched_again() {
    let night = Night::new("");
    let film = make(&night.path(""), "source.mp4", &["-c:v", "mpeg4", "-an"]);
    let whole = fs::read(&film).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    // Within a picture: its structure shows nothing.
    bytes[middle..middle + 400].fill(0x5a);
    put(&night, "models/film.mp4", &bytes);
    let fetch = night.path("fetch.sh");
    fs::write(&fetch, format!("#!/bin/sh\ncp {} \"$1\"\n", film.display())).unwrap();
    fs::set_permissions(&fetch, fs::Permissions::from_mode(0o755)).unwrap();
    night.configure(&format!(
        "{QUIET}[retry]\nbase = '20ms'\n[command.redownload]\nargv = ['{}', '{{path}}']\n",
        fetch.display()
    ));
    let _agent = night.start_reading();
    run(&night, &["populate"]);
    let structure = run(&night, &["verify"]);
    assert_eq!(structure["report"]["detail"], "1 files: 1 sound", "{structure}");
    let decode = run(&night, &["verify", "--level", "decode"]);
    assert!(decode["report"]["detail"].as_str().unwrap().contains("1 broken; 1 became incidents"), "{decode}");
    let end = night.outcome("film.mp4");
    assert_eq!(end["result"], "healed", "{end}");
    assert_eq!(fs::read(night.path("models/film.mp4")).unwrap(), whole);
    let (_, kept, _) = told(&night.ask(&["quarantine", "list"]));
    assert!(kept.contains("film.mp4"), "{kept}");
    assert!(report(&night)[0]["incident"].is_string());
}

#[test]
fn c7_other_content_is_damage_only_where_nobody_wrote_to_the_file() {
    let night = Night::new(QUIET);
    for name in ["models/rot.gz", "models/edited.gz", "models/same.gz"] {
        put(&night, name, &gz(&b"first\n".repeat(999)));
    }
    let agent = night.start_reading();
    run(&night, &["populate"]);
    // The disk gives back other bytes than it got, and no date has moved: only the record can be told otherwise here.
    let db = Connection::open(night.path("state/state.db")).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    let other = "0".repeat(64);
    assert_eq!(db.execute("UPDATE media SET blake3 = ?1 WHERE name = 'rot.gz'", [other]).unwrap(), 1);
    drop(db);
    put(&night, "models/edited.gz", &gz(&b"second\n".repeat(999)));
    let done = run(&night, &["verify", "--level", "checksum"]);
    let detail = done["report"]["detail"].as_str().unwrap();
    assert_eq!(detail, "3 files: 1 sound, 1 broken, 1 changed; 1 became incidents");
    let end = night.outcome("rot.gz");
    assert!(end["detail"].as_str().unwrap().contains("nobody wrote to it"), "{end}");
    assert!(outcome(&night.records(), "edited.gz").is_none(), "a change is no damage");
    agent.stop();
}

/// Fifty files of a megabyte at 5 MB a second: ten seconds of work.
fn slow() -> Night {
    let night = Night::new(&format!("{QUIET}verify_bytes_per_second = '5MB'\n"));
    for n in 0..50u32 {
        let mut wav =
            b"RIFF\x24\x42\x0f\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\x42\x0f\0"
                .to_vec();
        wav.extend((0..1_000_000u32 / 4).flat_map(|k| (k ^ n).to_le_bytes()));
        wav[4..8].copy_from_slice(&(36u32 + 1_000_000).to_le_bytes());
        wav[40..44].copy_from_slice(&1_000_000u32.to_le_bytes());
        put(&night, &format!("models/{n}.wav"), &wav);
    }
    night
}

fn begin(night: &Night) -> String {
    let (_, out, err) = told(&night.ask(&["library", "verify", "--level", "checksum", "--json"]));
    let one: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    one["id"].as_str().unwrap().to_owned()
}

fn checked(night: &Night) -> i64 {
    night.count("SELECT count(*) FROM media WHERE checked_at IS NOT NULL AND integrity_level = 'checksum'")
}

fn under_way(night: &Night, id: &str, files: i64) {
    until("some files to be checked", || {
        assert_ne!(operation(night, id)["state"], "failed");
        (checked(night) >= files).then_some(())
    });
}

#[test]
fn c2_c7_a_check_holds_still_and_ends_within_a_second() {
    let night = slow();
    let _agent: Agent = night.start_reading();
    run(&night, &["populate"]);
    let id = begin(&night);
    under_way(&night, &id, 3);
    let order = |word: &str, state: &str| {
        let since = Instant::now();
        assert!(night.ask(&["operations", word, &id]).status.success());
        until(state, || (operation(&night, &id)["state"] == state).then_some(()));
        since.elapsed()
    };
    assert!(order("pause", "paused") < Duration::from_secs(3));
    let still = checked(&night);
    assert!(night.ask(&["operations", "resume", &id]).status.success());
    until("more files", || (checked(&night) > still + 1).then_some(()));
    assert!(order("cancel", "cancelled") < Duration::from_secs(3));
    assert!(checked(&night) < 50, "what was checked is kept, and the rest was not looked at");
}

#[test]
fn c4_c7_a_check_that_is_killed_goes_on_where_it_was() {
    let night = slow();
    let agent = night.start_reading();
    run(&night, &["populate"]);
    let id = begin(&night);
    under_way(&night, &id, 10);
    agent.kill();
    let (before, first) =
        (checked(&night), "SELECT max(checked_at) FROM (SELECT checked_at FROM media ORDER BY ord LIMIT 8)");
    let dates = night.count(first);
    let _agent = night.start();
    let done = until("its end", || Some(operation(&night, &id)).filter(|one| one["state"] == "completed"));
    assert_eq!(done["report"]["detail"], "50 files: 50 sound", "{done}");
    assert_eq!(done["runs"], 2, "{done}");
    assert_eq!(night.count(first), dates, "the first {before} were not looked at twice");
}
