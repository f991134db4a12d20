//! Shows that a search finds what asking about each event finds.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::classify::prefix::{ERROR_WORDS, LEVEL_KEYS};
use crate::classify::{builtin, builtin_samples};

/// Offset, line, lines, class, rule, text.
type Told = (u64, u64, u32, Option<Class>, Option<String>, Vec<u8>);

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::compile(&builtin()).0);

/// One for each way.
static SCANNERS: LazyLock<Vec<(Way, Scanner)>> =
    LazyLock::new(|| Way::all().into_iter().map(|way| (way, scanner(&RULES, Want::Classes, way))).collect());

/// Lines of every tool's samples.
static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let samples = builtin_samples();
    let lines = samples.iter().flat_map(|source| source.text.lines());
    lines.filter(|line| !line.starts_with('#')).map(|line| line.as_bytes().to_vec()).collect()
});

/// Assembles all, asks about each event.
fn plainly(log: &[u8], want: Want) -> Vec<Told> {
    let mut assembler = Assembler::new(Limits::default(), 0);
    let mut events = Vec::new();
    assembler.push(log, &mut events);
    while let Some(event) = assembler.finish() {
        events.push(event);
    }
    let told = events.into_iter().filter_map(|event| {
        let hit = RULES.classify(&event.text);
        if hit.is_none() && (want == Want::Hits || !event::looks_like_error(&event.text)) {
            return None;
        }
        let line = memchr::memchr_iter(b'\n', &log[..event.offset as usize]).count() as u64 + 1;
        let (line, rule) = match want {
            Want::Hits => (line, hit.as_ref().map(|hit| hit.rule.clone())),
            Want::Classes => (0, None),
        };
        Some((event.offset, line, event.lines, hit.map(|hit| hit.class), rule, event.text))
    });
    told.collect()
}

fn quickly(log: &[u8], want: Want, block: usize, scanner: &Scanner) -> Vec<Told> {
    let mut bulk = Bulk::with(&RULES, want, 0, scanner.clone());
    let mut told = Vec::new();
    let (mut at, mut end) = (0, 0);
    loop {
        end = log.len().min(end.max(at) + block);
        let last = end == log.len();
        let done = bulk.push(&log[at..end], last, &mut |found: Found<'_>| {
            let rule = found.hit.map(|hit| hit.rule);
            told.push((found.offset, found.line, found.lines, found.class, rule, found.text.to_vec()));
            Ok::<(), Infallible>(())
        });
        at += done.unwrap();
        if last {
            return told;
        }
    }
}

fn sample() -> impl Strategy<Value = Vec<u8>> + Clone {
    any::<prop::sample::Index>().prop_map(|index| index.get(&LINES).clone())
}

/// One line of a log, odd ones too.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = sample();
    let stamped = known.clone().prop_map(|line| [b"2026-01-02 03:04:05,678 - bot - ERROR - ", &line[..]].concat());
    let coloured = (known.clone(), any::<prop::sample::Index>()).prop_map(|(mut line, at)| {
        let at = at.index(line.len() + 1);
        line.splice(at..at, *b"\x1b[31m");
        line
    });
    let json = |line: &[u8]| serde_json::to_string(&*String::from_utf8_lossy(line)).unwrap();
    let by_docker = move |line: &[u8]| {
        let line = json(&[line, b"\n"].concat());
        format!(r#"{{"log":{line},"stream":"stderr","time":"2026-01-02T03:04:05.678Z"}}"#).into_bytes()
    };
    let contained = prop_oneof![
        6 => known.clone(),
        1 => Just(b"Traceback (most recent call last):".to_vec()),
        1 => Just(b"  File \"a.py\", line 1, in f".to_vec()),
        1 => Just(b"2026-01-02 03:04:05,678 - bot - ERROR - no".to_vec()),
    ]
    .prop_flat_map(move |line| {
        let before = |carrier: &str| [carrier.as_bytes(), &line[..]].concat();
        prop_oneof![
            Just(by_docker(&line)),
            Just(before("2026-01-02T03:04:05.678901234Z stderr F ")),
            Just(before("Jan  2 03:04:05 nas bot[7]: ")),
            Just(before("                            ")),
        ]
    });
    let message = (known.clone(), any::<bool>()).prop_map(move |(line, escaped)| {
        let line = if escaped { [&line[..], b" \"\xc3\xa9\""].concat() } else { line };
        format!(r#"{{"level": "info", "time": 1, "msg": {}}}"#, json(&line)).into_bytes()
    });
    let field = known.clone().prop_map(move |line| {
        let traceback = [b"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n", &line[..]].concat();
        format!(r#"{{"level": "error", "msg": "no", "exc_info": {}}}"#, json(&traceback)).into_bytes()
    });
    let long = (known.clone(), known.clone(), 60_000..140_000_usize)
        .prop_map(|(start, end, length)| [start, vec![b'x'; length], end].concat());
    prop_oneof![
        40 => known.clone(),
        10 => contained,
        5 => field,
        5 => message,
        20 => stamped,
        10 => known.clone().prop_map(|line| [b"  ", &line[..]].concat()),
        5 => known.prop_map(|line| [b"\0\0", &line[..]].concat()),
        5 => coloured,
        5 => Just(Vec::new()),
        5 => Just(b"Traceback (most recent call last):".to_vec()),
        5 => Just(b"  File \"a.py\", line 1, in f".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => long,
    ]
}

#[test]
fn h1_no_line_however_it_is_carried_and_cut_ends_the_program() {
    let carriers = [
        "",
        "<11>",
        "<11>1 2026-01-02T03:04:05Z h b 7 - - ",
        "2026-01-02T03:04:05.123456789Z ",
        "b-1  | ",
        "fail: A[0]\n      ",
    ];
    for (number, line) in LINES.iter().enumerate().step_by(7) {
        let carried = [carriers[number % carriers.len()].as_bytes(), line].concat();
        for cut in 0..carried.len().min(200) {
            let text = plain(&carried[..cut]);
            for part in event::parts(&text) {
                let _ = (part.message(), part.level());
            }
            let _ = (begins_event(&carried[..cut]), event::told(&text));
        }
    }
}

/// Ways in which loggers write `LEVEL`, and the key of a field in which it stands as `KEY`.
const LEVELS: [&str; 43] = [
    "LEVEL: Odd",
    "LEVEL Odd",
    "LEVEL:bot:Odd",
    "[LEVEL] Odd",
    "(LEVEL) Odd",
    "<LEVEL> Odd",
    "[ LEVEL ] Odd",
    "( LEVEL ) Odd",
    "(LEVEL ) 2026-01-02 03:04:05 - Odd",
    "(LEVEL) 2026-01-02 03:04:05 - Odd",
    "2026-01-02 03:04:05 | [LEVEL] | Odd",
    "[LEVEL/2026-01-02 03:04:05,678] Odd",
    "[2026-01-02 03:04:05,678: LEVEL/Main] Odd",
    "[2026-01-02T03:04:05Z LEVEL a::b] Odd",
    "[LEVEL 2026-01-02 03:04:05 web:1] Odd",
    "2026-01-02 03:04:05 LEVEL Odd",
    "2026-01-02 03:04:05 LEVEL Odd.Names.One: odd",
    "2026-01-02 03:04:05 bot LEVEL Odd",
    "2026-01-02 03:04:05 LEVEL: Odd",
    "2026-01-02 03:04:05 [LEVEL] Odd",
    "2026-01-02 03:04:05 - bot - LEVEL - Odd",
    "2026-01-02 03:04:05 | LEVEL | Odd",
    "2026-01-02 03:04:05|LEVEL|Odd|odd",
    "2026-01-02 03:04:05\tLEVEL\tOdd",
    "2026-01-02 03:04:05,678::LEVEL::[a:1] Odd",
    "2026-01-02 03:04:05 level=LEVEL Odd",
    "2026-01-02T03:04:05+0000 [bot#LEVEL] Odd",
    "2026-01-02T03:04:05.678Z [LEVEL][Radarr]: Odd",
    "[twitter][LEVEL] Odd",
    "bot.fetch - LEVEL - Odd",
    "bot-1  | LEVEL: Odd",
    " LEVEL bot > Odd",
    "              LEVEL Odd          worker.py:44",
    "LEVEL[0012] Odd",
    "[ LEVEL][t 5][1795613570.139][Client.cpp:4823] Odd",
    "01-02 03:04:05.678 LEVEL/bot( 1796): Odd",
    "time=12 KEY=LEVEL msg=Odd",
    "time=12 KEY=\"LEVEL\" msg=Odd",
    "{\"KEY\":\"LEVEL\",\"msg\":\"Odd\"}",
    "{\"KEY\":LEVEL,\"msg\":\"Odd\"}",
    "{\"text\":\"Odd\",\"record\":{\"KEY\":{\"name\":\"LEVEL\"},\"message\":\"Odd\"}}",
    "[2026-01-02 03:04:05] local.LEVEL: Odd [] {\"x\":[]}",
    "LEVEL: Bot.Worker[0]\n      Odd",
];

#[test]
fn a5_every_way_to_say_that_it_is_an_error_is_found() {
    let words = ERROR_WORDS.iter().map(|word| String::from_utf8_lossy(word).into_owned());
    let more = ["fail", "pani", "e", "f", "c", "0", "1", "2", "3", "50", "60"].map(str::to_owned);
    let capital = |word: &str| [&word[..1].to_ascii_uppercase(), &word[1..]].concat();
    let cases = |word: String| [word.to_ascii_uppercase(), capital(&word), word];
    let words: BTreeSet<String> = words.chain(more).flat_map(cases).collect();
    let keys = LEVEL_KEYS.iter().map(|key| String::from_utf8_lossy(key).into_owned());
    let keys: Vec<String> = keys.chain(["at".to_owned()]).collect();
    let (mut missed, mut errors) = (Vec::new(), BTreeSet::new());
    for way in LEVELS {
        let keys = if way.contains("KEY") { &keys[..] } else { &keys[..1] };
        for (word, key) in words.iter().flat_map(|word| keys.iter().map(move |key| (word, key))) {
            let line = way.replace("LEVEL", word).replace("KEY", key);
            let expected = plainly(line.as_bytes(), Want::Classes);
            if !expected.is_empty() {
                errors.insert(way);
            }
            if quickly(line.as_bytes(), Want::Classes, 1000, &SCANNERS[0].1) != expected {
                missed.push(line);
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let quiet: Vec<_> = LEVELS.into_iter().filter(|way| !errors.contains(way)).collect();
    assert!(quiet.is_empty(), "never an error: {quiet:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a5_an_event_is_claimed_as_by_asking_every_pattern(
        lines in prop::collection::vec(sample(), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..20),
        at in any::<prop::sample::Index>(),
    ) {
        let mut text = lines.join(&b'\n');
        let at = at.index(text.len() + 1);
        text.splice(at..at, noise);
        let plain = plain(&text);
        let rule = |winner: Option<(&super::super::file::Entry, Part<'_>)>| winner.map(|(entry, _)| entry.id.clone());
        let expected = rule(RULES.winner_slowly(&plain).0.filter(|(entry, _)| entry.kind != Kind::Ignore));
        prop_assert_eq!(RULES.classify(&text).map(|hit| hit.rule), expected);
    }

    #[test]
    fn a5_by_every_way_and_in_any_blocks_the_same_is_found_as_by_asking_everything(
        lines in prop::collection::vec((line(), prop_oneof![4 => Just("\n"), 1 => Just("\r\n")]), 0..60),
        cut in 0..3_usize,
        block in prop_oneof![20..300_usize, 1000..100_000_usize],
    ) {
        let mut log: Vec<u8> = lines.iter().flat_map(|(line, end)| [&line[..], end.as_bytes()].concat()).collect();
        log.truncate(log.len().saturating_sub(cut));
        for want in [Want::Hits, Want::Classes] {
            let expected = plainly(&log, want);
            for (way, scanner) in SCANNERS.iter() {
                let got = quickly(&log, want, block, scanner);
                prop_assert_eq!(&got, &expected, "{:?} {:?} in blocks of {}", way, want, block);
            }
        }
    }
}
