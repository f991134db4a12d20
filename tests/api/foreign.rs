//! A foreign judge: schemathesis reads the description and tries everything that it allows and forbids.

use std::path::PathBuf;
use std::process::Command;

use super::House;

/// What pip fetches.
const PACKAGE: &str = "schemathesis==4.32.5";

/// What would end the session that the judge works with, or is no request and answer.
const LEFT_OUT: &str = "/auth/(logout|password|totp.*|sessions.*)|/accounts.*|/ws$";

/// Without this check: for JSON Schema 2500.0 is an integer, and not every rule (a job needs one of four names, a setting must
/// exist, an address must be one of a push service) can be said in a schema.
const CHECKS_LEFT_OUT: &str = "positive_data_acceptance";

/// Fetches the judge once for all runs.
fn judge() -> PathBuf {
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&base).unwrap();
    let lock = std::fs::File::create(base.join("schemathesis.lock")).unwrap();
    lock.lock().unwrap();
    let (folder, done) = (base.join("schemathesis"), base.join("schemathesis.done"));
    let program = folder.join("bin/schemathesis");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == PACKAGE) {
        return program;
    }
    let python = std::env::var("LOGMEDIC_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let made = run(Command::new(&python).args(["-m", "venv"]).arg(&folder))
        && run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", PACKAGE]));
    assert!(made, "pip could not install {PACKAGE}; set LOGMEDIC_TEST_PYTHON to a Python with venv and pip");
    std::fs::write(&done, PACKAGE).unwrap();
    program
}

#[test]
fn c10_the_description_holds_what_it_promises() {
    let judge = judge();
    let house = House::new("[[operation]]\nname = 'quick'\nargv = ['true']\n");
    let token = house.night.ask(&["token", "create", "--role", "admin", "--ttl", "1h"]);
    assert!(token.status.success(), "{token:?}");
    let token = String::from_utf8(token.stdout).unwrap();
    let output = Command::new(judge)
        .current_dir(house.night.path("."))
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", house.url))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--exclude-path-regex", LEFT_OUT, "--exclude-checks", CHECKS_LEFT_OUT])
        // A made-up cookie beside our token would be taken for a way in that was not looked at.
        .args(["--generation-with-security-parameters", "false"])
        .args(["--max-examples", "15", "--seed", "1", "--generation-deterministic", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
