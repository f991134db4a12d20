//! Twenty thousand files: pauses, ends, `kill -9` in the middle.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::house::{BY_HAND, ask, call, get};
use super::rig::{Night, until};

const FILES: usize = 20_000;

fn fill(root: &Path) {
    for directory in 0..100 {
        let directory = root.join(format!("model{directory:03}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..FILES / 100 {
            fs::write(directory.join(format!("{file:05}.jpg")), format!("{}{file}", directory.display())).unwrap();
        }
    }
}

fn begin(night: &Night) -> String {
    let begun = ask(night, &["library", "populate", "--json"]).remove(0);
    begun["id"].as_str().unwrap().to_owned()
}

fn operation(night: &Night, id: &str) -> Value {
    get(night, &format!("operations/{id}")).json()
}

fn stored(night: &Night) -> i64 {
    night.count("SELECT count(*) FROM media")
}

#[test]
fn c5_twenty_thousand_files_survive_a_pause_a_cancel_and_kill_9() {
    let night = Night::new(BY_HAND);
    fill(&night.path("models"));
    let agent = night.start_reading();
    // Pause: nothing moves. Resume: it goes on.
    let id = begin(&night);
    until("some files", || (stored(&night) > 500).then_some(()));
    let asked = Instant::now();
    assert_eq!(call(&night, "POST", &format!("operations/{id}/pause"), "", "").status, 200);
    until("the pause", || (operation(&night, &id)["state"] == "paused").then_some(()));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let held = stored(&night);
    assert!(held < FILES as i64, "it was paused too late to prove anything");
    assert_eq!(stored(&night), held);
    call(&night, "POST", &format!("operations/{id}/resume"), "", "");
    until("more files", || (stored(&night) > held + 500).then_some(()));
    // Cancel: within a second, at a safe point.
    let asked = Instant::now();
    call(&night, "POST", &format!("operations/{id}/cancel"), "", "");
    let over = until("the end", || Some(operation(&night, &id)).filter(|one| one["state"] == "cancelled"));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(over["report"]["detail"], "stopped; what was done so far is kept");
    let kept = stored(&night);
    assert!((1..FILES as i64).contains(&kept), "{kept}");
    // kill -9: the next run goes on where it was.
    let id = begin(&night);
    until("more files", || (stored(&night) > kept + 500).then_some(()));
    agent.kill();
    let cut = stored(&night);
    assert!(cut < FILES as i64, "it was killed too late to prove anything");
    let _agent = night.start_reading();
    let over = until("the operation of the run before", || {
        Some(operation(&night, &id)).filter(|one| one["state"] == "completed")
    });
    assert_eq!((&over["interrupted"], &over["runs"]), (&true.into(), &2.into()));
    let detail = over["report"]["detail"].as_str().unwrap();
    let new = FILES as i64 - cut;
    assert!(detail.starts_with(&format!("20000 files: {new} new, 0 changed, 0 moved, 0 gone; ")), "{cut}: {detail}");
    every_file_once(&night);
}

/// The pages of the interface, one after the other.
fn every_file_once(night: &Night) {
    let mut paths = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = get(night, &format!("library?sort=name&limit=200&cursor={cursor}")).json();
        for file in page["items"].as_array().unwrap() {
            assert!(paths.insert(file["path"].as_str().unwrap().to_owned()), "{file} twice");
            assert_eq!(file["blake3"].as_str().unwrap().len(), 64);
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(paths.len(), FILES);
}
