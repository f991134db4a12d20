//! The dashboard in a real Chromium against the real binary. `web/tests/NAME.mjs` is the person; what the person cannot
//! do in a browser (break something, pull the plug) is done here, when it asks.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "agent/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use logmedic::ledger::rusqlite;
use rig::{Agent, Night, until};
use serde_json::{Value, json};

/// What a person would choose.
const PASSWORD: &str = "Kite-42-lantern";

/// Claims any line of ours, so that hostile text becomes an incident.
const EVIL_RULE: &str = r"
[[rule]]
id = 'mine.evil'
class = 'auth'
severity = 'error'
pattern = '''LMEVIL (?P<path>.*)$'''
about = 'a line of the tests'
";

/// The agent, and what the page asks to be done to it.
struct Hands {
    night: Night,
    agent: Option<Agent>,
    url: String,
    /// Where the Bot API is, or is not.
    server: u16,
}

impl Hands {
    fn new(extra: &str) -> Self {
        let (port, server) = (free_port(), free_port());
        let night = Night::new(&format!(
            "[server]\nlisten = '127.0.0.1:{port}'\n[bot_api]\nurl = 'http://127.0.0.1:{server}'\n\
             [server_down]\nbase = '500ms'\ncap = '1s'\n{extra}"
        ));
        fs::write(night.path("patterns.d/evil.toml"), EVIL_RULE).unwrap();
        let mut hands = Self { night, agent: None, url: format!("http://127.0.0.1:{port}"), server };
        hands.start();
        hands
    }

    fn start(&mut self) {
        self.agent = Some(self.night.start_reading());
        let address = self.url.trim_start_matches("http://").to_owned();
        until("the dashboard to listen", || std::net::TcpStream::connect(&address).ok());
    }

    /// The link of the first start.
    fn link(&self) -> String {
        until("the setup link", || {
            let said = self.night.text("err");
            said.split_whitespace().find(|word| word.contains("/setup#")).map(str::to_owned)
        })
    }

    fn account(&self, name: &str, role: &str) {
        let mut command = self.night.command(&["user", "add", name, "--role", role]);
        let mut added = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        added.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
        assert!(added.wait().unwrap().success(), "{name}");
    }

    /// Does what the page asks.
    fn act(&mut self, wish: &Value) -> Value {
        let text = |name: &str| wish[name].as_str().unwrap_or_default().to_owned();
        match wish["do"].as_str().unwrap() {
            "say" => self.night.say(text("text")),
            "account" => self.account(&text("name"), &text("role")),
            // A folder that is not there: made again within a moment.
            "missing" => {
                let path = self.night.path(&format!("models/{}/a.mp4", text("name")));
                let line = format!("FileNotFoundError: [Errno 2] No such file or directory: '{}'\n", path.display());
                self.night.say(line);
            }
            // A server that does not answer, until "answer" is asked for.
            "down" => {
                let port = self.server;
                self.night.say(format!("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:{port} ssl:default [Connect call failed ('127.0.0.1', {port})]\n"));
            }
            "answer" => {
                let server = TcpListener::bind(("127.0.0.1", self.server)).unwrap();
                thread::spawn(move || {
                    for mut client in server.incoming().flatten() {
                        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    }
                });
            }
            "kill" => self.agent.take().unwrap().kill(),
            "start" => self.start(),
            other => panic!("the page asks for {other}"),
        }
        json!({})
    }

    /// Lets a script of `web/tests` play the person, and wants it content.
    fn plays(&mut self, script: &str) {
        let url = self.url.clone();
        let pictures = pictures();
        let mut page = page(script, &url, &pictures);
        let mut answers = page.stdin.take().unwrap();
        let mut said = String::new();
        for line in BufReader::new(page.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(wish) = line.strip_prefix("hand: ") {
                let done = self.act(&serde_json::from_str(wish).unwrap());
                writeln!(answers, "{done}").unwrap();
            } else {
                println!("{line}");
                writeln!(said, "{line}").unwrap();
            }
        }
        let status = page.wait().unwrap();
        assert!(status.success(), "{script}: {status}\n{said}\nthe agent said:\n{}", self.night.text("err"));
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Where pictures of the pages are left, for people to look at.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard")
}

fn page(script: &str, url: &str, pictures: &Path) -> Child {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    assert!(web.join("node_modules").is_dir(), "the dashboard's tools are missing: run scripts/web");
    let mut command = Command::new("node");
    command
        .arg(web.join("tests").join(script))
        .env("LOGMEDIC", url)
        .env("PICTURES", pictures)
        .env("PASSWORD", PASSWORD);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("there is no node: apt-get install nodejs")
}

#[test]
fn f1_d1_the_link_opens_the_dashboard_and_faults_heal_before_the_eyes() {
    let mut hands = Hands::new(
        "[[operation]]\nname = 'count'\nargv = ['/bin/sh', '-c', 'for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do echo $n/30; sleep 1; done']\n",
    );
    hands.night.say("");
    let link = hands.link();
    fs::write(hands.night.path("link"), &link).unwrap();
    let url = hands.url.clone();
    hands.url = link;
    hands.plays("journey.mjs");
    hands.url = url;
}

#[test]
fn f2_a_page_that_lost_its_server_says_so_and_comes_back_with_what_it_missed() {
    let mut hands = Hands::new("");
    hands.account("ana", "admin");
    hands.plays("away.mjs");
}

#[test]
fn f4_buttons_show_what_the_role_may_do() {
    let mut hands = Hands::new("[[operation]]\nname = 'count'\nargv = ['/bin/sh', '-c', 'sleep 60']\n");
    hands.account("ana", "admin");
    hands.account("vera", "viewer");
    hands.plays("roles.mjs");
}

#[test]
fn h1_hostile_lines_are_text_on_every_page() {
    let mut hands = Hands::new("");
    hands.account("ana", "admin");
    hands.plays("hostile.mjs");
}

#[test]
fn f7_every_page_is_accessible_and_fits_in_both_themes_widths_and_languages() {
    let mut hands = Hands::new(
        "[[operation]]\nname = 'count'\nargv = ['/bin/sh', '-c', 'for n in 1 2 3 4 5 6 7 8 9; do echo $n/9; sleep 20; done']\n",
    );
    hands.account("ana", "admin");
    hands.plays("looks.mjs");
}

#[test]
fn f7_ten_thousand_incidents_do_not_slow_it() {
    let mut hands = Hands::new("");
    hands.account("ana", "admin");
    hands.night.say("LMTEST denied /nowhere/LM1\nlogmedic job=j1 path=models/ana/1.mp4 size=2000000 state=failed\n");
    let known =
        |hands: &Hands, kind: &str| hands.night.count(&format!("SELECT count(*) FROM row WHERE kind = '{kind}'"));
    until("an incident and a download", || (known(&hands, "incident") >= 1 && known(&hands, "job") >= 1).then_some(()));
    hands.agent.take().unwrap().stop();
    hands.night.multiply("incident", 10_000);
    hands.night.multiply("job", 5_000);
    hands.start();
    hands.plays("vitals.mjs");
}

impl Night {
    /// Makes so many of the first thing of a kind, each with an identifier of its own.
    fn multiply(&self, kind: &str, to: u32) {
        let mut db = rusqlite::Connection::open(self.path("state/state.db")).unwrap();
        let tx = db.transaction().unwrap();
        let first = "SELECT id, json FROM row WHERE kind = ?1";
        let (id, json): (String, String) = tx.query_row(first, [kind], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for n in 1..to {
            // The end of an identifier is random; a number in its alphabet will do.
            let other = format!("{}{n:05}", &id[..id.len() - 5]);
            let put = "INSERT INTO row (kind, id, json) VALUES (?1, ?2, ?3)";
            tx.execute(put, (kind, &other, json.replace(&id, &other))).unwrap();
        }
        tx.commit().unwrap();
    }
}
