//! Tests of the loader: mixing, origins, environment, and every problem in one run.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::vocab::{Class, Mode};

fn around(cwd: &Path, vars: &[(&str, &str)]) -> Surroundings {
    let mut vars: BTreeMap<String, String> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    vars.entry("HOME".into()).or_insert_with(|| cwd.join("home").display().to_string());
    Surroundings { vars, cwd: cwd.to_owned(), root: false }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn place_of(loaded: &Loaded, path: &[&str]) -> String {
    super::super::problem::place(&loaded.tree.get(path).unwrap().origin, &loaded.files)
}

#[test]
fn the_contracts_example_loads() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("bot.token"), "123456:AAbot\n");
    write(&base.join("alerts.token"), "654321:AAalerts\n");
    let text = r#"
language = "en"
[[source]]
name  = "bot"
path  = "logs/bot.log"
packs = ["python-telegram-bot"]
[[root]]
name = "models"
path = "models"
owner = "bot"
group = "bot"
dir_mode  = "2775"
file_mode = "0664"
[retry]
attempts = 3
base = "1s"
factor = 2
cap = "5m"
jitter = 0.1
reset_after = "10m"
[mode]
default = "auto"
corrupt = "observe"
aria2.disk_full = "off"
[bot_api]
url = "http://127.0.0.1:8081"
token_file = "bot.token"
[telegram]
token_file = "alerts.token"
admins = [123456]
api_url = "https://api.telegram.org"
[bot]
command = ["python3", "main.py"]
log = "logs/bot.log"
restart = "on-failure"
user = "bot"
[server]
listen = "127.0.0.1:7878"
[records]
path = "logs/download_errors.jsonl"
"#;
    write(
        &base.join("etc/config.toml"),
        &text.replace("\"bot.token", "\"../bot.token").replace("\"alerts.token", "\"../alerts.token"),
    );
    let loaded = load(Some(Path::new("etc/config.toml")), &around(base, &[])).unwrap();
    let config = &loaded.config;
    assert_eq!(config.source[0].path.as_ref().unwrap().path, base.join("etc/logs/bot.log"));
    assert_eq!(config.source[0].path.as_ref().unwrap().shown, "logs/bot.log");
    assert_eq!(config.root[0].spec().dir_mode, Some(0o2775));
    assert_eq!(config.retry.factor, 2.0);
    assert_eq!(config.mode.of("x.y", Class::Corrupt), Mode::Observe);
    assert_eq!(config.mode.of("aria2.disk_full", Class::DiskFull), Mode::Off);
    assert_eq!(config.mode.of("x.y", Class::Timeout), Mode::Auto);
    assert_eq!(config.bot_api.token.as_ref().unwrap().expose(), "123456:AAbot");
    assert!(!config.telegram.shared);
    assert_eq!(loaded.records_path(), base.join("etc/logs/download_errors.jsonl"));
    assert_eq!(place_of(&loaded, &["bot", "restart"]), "etc/config.toml:35:11");
}

#[test]
fn parts_and_environment_come_over_the_file_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(
        &base.join("config.toml"),
        "[[root]]\nname='a'\npath='a'\n[[root]]\nname='b'\npath='b'\n[retry]\nattempts=3\ncap='9s'\n",
    );
    write(
        &base.join("conf.d/10.toml"),
        "[[root]]\nname='a'\npath='other'\n[[root]]\nname='c'\npath='c'\n[retry]\nattempts=4\n",
    );
    write(&base.join("conf.d/20.toml"), "[retry]\nattempts=5\n");
    write(&base.join("conf.d/readme.txt"), "not read");
    let vars = [
        ("LOGMEDIC_CONFIG", "config.toml"),
        ("LOGMEDIC_LANGUAGE", "es"),
        ("LOGMEDIC_TELEGRAM__ADMINS", "1, -2"),
        ("LOGMEDIC_ROOT__B__OWNER", "bot"),
        ("LOGMEDIC_SOURCE__LOG__PATH", "x.log"),
        ("LOGMEDIC_BOT__ENV__MyVar", "1"),
        ("LOGMEDIC_BOT__COMMAND", "python3 main.py"),
        ("LOGMEDIC_MODE__ARIA2__DISK_FULL", "off"),
        ("LOGMEDIC_PATH", "ignored"),
    ];
    let loaded = load(None, &around(base, &vars)).unwrap();
    let config = &loaded.config;
    assert_eq!(config.retry.attempts, 5);
    assert_eq!(config.retry.cap.to_string(), "9s");
    assert_eq!(config.language, super::super::config::Language::Es);
    let roots: Vec<_> =
        config.root.iter().map(|r| (r.name.as_str(), r.path.path.clone(), r.owner.as_deref())).collect();
    let conf_d = base.join("conf.d");
    assert_eq!(
        roots,
        [("a", conf_d.join("other"), None), ("b", base.join("b"), Some("bot")), ("c", conf_d.join("c"), None)]
    );
    assert_eq!(config.telegram.admins, [1, -2]);
    assert_eq!(config.source[0].path.as_ref().unwrap().path, base.join("x.log"));
    assert_eq!(config.bot.env["MyVar"], "1");
    assert_eq!(config.bot.command, ["python3", "main.py"]);
    assert_eq!(config.mode.of("aria2.disk_full", Class::DiskFull), Mode::Off);
    assert_eq!(place_of(&loaded, &["telegram", "admins"]), "env LOGMEDIC_TELEGRAM__ADMINS");
}

#[test]
fn every_problem_is_told_in_one_run_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let text = "lanuage = 'en'\n[retry]\natempts = 3\nbase = '5'\nfactor = 'two'\ncap = 5\n[source]\nname = 'x'\n[[root]]\nname = 'r'\n[mode]\ncorupt = 'off'\ntimeout = 'never'\n[telegram]\nadmins = 5\n[bot_api]\nurl = 'ftp://x'\n[server_down]\nrestart_command = 'x'\n";
    write(&base.join("config.toml"), text);
    let vars =
        [("LOGMEDIC_CONFIG", "config.toml"), ("LOGMEDIC_RETRY__JITER", "1"), ("LOGMEDIC_DISK__MIN_FREE", "much")];
    let problems = load(None, &around(base, &vars)).unwrap_err();
    let lines = problems.lines();
    for want in [
        "config.toml:1:1: unknown key `lanuage` at the top; did you mean `language`?",
        "config.toml:3:1: unknown key `atempts` in [retry]; did you mean `attempts`?",
        "config.toml:4:8: `retry.base`: '5' is not a length of time",
        "config.toml:5:10: `retry.factor`: invalid type: string \"two\"",
        "config.toml:6:7: `retry.cap`: found 5 where a duration is expected",
        "`source` is a table, expected a list of tables: write [[source]] with two brackets",
        "missing field `path`",
        "config.toml:12:10: `corupt` is neither a class nor a rule id; did you mean `corrupt`?",
        "config.toml:13:11: `mode.timeout`: unknown word `never`, expected one of `off`, `observe`, `approve`, `auto`",
        "config.toml:15:10: `telegram.admins` is a single value, expected a list, such as [1, 2]",
        "config.toml:17:7: `url` in [bot_api] is not the address of a server",
        "env LOGMEDIC_RETRY__JITER: the configuration has no key `jiter` there; did you mean `JITTER`?",
        "env LOGMEDIC_DISK__MIN_FREE: `disk.min_free`: 'much' is not a size",
    ] {
        assert!(lines.iter().any(|line| line.contains(want)), "missing: {want}\nin: {lines:#?}");
    }
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert_eq!(problems.exit_code(), 78);
    let shown = problems.render(false);
    assert!(shown.contains("--> config.toml:3:1") && shown.contains("atempts = 3"), "{shown}");
}

#[test]
fn a_file_that_is_no_toml_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("config.toml"), "a = 1\n[retry\nbase = \"1s\n");
    let problems = load(Some(Path::new("config.toml")), &around(dir.path(), &[])).unwrap_err();
    assert!(problems.lines().iter().any(|line| line.starts_with("config.toml:2:")), "{problems}");
    let problems = load(Some(Path::new("no.toml")), &around(dir.path(), &[])).unwrap_err();
    assert!(problems.to_string().contains("no.toml") && problems.to_string().contains("logmedic init"), "{problems}");
}

#[test]
fn without_a_configuration_the_bots_own_env_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(
        &base.join(".env"),
        "TELEGRAM_TOKEN=123:first\nTELEGRAM_TOKEN='123456:AAbot' # x\nADMIN_ID=7,8\nTELEGRAM_API_URL=http://127.0.0.1:8081/bot\n",
    );
    let loaded = zero(&around(base, &[("ADMIN_ID", "9"), ("XDG_STATE_HOME", "/tmp/state")])).unwrap();
    let config = &loaded.config;
    assert_eq!(config.bot_api.token.as_ref().unwrap().expose(), "123456:AAbot");
    assert_eq!(config.bot_api.url, "http://127.0.0.1:8081");
    assert_eq!(config.telegram.admins, [9], "the environment comes before .env");
    assert!(config.telegram.shared);
    assert_eq!(config.telegram.api_url, "http://127.0.0.1:8081", "a shared bot is spoken to through its own server");
    assert!(config.source.is_empty() && config.root.is_empty() && loaded.file.is_none());
    assert_eq!(loaded.state_dir, Path::new("/tmp/state/logmedic"));
    assert_eq!(place_of(&loaded, &["bot_api", "token"]), ".env:2 TELEGRAM_TOKEN");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn secrets_and_configuration_open_to_others_are_refused_with_the_command_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(
        &base.join("config.toml"),
        "[bot_api]\ntoken_file = 'bot.token'\n[telegram]\ntoken = '1:A'\ntoken_file = 'bot.token'\n",
    );
    write(&base.join("bot.token"), "123456:AAbot");
    fs::set_permissions(base.join("bot.token"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(base.join("config.toml"), fs::Permissions::from_mode(0o664)).unwrap();
    let problems = load(Some(Path::new("config.toml")), &around(base, &[])).unwrap_err().to_string();
    assert!(problems.contains("config.toml:2:14") && problems.contains("chmod o= "), "{problems}");
    assert!(problems.contains("chmod go-w"), "{problems}");
    assert!(problems.contains("both `token` and `token_file`"), "{problems}");
    assert!(!problems.contains("AAbot"));
}

#[test]
fn systemd_credentials_are_the_last_word_that_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("credentials/bot.token"), "123456:AAbot\n");
    write(&base.join("credentials/alerts.token"), "654321:AAalerts\n");
    let credentials = base.join("credentials").display().to_string();
    let loaded =
        zero(&around(base, &[("CREDENTIALS_DIRECTORY", &credentials), ("LOGMEDIC_TELEGRAM__TOKEN", "1:B")])).unwrap();
    assert_eq!(loaded.config.bot_api.token.as_ref().unwrap().expose(), "123456:AAbot");
    assert_eq!(loaded.config.telegram.token.as_ref().unwrap().expose(), "1:B");
    assert!(!loaded.config.telegram.shared);
}

#[test]
fn no_secret_is_in_what_can_be_printed() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("config.toml"), "[bot_api]\ntoken = '123456:AAplain'\n");
    let vars = [("LOGMEDIC_TELEGRAM__TOKEN", "654321:AAenv")];
    let loaded = load(Some(Path::new("config.toml")), &around(base, &vars)).unwrap();
    assert_eq!(loaded.config.telegram.token.as_ref().unwrap().expose(), "654321:AAenv");
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("AAplain") && !shown.contains("AAenv"), "{shown}");
}

#[test]
fn the_environment_is_the_nearer_word_about_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("config.toml"), "[bot_api]\ntoken_file = 'bot.token'\n[telegram]\ntoken = '1:A'\n");
    write(&base.join("other.token"), "2:B");
    let vars = [("LOGMEDIC_BOT_API__TOKEN", "3:C"), ("LOGMEDIC_TELEGRAM__TOKEN_FILE", "other.token"), ("ADMIN_ID", "")];
    let loaded = load(Some(Path::new("config.toml")), &around(base, &vars)).unwrap();
    assert_eq!(loaded.config.bot_api.token.as_ref().unwrap().expose(), "3:C");
    assert_eq!(loaded.config.telegram.token.as_ref().unwrap().expose(), "2:B");
    let problems = zero(&around(base, &[("ADMIN_ID", "@me"), ("TELEGRAM_TOKEN", "a b")])).unwrap_err();
    let lines = problems.lines();
    assert!(lines.iter().any(|line| line.starts_with("env ADMIN_ID: `telegram.admins[0]`")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("env TELEGRAM_TOKEN: the token of [bot_api] holds")), "{lines:?}");
}

#[test]
fn numbers_of_any_form_and_size_are_told_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let text =
        "[budget]\nper_job = 0x10\nagent = 99999999999999999999\nper_class = -1\n[retry]\nfactor = nan\njitter = inf\n";
    write(&base.join("config.toml"), text);
    let problems = load(Some(Path::new("config.toml")), &around(base, &[])).unwrap_err();
    let lines = problems.lines();
    for want in ["config.toml:3:9: ", "config.toml:4:13: ", "config.toml:6:10: `factor`", "config.toml:7:10: `jitter`"]
    {
        assert!(lines.iter().any(|line| line.starts_with(want)), "{want}: {lines:#?}");
    }
    assert_eq!(lines.len(), 4, "{lines:#?}");
}

#[test]
fn h3_what_is_wrong_with_an_operation_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let good = "[[operation]]\nname = 'backup'\nargv = ['restic', 'backup']\nat = '03:30'\npriority = 'low'\n";
    write(&file, good);
    let loaded = load(Some(&file), &around(dir.path(), &[])).unwrap();
    assert_eq!(loaded.config.operation[0].at.as_deref(), Some("03:30"));
    for (text, wanted) in [
        ("name = 'a b'\nargv = ['true']\n", "not a name"),
        ("name = 'a'\nargv = []\n", "names no program"),
        ("name = 'a'\nargv = ['true']\nat = '25:00'\n", "not a time of the day"),
        ("name = 'a'\nargv = ['true']\nat = '03:30'\nevery = '1h'\n", "both `every` and `at`"),
        ("name = 'a'\nargv = ['true']\nevery = '10ms'\n", "too short"),
        ("name = 'a'\nargv = ['true']\npriority = 'urgent'\n", "urgent"),
        ("name = 'a'\nargv = ['true']\n[operations]\nat_once = 2\nfor_repairs = 2\n", "`for_repairs`"),
    ] {
        write(&file, &format!("[[operation]]\n{text}"));
        let problems = load(Some(&file), &around(dir.path(), &[])).unwrap_err();
        assert!(problems.lines().join("\n").contains(wanted), "{text}: {:?}", problems.lines());
    }
}

#[test]
fn h1_a_hint_is_never_part_of_another_word_of_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    write(&base.join("good.toml"), "[command.x]\nargv = ['fetch', '--', '{url}', '{path}']\n");
    load(Some(Path::new("good.toml")), &around(base, &[])).unwrap();
    for argv in ["['sh', '-c', 'fetch {url}']", "['{path}']", "['fetch', '--out={path}']"] {
        write(&base.join("bad.toml"), &format!("[command.x]\nargv = {argv}\n"));
        let problems = load(Some(Path::new("bad.toml")), &around(base, &[])).unwrap_err().to_string();
        assert!(problems.starts_with("bad.toml:2:8: command `x` mixes `{"), "{problems}");
    }
    write(&base.join("good.toml"), "[command.x]\nargv = ['sh', '-c', 'fetch \"$1\"', 'sh', '{path}']\n");
    load(Some(Path::new("good.toml")), &around(base, &[])).unwrap();
    for argv in ["['/bin/sh', '-c', '{path}']", "['python3.12', '-c', '{url}']", "['bash', '-xec', '{job}']"] {
        write(&base.join("bad.toml"), &format!("[command.x]\nargv = {argv}\n"));
        let problems = load(Some(Path::new("bad.toml")), &around(base, &[])).unwrap_err().to_string();
        assert!(problems.contains("would run what stands in a log line"), "{problems}");
    }
}

/// Pieces of configurations, whole and torn, in any order.
fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let known = proptest::sample::select(vec![
        "[[root]]",
        "[root]",
        "[retry]",
        "[mode]",
        "[bot]",
        "[bot.env]",
        "[command.x]",
        "[[source]]",
        "name = 'a'",
        "path = 'b'",
        "attempts = 3",
        "base = '1s'",
        "default = 'off'",
        "a.b = 'auto'",
        "command = ['x']",
        "argv = []",
        "X = '1'",
        "token = '1:A'",
        "token_file = '/dev/null'",
        "admins = [1, 'x']",
        "= =",
        "'",
        "[",
        "\"\"\"",
        "ñ = 'é'",
        "dir_mode = '7777'",
    ]);
    prop::collection::vec(prop_oneof![known.prop_map(str::to_owned), any::<String>()], 0..12).prop_map(|p| p.join("\n"))
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(main in pieces(), part in pieces(), env in "[A-Z_]{0,12}", value in proptest::prelude::any::<String>()) {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("config.toml"), &main);
        write(&dir.path().join("conf.d/a.toml"), &part);
        write(&dir.path().join(".env"), &value);
        let name = format!("LOGMEDIC_{env}");
        let around = around(dir.path(), &[(&name, &value), ("LOGMEDIC_MODE__X__Y", &value), ("LOGMEDIC_ROOT__A__PATH", &value)]);
        match load(Some(Path::new("config.toml")), &around) {
            Ok(loaded) => assert!(!format!("{loaded:?}").contains("1:A\"")),
            Err(problems) => assert!(!problems.render(false).is_empty() && !problems.lines().is_empty()),
        }
    }
}
