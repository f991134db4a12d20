//! Asks a running logmedic by its command line and its socket, and makes media.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::rig::{Night, until};

/// Nothing happens by itself.
pub const BY_HAND: &str = "[library]\nenabled = false\n";

/// The objects that a command prints, one a line.
pub fn ask(night: &Night, args: &[&str]) -> Vec<Value> {
    let output = night.ask(args);
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{said}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Looks for files, waits, and gives the sentence of the report.
pub fn populate(night: &Night) -> String {
    ready(night);
    let over = ask(night, &["library", "populate", "--wait", "--json"]).remove(0);
    assert_eq!(over["state"], "completed", "{over}");
    over["report"]["detail"].as_str().unwrap().to_owned()
}

/// Makes pictures, waits, and gives the sentence of the report.
pub fn thumbnails(night: &Night, args: &[&str]) -> String {
    let over = ask(night, &[&["library", "thumbnails", "--wait", "--json"], args].concat()).remove(0);
    assert_eq!(over["state"], "completed", "{over}");
    over["report"]["detail"].as_str().unwrap().to_owned()
}

/// Every file, by its name.
pub fn files(night: &Night, args: &[&str]) -> HashMap<String, Value> {
    let all = ask(night, &[&["library", "list", "--json", "--limit", "1000"], args].concat());
    all.into_iter().map(|file| (file["name"].as_str().unwrap().to_owned(), file)).collect()
}

/// An answer over HTTP: status, head, body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.clone().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The agent's socket, once it answers there.
pub fn ready(night: &Night) -> UnixStream {
    until("the agent to answer", || UnixStream::connect(night.path("state/api.sock")).ok())
}

/// Calls a route below `/api/v1/` over the agent's socket.
pub fn call(night: &Night, method: &str, route: &str, headers: &str, body: &str) -> Answer {
    let mut stream = ready(night);
    let length = body.len();
    write!(
        stream,
        "{method} /api/v1/{route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let split = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(all[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: all[split + 4..].to_vec() }
}

pub fn get(night: &Night, route: &str) -> Answer {
    call(night, "GET", route, "", "")
}

/// Runs ffmpeg; its last argument is the file that it makes.
pub fn ffmpeg(args: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace())
        .arg(to)
        .status()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(status.success(), "ffmpeg {args}");
}

/// A film of ten seconds with sound.
pub const FILM: &str =
    "-f lavfi -i testsrc=s=320x240:r=10:d=10 -f lavfi -i sine=d=10 -c:v libx264 -preset ultrafast -c:a aac -shortest";

/// The last change of the content, to set it again.
pub fn mtime(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

pub fn set_mtime(path: &Path, at: std::time::SystemTime) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(at).unwrap();
}
