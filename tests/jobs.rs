//! Download jobs from outside: the real binary beside bots that write logs and files, killed in the middle; and the HTTP
//! interface with an engine behind it.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "jobs/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "agent/rig.rs"]
mod rig;

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use logmedic::ledger::Ledger;
use logmedic::ledger::jobs::{self, Filter};
use rig::{Night, until};
use serde_json::Value;

/// Looks often, and takes a second's pause for a stall.
const QUICK: &str = "[jobs]\nwatch_every = '100ms'\nstall_small = '1s'\n";

fn stored(night: &Night) -> Vec<Value> {
    let db = Ledger::look(&night.path("state")).unwrap();
    let rows = jobs::jobs(&db, &Filter::default(), 100).unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// Waits for the one job there is to be so.
fn job(night: &Night, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let all = stored(night);
        assert!(all.len() <= 1, "one download is one job: {all:#?}");
        all.into_iter().find(|job| fits(job))
    })
}

fn add(night: &Night, name: &str, bytes: usize) {
    let path = night.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
}

fn bytes(job: &Value) -> u64 {
    job["progress"]["bytes"].as_u64().unwrap_or(0)
}

#[test]
fn b1_b2_a_bots_lines_and_its_growing_file_are_one_job() {
    let night = Night::new(QUICK);
    let agent = night.start_reading();
    let path = night.path("models/ana/film.mp4");
    let says = |text: &str| {
        let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S,%3f");
        night.say(format!("{now} - bot - INFO - {text}\n"));
    };
    says("Received video film.mp4 (400000 bytes) from chat 42");
    says(&format!("Downloading film.mp4 -> {}", path.display()));
    job(&night, "the line's job", |job| job["state"] == "processing");
    add(&night, "models/ana/film.mp4", 100_000);
    let half = job(&night, "a quarter", |job| job["progress"]["percent"] == 25.0);
    assert_eq!((half["progress"]["total"].as_u64(), half["state"].as_str()), (Some(400_000), Some("processing")));
    assert_eq!(half["facts"]["size"], 400_000);
    add(&night, "models/ana/film.mp4", 300_000);
    says(&format!("Saved to {}", path.display()));
    let done = job(&night, "its end", |job| job["state"] == "completed");
    assert_eq!((done["progress"]["percent"].as_f64(), bytes(&done)), (Some(100.0), 400_000));
    let shown = night.ask(&["jobs"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("completed") && shown.contains("100 %"), "{shown}");
    agent.stop();
}

#[test]
fn b1_the_documented_line_tells_everything_in_any_order() {
    let night = Night::new(QUICK);
    let agent = night.start_reading();
    night.say("logmedic size=1000 job=\"film 7\" path=\"/elsewhere/a b.mp4\"\n");
    job(&night, "the job", |job| job["state"] == "queued" && job["name"] == "film 7");
    night.say("logmedic job=\"film 7\" state=progress bytes=250\n");
    job(&night, "progress", |job| job["state"] == "processing" && job["progress"]["percent"] == 25.0);
    night.say("logmedic job=\"film 7\" state=failed\n");
    job(&night, "failure", |job| job["state"] == "failed");
    night.say("logmedic job=\"film 7\" state=started\nlogmedic job=\"film 7\" state=completed\n");
    let done = job(&night, "its end", |job| job["state"] == "completed");
    assert_eq!((done["attempt"].as_u64(), done["facts"]["path"].as_str()), (Some(2), Some("/elsewhere/a b.mp4")));
    agent.stop();
}

/// aria2's control file: pieces of 64 KiB, so many of them there.
fn control(total: u64, done: u64) -> Vec<u8> {
    let piece = 1u32 << 16;
    let pieces = total.div_ceil(u64::from(piece));
    let mut bits = vec![0u8; usize::try_from(pieces.div_ceil(8)).unwrap()];
    for at in 0..done {
        bits[usize::try_from(at / 8).unwrap()] |= 0x80 >> (at % 8);
    }
    let mut out = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(piece.to_be_bytes());
    out.extend(total.to_be_bytes());
    out.extend(0u64.to_be_bytes());
    out.extend(u32::try_from(bits.len()).unwrap().to_be_bytes());
    out.extend(bits);
    out
}

#[test]
fn b2_a_file_whose_room_was_set_aside_is_as_far_as_its_control_file_says() {
    let night = Night::new("[jobs]\nwatch_every = '100ms'\n");
    let agent = night.start_reading();
    let total = 1u64 << 20;
    fs::write(night.path("models/disk.iso.aria2"), control(total, 0)).unwrap();
    add(&night, "models/disk.iso", 1 << 20);
    let begun = job(&night, "the file's job", |job| job["origin"] == "file");
    assert!(bytes(&begun) == 0 && begun["state"] == "processing", "{begun}");
    fs::write(night.path("models/disk.iso.aria2"), control(total, 8)).unwrap();
    let half = until("the half", || {
        // Saved every five seconds at most; every look that saw it go on counts.
        fs::write(night.path("models/disk.iso.aria2"), control(total, 8)).unwrap();
        add(&night, "models/disk.iso", 0);
        stored(&night).into_iter().find(|job| bytes(job) == total / 2)
    });
    assert_eq!((half["progress"]["percent"].as_f64(), half["state"].as_str()), (Some(50.0), Some("processing")));
    fs::remove_file(night.path("models/disk.iso.aria2")).unwrap();
    night.say(format!("Download complete: {}\n", night.path("models/disk.iso").display()));
    let done = job(&night, "its end", |job| job["state"] == "completed");
    assert_eq!(done["progress"]["percent"], 100.0);
    agent.stop();
}

#[test]
fn b5_a_kill_in_the_middle_loses_no_job_and_makes_no_second_one() {
    let night = Night::new(QUICK);
    let agent = night.start_reading();
    night.say("[download] Destination: models/ana/clip.bin\n");
    job(&night, "the line's job", |job| job["state"] == "processing");
    add(&night, "models/ana/clip.bin.part", 50_000);
    let before = job(&night, "its bytes", |job| bytes(job) == 50_000);
    agent.kill();
    add(&night, "models/ana/clip.bin.part", 20_000);
    let agent = night.start_reading();
    add(&night, "models/ana/clip.bin.part", 30_000);
    let after = job(&night, "the bytes after the kill", |job| bytes(job) == 100_000);
    assert_eq!(before["id"], after["id"]);
    fs::rename(night.path("models/ana/clip.bin.part"), night.path("models/ana/clip.bin")).unwrap();
    // No line says that it is complete, and of this kind of file nobody can tell: that is what it says.
    let done = job(&night, "its end", |job| job["state"] == "completed");
    assert!(done["message"].as_str().unwrap().contains("cannot be told"), "{done}");
    agent.stop();
}

#[test]
fn b2_a_download_that_stands_still_is_told_once() {
    let night = Night::new(QUICK);
    let agent = night.start_reading();
    add(&night, "models/slow.mp4.part", 50_000);
    let still = job(&night, "the stall", |job| !job["stalled_since"].is_null());
    assert_eq!((still["state"].as_str(), still["stalls"].as_u64()), (Some("processing"), Some(1)));
    assert_eq!(night.count("SELECT count(*) FROM notice WHERE key LIKE 'job:%'"), 1);
    add(&night, "models/slow.mp4.part", 10);
    job(&night, "that it goes on", |job| job["stalled_since"].is_null());
    fs::remove_file(night.path("models/slow.mp4.part")).unwrap();
    let gone = job(&night, "that it is gone", |job| job["state"] == "failed");
    assert!(gone["message"].as_str().unwrap().contains("gone"), "{gone}");
    agent.stop();
}
