//! Finds many fixed texts in a log at once. Pure.
//!
//! ```text
//! text ── simd: four bytes in 16 buckets ──→ places ── a bitmap of those four bytes ── compare ──→ finds
//! ```

use super::healthy::{fours, frequency, window_share};
use super::literal::Literal;
use super::simd::{BLOCK, BUCKETS, Places, Tables, WIDTH, Way};

/// Bits of a hash of four bytes: the bitmap of those that some text has takes 32 KiB and is mostly empty.
const BITS: u32 = 18;

/// So many of these bits lead to the keys; those that share them are few and are told apart by the rest.
const LEAD: u32 = 14;

/// A text that stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Find {
    /// Where it begins.
    pub(super) at: usize,
    /// Which one.
    pub(super) text: u32,
}

/// A set of texts, ready to be searched for.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    tables: Tables,
    bitmap: Box<[u64]>,
    /// Texts by the four bytes they are found by, sorted.
    keys: Vec<Key>,
    /// The first bits of a hash → the first key that has them.
    first: Box<[u32]>,
    texts: Vec<Literal>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u32,
    text: u32,
    /// Where in the text the four bytes stand.
    offset: u32,
}

/// Of four bytes in either case: who compares afterwards tells them apart.
fn hash(four: u32) -> u32 {
    (four | 0x2020_2020).wrapping_mul(0x9e37_79b1) >> (32 - BITS)
}

fn lead(hash: u32) -> usize {
    (hash >> (BITS - LEAD)) as usize
}

/// The hashes of what may stand where these four bytes of the text are looked for; a text of three has any fourth.
fn hashes(text: &Literal, offset: usize) -> Vec<u32> {
    let bytes = &text.bytes()[offset..];
    let four = |last: u8| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], last]);
    match bytes.get(WIDTH - 1) {
        Some(last) => vec![hash(four(*last))],
        None => {
            let mut hashes: Vec<u32> = (0..=u8::MAX).map(|last| hash(four(last))).collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes
        }
    }
}

impl Scanner {
    /// A scanner for these texts, each at least [`SHORTEST`] bytes long; the best code that this processor can run.
    pub(super) fn new(texts: Vec<Literal>) -> Self {
        Self::by(texts, Way::all()[0])
    }

    pub(super) fn by(texts: Vec<Literal>, way: Way) -> Self {
        let offsets: Vec<usize> = texts.iter().map(rarest).collect();
        let tables = Tables::new(&grouped(&texts, &offsets), way);
        let mut keys: Vec<Key> = Vec::new();
        for ((text, literal), &offset) in (0..).zip(&texts).zip(&offsets) {
            keys.extend(hashes(literal, offset).into_iter().map(|hash| Key { hash, text, offset: offset as u32 }));
        }
        keys.sort_by_key(|key| (key.hash, key.text));
        let mut bitmap = vec![0_u64; 1 << (BITS - 6)].into_boxed_slice();
        let mut first = vec![0_u32; 1 << LEAD].into_boxed_slice();
        for (number, key) in keys.iter().enumerate().rev() {
            bitmap[key.hash as usize / 64] |= 1 << (key.hash % 64);
            first[lead(key.hash)] = number as u32;
        }
        Self { tables, bitmap, keys, first, texts }
    }

    /// What is searched for; a find names its number.
    pub(super) fn texts(&self) -> &[Literal] {
        &self.texts
    }

    /// Every place where a text stands, in the order of the bytes they are found by, which is that of
    /// the lines; what was in `out` is gone.
    pub(super) fn finds(&self, text: &[u8], out: &mut Vec<Find>) {
        out.clear();
        if self.keys.is_empty() {
            return;
        }
        let mut places: Places = [0; BLOCK / 64];
        let mut from = 0;
        while from + WIDTH <= text.len() {
            let words = self.tables.places(&text[from..], &mut places);
            for (number, &word) in places[..words].iter().enumerate() {
                let mut word = word;
                while word != 0 {
                    let at = from + number * 64 + word.trailing_zeros() as usize;
                    self.look(text, at, [text[at], text[at + 1], text[at + 2], text[at + 3]], out);
                    word &= word - 1;
                }
            }
            from += BLOCK;
        }
        // A text of three bytes at the very end: nothing follows that could be its fourth.
        if let Some(at) = text.len().checked_sub(WIDTH - 1) {
            let four = [text[at], text[at + 1], text[at + 2], b'\n'];
            if self.tables.is_place(four) {
                self.look(text, at, four, out);
            }
        }
    }

    #[inline]
    fn look(&self, text: &[u8], at: usize, four: [u8; WIDTH], out: &mut Vec<Find>) {
        let hash = hash(u32::from_le_bytes(four));
        if self.bitmap[hash as usize / 64] >> (hash % 64) & 1 != 0 {
            self.compare(text, at, hash, out);
        }
    }

    #[inline]
    fn compare(&self, text: &[u8], at: usize, hash: u32, out: &mut Vec<Find>) {
        let keys = &self.keys[self.first[lead(hash)] as usize..];
        let same = keys.iter().skip_while(|key| key.hash < hash).take_while(|key| key.hash == hash);
        for key in same {
            let Some(start) = at.checked_sub(key.offset as usize) else { continue };
            if self.texts[key.text as usize].is_at(text, start) {
                out.push(Find { at: start, text: key.text });
            }
        }
    }
}

/// Where the rarest four bytes of a text stand.
fn rarest(text: &Literal) -> usize {
    let shares = (0..=text.len().saturating_sub(WIDTH)).map(|at| (window_share(text, at, WIDTH), at));
    shares.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, at)| at)
}

/// For each of the four bytes that healthy logs hold, a bit.
type Set = Vec<u64>;

/// Which of the four bytes that healthy logs hold have a byte at a position.
struct Common {
    with: Vec<Set>,
    words: usize,
}

impl Common {
    fn new() -> Self {
        let words = fours().len().div_ceil(64);
        let mut with = vec![vec![0; words]; WIDTH * 256];
        for (number, (four, _)) in fours().iter().enumerate() {
            for (position, byte) in four.iter().enumerate() {
                // Digits are all alike: the page has one date, logs have others.
                let alike = if byte.is_ascii_digit() { b'0'..=b'9' } else { *byte..=*byte };
                for byte in alike {
                    with[position * 256 + usize::from(byte)][number / 64] |= 1 << (number % 64);
                }
            }
        }
        Self { with, words }
    }

    /// Those that have one of these bytes at this position.
    fn with(&self, position: usize, bytes: &[u8]) -> Set {
        let mut set = vec![0; self.words];
        for byte in bytes {
            let with = &self.with[position * 256 + usize::from(*byte)];
            set.iter_mut().zip(with).for_each(|(bits, more)| *bits |= more);
        }
        set
    }
}

/// A set of texts that are told apart only by comparing.
#[derive(Clone)]
struct Bucket {
    has: [[bool; 256]; WIDTH],
    /// What share of a log's bytes it has at each position.
    shares: [f64; WIDTH],
    /// Which of the healthy four bytes it has at each position; at all four: false finds.
    common: [Set; WIDTH],
}

impl Bucket {
    /// How many more false finds it would make with this text in it.
    fn more(&self, choices: &[Vec<u8>; WIDTH], common: &[Set; WIDTH]) -> f64 {
        let grown: f64 = self.grown(choices).iter().product();
        let mut crossed = 0.0;
        for word in 0..self.common[0].len() {
            let has: [u64; WIDTH] = std::array::from_fn(|i| self.common[i][word]);
            let before = has.iter().fold(u64::MAX, |all, bits| all & bits);
            let after = has.iter().zip(common).fold(u64::MAX, |all, (bits, more)| all & (bits | more[word]));
            let mut new = after & !before;
            while new != 0 {
                crossed += fours()[word * 64 + new.trailing_zeros() as usize].1;
                new &= new - 1;
            }
        }
        grown - self.shares.iter().product::<f64>() + crossed
    }

    fn grown(&self, choices: &[Vec<u8>; WIDTH]) -> [f64; WIDTH] {
        std::array::from_fn(|i| {
            let new = choices[i].iter().filter(|byte| !self.has[i][usize::from(**byte)]);
            self.shares[i] + new.map(|byte| frequency(*byte)).sum::<f64>()
        })
    }

    fn add(&mut self, choices: &[Vec<u8>; WIDTH], common: &[Set; WIDTH]) {
        self.shares = self.grown(choices);
        for (has, bytes) in self.has.iter_mut().zip(choices) {
            bytes.iter().for_each(|byte| has[usize::from(*byte)] = true);
        }
        for (has, more) in self.common.iter_mut().zip(common) {
            has.iter_mut().zip(more).for_each(|(bits, more)| *bits |= more);
        }
    }
}

/// Puts each text into the bucket to which it adds the fewest false finds, the most frequent texts first.
fn grouped(texts: &[Literal], offsets: &[usize]) -> Vec<[[bool; 256]; WIDTH]> {
    let healthy = Common::new();
    let none: Set = vec![0; healthy.words];
    let common = std::array::from_fn(|_| none.clone());
    let mut buckets = vec![Bucket { has: [[false; 256]; WIDTH], shares: [0.0; WIDTH], common }; BUCKETS];
    let wanted = texts
        .iter()
        .zip(offsets)
        .map(|(text, &offset)| (window_share(text, offset, WIDTH), std::array::from_fn(|i| choices(text, offset + i))));
    let mut wanted: Vec<(f64, [Vec<u8>; WIDTH])> = wanted.collect();
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    wanted.dedup_by(|a, b| a.1 == b.1);
    for (_, choices) in wanted {
        let common = std::array::from_fn(|i| healthy.with(i, &choices[i]));
        let costs: Vec<f64> = buckets.iter().map(|bucket| bucket.more(&choices, &common)).collect();
        let best = (0..BUCKETS).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0);
        buckets[best].add(&choices, &common);
    }
    buckets.into_iter().map(|bucket| bucket.has).collect()
}

/// The bytes that may stand at this place of the text; behind its end, any.
fn choices(text: &Literal, at: usize) -> Vec<u8> {
    if at >= text.len() {
        return (0..=u8::MAX).collect();
    }
    let (a, b) = text.choices(at);
    if a == b { vec![a] } else { vec![a, b] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slowly(texts: &[Literal], haystack: &[u8]) -> Vec<(usize, u32)> {
        let mut found = Vec::new();
        for (number, text) in (0..).zip(texts) {
            found.extend((0..haystack.len()).filter(|&at| text.is_at(haystack, at)).map(|at| (at, number)));
        }
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn every_way_finds_each_text_and_nothing_else(
            words in prop::collection::vec("[a-cA-C \u{e9}-\u{eb}]{3,9}", 1..30),
            pieces in prop::collection::vec("[a-cA-C \u{e9}-\u{eb}]{0,60}", 0..12),
            any_case in any::<bool>(),
        ) {
            let mut haystack = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                haystack.extend_from_slice(piece.as_bytes());
                haystack.extend_from_slice(words[number % words.len()].to_uppercase().as_bytes());
                haystack.extend_from_slice(words[(number * 7) % words.len()].as_bytes());
            }
            let make = if any_case { Literal::any_case } else { Literal::exact };
            let texts: Vec<Literal> = words.iter().map(|word| make(word.as_bytes())).collect();
            let want = slowly(&texts, &haystack);
            for way in Way::all() {
                let mut finds = Vec::new();
                Scanner::by(texts.clone(), way).finds(&haystack, &mut finds);
                let mut got: Vec<_> = finds.iter().map(|find| (find.at, find.text)).collect();
                got.sort_unstable();
                prop_assert_eq!(&got, &want, "{:?}", way);
            }
        }
    }

    #[test]
    fn texts_across_blocks_are_found_once() {
        let texts = vec![Literal::exact(b"No space left")];
        for start in BLOCK - 20..BLOCK + 5 {
            let mut haystack = vec![b'.'; 3 * BLOCK];
            haystack[start..start + 13].copy_from_slice(b"No space left");
            for way in Way::all() {
                let mut finds = Vec::new();
                Scanner::by(texts.clone(), way).finds(&haystack, &mut finds);
                assert_eq!(finds, [Find { at: start, text: 0 }], "{way:?}");
            }
        }
    }
}
