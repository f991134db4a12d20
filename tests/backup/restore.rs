//! Backups that are brought back.

use std::fs;

use logmedic::ledger::backup::known;
use logmedic::ledger::rusqlite::Connection;
use serde_json::{Value, json};

use super::house::{House, copied, forge, resum, said};
use super::rig::until;

/// What logmedic knows: identifiers of incidents, jobs and notifications, and the accounts.
fn known_things(house: &House) -> [Vec<String>; 4] {
    let of = |args: &[&str], field: &str| {
        let mut all: Vec<String> = house
            .done(args)
            .iter()
            .map(|one| one[field].as_str().or(one["incident"][field].as_str()).unwrap().to_owned())
            .collect();
        all.sort();
        all
    };
    [of(&["incidents"], "id"), of(&["jobs"], "id"), of(&["notifications"], "id"), of(&["user", "list"], "account")]
}

#[test]
fn c8_incidents_jobs_notifications_and_accounts_come_back() {
    let house = House::new("");
    let agent = house.start();
    house.account("ana");
    house.night.say("LMTEST denied /nowhere/LM1\nLMTEST denied /nowhere/LM2\n");
    house.night.say("logmedic job=\"film 7\" state=started\nlogmedic job=\"film 7\" state=completed\n");
    let before = until("all of it", || {
        let things = known_things(&house);
        (things[0].len() == 2 && things[1].len() == 1 && things[2].len() >= 2).then_some(things)
    });
    assert_eq!(before[3], ["ana"]);
    let token = house.night.ask(&["token", "create", "--role", "viewer", "--ttl", "1h"]);
    assert!(token.status.success());
    let name = house.create(&["--name", "good"]);
    house.account("later");
    agent.stop();
    let dry = &house.done(&["backup", "restore", &name, "--dry-run"])[0];
    assert!(dry["dry_run"] == true && dry["old_state"].is_null(), "{dry}");
    assert!(house.done(&["user", "list"]).len() == 2, "nothing is changed by a look");

    let done = &house.done(&["backup", "restore", &name])[0];
    let mut after = known_things(&house);
    after[2].retain(|id| before[2].contains(id));
    assert_eq!(after, before);
    assert_eq!(house.night.count("SELECT count(*) FROM session"), 0, "who was let in then is not let in now");
    assert_eq!(house.night.count("SELECT count(*) FROM operation WHERE ended_at IS NULL"), 0);
    // What was there is kept, whole.
    let old = std::path::PathBuf::from(done["old_state"].as_str().unwrap());
    let db = Connection::open(old.join("state.db")).unwrap();
    let accounts: i64 = db.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(accounts, 2);
    // And the agent goes on from there.
    let agent = house.start();
    house.night.say("LMTEST denied /nowhere/LM3\n");
    until("a new incident", || (house.done(&["incidents"]).len() >= 3).then_some(()));
    let operation = house.done(&["operations", "--kind", "backup"]).remove(0);
    assert_eq!((&operation["state"], &operation["interrupted"]), (&json!("failed"), &json!(true)), "{operation}");
    assert_eq!(house.done(&["backup", "list"]).len(), 1, "the backup in the backup is not made again");
    agent.stop();

    // Into a place where there is nothing, from a copy that somebody carried there.
    let other = House::new("");
    copied(&house.folder(&name), &other.night.path("carried"));
    fs::set_permissions(other.night.path("carried"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let done = &other.done(&["backup", "restore", "./carried"])[0];
    assert!(done["old_state"].is_null(), "{done}");
    let mut after = known_things(&other);
    after[2].retain(|id| before[2].contains(id));
    assert_eq!(after, before);
}

#[test]
fn c8_a_state_of_the_first_format_is_brought_up_to_date() {
    let house = House::settled("");
    let folder = house.night.path("old");
    copied(&house.folder(&house.create(&[])), &folder);
    fs::remove_file(folder.join("state.db")).unwrap();
    let db = Connection::open(folder.join("state.db")).unwrap();
    db.execute_batch(include_str!("../../src/ledger/schema/1.sql")).unwrap();
    db.execute("INSERT INTO record (seq, incident, json) VALUES (1, 'x', '{\"seq\":1}')", []).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    resum(&folder, "state.db");
    forge(&folder, |manifest| manifest["database_format"] = json!(1));
    let done = &house.done(&["backup", "restore", "./old"])[0];
    assert_eq!((&done["database_format"], &done["format_now"]), (&json!(1), &json!(known())));
    assert_eq!(house.night.count("PRAGMA user_version"), i64::from(known()));
    assert_eq!(house.night.count("SELECT count(*) FROM record"), 1);
    house.start().stop();
}

#[test]
fn c8_configuration_and_media_come_back_beside_what_is_there() {
    let house = House::settled("");
    fs::create_dir(house.night.path("conf.d")).unwrap();
    fs::write(house.night.path("conf.d/b.toml"), "[retry]\nattempts = 5\n").unwrap();
    fs::create_dir(house.night.path("models/ana")).unwrap();
    for (name, text) in [("models/ana/a.mp4", "film"), ("models/b.mp4", "other")] {
        fs::write(house.night.path(name), text).unwrap();
    }
    let name = house.create(&["--media"]);
    fs::remove_dir_all(house.night.path("models/ana")).unwrap();
    fs::write(house.night.path("models/b.mp4"), "newer").unwrap();
    fs::write(house.night.path("conf.d/b.toml"), "[retry]\nattempts = 6\n").unwrap();
    let dry = &house.done(&["backup", "restore", &name, "--dry-run", "--media"])[0];
    assert_eq!(dry["config_differs"], json!(["conf.d/b.toml"]));
    assert_eq!((&dry["media"]["restored"], &dry["media"]["present"]), (&json!(1), &json!(1)));
    assert!(!house.night.path("models/ana").exists());
    fs::create_dir(house.night.path("full")).unwrap();
    fs::write(house.night.path("full/x"), "").unwrap();
    let output = house.night.ask(&["backup", "restore", &name, "--config-to", "full"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("not empty"), "{output:?}");

    let done = &house.done(&["backup", "restore", &name, "--media", "--config-to", "new"])[0];
    let media: &Value = &done["media"];
    assert_eq!((&media["restored"], &media["present"], &media["failed"]), (&json!(1), &json!(1), &json!(0)), "{done}");
    assert_eq!(house.night.text("models/ana/a.mp4"), "film");
    assert_eq!(house.night.text("models/b.mp4"), "newer", "what is there is left alone");
    assert!(!house.night.path("models/ana/a.mp4.part").exists());
    assert_eq!(house.night.text("new/conf.d/b.toml"), "[retry]\nattempts = 5\n");
    assert_eq!(house.night.text("new/config.toml"), house.night.text("config.toml"));
    assert_eq!(house.night.text("conf.d/b.toml"), "[retry]\nattempts = 6\n", "the one in use stays");
    super::house::private_files(&house.night.path("new"));
}

#[test]
fn c8_a_restore_that_was_cut_off_is_done_again() {
    let house = House::settled("");
    let name = house.create(&[]);
    // As a crash between two steps leaves it.
    fs::create_dir(house.state().join(".restore-1")).unwrap();
    fs::write(house.state().join(".restore-1/state.db"), "half").unwrap();
    for args in [&["backup", "restore", &name][..], &["backup", "restore", &name]] {
        house.done(args);
    }
    assert!(!house.state().join(".restore-1").exists());
    let asides = fs::read_dir(house.state()).unwrap().flatten();
    let asides = asides.filter(|entry| entry.file_name().to_string_lossy().starts_with("before-restore-")).count();
    assert_eq!(asides, 2);
    house.start().stop();
}
