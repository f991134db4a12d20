//! How often a text stands in a log in which nothing is wrong: what is rare there makes a good search. Pure.

use std::sync::LazyLock;

use super::literal::{Literal, SHORTEST};

/// A page of what bots and their tools write when all is well: what stands in it makes a poor search.
struct Healthy {
    /// In lower case.
    text: Vec<u8>,
    /// Hash of three bytes in lower case → how often such stand there.
    threes: Vec<u16>,
    /// All four bytes that stand there, as written, with their share.
    fours: Vec<([u8; 4], f64)>,
}

/// How many hashes of three bytes are told apart: several times as many as stand on the page.
const THREES: usize = 1 << 14;

/// Digits are all alike: the page has one date, logs have others.
fn three(bytes: &[u8]) -> usize {
    let alike = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte.to_ascii_lowercase() };
    let [a, b, c] = [0, 1, 2].map(|i| u32::from(alike(bytes[i])));
    (a | b << 8 | c << 16).wrapping_mul(0x9e37_79b1) as usize >> (32 - THREES.ilog2())
}

/// How often three bytes stand there, or others that have their hash.
fn threes(bytes: &[u8]) -> u16 {
    HEALTHY.threes[three(bytes)]
}

/// How often this text stands on the page in any case, for each byte of the page.
pub(super) fn page_share(text: &[u8]) -> f64 {
    if text.windows(SHORTEST).any(|window| threes(window) == 0) {
        return 0.0;
    }
    let count = memchr::memmem::find_iter(&HEALTHY.text, &text.to_ascii_lowercase()).count();
    count as f64 / HEALTHY.text.len() as f64
}

static HEALTHY: LazyLock<Healthy> = LazyLock::new(|| {
    let written = include_bytes!("healthy.txt");
    let mut threes = vec![0_u16; THREES];
    written.windows(SHORTEST).for_each(|window| threes[three(window)] += 1);
    let mut all: Vec<[u8; 4]> = written.windows(4).map(|four| [four[0], four[1], four[2], four[3]]).collect();
    all.sort_unstable();
    let share = |same: &[[u8; 4]]| (same[0], same.len() as f64 / written.len() as f64);
    let fours = all.chunk_by(|a, b| a == b).map(share).collect();
    Healthy { text: written.to_ascii_lowercase(), threes, fours }
});

/// All four bytes that stand next to each other in a healthy log, with their share of its bytes.
pub(super) fn fours() -> &'static [([u8; 4], f64)] {
    &HEALTHY.fours
}

/// How often these bytes of the text stand in a log: as on a healthy page, or by the frequency of each.
pub(super) fn window_share(text: &Literal, at: usize, length: usize) -> f64 {
    let end = text.len().min(at + length);
    let by_bytes: f64 = (at..end).map(|at| share(text, at)).product();
    let page = HEALTHY.text.len() as f64;
    let seen = text.bytes()[at..end].windows(SHORTEST).map(|window| {
        // Of all numbers that stand where one does on the page, this is one.
        let digits = window.iter().filter(|byte| byte.is_ascii_digit()).count();
        f64::from(threes(window)) / page / 10_f64.powi(digits as i32)
    });
    by_bytes.max(seen.fold(1.0, f64::min))
}

/// What share of a log's bytes may stand at this place of the text.
pub(super) fn share(text: &Literal, at: usize) -> f64 {
    let (a, b) = text.choices(at);
    frequency(a) + if a == b { 0.0 } else { frequency(b) }
}

/// What share of a log's bytes this one is, about: words, and the letters and digits of identifiers, which are all alike.
pub(super) fn frequency(byte: u8) -> f64 {
    FREQUENCIES[usize::from(byte)]
}

static FREQUENCIES: [f64; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = match byte as u8 {
            b' ' => 0.090,
            b'e' | b't' => 0.045,
            b'a' | b'o' | b'n' | b'i' | b'r' | b's' => 0.038,
            b'd' | b'l' | b'p' | b'c' => 0.028,
            b'm' | b'u' | b'h' | b'g' | b'b' | b'f' => 0.020,
            b'w' | b'y' | b'v' | b'k' | b'x' | b'q' | b'z' | b'j' => 0.012,
            b'0'..=b'2' => 0.030,
            b'3'..=b'9' => 0.020,
            b'-' | b':' | b'.' | b'/' => 0.025,
            b',' | b'_' | b'=' | b'"' => 0.010,
            b'A'..=b'Z' => 0.009,
            0x80..=0xff => 0.001,
            _ => 0.002,
        };
        byte += 1;
    }
    table
};
