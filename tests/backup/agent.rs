//! Backups that a running agent makes: under load, by schedule, paused, cancelled, cut off.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use logmedic::ledger::rusqlite::Connection;
use serde_json::json;

use super::house::{House, call, lines, private_files, said};
use super::rig::{events, no_gap, told, until};

#[test]
fn c8_a_backup_made_in_a_storm_is_whole_and_nothing_is_missed_or_repeated_after_it() {
    let house = House::new("");
    let agent = house.start();
    let (stop, said) = (AtomicBool::new(false), AtomicU64::new(0));
    let names: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let from = said.load(Ordering::Relaxed);
                // Many of one subject, and many subjects.
                let text: String = (from..from + 50)
                    .map(|n| {
                        if n % 200 == 0 { format!("LMTEST denied /nowhere/LM{n}\n") } else { "LMTEST denied\n".into() }
                    })
                    .collect();
                house.night.say(text);
                said.fetch_add(50, Ordering::Relaxed);
                // Some ten thousand lines a second: the pace of the storm.
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        let names = (0..3).map(|n| house.create(&["--name", &format!("storm{n}")])).collect();
        stop.store(true, Ordering::Relaxed);
        names
    });
    agent.kill();
    for name in &names {
        assert_eq!(house.verdict(name)["sound"], true);
        let db = Connection::open(house.folder(name).join("state.db")).unwrap();
        let (count, last): (i64, i64) = db
            .query_row("SELECT count(*), coalesce(max(seq), 0) FROM record", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(count, last, "records have no gap");
    }
    // Brought back in a place where nothing else is: the rest of the log is read, once.
    for name in
        fs::read_dir(house.night.path("")).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap())
    {
        if name.starts_with("records.jsonl") {
            fs::remove_file(house.night.path(&name)).unwrap();
        }
    }
    house.done(&["backup", "restore", &names[1]]);
    let total = said.load(Ordering::Relaxed);
    let agent = house.start();
    house.night.recorded("every line", |all| (events(all) >= total).then_some(()));
    agent.stop();
    let all = house.night.records();
    no_gap(&all);
    assert_eq!(events(&all), total);
}

#[test]
fn c8_through_the_agent_and_over_http_it_is_an_operation_and_closed_to_others() {
    let house = House::new("");
    fs::write(house.night.path("models/a.mp4"), "film").unwrap();
    fs::write(house.night.path("models/b.mp4.part"), "half").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", house.night.path("models/c.mp4")).unwrap();
    let agent = house.start();
    let name = house.create(&["--name", "first", "--media"]);
    assert!(name.ends_with("Z-first"), "{name}");
    let files = private_files(&house.folder(&name));
    let want = [
        "config/config.toml",
        "config/patterns.d/mine.toml",
        "manifest.json",
        "manifest.json.sha256",
        "media/models/a.mp4",
        "state.db",
    ];
    assert_eq!(files, want);
    let sums = std::process::Command::new("sha256sum")
        .args(["-c", "manifest.json.sha256"])
        .current_dir(house.folder(&name))
        .output();
    assert!(sums.unwrap().status.success());
    let operation = &house.done(&["operations", "--kind", "backup"])[0];
    assert_eq!((&operation["name"], &operation["state"]), (&json!("create"), &json!("completed")), "{operation}");
    assert_eq!(operation["progress"]["percent"], 100.0);
    let (status, page) = house.http("GET", "backups", None);
    assert_eq!((status, &page["items"][0]["name"]), (200, &json!(name)));
    assert_eq!(page["items"][0]["operation"], operation["id"]);
    let (status, verify) = house.http("POST", "operations/backup/verify", Some(json!({ "name": name })));
    assert_eq!(status, 202);
    let verified = house.comes_to(verify["id"].as_str().unwrap(), "completed");
    assert!(verified["report"]["detail"].as_str().unwrap().contains("is whole"), "{verified}");
    fs::write(house.folder(&name).join("media/models/a.mp4"), "fiLm").unwrap();
    let (_, verify) = house.http("POST", "operations/backup/verify", Some(json!({ "name": name })));
    let verified = house.comes_to(verify["id"].as_str().unwrap(), "failed");
    assert!(verified["report"]["detail"].as_str().unwrap().contains("a.mp4"), "{verified}");
    for (path, body) in [
        ("operations/backup/verify", json!({ "name": "../../etc" })),
        ("operations/backup/verify", json!({ "name": "2026-01-01T000000Z" })),
        ("operations/backup/create", json!({ "name": "../x" })),
        ("operations/backup/create", json!({ "nmae": "x" })),
    ] {
        let (status, problem) = house.http("POST", path, Some(body.clone()));
        assert!(status == 404 || status == 400, "{body}: {status} {problem}");
    }
    // While it runs nothing is brought back.
    let output = house.night.ask(&["backup", "restore", &name]);
    assert_eq!(told(&output).0, Some(1), "damaged comes first: {output:?}");
    let other = house.create(&[]);
    let output = house.night.ask(&["backup", "restore", &other]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(said(&output).contains("stop it first"));
    assert_eq!(house.http("DELETE", &format!("backups/{name}"), None).0, 204);
    assert_eq!(house.http("DELETE", &format!("backups/{other}"), None).0, 409, "the last one that is whole");
    assert_eq!(house.names(), [other]);
    agent.stop();
}

#[test]
fn c8_secrets_are_in_it_only_when_an_admin_wants_them() {
    let house = House::new("[bot_api]\ntoken_file = 'bot.token'\n[bot.env]\nMY_KEY = 'inl1ne-secret'\n");
    let secret = "123456:AAFakeFakeFakeFakeFakeFakeFakeFake123";
    for name in ["bot.token", ".env"] {
        fs::write(house.night.path(name), if name == ".env" { format!("OTHER={secret}\n") } else { secret.into() })
            .unwrap();
        fs::set_permissions(house.night.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let agent = house.start();
    let texts = |name: &str| {
        let folder = house.folder(name);
        let files: Vec<String> =
            private_files(&folder).into_iter().filter(|name| name.starts_with("config/")).collect();
        let text: String = files.iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect();
        (files, text)
    };
    let (files, text) = texts(&house.create(&["--name", "plain"]));
    assert_eq!(files, ["config/config.toml", "config/patterns.d/mine.toml"]);
    assert!(
        !text.contains("AAFake") && !text.contains("inl1ne") && text.contains("token_file = 'bot.token'"),
        "{text}"
    );
    let (files, text) = texts(&house.create(&["--name", "full", "--secrets"]));
    assert_eq!(files, ["config/.env", "config/bot.token", "config/config.toml", "config/patterns.d/mine.toml"]);
    assert!(text.contains("AAFake") && text.contains("inl1ne"));
    let token = |role: &str| {
        let output = house.night.ask(&["token", "create", "--role", role, "--ttl", "1h"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let db = logmedic::ledger::Ledger::look(&house.state()).unwrap();
    let url: String = db.query_row("SELECT value FROM meta WHERE name = 'server'", [], |row| row.get(0)).unwrap();
    let post = |role: &str, body: serde_json::Value| {
        let client = reqwest::Client::new().post(format!("{url}/api/v1/operations/backup/create"));
        call(client.bearer_auth(token(role)).json(&body)).0
    };
    assert_eq!(post("viewer", json!({})), 403);
    assert_eq!(post("operator", json!({ "secrets": true })), 403);
    assert_eq!(post("operator", json!({ "secrets": false })), 202);
    agent.stop();
}

#[test]
fn c2_a_backup_holds_still_goes_on_and_ends_without_a_trace() {
    let house = House::new("");
    let agent = house.start();
    let id = house.in_media("pause");
    house.comes_to(&id, "paused");
    let before = house.half_media();
    // Whoever writes is not held up by a backup that is paused.
    house.night.say("LMTEST denied /nowhere/LM1\n");
    house.night.recorded("an incident meanwhile", |all| (!all.is_empty()).then_some(()));
    assert_eq!(house.half_media(), before, "it holds still");
    let mut last = house.operation(&id)["progress"]["done"].as_u64().unwrap_or(0);
    assert_eq!(house.http("POST", &format!("operations/{id}/resume"), None).0, 200);
    let done = until("its end, forward only", || {
        let operation = house.operation(&id);
        let now = operation["progress"]["done"].as_u64().unwrap_or(0);
        assert!(now >= last, "progress went back from {last} to {now}");
        last = now;
        operation["ended_at"].is_string().then_some(operation)
    });
    assert_eq!((&done["state"], &done["progress"]["percent"]), (&json!("completed"), &json!(100.0)), "{done}");
    let name = house.names().remove(0);
    assert_eq!(house.verdict(&name)["sound"], true);

    // At work, and while it holds still.
    let id = house.in_media("cancel");
    let asked = Instant::now();
    house.comes_to(&id, "cancelled");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let id = house.in_media("pause");
    house.comes_to(&id, "paused");
    let asked = Instant::now();
    assert_eq!(house.http("POST", &format!("operations/{id}/cancel"), None).0, 200);
    house.comes_to(&id, "cancelled");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    until("nothing to be left", || house.half_done().is_empty().then_some(()));
    assert!(house.names().contains(&name));
    agent.stop();
}

#[test]
fn c4_a_backup_that_is_cut_off_leaves_no_half_one_and_is_made_after_the_restart() {
    let house = House::new("");
    let agent = house.start();
    let id = house.in_media("pause");
    until("its row", || (house.done(&["operations", &id])[0]["state"] == "paused").then_some(()));
    agent.kill();
    assert_eq!(house.half_done().len(), 1);
    assert!(house.names().is_empty(), "half a backup is none");
    let agent = house.start();
    until("what was cut off to be swept", || house.half_done().is_empty().then_some(()));
    let paused = house.operation(&id);
    assert_eq!((&paused["state"], &paused["interrupted"]), (&json!("paused"), &json!(true)), "{paused}");
    assert_eq!(house.http("POST", &format!("operations/{id}/resume"), None).0, 200);
    until("media to be copied", || (house.half_media() > 0).then_some(()));
    // In good order it is the same: it is made by the next run.
    agent.stop();
    assert!(house.names().is_empty());
    let agent = house.start();
    let done = house.comes_to(&id, "completed");
    assert_eq!(done["interrupted"], true);
    assert_eq!(house.verdict(&house.names()[0])["sound"], true);
    agent.stop();
}

#[test]
fn c8_by_schedule_and_only_so_many_are_kept_and_only_ours_go() {
    let house = House::new("[backup]\nevery = '1s'\nkeep = 2\n");
    fs::create_dir_all(house.folder("2020-01-01T000000Z")).unwrap();
    fs::write(house.folder("2020-01-01T000000Z").join("mine.txt"), "not a backup").unwrap();
    fs::create_dir(house.backups().join(".partial-2020-01-01T000000Z")).unwrap();
    fs::create_dir(house.backups().join(".partial-mine")).unwrap();
    let agent = house.start();
    let swept = ".partial-2020-01-01T000000Z";
    until("what an earlier run left to be swept", || (!house.folder(swept).exists()).then_some(()));
    let done = until("four backups", || {
        let all = house.done(&["operations", "--kind", "backup", "--state", "completed"]);
        (all.len() >= 4).then_some(all)
    });
    assert!(done.iter().all(|one| one["by"] == "schedule" && one["priority"] == "low"), "{done:?}");
    let gone = done.iter().filter(|one| one["report"]["detail"].as_str().unwrap().contains("let go")).count();
    assert!(gone >= 2, "{done:?}");
    agent.stop();
    let names = house.names();
    let sound = names.iter().filter(|name| house.verdict(name)["sound"] == true).count();
    assert!(sound == 2 || sound == 3, "one may be new: {names:?}");
    assert_eq!(names.last().unwrap(), "2020-01-01T000000Z");
    assert!(house.folder(".partial-mine").exists(), "no backup is called so");
    assert!(house.folder("2020-01-01T000000Z").join("mine.txt").exists(), "not ours");
}

#[test]
fn c8_a_scheduled_backup_that_fails_is_told_once() {
    let house = House::new("[backup]\nevery = '1s'\ndirectory = 'not/mounted'\n");
    let agent = house.start();
    until("two to fail", || {
        (house.done(&["operations", "--kind", "backup", "--state", "failed"]).len() >= 2).then_some(())
    });
    let told = house.done(&["notifications", "--search", "not/mounted"]);
    assert!((1..=2).contains(&told.len()), "one a day: {told:?}");
    assert_eq!(told[0]["kind"], "operation", "{told:?}");
    agent.stop();
}

#[test]
fn c8_without_an_agent_it_is_made_all_the_same() {
    let house = House::settled("");
    let before = fs::read(house.state().join("state.db")).unwrap();
    let (one, two) = (house.create(&[]), house.create(&[]));
    assert_ne!(one, two);
    assert_eq!(fs::read(house.state().join("state.db")).unwrap(), before, "nothing is changed by it");
    assert_eq!(house.names(), [two.clone(), one.clone()]);
    house.done(&["backup", "delete", &one]);
    let output = house.night.ask(&["backup", "delete", &two]);
    assert!(output.status.code() == Some(1) && said(&output).contains("--force"), "{output:?}");
    house.done(&["backup", "delete", &two, "--force"]);
    assert!(house.names().is_empty() && house.half_done().is_empty());
    for name in ["../state", "..", ".lock", &one] {
        assert_eq!(house.night.ask(&["backup", "delete", name, "--force"]).status.code(), Some(1), "{name}");
    }
    assert!(house.state().join("state.db").exists());
    let output = house.night.ask(&["backup", "create", "--name", "a/b", "--json"]);
    assert!(output.status.code() == Some(1) && lines(&output).is_empty());
}
