//! Shows which lines become one event, and that bounds hold.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn all(limits: Limits, chunks: &[&[u8]]) -> Vec<RawEvent> {
    let mut assembler = Assembler::new(limits, 0);
    let mut out = Vec::new();
    for chunk in chunks {
        assembler.push(chunk, &mut out);
    }
    while let Some(event) = assembler.finish() {
        out.push(event);
    }
    assert_eq!(assembler.safe_offset(), chunks.iter().map(|c| c.len() as u64).sum::<u64>());
    out
}

/// The number of lines of each event.
fn shape(text: &str) -> Vec<u32> {
    all(Limits::default(), &[text.as_bytes()]).iter().map(|e| e.lines).collect()
}

const CHAINED: &str = "Traceback (most recent call last):
  File \"a.py\", line 1, in f
    g()
    ^^^
OSError: [Errno 5] x

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"a.py\", line 2, in h
bot.errors.Failed
";

#[test]
fn a4_python_tracebacks_are_one_event() {
    assert_eq!(shape(CHAINED), [11]);
    assert_eq!(shape(&format!("2026-11-22 01:02:03 ERROR oh:\n{CHAINED}2026-11-22 01:02:04 INFO x\n")), [12, 1]);
    assert_eq!(shape(&format!("ERROR:a.b:oh\nSomeError: x\n{CHAINED}next\n")), [14]);
    assert_eq!(shape(&format!("working\n{CHAINED}next\n")), [1, 11, 1]);
    let prefixed: String = CHAINED.lines().map(|line| format!("bot-1  | {line}\n")).collect();
    assert_eq!(shape(&format!("{prefixed}db-1   | ready\n")), [11, 1]);
    let carried = |carrier: &str| CHAINED.lines().map(|line| format!("{carrier}{line}\n")).collect::<String>();
    let syslog = carried("Nov 26 04:44:10 nas bot[7]: ");
    assert_eq!(shape(&format!("{syslog}Nov 26 04:44:10 nas cron[9]:   x\n")), [11, 1]);
    let cri = carried("2026-11-26T04:44:10.118203118Z stderr F ");
    assert_eq!(shape(&format!("{cri}2026-11-26T04:44:11.118203118Z stdout F ready\n")), [11, 1]);
    let below = CHAINED.replace('\n', "\n                             ");
    assert_eq!(shape(&format!("Nov 26 04:44:10 nas bot[7]: {}\nready\n", below.trim_end())), [11, 1]);
    assert_eq!(
        shape("Task exception was never retrieved\nfuture: <Task x>\nTraceback (most recent call last):\n  a\nE: b\n"),
        [5]
    );
}

#[test]
fn a4_exception_groups_are_one_event() {
    let text = "  + Exception Group Traceback (most recent call last):
  |   File \"a.py\", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | OSError: x
    +---------------- 2 ----------------
    | ValueError: y
    +------------------------------------
next
";
    assert_eq!(shape(text), [8, 1]);
}

#[test]
fn a4_stacks_of_other_languages_are_one_event() {
    assert_eq!(shape("java.io.IOException: x\n\tat a.b(C.java:1)\nCaused by: y\n\t... 3 more\nnext\n"), [4, 1]);
    assert_eq!(shape("Error: x\n    at f (a.js:1:2)\n  [cause]: Error: y\n      at g\nnext\n"), [4, 1]);
    assert_eq!(shape("/a.js:1\n  throw e;\n  ^\n\nError: x\n    at f\n\nNode.js v20\n"), [6, 1]);
    assert_eq!(shape("panic: x\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/a.go:1 +0x1\nexit status 2\nnext\n"), [6, 1]);
    assert_eq!(
        shape("thread 'main' panicked at src/main.rs:1:2:\nno\nnote: run with `RUST_BACKTRACE=1`\nnext\n"),
        [3, 1]
    );
    assert_eq!(shape("Error: x\n\nCaused by:\n    0: y\nnext\n"), [4, 1]);
}

#[test]
fn a4_a_stamped_head_takes_what_is_unmarked_and_a_plain_one_does_not() {
    assert_eq!(shape("2026-11-22 01:02:03 - x - ERROR - bad: <html>\r\n<h1>502</h1>\r\n</html>\n"), [3]);
    assert_eq!(shape("[download] a\nDeleting b\nERROR: c\ncurl: (28) d\n"), [1, 1, 1, 1]);
    assert_eq!(shape("11/22 01:02:03 [ERROR] a\nException: b\n  -> c\n11/22 01:02:03 [ERROR] d\n"), [3, 1]);
}

#[test]
fn a4_a_process_that_dies_is_no_part_of_the_line_before_it() {
    let line = "2026-11-22 01:02:03 - x - INFO - fine\n";
    for dies in [
        "Exception in thread \"a-2\" java.lang.OutOfMemoryError: Java heap space\n\tat a.b(C.java:1)\n",
        "Exception in thread Thread-3 (work):\nTraceback (most recent call last):\n  File \"a.py\", line 1\nOSError: x\n",
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x0 (most recent call first):\n  File \"a.py\", line 1\n",
        "Unhandled exception. System.IO.IOException: x\n   at A.B() in ./A.cs:line 1\n",
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
        "Segmentation fault (core dumped)\n",
        "Killed\n",
        "/app/run.sh: line 12:  4242 Aborted                 (core dumped) ./bot\n",
        "/app/bot.rb:31:in `f': full (Errno::ENOSPC)\n\tfrom /app/bot.rb:40:in `<main>'\n",
    ] {
        let lines = u32::try_from(dies.lines().count()).unwrap();
        assert_eq!(shape(&format!("{line}{dies}{line}")), [1, lines, 1], "{dies}");
    }
    // Ruby's own logger, with the backtrace of what was rescued.
    let backtrace =
        "E, [2026-11-22T01:02:03.1 #7] ERROR -- : full\n/app/bot.rb:31:in `f'\n/app/bot.rb:40:in `<main>'\n";
    assert_eq!(shape(backtrace), [3]);
}

#[test]
fn a4_exceptions_of_dotnet_belong_to_the_line_before_them() {
    let stack = "[v4.0.10.2544] System.IO.IOException: x
 ---> System.Net.Sockets.SocketException (110): y
   at A.B() in ./A.cs:line 1
   --- End of inner exception stack trace ---
   at C.D()
";
    assert_eq!(
        shape(&format!("2025-11-22 10:00:00.1|Error|Svc|Scan failed\n{stack}2025-11-22 10:00:01.1|Info|a|b\n")),
        [6, 1]
    );
    assert_eq!(shape(&format!("[Error] Svc: Scan failed\n\n{stack}[Info] a: b\n")), [7, 1]);
    assert_eq!(shape(&format!("working\n{stack}")), [1, 5]);
}

#[test]
fn a4_loggers_begin_events_without_a_time_in_front() {
    let text = "[ERROR/2026-11-25 13:38:31,478] telethon.client: a\nmore\n[INFO/2026-11-25 13:38:32,478] b: c\n";
    assert_eq!(shape(text), [2, 1]);
    assert_eq!(shape("thread died\n ERROR bot > a\n WARN  bot > b\n   more\n"), [1, 1, 2]);
    assert_eq!(shape("2026-11-22 01:02:03 INFO x\n{\"level\":\"error\",\"msg\":\"y\"}\n"), [1, 1]);
    assert_eq!(shape("2026-11-22 01:02:03 ERROR answer:\n{\"ok\":false,\"error_code\":429}\n"), [2]);
    assert_eq!(shape("--2026-11-22 01:02:03--  http://h/a\nCannot write to ‘a’ (Success).\n"), [1, 1]);
}

#[test]
fn h1_a_forged_line_is_never_glued_to_an_honest_one() {
    let text = "2026-11-22 01:02:03 INFO saved a\n2026-11-22 01:02:03 ERROR b.mp4\nTraceback (most recent call last):\n  x\n2026-11-22 01:02:04 INFO c\n";
    assert_eq!(shape(text), [1, 3, 1]);
}

#[test]
fn a2_crlf_nul_and_bytes_that_are_no_text_are_kept_in_bounds() {
    let events = all(Limits::default(), &[b"a\r\n\0\0\0b\r\n\xff\xfe\0c\n\n\nunfinished"]);
    let texts: Vec<&[u8]> = events.iter().map(|e| e.text.as_slice()).collect();
    assert_eq!(texts, [&b"a"[..], b"b", b"\xff\xfe\0c", b"unfinished"]);
    assert_eq!(events.iter().map(|e| (e.offset, e.end)).collect::<Vec<_>>(), [(0, 3), (3, 9), (9, 16), (16, 26)]);
}

#[test]
fn a2_a_line_of_10_mib_keeps_its_start_and_its_end() {
    let mut assembler = Assembler::new(Limits::default(), 0);
    let mut out = Vec::new();
    assembler.push(b"start ", &mut out);
    for _ in 0..10 * 1024 {
        assembler.push(&[b'x'; 1024], &mut out);
        assert!(assembler.partial.capacity() < 3 * LINE_BYTES, "bounded");
    }
    assembler.push(b" end\nnext\n", &mut out);
    let long = &out[0];
    assert!(long.truncated && long.text.starts_with(b"start x") && long.text.ends_with(b"x end"));
    assert_eq!(long.text.len(), LINE_BYTES + CUT.len());
    assert_eq!(long.end, 6 + 10 * 1024 * 1024 + 5);
    let next = assembler.take_pending().unwrap();
    assert_eq!((next.offset, next.text.as_slice(), next.truncated), (long.end, &b"next"[..], false));
}

#[test]
fn h4_an_endless_event_is_cut_and_nothing_of_it_is_lost() {
    let mut text = b"2026-11-22 01:02:03 ERROR x\n".to_vec();
    for n in 0..1200 {
        text.extend(format!("  {n}\n").bytes());
    }
    let events = all(Limits::default(), &[&text]);
    assert_eq!(events.iter().map(|e| e.lines).collect::<Vec<_>>(), [500, 500, 201]);
    assert!(events[0].truncated);
}

#[test]
fn a4_what_waits_can_be_seen_and_taken_without_the_unfinished_line() {
    let mut assembler = Assembler::new(Limits::default(), 100);
    let mut out = Vec::new();
    assembler.push(b"2026-11-22 01:02:03 ERROR oh:\n", &mut out);
    assert!(assembler.pending().unwrap().open, "a colon announces more");
    assembler.push(b"Traceback (most recent call last):\n  File\nValue", &mut out);
    assert!(assembler.pending().unwrap().open, "the exception has not come");
    assembler.push(b"Error: x\nnext", &mut out);
    let pending = assembler.pending().unwrap();
    assert!(!pending.open);
    assert_eq!((pending.lines, pending.offset, assembler.safe_offset()), (4, 100, 100));
    let event = assembler.take_pending().unwrap();
    assert_eq!((event.lines, assembler.safe_offset()), (4, event.end));
    assert!(out.is_empty() && assembler.pending().is_none());
    assert_eq!(assembler.finish().unwrap().text, b"next");
    assert_eq!(assembler.finish(), None);
}

#[test]
fn a4_a_letter_for_the_level_before_the_time_begins_an_event() {
    let log = b"2026-11-22 01:02:03 post INFO: x\n(N) 2026-11-22T01:02:04 - y\n(W) 2026-11-22T01:02:05 - z\n(C) 2026 somebody\n";
    let mut assembler = Assembler::new(Limits::default(), 0);
    let mut out = Vec::new();
    assembler.push(log, &mut out);
    out.extend(assembler.finish());
    let texts: Vec<_> = out.iter().map(|event| String::from_utf8_lossy(&event.text).into_owned()).collect();
    let last = "(W) 2026-11-22T01:02:05 - z\n(C) 2026 somebody";
    assert_eq!(texts, ["2026-11-22 01:02:03 post INFO: x", "(N) 2026-11-22T01:02:04 - y", last]);
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"2026-11-22 01:02:03 ERROR x:".to_vec()),
        Just(b"Traceback (most recent call last):".to_vec()),
        Just(b"  File \"a\"".to_vec()),
        Just(b"OSError: y\r".to_vec()),
        Just(b"".to_vec()),
        Just(b"The above exception was the direct cause of x".to_vec()),
        Just(b"[download] z".to_vec()),
        Just(b"\0\0panic: x".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
        (20usize..300).prop_map(|n| (0..n).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect()),
    ]
}

proptest! {
    /// A2: chunks split anywhere give the same events, which cover the stream without overlap.
    #[test]
    fn a2_chunks_split_anywhere_give_the_same_events(
        lines in proptest::collection::vec(line(), 0..40),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let text = lines.join(&b'\n');
        let limits = Limits { line_bytes: 64, event_lines: 5, event_bytes: 200 };
        let whole = all(limits, &[&text]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&all(limits, &chunks), &whole);
        for pair in whole.windows(2) {
            prop_assert!(pair[0].end <= pair[1].offset);
        }
        for event in &whole {
            prop_assert!(event.text.len() <= limits.event_bytes + limits.line_bytes + CUT.len() + 1);
            prop_assert!(event.lines <= limits.event_lines);
            prop_assert!(event.truncated || event.text.len() as u64 <= event.end - event.offset);
        }
    }
}
