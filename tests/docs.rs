//! Holds the documents to the truth: records fit their schema, commands in the README parse, links lead somewhere.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory as _;
use logmedic::vocab::{
    Body, Class, Evidence, Id, OutcomeResult, Phase, Record, Rng, SCHEMA, Severity, Strategy, Subject, SubjectKind,
};
use regex::Regex;
use serde_json::{Value as Json, json};

/// What a session may take at most.
const LIMIT: Duration = Duration::from_secs(60);

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Json {
    serde_json::from_str(&fs::read_to_string(home().join("docs/record.schema.json")).unwrap()).unwrap()
}

/// The part of JSON Schema 2020-12 that the schema uses; a word that is not known here is a mistake in one of the two.
fn mistakes(root: &Json, schema: &Json, value: &Json, at: &str, found: &mut Vec<String>) {
    for (word, wanted) in schema.as_object().unwrap() {
        let wrong = match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" => false,
            "$ref" => {
                let part = root.pointer(wanted.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                mistakes(root, part, value, at, found);
                false
            }
            "type" => !is_of_type(value, wanted.as_str().unwrap()),
            "const" => value != wanted,
            "enum" => !wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_some_and(|number| number < wanted.as_i64().unwrap()),
            "pattern" => {
                value.as_str().is_some_and(|text| !Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text))
            }
            "required" => wanted.as_array().unwrap().iter().any(|key| value.get(key.as_str().unwrap()).is_none()),
            "properties" => {
                for (key, part) in wanted.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        mistakes(root, part, inner, &format!("{at}/{key}"), found);
                    }
                }
                false
            }
            "additionalProperties" if wanted == &json!(true) => false,
            "additionalProperties" => {
                assert!(schema.get("properties").is_none(), "this validator knows no mixture of the two");
                for (key, inner) in value.as_object().into_iter().flatten() {
                    mistakes(root, wanted, inner, &format!("{at}/{key}"), found);
                }
                false
            }
            "oneOf" => {
                let fits = wanted.as_array().unwrap().iter().filter(|part| {
                    let mut inner = Vec::new();
                    mistakes(root, part, value, at, &mut inner);
                    inner.is_empty()
                });
                fits.count() != 1
            }
            _ => panic!("the schema says '{word}', which this test does not understand"),
        };
        if wrong {
            found.push(format!("{at}: not as '{word}' wants it: {wanted}"));
        }
    }
}

fn is_of_type(value: &Json, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => panic!("the schema says type '{name}', which this test does not understand"),
    }
}

fn check(schema: &Json, record: &Json) -> Vec<String> {
    let mut found = Vec::new();
    mistakes(schema, schema, record, "", &mut found);
    found
}

fn assert_fits(schema: &Json, record: &Json) {
    let found = check(schema, record);
    assert!(found.is_empty(), "{record:#}\n{}", found.join("\n"));
}

/// One rule a class, so that the session does not depend on how shipped packs word their patterns.
fn own_rules() -> String {
    let rule = |class: &Class| {
        format!(
            "[[rule]]\nid = \"mine.{class}\"\nclass = \"{class}\"\nseverity = \"error\"\nabout = \"A test.\"\npattern = \
             '''^fault {class}(?: file_id=(?P<file_id>\\S+))?(?: size=(?P<size>\\d+))?(?: path=(?P<path>\\S+))?$'''\n"
        )
    };
    let head = "[pack]\nat = \"message\"\n".to_owned();
    Class::ALL.iter().map(rule).fold(head, |all, rule| all + &rule)
}

/// Runs a bot that logs one fault of every class, an hour apart on its own clock, and waits until they are seen to.
fn session(dir: &Path) -> Vec<Json> {
    let say = |class: &Class| {
        let hints = match class {
            Class::MissingPath => " path=models/bea/x.mp4",
            Class::Permission => " path=/etc/hostname",
            Class::Corrupt => " size=5000 path=models/ana/a.mp4",
            Class::Timeout => " file_id=AAA path=models/ana/b.mp4",
            Class::DiskFull => " path=models/ana/c.mp4",
            _ => "",
        };
        let hour = *class as usize;
        format!("echo '2026-11-22 {hour:02}:00:00,000 - bot - ERROR - fault {class}{hints}'\n")
    };
    let faults: String = Class::ALL.iter().map(say).collect();
    let bot = format!(
        "{faults}n=0\nuntil [ \"$(grep -oE '\"result\":\"(healed|refused|not_confirmed|alert_only)\"' records.jsonl | sort -u \
         | wc -l)\" = 4 ] || [ $n -ge 500 ]; do n=$((n + 1)); sleep 0.05; done\nexit 3\n"
    );
    let config = "[bot]\nlog = \"bot.log\"\n[records]\npath = \"records.jsonl\"\n[state]\ndir = \"state\"\n\
                  [[root]]\nname = \"models\"\npath = \"models\"\n[bot_api]\nurl = \"http://127.0.0.1:9\"\n\
                  [disk]\nmin_free = \"0B\"\n";
    fs::create_dir_all(dir.join("models/ana")).unwrap();
    fs::create_dir(dir.join("patterns.d")).unwrap();
    fs::write(dir.join("models/ana/a.mp4"), [0; 3000]).unwrap();
    fs::write(dir.join("patterns.d/mine.toml"), own_rules()).unwrap();
    fs::write(dir.join("bot.sh"), bot).unwrap();
    fs::write(dir.join("config.toml"), config).unwrap();
    fs::set_permissions(dir.join("config.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("logmedic"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir).current_dir(dir).timeout(LIMIT);
    let output = command.args(["run", "--config", "config.toml", "--", "sh", "bot.sh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let records = fs::read_to_string(dir.join("records.jsonl")).unwrap();
    records.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words<'a>(records: &'a [Json], field: &str) -> BTreeSet<&'a str> {
    records.iter().filter_map(|record| record[field].as_str()).collect()
}

#[test]
fn a17_every_record_of_a_real_session_fits_the_published_schema() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, records) = (schema(), session(dir.path()));
    for record in &records {
        assert_fits(&schema, record);
    }
    let numbers: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=records.len() as u64).collect::<Vec<_>>());
    assert_eq!(words(&records, "class"), Class::ALL.iter().map(|class| class.as_str()).collect());
    assert_eq!(words(&records, "kind"), BTreeSet::from(["action", "error", "outcome"]));
    assert_eq!(words(&records, "phase"), BTreeSet::from(["finished", "started"]));
    let results = words(&records, "result");
    for result in ["healed", "refused", "not_confirmed", "alert_only"] {
        assert!(results.contains(result), "{results:?}");
    }
    let events = records.iter().filter_map(|record| record["count"].as_u64()).sum::<u64>();
    assert_eq!(events, Class::ALL.len() as u64);
}

fn record(class: Class, subject: SubjectKind, body: Body) -> Json {
    let (at, mut rng) = (chrono::Utc::now(), Rng::new(1));
    let mut id = || Id::new(at, &mut rng);
    let (schema, subject) = (SCHEMA.into(), Subject { kind: subject, value: "x".into() });
    let all =
        Record { schema, id: id(), seq: 1, at, observed_at: at, incident: id(), class, subject, job: Some(id()), body };
    serde_json::to_value(all).unwrap()
}

fn outcome(result: OutcomeResult) -> Body {
    let evidence = json!({ "before": {}, "after": {} }).as_object().cloned().unwrap();
    Body::Outcome { result, detail: "x".into(), remedy: Some("x".into()), evidence, duration_ms: 0 }
}

fn action(strategy: Strategy, phase: Phase) -> Body {
    let (ok, evidence) = ((phase == Phase::Finished).then_some(false), Evidence::new());
    let action = Id::new(chrono::Utc::now(), &mut Rng::new(2));
    Body::Action { phase, action, strategy, attempt: 1, attempts: 3, delay_ms: 0, ok, detail: "x".into(), evidence }
}

fn error(severity: Severity) -> Body {
    let (rule, source, file, text) = ("a.b".into(), "bot".into(), None, "x".into());
    Body::Error { severity, rule, source, file, offset: 0, text, count: 1, captures: [].into(), truncated: true }
}

#[test]
fn a17_every_word_that_a_record_can_say_is_in_the_schema() {
    let schema = schema();
    let file = SubjectKind::File;
    for class in Class::ALL {
        assert_fits(&schema, &record(*class, file, error(Severity::Error)));
    }
    for kind in SubjectKind::ALL {
        assert_fits(&schema, &record(Class::Timeout, *kind, error(Severity::Error)));
    }
    for severity in Severity::ALL {
        assert_fits(&schema, &record(Class::Timeout, file, error(*severity)));
    }
    for result in OutcomeResult::ALL {
        assert_fits(&schema, &record(Class::Timeout, file, outcome(*result)));
    }
    for (strategy, phase) in Strategy::ALL.iter().flat_map(|s| [(*s, Phase::Started), (*s, Phase::Finished)]) {
        assert_fits(&schema, &record(Class::Timeout, file, action(strategy, phase)));
    }
}

#[test]
fn a17_the_schema_takes_new_fields_and_refuses_what_is_wrong() {
    let schema = schema();
    let good = record(Class::Timeout, SubjectKind::Job, action(Strategy::Wait, Phase::Finished));
    let changed = |change: &dyn Fn(&mut serde_json::Map<String, Json>)| {
        let mut record = good.clone();
        change(record.as_object_mut().unwrap());
        check(&schema, &record)
    };
    assert_eq!(changed(&|record| drop(record.insert("later".into(), json!([1])))), [""; 0]);
    assert_ne!(changed(&|record| drop(record.remove("seq"))), [""; 0]);
    assert_ne!(changed(&|record| drop(record.remove("ok"))), [""; 0], "an action that ended says how");
    assert_ne!(changed(&|record| drop(record.insert("seq".into(), json!(0)))), [""; 0]);
    assert_ne!(changed(&|record| drop(record.insert("id".into(), json!("01m")))), [""; 0]);
    assert_ne!(changed(&|record| drop(record.insert("class".into(), json!("other")))), [""; 0]);
    assert_ne!(changed(&|record| drop(record.insert("schema".into(), json!("logmedic.record/v2")))), [""; 0]);
}

/// Every document that is part of the project, by its path.
fn documents() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let foreign = name.starts_with('.') || ["target", "node_modules"].contains(&name.as_str());
            match path.is_dir() && !path.is_symlink() {
                true if !foreign => walk(&path, found),
                false if name.ends_with(".md") => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(home(), &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The lines of a document's shell blocks, without comments.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(language) => shell = !shell && language == "sh",
            None if shell => found.push(line.split(" #").next().unwrap().trim()),
            None => {}
        }
    }
    found
}

/// Words as a shell splits them, as far as the documents need it: quotes keep spaces.
fn split(command: &str) -> Vec<String> {
    let quoted = Regex::new(r#"'([^']*)'|"([^"]*)"|(\S+)"#).unwrap();
    let word = |found: regex::Captures| found.iter().skip(1).flatten().next().unwrap().as_str().to_owned();
    quoted.captures_iter(command).map(word).collect()
}

#[test]
fn every_logmedic_command_in_the_documents_parses() {
    let mut commands = 0;
    for (path, text) in documents() {
        for line in shell_lines(&text) {
            let Some(command) = line.split(" | ").find(|part| part.starts_with("logmedic ")) else { continue };
            commands += 1;
            let words = split(command.split(" > ").next().unwrap().trim_end_matches('&').trim());
            let parsed = logmedic::setup::cli::Cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{}: {line}\n{}", path.display(), parsed.unwrap_err());
            // And the program itself knows it.
            let names = words.iter().skip(1).take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            let name = names.take(1).cloned().collect::<Vec<_>>();
            let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("logmedic"));
            program.args(name).arg("--help").assert().success();
        }
    }
    assert!(commands >= 10, "only {commands} commands found: are the blocks still marked as sh?");
}

#[test]
fn every_script_in_the_documents_is_there_and_can_be_run() {
    for (path, text) in documents() {
        for line in shell_lines(&text).into_iter().filter(|line| line.starts_with("scripts/")) {
            let script = home().join(line.split(' ').next().unwrap());
            let mode = fs::metadata(&script).map(|meta| meta.permissions().mode()).unwrap_or(0);
            assert!(mode & 0o111 != 0, "{}: {line}", path.display());
        }
    }
}

/// A heading's anchor as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for (path, text) in documents() {
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target} is not there", path.display());
            let is_there = part.is_empty()
                || fs::read_to_string(&file).unwrap().lines().any(|l| l.starts_with('#') && anchor(l) == part);
            assert!(is_there, "{}: {target} has no such heading", path.display());
        }
    }
}

#[test]
fn the_readme_tells_what_is_done_about_every_class() {
    let readme = fs::read_to_string(home().join("README.md")).unwrap();
    for class in Class::ALL {
        assert!(readme.contains(&format!("| `{class}` |")), "the README's table lacks {class}");
    }
}
