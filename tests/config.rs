//! Configuration and command line from outside: the real binary, real files, a real HTTP server.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value as Json;

/// The binary in `dir`, with nothing of the tester's own environment.
fn logmedic(dir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("logmedic"));
    command.env_clear().current_dir(dir);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", dir.join("home")).env("XDG_STATE_HOME", dir.join("state"));
    command
}

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    told(logmedic(dir).args(args).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    chmod(path, 0o600);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn json_lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A Bot API server that knows two bots and one chat; it ends with the test's process.
fn bot_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            // The whole head is read before the answer: an early close would reset the connection.
            let _head: usize = lines.take_while(|line| !line.is_empty()).count();
            let known = request.contains("/bot123456:GOOD/") || request.contains("/bot654321:ALERTS/");
            let (status, body) = match () {
                () if !known => (401, r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#),
                () if request.contains("/getMe") => (200, r#"{"ok":true,"result":{"id":1,"username":"a_bot"}}"#),
                () if request.contains("chat_id=7 ") => (200, r#"{"ok":true,"result":{"id":7}}"#),
                () => (400, r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#),
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

/// A folder with everything right.
fn good_folder(dir: &Path, api: &str) {
    write(&dir.join("bot.token"), "123456:GOOD\n");
    write(&dir.join("alerts.token"), "654321:ALERTS\n");
    write(&dir.join("logs/bot.log"), "");
    write(&dir.join("models/ana/20260101_101010_ab12cd.mp4"), "");
    chmod(&dir.join("models"), 0o775);
    chmod(&dir.join("models/ana"), 0o775);
    let config = format!(
        "[[source]]\nname='bot'\npath='logs/bot.log'\n\
         [[root]]\nname='models'\npath='models'\ndir_mode='0775'\nfile_mode='0600'\n\
         [bot_api]\nurl='{api}'\ntoken_file='bot.token'\n\
         [telegram]\napi_url='{api}'\ntoken_file='alerts.token'\nadmins=[7]\n\
         [bot]\ncommand=['sh','-c','true']\n[disk]\nmin_free='1MiB'\n"
    );
    write(&dir.join("config.toml"), &config);
}

type Findings = BTreeMap<String, Vec<(String, String)>>;

/// The findings of `check --json` by check: level, and detail with remedy.
fn findings(dir: &Path, args: &[&str]) -> (i32, Findings, String) {
    let all: Vec<&str> = ["check", "--json"].into_iter().chain(args.iter().copied()).collect();
    let (code, out, err) = run(dir, &all);
    let mut by_check = Findings::new();
    for line in json_lines(&out) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let told = format!("{} -> {}", text("detail"), text("remedy"));
        by_check.entry(text("check")).or_default().push((text("level"), told));
    }
    (code, by_check, out + &err)
}

const CHECKS: &[&str] = &[
    "config",
    "source",
    "state",
    "root",
    "owner",
    "layout",
    "disk",
    "privileges",
    "watches",
    "files",
    "bot",
    "instance",
    "server",
    "token",
    "alerts",
    "admins",
];

#[test]
fn a22_check_passes_when_everything_is_right() {
    let dir = tempfile::tempdir().unwrap();
    good_folder(dir.path(), &bot_api());
    let (code, found, all) = findings(dir.path(), &["--config", "config.toml"]);
    assert_eq!(code, 0, "{all}");
    for check in CHECKS {
        let levels = found.get(*check).unwrap_or_else(|| panic!("{check} is missing: {all}"));
        assert!(levels.iter().all(|(level, _)| level == "ok"), "{check}: {levels:?}");
    }
    assert!(!dir.path().join("state").exists(), "a check changes nothing");
    let (code, out, _) = run(dir.path(), &["check", "--config", "config.toml"]);
    assert_eq!(code, 0);
    assert!(out.lines().all(|line| line.starts_with("ok    ")), "{out}");
    assert!(!out.contains('\u{1b}'), "no colour into a pipe");
}

#[test]
fn a22_check_names_what_will_not_work_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    good_folder(base, &bot_api());
    write(&base.join("alerts.token"), "654321:SECRETWRONG\n");
    chmod(&base.join("models/ana"), 0o700);
    write(&base.join("models/loose.mp4"), "");
    write(
        &base.join("conf.d/a.toml"),
        "[bot]\ncommand=['no-such-program']\n[disk]\nmin_free='8000TiB'\n[telegram]\nadmins=[7,8]\n\
         [state]\ndir='../models/ana/20260101_101010_ab12cd.mp4/x'\n",
    );
    let (code, found, all) = findings(base, &["--config", "config.toml"]);
    assert_eq!(code, 1, "{all}");
    let told = |check: &str, level: &str, want: &str| {
        let lines = &found[check];
        assert!(lines.iter().any(|(l, t)| l == level && t.contains(want)), "{check} {level} {want}: {lines:?}");
    };
    told("alerts", "fail", "the token of the alert bot is not valid: Unauthorized -> copy the token from BotFather");
    told("admins", "fail", "chat 8 cannot be reached");
    told("bot", "fail", "no-such-program is not found");
    told("disk", "fail", "make room");
    told("state", "fail", "is not a directory");
    told("owner", "warn", "1 of 4 entries differ from the policy");
    told("owner", "warn", "-type d -exec chmod 0775 {} +");
    told("layout", "warn", "such as loose.mp4");
    assert!(!all.contains("SECRETWRONG") && !all.contains("GOOD"), "tokens are never shown: {all}");
}

#[test]
fn a22_check_explains_a_shared_token_and_a_server_that_is_down() {
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let env = format!("TELEGRAM_TOKEN=123456:GOOD\nADMIN_ID=7\nTELEGRAM_API_URL=http://{closed}/bot\n");
    write(&dir.path().join(".env"), &env);
    let (code, found, all) = findings(dir.path(), &[]);
    assert_eq!(code, 1, "{all}");
    let told = |check: &str, level: &str, want: &str| {
        assert!(found[check].iter().any(|(l, told)| l == level && told.contains(want)), "{check}: {all}");
    };
    told("alerts", "warn", "only sends");
    told("server", "fail", "does not answer");
    told("config", "warn", "logmedic init");
    told("root", "warn", "[[root]]");
    assert!(!all.contains("GOOD"), "{all}");
}

#[test]
fn h3_a_second_instance_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let _held = logmedic::ledger::Ledger::open(&dir.path().join("state/logmedic")).unwrap();
    let (_, found, all) = findings(dir.path(), &[]);
    let me = std::process::id().to_string();
    assert!(found["instance"].iter().any(|(level, told)| level == "warn" && told.contains(&me)), "{all}");
}

#[test]
fn h3_a_wrong_configuration_is_78_and_told_whole_with_file_line_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("config.toml"), "[retry]\natempts = 3\nbase = 5\n[bot_api]\ntoken_file = 'gone.token'\n");
    let (code, out, err) = run(dir.path(), &["config", "show", "--config", "config.toml"]);
    assert_eq!((code, out.as_str()), (78, ""));
    for want in [
        "logmedic: failed to load the configuration: 3 problems",
        "--> config.toml:2:1",
        "did you mean `attempts`?",
        "--> config.toml:3:8",
        "write it in quotes, such as \"5s\"",
        "--> config.toml:5:14",
        "umask 077",
    ] {
        assert!(err.contains(want), "missing {want}: {err}");
    }
    let (code, out, _) = run(dir.path(), &["check", "--config", "config.toml"]);
    assert_eq!(code, 1);
    let want = "fail  config      config.toml:2:1: unknown key `atempts` in [retry] -> did you mean `attempts`?";
    assert!(out.contains(want), "{out}");
}

#[test]
fn h3_what_may_not_be_read_is_77() {
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    chmod(base, 0o755);
    write(&base.join("config.toml"), "");
    chmod(&base.join("config.toml"), 0o000);
    // A copy that every user may run: the build directory may be closed to others.
    let binary = base.join("logmedic");
    fs::copy(assert_cmd::cargo::cargo_bin!("logmedic"), &binary).unwrap();
    let mut command = std::process::Command::new(&binary);
    command.args(["config", "show", "--config", "config.toml"]).env_clear().env("HOME", base).current_dir(base);
    if nix::unistd::geteuid().is_root() {
        // root reads everything; nobody does not.
        command.uid(65534).gid(65534);
    }
    let (code, _, err) = told(command.output().unwrap());
    assert_eq!(code, 77, "{err}");
    assert!(err.contains("config.toml") && err.contains("chmod u+r"), "{err}");
}

#[test]
fn h3_open_secrets_and_configuration_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    good_folder(dir.path(), "http://127.0.0.1:9");
    chmod(&dir.path().join("bot.token"), 0o644);
    chmod(&dir.path().join("config.toml"), 0o666);
    let (code, _, err) = run(dir.path(), &["config", "show", "--config", "config.toml"]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("chmod o= ") && err.contains("chmod go-w "), "{err}");
    assert!(!err.contains("123456:GOOD"));
}

#[test]
fn config_show_tells_where_each_value_comes_from_and_hides_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let config = "[retry]\nattempts = 4\n[[root]]\nname = 'm'\npath = 'models'\n[mode]\n\"aria2.disk_full\" = 'off'\n\
                  [bot.env]\nAPI_KEY = 'hunter2'\nLANG = 'C'\n[download]\nhosts = ['a.example']\n";
    write(&base.join("cfg/logmedic/config.toml"), config);
    write(&base.join("cfg/logmedic/.env"), "TELEGRAM_TOKEN=123456:GOOD\n");
    let show = |args: &[&str]| {
        let mut command = logmedic(base);
        command.env("XDG_CONFIG_HOME", base.join("cfg")).env("ADMIN_ID", "7");
        told(command.args(["config", "show"]).args(args).output().unwrap())
    };
    let (code, out, err) = show(&["--json"]);
    assert_eq!(code, 0, "{err}");
    let values = json_lines(&out);
    let value = |key: &str| {
        let line = values.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{key}: {out}"));
        (line["value"].clone(), line["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(value("retry.attempts"), (4.into(), "cfg/logmedic/config.toml:2:12".into()));
    assert_eq!(value("retry.base"), ("1s".into(), "default".into()));
    assert_eq!(value("telegram.admins"), (vec![7].into(), "env ADMIN_ID".into()));
    assert_eq!(value("bot_api.token"), ("[hidden]".into(), "cfg/logmedic/.env:1 TELEGRAM_TOKEN".into()));
    assert_eq!(value("telegram.token"), ("[hidden]".into(), "bot_api.token".into()));
    assert_eq!(value("root.0.path").0, base.join("cfg/logmedic/models").display().to_string());
    assert_eq!(value("state.dir").0, base.join("state/logmedic").display().to_string());
    let (_, out, _) = show(&[]);
    assert!(!out.contains("GOOD") && !out.contains("hunter2") && out.contains("LANG = \"C\""), "{out}");
    let read: toml::Table = out.parse().unwrap_or_else(|error| panic!("what is shown is TOML: {error}\n{out}"));
    assert_eq!(read["mode"]["aria2.disk_full"].as_str(), Some("off"));
}

#[test]
fn init_writes_what_it_found_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("logs/bot.log"), "");
    write(&base.join("models/ana/20260101_101010_ab12cd.mp4"), "");
    chmod(&base.join("models"), 0o2775);
    write(&base.join("requirements.txt"), "python-telegram-bot[job-queue]==21.0\nyt_dlp\nhttpx>=0.27\n");
    write(&base.join("main.py"), "");
    write(&base.join(".env"), "export TELEGRAM_TOKEN='123456:GOOD'\nADMIN_ID=7\nOTHER_SECRET=hunter2\n");
    write(&base.join("docker-compose.yml"), "services:\n  api:\n    image: aiogram/telegram-bot-api\n");

    let (code, out, err) = run(base, &["init"]);
    assert_eq!(code, 0, "{err}");
    for want in [
        "wrote config.toml",
        "log: logs/bot.log",
        "media: models",
        "python-telegram-bot",
        "program: python3 main.py",
        ".env: TELEGRAM_TOKEN, ADMIN_ID",
        "logmedic check --config config.toml",
        "logmedic run --config config.toml -- python3 main.py",
    ] {
        assert!(out.contains(want), "missing {want}: {out}");
    }
    let text = fs::read_to_string(base.join("config.toml")).unwrap();
    assert!(!text.contains("GOOD") && !text.contains("hunter2") && !out.contains("hunter2"));
    let (code, shown, err) = run(base, &["config", "show", "--json", "--config", "config.toml"]);
    assert_eq!(code, 0, "{err}\n{text}");
    for want in [
        r#""key":"source.0.path","#,
        r#"{"key":"root.0.dir_mode","origin":"config.toml:"#,
        r#""value":"2775""#,
        r#""value":"http://127.0.0.1:8081""#,
    ] {
        assert!(shown.contains(want), "missing {want}: {shown}");
    }
    write(&base.join("config.toml"), "# mine\n");
    let (code, _, err) = run(base, &["init"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("logmedic: failed to write config.toml: it exists already"), "{err}");
    assert_eq!(fs::read_to_string(base.join("config.toml")).unwrap(), "# mine\n");
    let (code, out, err) = run(base, &["init", "--stdout"]);
    assert_eq!((code, out), (0, text));
    assert!(err.contains("found:"));
}

#[test]
fn init_in_an_empty_folder_still_gives_a_configuration_that_loads() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = run(dir.path(), &["init"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = run(dir.path(), &["config", "show", "--config", "config.toml"]);
    assert_eq!(code, 0, "{err}");
}

const COMMANDS: &[&str] = &[
    "run",
    "demo",
    "init",
    "check",
    "classify",
    "explain",
    "rules",
    "verify",
    "quarantine",
    "status",
    "incidents",
    "jobs",
    "config",
    "reload",
    "completions",
    "man",
    "operations",
    "library",
    "backup",
    "notifications",
    "version",
];

#[test]
fn the_contracts_commands_are_there_and_later_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (code, help, _) = run(dir.path(), &["--help"]);
    assert_eq!(code, 0);
    let words: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    for command in COMMANDS {
        assert!(words.contains(command), "{command}: {help}");
    }
    assert!(!words.contains(&"replay"), "{help}");
    assert_eq!(run(dir.path(), &["replay"]).0, 2);
    assert_eq!(run(dir.path(), &["check", "--frob"]).0, 2);
    assert_eq!(run(dir.path(), &[]).0, 2);
    let (code, out, _) = run(dir.path(), &["version", "--json"]);
    assert_eq!((code, json_lines(&out)[0]["version"].as_str()), (0, Some(env!("CARGO_PKG_VERSION"))));
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(dir.path(), &["completions", shell]);
        assert!(code == 0 && out.contains("quarantine"), "{shell}");
    }
    assert_eq!(run(dir.path(), &["man", "pages"]).0, 0);
    assert!(fs::read_to_string(dir.path().join("pages/logmedic-check.1")).unwrap().contains("check"));
}

#[test]
fn the_reference_is_what_the_program_knows() {
    let dir = tempfile::tempdir().unwrap();
    let (code, markdown, _) = run(dir.path(), &["config", "schema", "--markdown"]);
    assert_eq!(code, 0);
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md")).unwrap();
    assert!(docs.ends_with(&markdown), "put the output of `config schema --markdown` at the end of the reference");
    let (_, schema, _) = run(dir.path(), &["config", "schema"]);
    let schema: Json = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for (section, keys) in schema["properties"].as_object().unwrap() {
        let keys = keys["properties"].as_object().or_else(|| keys["items"]["properties"].as_object());
        for key in keys.into_iter().flat_map(|keys| keys.keys()).chain([section]) {
            assert!(docs.contains(&format!("`{key}`")) || docs.contains(&format!("[{section}")), "{section}.{key}");
        }
    }
}

#[test]
fn a22_preflight_finds_the_program_and_passes_everything_on() {
    let dir = tempfile::tempdir().unwrap();
    good_folder(dir.path(), &bot_api());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/preflight.sh");
    let preflight = |args: &[&str]| {
        let mut command = Command::new(&script);
        command.env("LOGMEDIC_BIN", assert_cmd::cargo::cargo_bin!("logmedic"));
        command.env("XDG_STATE_HOME", dir.path().join("state")).current_dir(dir.path());
        told(command.args(args).output().unwrap())
    };
    let (code, out, err) = preflight(&["--config", "config.toml", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(json_lines(&out).len() > 10);
    assert_eq!(preflight(&["--frob"]).0, 2);
    assert_eq!(preflight(&["--config", "none.toml"]).0, 1);
}
