//! The real binary through quiet hours, failing channels, failing downloads, and people's orders.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc;

use chrono::{TimeDelta, Utc};
use logmedic::ledger::rusqlite::Connection;
use serde_json::Value;

use super::channels::{Answer, Receiver};
use super::rig::{LONG, Night, told, until};

/// A rule that is louder than all others.
const LOUD_RULE: &str = "
[[rule]]
id = 'mine.burning'
class = 'crash'
severity = 'critical'
pattern = '''^LMTEST burning$'''
about = 'a line of the tests'
";

fn json(night: &Night, args: &[&str]) -> Vec<Value> {
    let (code, out, err) = told(&night.ask(args));
    assert_eq!(code, Some(0), "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the running agent answers on its socket.
fn api(night: &Night, method: &str, path: &str, body: &str) -> String {
    let mut socket = UnixStream::connect(night.path("state/api.sock")).unwrap();
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Quiet from so many minutes before now to so many after.
fn quiet(from: i64, to: i64) -> String {
    let clock = |minutes: i64| (Utc::now() + TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    format!("quiet = '{}-{} UTC'\n", clock(from), clock(to))
}

fn channel(name: &str, url: &str, more: &str) -> String {
    format!("[[channel]]\nname = '{name}'\nkind = 'webhook'\nurl = '{url}'\n{more}")
}

fn standing<'a>(status: &'a Value, channel: &str) -> &'a Value {
    let all = status["channels"].as_array().unwrap();
    all.iter().find(|one| one["channel"] == channel).unwrap_or_else(|| panic!("{channel} is not in {status}"))
}

#[test]
fn c10_every_list_is_followed_and_notifications_too() {
    let night = Night::new("");
    let agent = night.start_reading();
    for list in ["incidents", "jobs", "operations", "notifications"] {
        let mut command = night.command(&[list, "--follow", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = mpsc::channel::<Value>();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        if list == "notifications" {
            let next = |what: &str, fits: &dyn Fn(&Value) -> bool| loop {
                let one = lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("waited in vain for {what}"));
                if fits(&one) {
                    return one;
                }
            };
            let id = told(&night.ask(&["notifications", "send", "Disk swap at noon"])).1.trim().to_owned();
            let new = next("the new one", &|one| one["id"] == id.as_str());
            assert_eq!((new["title"].as_str(), new["read"].as_bool()), (Some("ℹ️ Disk swap at noon"), Some(false)));
            night.ask(&["notifications", "read", &id]);
            next("that it was read", &|one| one["id"] == id.as_str() && one["read"] == true);
        }
        assert!(child.try_wait().unwrap().is_none(), "{list} goes on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    agent.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2_status_tells_how_every_channel_stands_and_metrics_count_them_all() {
    let (works, broken) = (Receiver::start().await, Receiver::start().await);
    broken.usually(Some(Answer::Status(503)));
    let extra = format!(
        "{}{}[telegram]\ntoken = '123456:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc'\nadmins = [77]\napi_url = 'http://127.0.0.1:1'\n",
        channel("ops", &format!("{}/ops", works.base), ""),
        channel("broken", &format!("{}/broken", broken.base), "")
    );
    tokio::task::spawn_blocking(move || {
        let night = Night::new(&extra);
        let agent = night.start_reading();
        night.ask(&["notifications", "send", "--level", "error", "Hello"]);
        let status = until("all three to have been tried", || {
            let status = json(&night, &["status", "--json"]).remove(0);
            let fails = |name: &str| standing(&status, name)["failing_since"].is_string();
            let sent = standing(&status, "webhook:ops")["last_delivered"].is_string();
            (sent && fails("webhook:broken") && fails("telegram:77")).then_some(status)
        });
        let ops = standing(&status, "webhook:ops");
        assert_eq!((ops["waiting"].as_u64(), &ops["failing_since"]), (Some(0), &Value::Null));
        for name in ["webhook:broken", "telegram:77"] {
            let one = standing(&status, name);
            assert!(one["waiting"].as_u64().unwrap() >= 1 && one["last_delivered"].is_null(), "{one}");
        }
        assert!(standing(&status, "webhook:broken")["error"].as_str().unwrap().contains("503"));
        let text = told(&night.ask(&["status"])).1;
        let line = text.lines().find(|line| line.contains("webhook:broken")).unwrap();
        assert!(
            line.contains("not delivered yet, failing since 20") && line.contains("nothing delivered so far"),
            "{line}"
        );
        let metrics = api(&night, "GET", "/metrics", "");
        for count in [
            "logmedic_notifications_total{channel=\"webhook\",result=\"sent\"} 1",
            "logmedic_notifications_total{channel=\"webhook\",result=\"failed\"} ",
            "logmedic_notifications_total{channel=\"telegram\",result=\"failed\"} ",
        ] {
            assert!(metrics.lines().any(|line| line.starts_with(count)), "{count} is not in\n{metrics}");
        }
        agent.stop();
        // What is configured and was never served is told as well.
        night.configure(&channel("new", "http://127.0.0.1:1/", ""));
        let status = json(&night, &["status", "--json"]).remove(0);
        assert_eq!(status["channels"].as_array().unwrap().len(), 1);
        assert_eq!(standing(&status, "webhook:new")["waiting"], 0);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2_quiet_hours_hold_everything_but_what_is_critical_and_end_with_one_digest() {
    let receiver = Receiver::start().await;
    let url = format!("{}/ops", receiver.base);
    let about = |event: &Value| -> Vec<String> {
        let notices = event["data"]["notices"].as_array().unwrap();
        let name = |notice: &Value| notice["story"]["subject"]["value"].as_str().unwrap_or("other").to_owned();
        notices.iter().map(name).collect()
    };
    let night = Night::new(&channel("ops", &url, &quiet(-2, 180)));
    std::fs::write(night.path("patterns.d/loud.toml"), LOUD_RULE).unwrap();
    let agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM1\nLMTEST denied /nowhere/LM2\nLMTEST burning\n");
    receiver.until("what is critical", |got| !got.is_empty()).await;
    let night = tokio::task::spawn_blocking(move || {
        until("two to be held", || {
            let status = json(&night, &["status", "--json"]).remove(0);
            (standing(&status, "webhook:ops")["waiting"] == 2).then_some(())
        });
        agent.stop();
        // As if it had been two hours ago, and the quiet hours were over for a minute.
        let db = Connection::open(night.path("state/state.db")).unwrap();
        db.execute("UPDATE post SET since = since - 7200000 WHERE state = 'owed'", []).unwrap();
        night.configure(&channel("ops", &url, &quiet(-180, -1)));
        night
    });
    let night = night.await.unwrap();
    let held = receiver.got();
    assert_eq!(held.len(), 1, "{:?}", held.iter().map(|one| about(&one.json())).collect::<Vec<_>>());
    assert_eq!(held[0].json()["data"]["severity"], "critical");
    let agent = night.start();
    let got = receiver.until("the digest", |got| got.len() > 1).await;
    tokio::task::spawn_blocking(move || agent.stop()).await.unwrap();
    assert_eq!((got.len(), got[1].json()["type"].as_str()), (2, Some("logmedic.notification.digest")));
    assert_eq!(about(&got[1].json()), ["/nowhere/LM1", "/nowhere/LM2"]);
}

#[test]
fn b3_a_download_that_fails_without_a_cause_is_seen_as_a_warning_with_its_line() {
    let night = Night::new("");
    let agent = night.start_reading();
    night.say("logmedic job=7 path=models/a.mp4 state=started\n");
    night.say("logmedic job=7 state=failed\n");
    let told = until("the warning", || {
        let all = json(&night, &["notifications", "--json", "--level", "warning"]);
        all.into_iter().find(|one| one["id"].as_str().unwrap().ends_with(":failed"))
    });
    assert!(told["text"].as_str().unwrap().contains("a download failed and no line says why"), "{told}");
    let jobs = json(&night, &["jobs", "--json"]);
    assert_eq!((jobs.len(), jobs[0]["state"].as_str()), (1, Some("failed")));
    assert!(jobs[0]["message"].as_str().unwrap().ends_with("logmedic job=7 state=failed"), "{}", jobs[0]);
    assert!(json(&night, &["incidents", "--json"]).is_empty());
    agent.stop();
}

#[test]
fn c11_an_incident_says_who_ordered_what() {
    let night = Night::new("");
    let agent = night.start_reading();
    night.say("LMTEST denied /nowhere/LM1\n");
    let id = until("the incident", || {
        Some(json(&night, &["incidents", "--json"]).first()?["incident"]["id"].as_str()?.to_owned())
    });
    for (order, body) in [("acknowledge", ""), ("silence", r#"{"seconds": 60, "reason": "known"}"#)] {
        let answer = api(&night, "POST", &format!("/api/v1/incidents/{id}/{order}"), body);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    let case = json(&night, &["incidents", "--json"]).remove(0);
    let orders: Vec<_> = case["orders"].as_array().unwrap().iter().map(|one| (&one["order"], &one["by"])).collect();
    assert_eq!(orders, [(&Value::from("acknowledge"), &Value::from("local")), (&"silence".into(), &"local".into())]);
    assert_eq!(case["orders"][1]["reason"], "known");
    agent.stop();
}

#[test]
fn h4_open_files_are_allowed_as_many_as_the_system_lets_us_and_the_bot_keeps_its_own_limit() {
    let night = Night::empty();
    let mut command = std::process::Command::new("sh");
    let logmedic = night.command(&[
        "run",
        "--",
        "sh",
        "-c",
        "ulimit -Sn; cat /proc/$PPID/limits; grep ^ /proc/[0-9]*/comm >/dev/null; env",
    ]);
    command.args(["-c", "ulimit -Sn 300; exec \"$@\"", "sh"]).arg(logmedic.get_program()).args(logmedic.get_args());
    command.current_dir(logmedic.get_current_dir().unwrap()).env_clear();
    command.envs(logmedic.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (code, out, err) = told(&command.output().unwrap());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.lines().any(|line| line.ends_with("300")), "the bot: {out}");
    let raised = out.lines().find(|line| line.contains("Max open files")).unwrap();
    let soft = raised.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap();
    assert!(soft > 300, "its shepherd, as logmedic started it: {raised}");
    assert!(!out.contains("LOGMEDIC_BOT_FILES"), "{out}");
}
