//! Has any log read by all shipped rules and followed as downloads. What is known of a download stays within its limits.
#![no_main]

use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta};
use libfuzzer_sys::fuzz_target;
use logmedic::assemble::{Assembler, Limits};
use logmedic::classify::{Rules, builtin};
use logmedic::correlate::Jobs;
use logmedic::vocab::{Id, Rng, clean_line, redact};

static RULES: OnceLock<Rules> = OnceLock::new();

/// Lines that job rules know, for the fuzzer to begin from: each takes what follows as its value.
const HEADS: [&str; 6] = [
    "",
    "logmedic job=",
    "logmedic job=7 path=models/a.mp4 state=",
    "logmedic job=7 percent=",
    "[download]  ",
    "INFO - Downloading ",
];

fuzz_target!(|data: &[u8]| {
    let rules = RULES.get_or_init(|| Rules::compile(&builtin()).0);
    let (mut log, mut assembler, mut events) = (Vec::new(), Assembler::new(Limits::default(), 0), Vec::new());
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some((head, rest)) = line.split_first() else { continue };
        log.extend_from_slice(HEADS[usize::from(*head) % HEADS.len()].as_bytes());
        log.extend_from_slice(rest);
        log.push(b'\n');
    }
    assembler.push(&log, &mut events);
    events.extend(assembler.finish());
    let (mut jobs, mut rng) = (Jobs::default(), Rng::new(1));
    let mut at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    for event in &events {
        at += TimeDelta::seconds(1);
        let _ = rules.classify(&event.text);
        let Some(signal) = rules.signal(&event.text) else { continue };
        for value in signal.captures.values() {
            assert!(!clean_line(value).contains('\n'));
            assert_eq!(redact(&redact(value)), redact(value), "what is hidden stays so");
        }
        let Some(id) = jobs.hear("bot", &signal, at, || Id::new(at, &mut rng)) else { continue };
        let job = jobs.get(id).unwrap();
        assert!(job.progress.percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)), "{:?}", job.progress);
        assert!(job.updated_at >= job.created_at);
    }
    assert!(jobs.iter().count() <= events.len());
});
