//! `logmedic user` and `logmedic token`, beside a running server and without one.

use std::path::Path;

use serde_json::{Value, json};

use super::rig::{PASSWORD, Rig, status};

/// Runs the program with this state directory and standard input: exit code, output, errors.
fn run(state: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("logmedic"));
    command.env_clear().env("HOME", "/nonexistent").env("LOGMEDIC_STATE__DIR", state).current_dir("/");
    let output = command.args(args).write_stdin(input).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn h2_accounts_are_made_before_the_first_start_and_passwords_come_by_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (code, out, _) = run(&state, &["user", "list"], "");
    assert_eq!((code, out.contains("no account yet")), (0, true), "{out}");
    assert!(!state.exists(), "looking makes nothing");
    let (code, _, err) = run(&state, &["user", "add", "ada", "--role", "admin"], "short\n");
    assert_eq!((code, err.contains("10 characters")), (1, true), "{err}");
    let password = format!("{PASSWORD}\n");
    let (code, out, err) = run(&state, &["user", "add", "ada", "--role", "admin"], &password);
    assert_eq!((code, out.as_str()), (0, "added ada (admin)\n"), "{err}");
    assert_eq!(run(&state, &["user", "add", "ada"], &password).0, 1, "taken");
    assert_eq!(run(&state, &["user", "add", "Ada!"], &password).0, 2);
    assert_eq!(run(&state, &["user", "add", "bob", "--role", "root"], &password).0, 2);
    assert_eq!(run(&state, &["user", "add", "bob", "--password", "x"], &password).0, 2, "never on the command line");
    let (_, out, _) = run(&state, &["user", "list", "--json"], "");
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((line["account"].as_str(), line["role"].as_str()), (Some("ada"), Some("admin")));
    assert!(!out.contains("argon2"));
    let (code, _, err) = run(&state, &["user", "remove", "ada"], "");
    assert_eq!((code, err.contains("only admin")), (1, true), "{err}");
}

#[tokio::test]
async fn h2_commands_reach_a_running_agent() {
    let rig = Rig::start().await;
    let state = rig.dir.path().to_owned();
    let call = async |args: &[&str], input: &str| {
        let (state, input) = (state.clone(), input.to_owned());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let done = tokio::task::spawn_blocking(move || {
            run(&state, &args.iter().map(String::as_str).collect::<Vec<_>>(), &input)
        });
        done.await.unwrap()
    };
    let vera = rig.login("vera").await;
    assert_eq!(call(&["user", "role", "vera", "operator"], "").await.0, 0);
    assert_eq!(status(vera.by_cookie("POST", rig.url("act/1"))).await, 200);
    assert_eq!(call(&["user", "passwd", "vera"], "a quite different phrase").await.0, 0);
    assert_eq!(status(vera.by_cookie("GET", rig.url("look"))).await, 401);
    let login = json!({ "account": "vera", "password": "a quite different phrase" });
    assert_eq!(rig.try_login(login.clone()).await.0, 200);
    assert_eq!(call(&["user", "remove", "vera"], "").await.0, 0);
    assert_eq!(rig.try_login(login).await.0, 401);

    let (code, out, err) = call(&["token", "create", "--role", "operator", "--ttl", "1h", "--name", "cron"], "").await;
    assert_eq!(code, 0, "{err}");
    let token = out.trim();
    let client = reqwest::Client::new();
    let ask = |method: &str, path: &str| client.request(method.parse().unwrap(), rig.url(path)).bearer_auth(token);
    assert_eq!(status(ask("POST", "act/1")).await, 200);
    assert_eq!(status(ask("POST", "rule")).await, 403);
    let me: Value = ask("GET", "auth/me").send().await.unwrap().json().await.unwrap();
    assert_eq!(me["account"], "token:cron");
    let change = json!({ "password": "x", "new_password": "a quite different phrase" });
    assert_eq!(status(ask("POST", "auth/password").json(&change)).await, 409, "it has no password");
    assert_eq!(status(ask("POST", "auth/refresh")).await, 401, "and cannot renew itself");
    let (_, list, _) = call(&["token", "list", "--json"], "").await;
    assert!(!list.contains(token));
    let id = serde_json::from_str::<Value>(&list).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(call(&["token", "revoke", &id], "").await.0, 0);
    assert_eq!(status(ask("GET", "look")).await, 401);
    assert_eq!(call(&["token", "revoke", &id], "").await.0, 1);
    for ttl in ["0s", "1", "999999d", "-1h"] {
        assert_eq!(call(&["token", "create", "--role", "viewer", "--ttl", ttl], "").await.0, 2, "{ttl}");
    }
    let ada = rig.login("ada").await;
    let audit: Value = ada.by_cookie("GET", rig.url("audit?account=local")).send().await.unwrap().json().await.unwrap();
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|deed| deed["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token revoke", "token create", "user remove", "user passwd", "user role"]);
}
