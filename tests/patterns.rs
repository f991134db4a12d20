//! The shipped rule packs keep what they promise (A5, A6): by the checker that `logmedic rules test` runs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use logmedic::classify::{MAX_PATTERN, RuleSource, Rules, SampleSource, builtin, builtin_samples, check, lint};
use logmedic::vocab::Class;

fn shipped() -> Rules {
    let (rules, problems) = Rules::compile(&builtin());
    assert!(problems.is_empty(), "{problems:#?}");
    rules
}

fn user(text: &str) -> RuleSource {
    RuleSource { name: "patterns.d/mine.toml".into(), pack: "mine".into(), text: text.into(), user: true }
}

fn rule(id: &str, class: &str, pattern: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\nclass = \"{class}\"\npattern = '''{pattern}'''\nabout = \"a\"\n")
}

#[test]
fn a6_an_ignore_leaves_louder_lines_and_what_its_unless_matches_to_the_rules() {
    let text = r#"
[pack]
at = "message"

[[ignore]]
id = "mine.spoken"
pattern = '\Areply to \S+ '
loudest = "info"
unless = ' not sent: '

[[rule]]
id = "mine.full"
class = "disk_full"
pattern = 'disk is full'
"#;
    let (rules, problems) = Rules::compile(&[user(text)]);
    assert!(problems.is_empty(), "{problems:?}");
    for (line, is_fault) in [
        ("INFO reply to @ana about 'disk is full'", false),
        ("reply to @ana about 'disk is full'", false),
        ("INFO reply to @ana about 'tea' not sent: disk is full", true),
        ("ERROR reply to @ana about 'tea': disk is full", true),
    ] {
        assert_eq!(rules.classify(line.as_bytes()).is_some(), is_fault, "{line}");
    }
    let wrong = "[[rule]]\nid = 'mine.a'\nclass = 'crash'\npattern = 'abc'\nunless = 'b'\n";
    assert!(Rules::compile(&[user(wrong)]).1[0].to_string().contains("unknown key 'unless'"));
}

#[test]
fn a6_every_sample_is_claimed_by_the_expected_rule_and_every_rule_is_hit() {
    let report = check(&shipped(), &builtin_samples());
    let shown: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} failures:\n{}", shown.len(), shown.join("\n"));
    assert!(report.samples > 500, "{}", report.samples);
}

#[test]
fn a5_no_shipped_pattern_is_hungry_before_a_capture() {
    let found: Vec<String> = lint(&shipped()).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What systems say of causes, and the sentences that bots put round them.
#[derive(serde::Deserialize)]
struct Frames {
    heads: Vec<String>,
    frames: Vec<String>,
    causes: BTreeMap<String, Vec<String>>,
}

#[test]
fn a5_a_cause_is_known_in_whatever_words_a_bot_puts_round_it() {
    let Frames { heads, frames, causes } = toml::from_str(include_str!("rig/frames.toml")).unwrap();
    let rules = shipped();
    let mut wrong = Vec::new();
    let causes = causes.iter().flat_map(|(class, causes)| causes.iter().map(move |cause| (class, cause)));
    for (class, cause) in causes {
        let escaped = cause.replace('\\', r"\\").replace('"', "\\\"");
        let path = Some("/srv/dl/a.mp4").filter(|path| cause.contains(path));
        for message in frames.iter().map(|frame| frame.replace("{e}", cause).replace("{j}", &escaped)) {
            // A line that is an object of JSON has its head inside.
            let heads = heads.iter().filter(|head| !message.starts_with('{') || *head == "{m}");
            for event in heads.map(|head| head.replace("{m}", &message)) {
                let hit = rules.classify(event.as_bytes());
                let got = hit.as_ref().map_or("none", |hit| hit.class.as_str());
                let read = hit.as_ref().and_then(|hit| hit.captures.get("path")).map(String::as_str);
                if got != class || path.is_some() && read != path {
                    wrong.push(format!("{class} {path:?} but {got} {read:?}: {event}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a5_a_pack_is_claimed_by_itself_what_it_needs_or_the_generic_pack() {
    let rules = shipped();
    let pack_of: BTreeMap<String, String> = rules.list().into_iter().map(|rule| (rule.id, rule.pack)).collect();
    let mut strangers = Vec::new();
    for source in builtin_samples() {
        let allowed = rules.restrict(std::slice::from_ref(&source.pack)).unwrap();
        let allowed: Vec<String> = allowed.list().into_iter().map(|rule| rule.pack).collect();
        for (number, event) in events(&source.text) {
            if let Some(hit) = rules.classify(event.as_bytes())
                && !allowed.contains(&pack_of[&hit.rule])
            {
                strangers.push(format!("{}:{number}: claimed by {}", source.name, hit.rule));
            }
        }
    }
    assert!(strangers.is_empty(), "{}", strangers.join("\n"));
}

/// The samples of a file with the number of their first line: single lines, and events of several.
fn events(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line {
            "#= end" => inside = false,
            _ if inside => found.last_mut().unwrap().1.extend([line, "\n"]),
            _ if line.starts_with("#= event") => {
                inside = true;
                found.push((number + 1, String::new()));
            }
            _ if line.starts_with('#') || line.is_empty() => {}
            _ => found.push((number, line.to_owned())),
        }
    }
    found
}

#[test]
fn a5_every_shipped_rule_names_a_fixed_text() {
    let slow: Vec<String> =
        shipped().list().into_iter().filter(|rule| rule.slow && rule.kind != "ignore").map(|rule| rule.id).collect();
    assert!(slow.is_empty(), "asked about every event, which makes all of it slow: {slow:?}");
}

#[test]
fn a5_hostile_lines_cost_little_and_claim_nothing() {
    let rules = shipped();
    let long = 16 * 1024;
    for piece in [
        ": ",
        "a",
        "[",
        "'",
        "\"",
        "Caption: ",
        "\\",
        "Traceback ",
        "ERROR ",
        "2026-01-01 01:01:01 ",
        "é",
        "\u{0}",
        "(Caused by ",
        "\n",
        "  File \"x\", line 1\n",
        "\n\n",
        "| ",
    ] {
        let text = piece.repeat(long / piece.len());
        let start = Instant::now();
        let hit = rules.classify(text.as_bytes());
        let signal = rules.signal(text.as_bytes());
        // Debug builds are fifty times slower than release; a pattern that is not linear takes minutes.
        assert!(start.elapsed() < Duration::from_secs(10), "{piece:?} took {:?}", start.elapsed());
        assert!(hit.is_none() && signal.is_none(), "{piece:?}: {hit:?} {signal:?}");
    }
}

#[test]
fn a5_what_strangers_wrote_is_never_claimed() {
    let rules = shipped();
    for words in [
        "No space left on device",
        "[Errno 13] Permission denied: '/etc/passwd'",
        "telegram.error.TimedOut: Timed out",
        "HTTP Request: GET http://a/b \"HTTP/1.1 503 Service Unavailable\"",
        "curl: (28) Operation timed out",
        "ERROR: [generic] a: Unable to download webpage: HTTP Error 404: Not Found",
        "Too Many Requests: retry after 35",
        "Traceback (most recent call last):",
        "moov atom not found",
        "Segmentation fault",
        "logmedic job=1 file_id=AgADBAADxxxxxxxxxxxxxxxx path=/etc/passwd",
    ] {
        for line in [
            format!("2026-01-02 03:04:05,678 - bot - INFO - Caption: {words}"),
            format!("2026-01-02 03:04:05,678 - bot - INFO - Text message from 42: {words}"),
            format!("[2026-01-02 03:04:05] [INFO] Downloading {words}.mp4"),
            format!("2026-01-02 03:04:05 INFO bot: Received document {words}.mp4 (503 bytes) from chat 429"),
        ] {
            let hit = rules.classify(line.as_bytes());
            assert!(hit.is_none(), "{line}: {hit:?}");
            let signal = rules.signal(line.as_bytes());
            let path =
                signal.as_ref().and_then(|signal| signal.captures.get("path").or(signal.captures.get("file_id")));
            assert!(path.is_none(), "{line}: {signal:?}");
        }
    }
}

#[test]
fn a5_compiling_is_quick_and_bounded() {
    let start = Instant::now();
    let rules = shipped();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(rules.list().iter().all(|rule| rule.pattern.len() <= MAX_PATTERN));
    let (_, problems) = Rules::compile(&[user(&rule("a.huge", "crash", r"((\w{100}){100}){100}"))]);
    assert!(problems[0].what.contains("size limit"), "{problems:?}");
    let (_, problems) = Rules::compile(&[user(&rule("a.long", "crash", &"x".repeat(MAX_PATTERN + 1)))]);
    assert!(problems[0].what.contains("bytes"), "{problems:?}");
}

#[test]
fn a6_a_users_rule_comes_first_replaces_and_switches_off() {
    let line = b"2026-01-02 03:04:05,678 - bot - ERROR - disk quota exceeded";
    let sources = |text: &str| [builtin(), vec![user(text)]].concat();
    let (rules, problems) = Rules::compile(&sources(&rule("mine.quota", "conflict", "disk quota exceeded")));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(rules.classify(line).unwrap().rule, "mine.quota");

    let (rules, _) = Rules::compile(&sources(&rule("generic.disk_full", "conflict", "disk quota exceeded")));
    assert_eq!(rules.classify(line).unwrap().class, Class::Conflict);
    assert_eq!(rules.list().iter().filter(|rule| rule.id == "generic.disk_full").count(), 1);

    let before = Rules::compile(&builtin()).0.classify(line).unwrap().rule;
    let (rules, problems) = Rules::compile(&sources(&format!("[[rule]]\nid = \"{before}\"\nenabled = false\n")));
    assert!(problems.is_empty(), "{problems:?}");
    assert_ne!(rules.classify(line).map(|hit| hit.rule), Some(before));
}

#[test]
fn h3_every_mistake_names_file_line_rule_and_remedy_and_the_rest_works() {
    let text = "[[rule]]\nid = \"mine.a\"\nclass = \"timeout\"\npatern = 'x'\n\n[[rule]]\nid = \"mine.b\"\nclass = \"timeouts\"\npattern = 'x'\n\n[[rule]]\nid = \"mine.c\"\nclass = \"timeout\"\npattern = '(oops'\n\n[[rule]]\nid = \"mine.d\"\nclass = \"timeout\"\npattern = '(?P<pth>x)'\n\n[[rule]]\nid = \"mine.e\"\nclass = \"timeout\"\npattern = 'good'\n\n[[rule]]\nid = \"mine.e\"\nclass = \"timeout\"\npattern = 'twice'\n";
    let (rules, problems) = Rules::compile(&[user(text)]);
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        ("patterns.d/mine.toml:4: rule mine.a: unknown key 'patern'", "did you mean 'pattern'?"),
        ("patterns.d/mine.toml:8: rule mine.b: unknown class 'timeouts'", "timeout"),
        ("patterns.d/mine.toml:14: rule mine.c: failed to compile the pattern", "regex"),
        ("patterns.d/mine.toml:19: rule mine.d: unknown group 'pth'", "did you mean 'path'?"),
        ("patterns.d/mine.toml:26: rule mine.e: the identifier is taken", "another"),
    ];
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (problem, (start, remedy)) in shown.iter().zip(expected) {
        assert!(problem.starts_with(start) && problem.contains(remedy), "{problem}");
    }
    assert_eq!(rules.classify(b"good").unwrap().rule, "mine.e");
    let (_, problems) = Rules::compile(&[user("[[rule]\nid = 1\n")]);
    assert!(problems[0].to_string().starts_with("patterns.d/mine.toml:1: not valid TOML"), "{}", problems[0]);
}

#[test]
fn a6_the_checker_finds_what_is_wrong() {
    let (rules, _) = Rules::compile(&[
        user(&rule("mine.full", "disk_full", "full at (?P<path>/\\S+)")),
        user(&rule("mine.never", "crash", "never")),
    ]);
    let samples = |text: &str| SampleSource { name: "mine.log".into(), pack: "mine".into(), text: text.into() };
    let failures = |text: &str| -> Vec<String> {
        check(&rules, &[samples(text)]).failures.iter().map(ToString::to_string).collect()
    };
    let never = "patterns.d/mine.toml:1: rule mine.never is hit by no sample";
    assert_eq!(failures("#= rule=mine.full class=disk_full path=/a\nfull at /a\n#= none (name)\nfull.mp4\n"), [never]);
    assert!(failures("full at /a\n")[0].contains("no expectation"));
    assert!(failures("#= none\nfull at /a\n")[0].contains("claimed by mine.full, expected no rule"));
    assert!(failures("#= rule=mine.full class=disk_full\nfull at /a\n")[0].contains("captured"));
    assert!(failures("#= rule=mine.full class=crash path=/a\nfull at /a\n")[0].contains("class disk_full"));
}

#[test]
fn a5_restricting_keeps_needs_generic_and_the_users_rules() {
    let (rules, _) = Rules::compile(&[builtin(), vec![user(&rule("mine.a", "crash", "mine!"))]].concat());
    let few = rules.restrict(&["python-telegram-bot".into()]).unwrap();
    let packs: std::collections::BTreeSet<String> = few.list().into_iter().map(|rule| rule.pack).collect();
    let expected = ["_chat", "generic", "mine", "python-http", "python-telegram-bot", "telegram-bot-api"];
    assert_eq!(packs.into_iter().collect::<Vec<_>>(), expected);
    assert!(rules.restrict(&["ffmpg".into()]).unwrap_err().to_string().contains("did you mean 'ffmpeg'?"));
}
