//! What Prometheus' own checker says of our figures. The package is fetched by apt into the build's temporary directory.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use logmedic::publish::metrics::{Asked, Metrics};

/// `promtool`, installed or unpacked beside the build; `None` with a word why.
fn promtool() -> Option<PathBuf> {
    let runs = |path: &Path| Command::new(path).arg("--version").output().is_ok_and(|out| out.status.success());
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("promtool");
    let unpacked = base.join("usr/bin/promtool");
    let known = [PathBuf::from("promtool"), unpacked.clone()];
    if let Some(found) = known.into_iter().find(|path| runs(path)) {
        return Some(found);
    }
    std::fs::create_dir_all(&base).unwrap();
    let shell = "apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb";
    let fetched = Command::new("sh").args(["-c", shell]).current_dir(&base).stdout(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) && runs(&unpacked) {
        return Some(unpacked);
    }
    eprintln!("skipped: promtool is not here and apt cannot fetch prometheus");
    None
}

#[test]
fn d4_promtool_finds_nothing_wrong_with_the_metrics() {
    let Some(promtool) = promtool() else { return };
    let metrics = Metrics::new(|registry| {
        logmedic::serve::hub::Hub::new(logmedic::serve::hub::Settings::default()).register(registry)
    });
    metrics.read(b"one\ntwo\n");
    metrics.detected(Duration::from_millis(1));
    let word = str::to_owned;
    let asked = Asked {
        open: vec![(word("timeout"), 1)],
        tail_lag: vec![(word("bot"), 0)],
        notifications: vec![(word("telegram"), word("sent"), 4), (word("telegram"), word("failed"), 1)],
        operations: vec![(word("running"), 1)],
        disk_free: vec![(word("models"), 1 << 40)],
    };
    for openmetrics in [false, true] {
        let text = metrics.text(asked.clone(), openmetrics);
        let mut child = Command::new(&promtool);
        let child =
            child.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        // The checker reads the older format; of OpenMetrics it can only say whether it parses.
        if openmetrics {
            assert!(!said.contains("error while linting"), "{said}\n{text}");
        } else {
            assert!(out.status.success() && said.trim().is_empty(), "{said}\n{text}");
        }
    }
}
