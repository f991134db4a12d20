//! Loads any text as a rule file and asks what it loaded. A bad file is refused in words; a good one stays within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logmedic::classify::{RuleSource, Rules};

const LINES: [&str; 4] = [
    "2026-01-02 03:04:05 ERROR download of models/ana/a.mp4 failed: [Errno 28] No space left on device",
    "Traceback (most recent call last):\n  File \"main.py\", line 1, in <module>\nOSError: timed out",
    "logmedic job=7 path=a.mp4 state=failed",
    "",
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The whole text as a file, and as the pattern of one rule in a good file.
    let pattern = text.replace("'''", "");
    let around = format!("[[rule]]\nid = 'a.b'\nclass = 'timeout'\nseverity = 'error'\npattern = '''{pattern}'''\nabout = 'x'\n");
    for text in [text, &around] {
        for user in [true, false] {
            let source = RuleSource { name: "fuzz.toml".into(), pack: "fuzz".into(), text: text.into(), user };
            let (rules, problems) = Rules::compile(std::slice::from_ref(&source));
            for problem in &problems {
                assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
            }
            for line in LINES {
                let known = rules.list().into_iter().map(|rule| rule.id).collect::<Vec<_>>();
                if let Some(hit) = rules.classify(line.as_bytes()) {
                    assert!(known.contains(&hit.rule));
                }
                let _ = rules.signal(line.as_bytes());
            }
        }
    }
});
