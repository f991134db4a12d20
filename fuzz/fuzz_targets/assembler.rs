//! Cuts any bytes anywhere: the events are the same, follow each other without a gap, and hold their limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logmedic::assemble::{Assembler, Limits, RawEvent};

fn events(bytes: &[u8], chunk: impl Fn(usize) -> usize, limits: Limits) -> Vec<RawEvent> {
    let (mut assembler, mut out, mut at) = (Assembler::new(limits, 0), Vec::new(), 0);
    while at < bytes.len() {
        let end = (at + chunk(at).max(1)).min(bytes.len());
        assembler.push(&bytes[at..end], &mut out);
        assert!(assembler.safe_offset() <= assembler.position() && assembler.position() <= end as u64);
        at = end;
    }
    out.extend(assembler.finish());
    out
}

fuzz_target!(|data: &[u8]| {
    let [cut, small, bytes @ ..] = data else { return };
    let limits = match small % 3 {
        0 => Limits::default(),
        1 => Limits { line_bytes: 64, event_lines: 4, event_bytes: 256 },
        _ => Limits { line_bytes: 16, event_lines: 500, event_bytes: 64 },
    };
    let whole = events(bytes, |_| bytes.len(), limits);
    let cut = usize::from(*cut) + 1;
    assert_eq!(events(bytes, |_| cut, limits), whole, "in pieces of {cut}");
    assert_eq!(events(bytes, |at| 1 + at * 7 % cut, limits), whole, "in pieces of up to {cut}");
    let mut last = 0;
    for event in &whole {
        assert!(event.offset >= last && event.end > event.offset, "{} after {last}", event.offset);
        assert!(event.lines <= limits.event_lines.max(1));
        assert!(event.text.len() <= limits.event_bytes + 2 * limits.line_bytes + 64, "{} bytes", event.text.len());
        last = event.end;
    }
    assert!(last <= bytes.len() as u64);
});
