//! Starts the mail server of `mail.py` and reads what arrived there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::rig::PATIENCE;

/// What pip fetches.
const PACKAGE: &str = "aiosmtpd==1.4.6";

pub struct MailServer {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub port: u16,
}

fn interpreters() -> Vec<String> {
    let named = std::env::var("LOGMEDIC_TEST_PYTHON").ok();
    named.into_iter().chain(["python3".into(), "/usr/bin/python3".into()]).collect()
}

/// Fetches the server's package once for all tests and processes.
fn packages() -> (String, PathBuf) {
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&base).unwrap();
    let lock = std::fs::File::create(base.join("aiosmtpd.lock")).unwrap();
    lock.lock().unwrap();
    let (folder, done) = (base.join("aiosmtpd"), base.join("aiosmtpd.done"));
    for python in interpreters() {
        if std::fs::read_to_string(&done).is_ok_and(|text| text == format!("{PACKAGE} {python}")) {
            return (python, folder);
        }
        let mut pip = std::process::Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&folder).arg(PACKAGE);
        if pip.status().is_ok_and(|status| status.success()) {
            std::fs::write(&done, format!("{PACKAGE} {python}")).unwrap();
            return (python, folder);
        }
    }
    panic!("pip could not install {PACKAGE}; set LOGMEDIC_TEST_PYTHON to a Python with pip")
}

impl MailServer {
    pub async fn start(refusals: &str) -> Self {
        let (python, folder) = tokio::task::spawn_blocking(packages).await.unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/channels/mail.py");
        let mut command = Command::new(python);
        command.arg(script).arg(refusals).env("PYTHONPATH", folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut this = Self { _child: child, lines, port: 0 };
        this.port = u16::try_from(this.next().await["port"].as_u64().unwrap()).unwrap();
        this
    }

    /// The next mail, or refusal.
    pub async fn next(&mut self) -> serde_json::Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}
