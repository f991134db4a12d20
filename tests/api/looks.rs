//! What the pages of the dashboard show: stories, figures over time, past lines, connections, forms.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::House;
use crate::rig::until;

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn f5_an_incident_tells_its_story_also_after_a_crash() {
    let mut house = House::new("");
    let path = house.night.path("models/ana/a.mp4");
    let path = path.to_str().unwrap();
    let at = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f - bot -");
    let lines = [
        format!("{at} INFO - getting ready"),
        format!("{at} INFO - asking 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        format!("{at} ERROR - FileNotFoundError: [Errno 2] No such file or directory: '{path}'"),
        format!("{at} INFO - going on"),
        format!("{at} INFO - and on"),
        format!("{at} INFO - the last is told a moment later"),
    ];
    house.night.say(lines.join("\n") + "\n");
    let id = until("the incident to end", || {
        let all = house.items("incidents");
        all.iter().find(|one| one["ended_at"].is_string()).map(|one| one["id"].as_str().unwrap().to_owned())
    });
    let story = until("the lines after", || {
        let story = house.get(&format!("incidents/{id}"));
        (story["contexts"][0]["after"].as_array().unwrap().len() >= 2).then_some(story)
    });
    let first = &story["contexts"][0];
    assert_eq!((&first["which"], &first["source"]), (&"first".into(), &"bot".into()), "{first}");
    let before = texts(&first["before"]);
    assert!(
        before.iter().any(|line| line.ends_with("getting ready")) && !format!("{before:?}").contains("AAHdq"),
        "{before:?}"
    );
    let after = texts(&first["after"]);
    assert!(after[0].ends_with("going on") && after[1].ends_with("and on"), "{after:?}");
    let text = first["event"]["text"].as_str().unwrap();
    let span = first["event"]["match"].as_array().unwrap().iter().map(|end| end.as_u64().unwrap() as usize);
    let (start, end) = {
        let all: Vec<usize> = span.collect();
        (all[0], all[1])
    };
    assert!(text[start..end].contains("No such file"), "{text}: {start}..{end}");
    assert_eq!(story["rule_info"]["id"], story["rule"]);
    assert!(!story["rule_info"]["pattern"].as_str().unwrap().is_empty());
    let attempt = &story["attempts"][0];
    assert_eq!((&attempt["strategy"], &attempt["ok"]), (&"create_directory".into(), &true.into()), "{attempt}");
    assert!(attempt["started_at"].as_str() <= attempt["ended_at"].as_str());
    house.kill();
    house.start();
    assert_eq!(house.get(&format!("incidents/{id}"))["contexts"], story["contexts"]);
}

#[test]
fn f1_pages_find_the_figures_that_they_show() {
    let house = House::new("");
    let rule = house.fault("ana")["rule"].as_str().unwrap().to_owned();
    house.fault("bea");
    let series = house.get("stats/series?hours=24");
    let sum = |list: &Value| list.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum(&series["total"]["opened"]), sum(&series["total"]["healed"])), (2, 2), "{series}");
    assert_eq!(sum(&series["classes"]["missing_path"]["healed"]), 2);
    let lengths = [&series["at"], &series["total"]["failed"], &series["downloads"]["bytes"]];
    assert!(lengths.iter().all(|list| list.as_array().unwrap().len() == 25), "{series}");

    let disks = until("the first sample", || {
        let disks = house.get("stats/disks?hours=1");
        (disks.as_array().unwrap().len() >= 2).then_some(disks)
    });
    assert!(disks[0]["points"][0]["free_bytes"].as_u64().unwrap() > 0 && disks[0]["full_at"].is_null(), "{disks}");

    let rules = house.items("rules");
    let hit = rules.iter().find(|one| one["id"] == rule.as_str()).unwrap();
    assert_eq!(hit["hits"], 2, "{hit}");
    assert!(hit["last_hit"].is_string() && rules.iter().any(|one| one["hits"] == 0 && one["last_hit"].is_null()));

    let health = house.get("system/health");
    let source = &health["sources"][0];
    assert_eq!((&source["name"], &source["kind"]), (&"bot".into(), &"file".into()), "{health}");
    assert_eq!(
        source["files"][0]["size_bytes"].as_u64().unwrap(),
        std::fs::metadata(house.night.path("bot.log")).unwrap().len()
    );
    assert!(health["bot_state"].is_null());

    let settings = house.get("settings");
    let of = |key: &str| settings.as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone();
    assert_eq!(of("retry.attempts")["schema"]["type"], "integer");
    assert!(
        settings
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["schema"]["enum"].as_array().is_some_and(|all| all.len() > 2))
    );
    for (path, code) in [
        ("stats/series?hours=0", "bad_hours"),
        ("stats/series?hours=744&bucket=300", "too_many_buckets"),
        ("logs?limit=0", "bad_limit"),
        ("logs?before=x", "bad_cursor"),
        ("logs?class=x", "bad_class"),
        ("logs?level=x", "bad_level"),
        ("logs?source=x", "source_not_found"),
        ("logs?before=0-0", "log_rotated"),
    ] {
        let answer = house.send(house.local.get(format!("http://localhost/api/v1/{path}")));
        assert_eq!(answer.json()["code"], code, "{path}: {}", answer.text);
    }
}

#[test]
fn f1_past_lines_are_paged_by_operators_and_nobody_else() {
    let house = House::new("");
    let lines: String =
        (0..2_000).map(|number| format!("2026-11-22 01:02:03,456 - bot - INFO - line {number}\n")).collect();
    house.night.say(lines);
    let fault = "2026-11-22 01:02:04,456 - bot - ERROR - FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/a'\n";
    house.night.say(fault);
    let newest = until("the lines", || {
        let page = house.get("logs?limit=1");
        (page["items"][0]["class"] == "missing_path").then_some(page)
    });
    let newest_line = &newest["items"][0];
    assert!(newest_line["rule"].is_string() && newest_line["level"] == "error", "{newest_line}");
    let (mut before, mut seen) = (newest["next"].clone(), Vec::new());
    while let Some(place) = before.as_str() {
        let page = house.get(&format!("logs?source=bot&limit=300&before={place}"));
        seen.extend(page["items"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()));
        before = page["next"].clone();
    }
    let ours = seen.iter().filter_map(|text| text.split("line ").nth(1)?.parse::<u32>().ok());
    assert!(ours.eq((0..2_000).rev()), "{} lines", seen.len());
    assert_eq!(house.get("logs?class=any")["items"].as_array().unwrap().len(), 1);

    let token = |role: &str| {
        let output = house.night.ask(&["token", "create", "--role", role, "--ttl", "1h", "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        said["token"].as_str().map(str::to_owned).unwrap_or_else(|| panic!("{output:?}"))
    };
    let ask = |role: &str, path: &str| {
        let client = reqwest::Client::new();
        house.send(client.get(format!("{}/api/v1/{path}", house.url)).bearer_auth(token(role))).status
    };
    for path in ["logs", "ws/clients"] {
        assert_eq!((ask("viewer", path), ask("operator", path)), (StatusCode::FORBIDDEN, StatusCode::OK), "{path}");
    }
}

#[test]
fn f1_connections_are_listed_with_what_they_want() {
    let house = House::new("");
    let mut tail = house
        .night
        .command(&["ws", "tail", "--json", "--topic", "incident,job"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What it is told first may still be on its way when it is listed.
    let client = until("the connection", || {
        let all = house.get("ws/clients");
        let is = |one: &&Value| one["topics"].as_array().unwrap().len() == 2 && one["behind"] == 0;
        all.as_array().unwrap().iter().find(is).cloned()
    });
    assert_eq!((&client["account"], &client["role"]), (&"local".into(), &"admin".into()), "{client}");
    assert_eq!(client["topics"], json!(["job", "incident"]));
    assert!(client["since"].is_string() && client["address"].is_string());
    tail.kill().unwrap();
    tail.wait().unwrap();
    until("it to be gone", || house.get("ws/clients").as_array().unwrap().is_empty().then_some(()));
}
