//! A folder with logmedic's state in it, its commands and its socket.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::rig::{Agent, Night, until};

/// A password that is long enough.
pub const PASSWORD: &str = "a long enough phrase";

/// A folder, and what is asked of logmedic there.
pub struct House {
    pub night: Night,
}

/// Lines of JSON.
pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// What went to the standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl House {
    pub fn new(extra: &str) -> Self {
        Self { night: Night::new(&format!("[server]\nlisten = '127.0.0.1:0'\n{extra}")) }
    }

    /// With something in its state, and no agent.
    pub fn settled(extra: &str) -> Self {
        let house = Self::new(extra);
        let agent = house.night.start_reading();
        house.night.say("LMTEST denied /nowhere/LM1\nLMTEST denied /nowhere/LM2\n");
        house.night.recorded("two incidents", |all| (all.len() >= 4).then_some(()));
        agent.stop();
        house
    }

    pub fn state(&self) -> PathBuf {
        self.night.path("state")
    }

    pub fn backups(&self) -> PathBuf {
        self.night.path("state/backups")
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.backups().join(name)
    }

    /// A command that must do well: its JSON.
    pub fn done(&self, args: &[&str]) -> Vec<Value> {
        let output = self.night.ask(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {output:?}");
        lines(&output)
    }

    /// Makes a backup; its name.
    pub fn create(&self, args: &[&str]) -> String {
        let made = self.done(&[&["backup", "create"], args].concat());
        assert_eq!(made.len(), 1, "{made:?}");
        made[0]["name"].as_str().unwrap().to_owned()
    }

    pub fn names(&self) -> Vec<String> {
        self.done(&["backup", "list"]).iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What `verify` finds.
    pub fn verdict(&self, backup: &str) -> Value {
        let output = self.night.ask(&["backup", "verify", backup, "--json"]);
        let verdict = lines(&output).remove(0);
        assert_eq!(output.status.code(), Some(i32::from(verdict["sound"] == false)), "{output:?}");
        verdict
    }

    /// Hidden folders: what is half written or half deleted.
    pub fn half_done(&self) -> Vec<String> {
        let names = fs::read_dir(self.backups()).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.') && name != ".lock").collect()
    }

    pub fn account(&self, name: &str) {
        let mut command = self.night.command(&["user", "add", name, "--role", "admin"]);
        fs::write(self.night.path("password"), PASSWORD).unwrap();
        command.stdin(File::open(self.night.path("password")).unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Asks the running agent over its socket.
    pub fn http(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.local(method, path);
        call(match body {
            Some(body) => request.json(&body),
            None => request,
        })
    }

    fn local(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().unix_socket(self.night.path("state/api.sock")).build().unwrap();
        client.request(method.parse().unwrap(), format!("http://localhost/api/v1/{path}"))
    }

    /// Begins a backup of the running agent's.
    pub fn begin(&self, order: Value) -> String {
        let (status, operation) = self.http("POST", "operations/backup/create", Some(order));
        assert_eq!(status, 202, "{operation}");
        operation["id"].as_str().unwrap().to_owned()
    }

    pub fn operation(&self, id: &str) -> Value {
        self.http("GET", &format!("operations/{id}"), None).1
    }

    /// Waits until it is in this state.
    pub fn comes_to(&self, id: &str, state: &str) -> Value {
        until(state, || {
            let operation = self.operation(id);
            let over = operation["ended_at"].is_string() && operation["state"] != state;
            assert!(!over, "it ended otherwise: {operation}");
            (operation["state"] == state).then_some(operation)
        })
    }

    /// Begins a backup with much media and asks for something in the middle of that.
    pub fn in_media(&self, action: &str) -> String {
        self.much_media();
        for _ in 0..5 {
            let id = self.begin(json!({ "media": true }));
            until("media to be copied", || (self.half_media() > 0).then_some(()));
            if self.http("POST", &format!("operations/{id}/{action}"), None).0 == 200 {
                return id;
            }
        }
        panic!("it was done five times before anything could be asked of it");
    }

    /// Bytes of media in the backup that is being made.
    pub fn half_media(&self) -> u64 {
        let Some(half) = self.half_done().pop() else { return 0 };
        let media = fs::read_dir(self.backups().join(half).join("media/models")).into_iter().flatten().flatten();
        media.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }

    /// Files that take a while.
    pub fn much_media(&self) {
        for n in 0..6 {
            let file = File::create(self.night.path(&format!("models/big{n}.mp4"))).unwrap();
            file.set_len(64 << 20).unwrap();
        }
    }

    pub fn start(&self) -> Agent {
        let agent = self.night.start_reading();
        until("an answer", || try_call(self.local("GET", "operations/active")));
        agent
    }
}

/// Sends it: status and answer.
pub fn call(request: reqwest::RequestBuilder) -> (u16, Value) {
    try_call(request).unwrap()
}

/// The same, where nobody may answer.
fn try_call(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    })
}

/// Copies a backup.
pub fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the manifest anew, as somebody who knows how would.
pub fn forge(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let text = manifest.to_string();
    fs::write(&path, &text).unwrap();
    fs::write(folder.join("manifest.json.sha256"), format!("{}  manifest.json\n", sha256(text.as_bytes()))).unwrap();
}

/// Takes a file over into the manifest as it is now.
pub fn resum(folder: &Path, file: &str) {
    let bytes = fs::read(folder.join(file)).unwrap();
    forge(folder, |manifest| {
        let mut sum = 0;
        for entry in manifest["files"].as_array_mut().unwrap() {
            if entry["path"] == file {
                entry["size"] = json!(bytes.len());
                entry["sha256"] = json!(sha256(&bytes));
            }
            sum += entry["size"].as_u64().unwrap();
        }
        manifest["bytes"] = json!(sum);
    });
}

/// Every file below, and that nobody else may read it.
pub fn private_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(private_files(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            assert_eq!(mode(&entry.path()), 0o600, "{name}");
            found.push(name);
        }
    }
    found.sort();
    found
}
