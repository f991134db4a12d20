//! Checks the shipped units with systemd's own tools, and what is told to systemd (row A21).
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use logmedic::supervise::systemd;

/// Tenths of systemd's exposure level, 100 at worst.
const EXPOSURE: [(&str, &str, u32); 2] =
    [("logmedic.service", "logmedic.service", 25), ("logmedic-bot@.service", "logmedic-bot@ana.service", 25)];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn has_systemd() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        println!("skipped: no systemd-analyze here");
    }
    found
}

/// The unit as it would be installed, but with the program that was just built, with or without drop-ins.
fn installed(dir: &Path, unit: &str, name: &str, drop_ins: &[&str]) -> PathBuf {
    let text = fs::read_to_string(shipped(unit)).unwrap().replace("/usr/bin/logmedic", env!("CARGO_BIN_EXE_logmedic"));
    fs::write(dir.join(name), text).unwrap();
    let folder = dir.join(format!("{name}.d"));
    fs::create_dir_all(&folder).unwrap();
    for drop_in in drop_ins {
        fs::copy(shipped(&format!("drop-ins/{drop_in}")), folder.join(drop_in)).unwrap();
    }
    dir.join(name)
}

fn verify(unit: &Path) -> String {
    let output = Command::new("systemd-analyze")
        .env("SYSTEMD_UNIT_PATH", format!("{}:", unit.parent().unwrap().display()))
        .arg("verify")
        .arg(unit)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    // systemd before 253 says that it keeps Type=notify; that is what the unit wants of it.
    said.lines().filter(|line| !line.ends_with("ignoring: notify-reload")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a21_the_units_have_nothing_that_systemd_complains_about() {
    if !has_systemd() {
        return;
    }
    for (unit, name, _) in EXPOSURE {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(verify(&installed(dir.path(), unit, name, &[])), "", "{unit}");
        let all = ["roots.conf", "journal.conf", "privileged-repairs.conf", "systemd-252.conf"];
        assert_eq!(verify(&installed(dir.path(), unit, name, &all)), "", "{unit} with drop-ins");
    }
}

#[test]
fn a21_the_units_are_exposed_as_little_as_promised() {
    if !has_systemd() {
        return;
    }
    for (unit, name, limit) in EXPOSURE {
        let dir = tempfile::tempdir().unwrap();
        let unit = installed(dir.path(), unit, name, &[]);
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", &format!("--threshold={limit}")])
            .arg(&unit)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn h1_the_sandbox_leaves_openat2_to_the_roots() {
    // RestrictSUIDSGID=yes, also when DynamicUser= implies it, answers every openat2 with ENOSYS.
    for (unit, _, _) in EXPOSURE {
        let text = fs::read_to_string(shipped(unit)).unwrap();
        assert!(text.contains("\nRestrictSUIDSGID=no\n") && !text.contains("\nDynamicUser="), "{unit}");
    }
}

#[test]
fn a21_the_user_and_the_folders_are_made() {
    for (tool, file) in [("systemd-sysusers", "logmedic.sysusers"), ("systemd-tmpfiles", "logmedic.tmpfiles")] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        if Command::new(tool).arg("--version").output().is_err() || !nix::unistd::geteuid().is_root() {
            println!("skipped: no {tool} here, or not root");
            continue;
        }
        let mut command = Command::new(tool);
        command.arg(format!("--root={}", root.path().display()));
        if tool == "systemd-tmpfiles" {
            command.arg("--create");
        }
        let output = command.arg(shipped(file)).output().unwrap();
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        match tool {
            "systemd-sysusers" => {
                assert!(fs::read_to_string(root.path().join("etc/passwd")).unwrap().contains("logmedic:x:"));
            }
            _ => assert!(root.path().join("etc/logmedic").is_dir() && root.path().join("etc/credstore").is_dir()),
        }
    }
}

/// Not a test of its own: speaks to the socket its environment names.
#[test]
#[ignore = "run by another test"]
fn speaker() {
    assert_eq!(systemd::watchdog_interval(), Some(Duration::from_secs(30)));
    systemd::ready().unwrap();
    systemd::status("one\nMAINPID=1").unwrap();
    systemd::reloading().unwrap();
    systemd::alive().unwrap();
    systemd::stopping().unwrap();
}

#[test]
fn a21_systemd_is_told_how_we_are_and_text_cannot_forge_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let speaker = Command::new(std::env::current_exe().unwrap())
        .args(["speaker", "--exact", "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "60000000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    assert!(speaker.status.success(), "{}", String::from_utf8_lossy(&speaker.stdout));
    let said = || {
        let mut buffer = [0; 512];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    assert_eq!(said(), "READY=1\n");
    assert_eq!(said(), "STATUS=one\\nMAINPID=1\n");
    let reloading = said();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(said(), "WATCHDOG=1\n");
    assert_eq!(said(), "STOPPING=1\n");
}

#[test]
fn a21_without_systemd_nothing_is_said_and_nothing_fails() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        systemd::ready().unwrap();
        assert_eq!(systemd::watchdog_interval(), None);
    }
}
