//! Probes, the agent's own notices, figures and settings, seen from outside (rows C10, D4, E4): real listeners, processes and
//! `kill -9`; `promtool` from Debian's prometheus package, where it can be had.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, reason = "shared with the agent's tests, which use all of it")]
#[path = "agent/rig.rs"]
mod rig;

#[path = "probes/interface.rs"]
mod interface;
#[path = "probes/promtool.rs"]
mod promtool;

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use logmedic::ledger::Ledger;
use rig::{Night, of, until};
use serde_json::Value;

/// Looks often, so that the tests are quick; three failures and two good looks, as by default.
const QUICK: &str = "every = '100ms'\ntimeout = '2s'\n";

/// A port that accepts connections until it is dropped.
struct Door(Option<TcpListener>, SocketAddr);

impl Door {
    fn open(address: &str) -> Self {
        let bound = until("the port to be free", || TcpListener::bind(address).ok());
        let address = bound.local_addr().unwrap();
        Self(Some(bound), address)
    }
}

/// What people were told of probes and of the agent, in order: `what name: detail` and `agent: detail`.
fn told(night: &Night) -> Vec<String> {
    let db = Ledger::look(&night.path("state")).unwrap();
    let mut query = db.prepare("SELECT json FROM notice ORDER BY ord").unwrap();
    let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|json| {
        let notice: Value = serde_json::from_str(&json.unwrap()).unwrap();
        let story = &notice["story"];
        let text = |key: &str| story[key].as_str().unwrap_or_default().to_owned();
        match story["story"].as_str().unwrap() {
            "probe" => format!("{} {}: {}", text("what"), text("name"), text("detail")),
            other => format!("{other}: {}", text("detail")),
        }
    })
    .collect()
}

fn state(night: &Night, name: &str) -> Option<String> {
    let db = Ledger::look(&night.path("state")).ok()?;
    db.query_row("SELECT state FROM probe WHERE name = ?1", [name], |row| row.get(0)).ok()
}

fn wait_state(night: &Night, name: &str, wanted: &str) {
    until(&format!("{name} to be {wanted}"), || state(night, name).filter(|state| state == wanted));
}

#[test]
fn e4_a_server_that_goes_away_is_an_incident_that_its_return_ends_across_a_kill() {
    let mut door = Door::open("127.0.0.1:0");
    let address = door.1;
    let night = Night::new(&format!("[[probe]]\nname = 'api'\ntcp = '{address}'\n{QUICK}"));
    let agent = night.start_reading();
    wait_state(&night, "api", "up");
    door.0 = None;
    let outage = night.recorded("the outage", |all| {
        of(all, "error").into_iter().find(|record| record["rule"] == "probe.api").cloned()
    });
    assert_eq!((outage["class"].as_str(), outage["count"].as_u64()), (Some("server_down"), Some(1)));
    assert_eq!(outage["subject"]["value"], format!("tcp://{address}"));
    wait_state(&night, "api", "down");
    agent.kill();

    let agent = night.start_reading();
    // It looks again, and what was said before is not said again.
    until("a look of the new run", || night.text("err").matches("watching").nth(1).map(drop));
    let again = Door::open(&address.to_string());
    let end = night.outcome(&address.to_string());
    assert_eq!(end["result"], "recovered", "{end}");
    wait_state(&night, "api", "up");
    agent.stop();
    drop(again);
    let records = night.records();
    rig::no_gap(&records);
    assert_eq!(of(&records, "error").len(), 1, "one outage is one event");
    assert_eq!(of(&records, "outcome").len(), 1);
    let told = told(&night);
    let of_api: Vec<&String> = told.iter().filter(|line| line.contains(" api: ")).collect();
    assert!(of_api.len() == 2 && of_api[0].starts_with("added api") && of_api[1].starts_with("up api"), "{told:#?}");
    let of_agent: Vec<&String> = told.iter().filter(|line| line.starts_with("agent: ")).collect();
    assert!(of_agent[0].contains("for the first time"), "{told:#?}");
    assert!(of_agent[1].contains("killed or crashed"), "{told:#?}");
    assert!(of_agent[2].contains("stopped: SIGTERM"), "{told:#?}");
}

#[test]
fn e4_processes_and_disks_are_looked_at_and_a_reload_adds_changes_and_removes() {
    let night = Night::empty();
    fs::create_dir(night.path("models")).unwrap();
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let pid_file = night.path("bot.pid");
    writeln!(fs::File::create(&pid_file).unwrap(), "{}", child.id()).unwrap();
    let process = format!("[[probe]]\nname = 'proc'\nprocess = '{}'\n{QUICK}", pid_file.display());
    let disk = |min_free: &str| format!("[[probe]]\nname = 'room'\ndisk = 'models'\nmin_free = '{min_free}'\n{QUICK}");
    night.configure(&format!("{process}{}", disk("8000000TB")));
    let agent = night.start_reading();
    wait_state(&night, "proc", "up");
    wait_state(&night, "room", "down");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_state(&night, "proc", "down");
    let classes = night.recorded("both incidents", |all| {
        let mut classes: Vec<String> =
            of(all, "error").iter().map(|record| record["class"].as_str().unwrap().to_owned()).collect();
        classes.sort();
        (classes.len() == 2).then_some(classes)
    });
    assert_eq!(classes, ["crash", "disk_full"]);

    night.configure(&disk("1B"));
    assert_eq!(night.ask(&["reload"]).status.code(), Some(0), "{}", night.text("err"));
    wait_state(&night, "room", "up");
    until("the removed probe to be gone", || state(&night, "proc").is_none().then_some(()));
    let results = night.recorded("both ends", |all| {
        let mut results: Vec<String> =
            of(all, "outcome").iter().map(|record| record["result"].as_str().unwrap().to_owned()).collect();
        results.sort();
        (results.len() == 2).then_some(results)
    });
    assert_eq!(results, ["cancelled", "recovered"], "nobody looks at the process any more");
    agent.stop();
    let told = told(&night);
    assert!(told.iter().any(|line| line.starts_with("removed proc: it is not in the configuration")), "{told:#?}");
}

#[test]
fn e4_h3_a_probe_that_cannot_be_is_refused_with_its_line() {
    for (wrong, says) in [
        ("name = 'a'", "exactly one of `http`, `tcp`, `disk`, `process` and `bot_api = true`"),
        ("name = 'a'\ntcp = 'x:1'\nhttp = 'http://x/'", "exactly one of"),
        ("name = 'a/b'\ntcp = 'x:1'", "`a/b` is not a probe's name"),
        ("name = 'a'\nhttp = 'ftp://x/'", "`http` is not an address"),
        ("name = 'a'\nhttp = 'http://user:pw@x/'", "without user and password"),
        ("name = 'a'\ntcp = 'x'", "`x` is not host:port"),
        ("name = 'a'\ntcp = 'x:1'\nstatus = 200", "`status` has nothing to judge"),
        ("name = 'a'\ntcp = 'x:1'\nevery = '1ms'", "`every` is out of range"),
        ("name = 'a'\ntcp = 'x:1'\nfail_after = 0", "`fail_after` is out of range"),
        ("name = 'a'\ntcp = 'x:1'\nintervall = '1s'", "unknown key `intervall`"),
    ] {
        let night = Night::new(&format!("[[probe]]\n{wrong}\n"));
        let (code, _, err) = rig::told(&night.ask(&["config", "show"]));
        assert!(code == Some(78) && err.contains(says) && err.contains("config.toml"), "{wrong}\n{err}");
    }
    let night = Night::new("[[probe]]\nname = 'a'\ntcp = 'x:1'\n[[probe]]\nname = 'a'\ntcp = 'y:1'\n");
    assert!(rig::told(&night.ask(&["config", "show"])).2.contains("two probes are called `a`"));
}
