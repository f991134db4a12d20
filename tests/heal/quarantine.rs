//! A12: only what is proven bad is moved aside, once, and it comes back when asked.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use logmedic::decide::{Expect, Repair, TaskOutput, Work};
use logmedic::setup::commands::quarantine::{Action, Args, Error, run};
use serde_json::{Value, json};

use crate::house::{House, is_done, png, task};

fn cli(house: &House, action: Action) -> Result<String, Error> {
    let mut out = Vec::new();
    run(&Args { action }, &house.path("state"), std::slice::from_ref(&house.spec), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

pub fn list(house: &House) -> Vec<Value> {
    let text = cli(house, Action::List { json: true }).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn quarantine_of(path: &str) -> Work {
    Work::Act(Repair::Quarantine { path: path.into(), expect: Expect::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_only_a_file_proven_bad_is_moved_and_it_comes_back_when_asked() {
    let house = House::new();
    let whole = png(500);
    house.put("models/good.png", &whole);
    house.put("models/odd.bin", b"who knows");
    for path in ["models/good.png", "models/odd.bin"] {
        let output = house.run(task(quarantine_of(path))).await;
        assert!(matches!(output, TaskOutput::Refused { .. }), "{output:?}");
        assert!(house.path(path).exists());
    }
    let bad = house.put("models/ana/bad.png", &whole[..200]);
    let job = task(quarantine_of("models/ana/bad.png"));
    let output = house.run(job.clone()).await;
    assert!(is_done(&output), "{output:?}");
    assert!(!bad.exists());
    let entries = list(&house);
    assert_eq!((entries.len(), &entries[0]["original"]), (1, &json!("ana/bad.png")));
    let stored = house.path("models").join(entries[0]["stored"].as_str().unwrap());
    assert_eq!(stored.metadata().unwrap().len(), 200);
    assert_eq!(house.path("models/.logmedic").metadata().unwrap().mode() & 0o777, 0o700);
    // The same task again, also when a new file has come meanwhile: nothing more is moved.
    house.put("models/ana/bad.png", &whole[..100]);
    assert!(is_done(&house.run(job).await));
    assert_eq!(bad.metadata().unwrap().len(), 100);
    let id = entries[0]["id"].as_str().unwrap().to_owned();
    let taken = cli(&house, Action::Restore { id: id.clone(), json: false });
    assert!(taken.is_err(), "a file that stands there is not overwritten");
    std::fs::remove_dir_all(house.path("models/ana")).unwrap();
    cli(&house, Action::Restore { id, json: false }).unwrap();
    assert_eq!(bad.metadata().unwrap().len(), 200, "back, and its directory too");
    assert!(list(&house).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_crash_between_the_row_and_the_move_is_mended_by_the_next_run() {
    let house = House::new();
    let bad = house.put("models/bad.png", &png(500)[..200]);
    let job = task(quarantine_of("models/bad.png"));
    let (id, stored) = (job.id.to_string(), format!(".logmedic/quarantine/{}/bad.png", job.id));
    let sql = "INSERT INTO quarantine (id, root, original, stored, size, why, at)
               VALUES (?1, 'models', 'bad.png', ?2, 200, 'cut', '2026-01-01T00:00:00.000Z')";
    house.ledger.write(move |db| db.execute(sql, [id, stored])).await.unwrap();
    assert!(is_done(&house.run(job).await));
    assert!(!bad.exists());
    assert_eq!(list(&house).len(), 1);
    let purge = |seconds| Action::Purge { id: None, older_than: Some(Duration::from_secs(seconds)), json: true };
    assert_eq!(cli(&house, purge(100 * 365 * 86_400)).unwrap(), "");
    assert_eq!(cli(&house, purge(0)).unwrap().lines().count(), 1);
    assert!(list(&house).is_empty());
    assert_eq!(house.path("models/.logmedic/quarantine").read_dir().unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_file_that_still_grows_is_not_moved() {
    let house = House::new();
    let path = house.put("models/live.png", &png(500)[..200]);
    let growing = tokio::spawn(async move {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        loop {
            file.write_all(&[0; 10]).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let output = house.run(task(quarantine_of("models/live.png"))).await;
    growing.abort();
    assert!(matches!(output, TaskOutput::Transient { .. }), "{output:?}");
    assert!(house.path("models/live.png").exists());
}
