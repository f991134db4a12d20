//! The HTTP interface of the real binary: what programs may rely on, what strangers get, what a crash leaves.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "api/foreign.rs"]
mod foreign;
#[path = "api/looks.rs"]
mod looks;
#[path = "api/pages.rs"]
mod pages;
#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rig::{Agent, Night, until};
use serde_json::{Value, json};

/// A running agent and the ways to it.
pub struct House {
    pub night: Night,
    agent: Option<Agent>,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    local: Client,
    runtime: tokio::runtime::Runtime,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl House {
    pub fn new(extra: &str) -> Self {
        let night = Night::new(&format!("[server]\nlisten = '127.0.0.1:0'\n{extra}"));
        let local = Client::builder().unix_socket(night.path("state/api.sock")).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut house = Self { night, agent: None, url: String::new(), local, runtime };
        house.start();
        house
    }

    fn start(&mut self) {
        self.agent = Some(self.night.start_reading());
        until("the socket", || self.try_send(self.local.get("http://localhost/livez")).ok());
        let fact = "SELECT count(*) FROM meta WHERE name = 'server' AND value <> ''";
        until("the address", || (self.night.count(fact) > 0).then_some(()));
        let db = logmedic::ledger::Ledger::look(&self.night.path("state")).unwrap();
        let url = "SELECT value FROM meta WHERE name = 'server'";
        self.url = db.query_row(url, [], |row| row.get(0)).unwrap();
    }

    fn kill(&mut self) {
        self.agent.take().unwrap().kill();
    }

    fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok(Answer { status, headers, text: answer.text().await? })
        })
    }

    fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).unwrap()
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.send(self.local.get(format!("http://localhost/api/v1/{path}")));
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.send(self.local.post(format!("http://localhost/api/v1/{path}")).json(body));
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    fn items(&self, path: &str) -> Vec<Value> {
        self.get(path)["items"].as_array().unwrap().clone()
    }

    /// Says that a directory is missing; it is made.
    fn fault(&self, name: &str) -> Value {
        let path = self.night.path(&format!("models/{name}/a.mp4"));
        let line = format!("FileNotFoundError: [Errno 2] No such file or directory: '{}'\n", path.display());
        self.night.say(line);
        until("the incident to end", || {
            let all = self.items("incidents");
            let mine = |one: &&Value| one["subject"]["value"] == path.to_str().unwrap() && one["ended_at"].is_string();
            all.iter().find(mine).cloned()
        })
    }
}

/// Every route of the contract that is about what there is so far.
const ROUTES: &str = "
    POST auth/login
    POST auth/logout
    POST auth/refresh
    GET auth/me
    GET auth/sessions
    DELETE auth/sessions/{id}
    GET system/health
    GET stats/overview
    GET settings
    PATCH settings
    GET audit
    GET jobs
    GET jobs/active
    GET jobs/{id}
    GET jobs/{id}/status
    POST jobs
    POST jobs/{id}/retry
    GET incidents
    GET incidents/{id}
    POST incidents/{id}/retry
    POST incidents/{id}/acknowledge
    POST incidents/{id}/silence
    POST incidents/{id}/approve
    POST incidents/{id}/reject
    GET operations
    GET operations/active
    GET operations/{id}
    POST operations/{id}/pause
    POST operations/{id}/resume
    POST operations/{id}/cancel
    POST operations/backup/create
    POST operations/backup/verify
    GET backups
    DELETE backups/{name}
    POST operations/library/populate
    POST operations/thumbnails/regenerate
    POST operations/integrity/verify
    GET library
    GET library/{id}
    GET library/{id}/thumbnail
    POST operations/custom/{name}
    POST operations/test
    GET notifications
    GET notifications/unread_count
    GET notifications/stats
    POST notifications
    POST notifications/{id}/read
    POST notifications/read_all
    POST notifications/clear
    POST notifications/test
    GET probes
    GET rules
    GET rules/suggestions
    POST rules/explain
    GET ws
    GET ws/info
    GET ws/stats
    POST ws/ticket
    GET ws/clients
    GET logs
    GET stats/series
    GET stats/disks
    POST ws/test_broadcast";

fn described(house: &House) -> Vec<(Method, String, Value)> {
    let description = house.get("openapi.json");
    assert_eq!(description["openapi"], "3.1.0");
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                all.push((method, path.clone(), operation.clone()));
            }
        }
    }
    all
}

#[test]
fn c10_every_route_of_the_contract_is_there_and_described() {
    let house = House::new("");
    let described: BTreeSet<String> = described(&house)
        .iter()
        .map(|(method, path, _)| format!("{method} {}", path.replace("/api/v1/", "")))
        .collect();
    let wanted = ROUTES.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    let missing: Vec<String> = wanted.filter(|route| !described.contains(route)).collect();
    assert!(missing.is_empty(), "{missing:?} of {described:?}");
    for path in ["livez", "readyz", "metrics"] {
        let answer = house.send(house.local.get(format!("http://localhost/{path}")));
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    assert_eq!(house.get("rules")["items"].as_array().unwrap().iter().filter(|r| r["id"] == "mine.marker").count(), 1);
    let explained = house.post("rules/explain", &json!({"text": "LMTEST denied"}));
    assert_eq!((&explained["class"], &explained["rule"]), (&"auth".into(), &"mine.marker".into()));
}

#[test]
fn h2_no_route_answers_a_stranger() {
    let house = House::new("");
    let client = Client::new();
    let mut open = BTreeSet::new();
    for (method, path, _) in described(&house) {
        let path = path.replace("{id}", "01JDTZ3N5V8Q0XK4M2W7Y9B6CE").replace("{name}", "x").replace("{account}", "x");
        let answer = house.send(client.request(method.clone(), format!("{}{path}", house.url)).json(&json!({})));
        match answer.status {
            StatusCode::UNAUTHORIZED => {}
            // What lets people in reads what they show first.
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::OK => drop(open.insert(format!("{method} {path}"))),
            other => panic!("{method} {path}: {other}"),
        }
        let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        assert!(kind.contains("json"), "{method} {path}: {kind}");
    }
    let expected = ["GET /livez", "GET /readyz", "POST /api/v1/auth/login", "POST /api/v1/auth/setup"];
    assert_eq!(open.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn d1_the_setup_link_makes_the_first_admin_once() {
    let house = House::new("");
    let said = until("the link", || {
        let said = house.night.text("err");
        said.contains("/setup#").then_some(said)
    });
    let page = house.send(Client::new().get(format!("{}/setup", house.url)));
    assert!(page.status == StatusCode::OK && page.text.contains("/setup.js"), "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let secret = said.split("/setup#").nth(1).unwrap().lines().next().unwrap().trim().to_owned();
    let client = Client::new();
    let setup = |name: &str| {
        let body = json!({"token": secret, "account": name, "password": "correct horse battery staple"});
        house.send(client.post(format!("{}/api/v1/auth/setup", house.url)).json(&body))
    };
    let answer = setup("ana");
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let me = client.get(format!("{}/api/v1/auth/me", house.url)).header("cookie", cookie.split(';').next().unwrap());
    let me = house.send(me).json();
    assert_eq!((&me["account"], &me["role"]), (&"ana".into(), &"admin".into()));
    assert_eq!(setup("eve").status, StatusCode::UNAUTHORIZED);
}

#[test]
fn d3_a_fault_is_told_as_it_happens() {
    let house = House::new("");
    let mut tail = house.night.command(&["ws", "tail", "--json", "--limit", "6"]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let stats = || house.get("ws/stats")["connections"]["total"].as_u64().unwrap();
    until("the tail to be connected", || (stats() == 1).then_some(()));
    house.fault("ana");
    let mut types = Vec::new();
    for line in lines {
        let frame: Value = serde_json::from_str(&line.unwrap()).unwrap();
        types.push(frame["type"].as_str().unwrap().to_owned());
        if frame["type"] == "incident_closed" {
            assert_eq!(frame["data"]["state"], "healed", "{frame}");
            break;
        }
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(types.iter().any(|kind| kind == "incident_opened" || kind == "incident_updated"), "{types:?}");
}

#[test]
fn b4_lists_go_on_with_follow() {
    let house = House::new("");
    house.fault("before");
    let mut follow = house.night.command(&["incidents", "--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut cases = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let of = |case: &Value, name: &str| case["incident"]["subject"]["value"].as_str().unwrap().contains(name);
    assert!(of(&cases.next().unwrap(), "before"));
    house.fault("after");
    let ended = cases.find(|case| case["result"] == "healed").unwrap();
    assert!(of(&ended, "after"), "{ended}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn d3_log_lines_pass_by_without_their_secrets() {
    let house = House::new("");
    let mut tail = house.night.command(&["ws", "tail", "--json", "--topic", "log"]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let stats = || house.get("ws/stats")["connections"]["total"].as_u64().unwrap();
    until("the tail to be connected", || (stats() == 1).then_some(()));
    house.night.say("getMe of 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\nLMTEST denied\n");
    let mut frames = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut log = || frames.find(|frame| frame["type"] == "log").unwrap()["data"].clone();
    let first = log();
    let text = first["text"].as_str().unwrap();
    assert!(text.starts_with("getMe of") && !text.contains("AAHdq"), "{text}");
    assert_eq!((&first["source"], &first["class"]), (&"bot".into(), &Value::Null));
    assert_eq!(log()["class"], "auth");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn b5_c4_e1_kill_9_leaves_everything_as_it_was() {
    let mut house = House::new("[[operation]]\nname = 'quick'\nargv = ['true']\n");
    house.fault("ana");
    house.post("jobs", &json!({"name": "job-7", "file_id": "BAACAgIAAx", "size": 1000}));
    house.post("notifications", &json!({"level": "warning", "title": "look here", "text": "by hand"}));
    house.post("operations/custom/quick", &json!({}));
    until("the command", || house.items("operations?kind=custom").iter().find(|o| o["state"] == "completed").cloned());
    let one = house.items("notifications?kind=incident").first().map(|one| one["id"].as_str().unwrap().to_owned());
    if let Some(id) = one {
        house.post(&format!("notifications/{id}/read"), &json!({}));
    }
    let seen = |house: &House| {
        // What says that logmedic started is new each time.
        let told = house.items("notifications").into_iter().filter(|one| one["kind"] != "agent").collect::<Vec<_>>();
        let ended = house.items("operations").into_iter().filter(|one| one["ended_at"].is_string()).collect::<Vec<_>>();
        (house.items("incidents"), house.items("jobs"), ended, told)
    };
    until("what is under way to be written", || (house.items("operations").len() == 2).then_some(()));
    let before = seen(&house);
    let epoch = house.get("ws/info")["epoch"].clone();
    let newest = house.night.count("SELECT max(seq) FROM event");
    house.kill();
    house.start();
    assert_eq!(seen(&house), before);
    assert!(house.night.count("SELECT max(seq) FROM event") >= newest);
    assert_eq!(house.get("ws/info")["epoch"], epoch);
    assert!(
        house.items("notifications?kind=agent").len() >= 2,
        "the second start is told, and that it was no clean stop"
    );
}

#[test]
fn c2_an_operation_is_steered_from_the_command_line() {
    let house = House::new("[[operation]]\nname = 'slow'\nargv = ['sleep', '600']\n");
    let steer = |args: &[&str]| {
        let output = house.night.ask(&[&["operations"], args].concat());
        assert!(output.status.success(), "{output:?}");
    };
    steer(&["run", "slow"]);
    let find = |state: &str| {
        let active = house.get("operations/active").as_array().unwrap().clone();
        active.into_iter().find(|one| one["state"] == state)
    };
    let id = until("it to run", || find("running"))["id"].as_str().unwrap().to_owned();
    steer(&["pause", &id]);
    until("it to hold still", || find("paused"));
    steer(&["resume", &id]);
    until("it to go on", || find("running"));
    steer(&["cancel", &id]);
    until("it to end", || (house.get(&format!("operations/{id}"))["state"] == "cancelled").then_some(()));
    let output = house.night.ask(&["operations", "pause", "nothing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
