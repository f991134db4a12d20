//! Finds many fixed texts in a log at once. Pure.
//!
//! ```text
//! text ── simd: four bytes in 16 buckets ──→ places ── a bitmap of those four bytes ── compare ──→ finds
//! ```

use super::groups::{WIDTH, buckets, places};
use super::literal::Literal;
use super::pattern::built_places;
use super::simd::{BLOCK, Places, Tables, Way};

/// Bits of a hash of four bytes: the bitmap of those that some text has takes 32 KiB and is mostly empty.
const BITS: u32 = 18;

/// So many of these bits lead to the keys; those that share them are few and are told apart by the rest.
const LEAD: u32 = 14;

/// How many windows of all texts together are tried in every bucket when a search begins, the rarest of each text: so many take
/// some milliseconds. Where the texts of shipped packs go is found out by the build.
const MAX_TRIED: usize = 16_000;

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
    bitmap: Box<[u64; 1 << (BITS - 6)]>,
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
#[inline]
fn hash(four: [u8; WIDTH]) -> u32 {
    (u32::from_le_bytes(four) | 0x2020_2020).wrapping_mul(0x9e37_79b1) >> (32 - BITS)
}

fn lead(hash: u32) -> usize {
    (hash >> (BITS - LEAD)) as usize
}

/// The hashes of what may stand where these four bytes of the text are looked for; a text of three has any fourth.
fn hashes(text: &Literal, offset: usize) -> Vec<u32> {
    let bytes = &text.bytes()[offset..];
    let four = |last: u8| [bytes[0], bytes[1], bytes[2], last];
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
        let known = built_places(&texts, way.sees_parts());
        let new = known.iter().filter(|place| place.is_none()).count();
        let places = places(&texts, &known, way.sees_parts(), MAX_TRIED / new.max(1));
        let tables = Tables::new(&buckets(&texts, &places), way);
        let mut keys: Vec<Key> = Vec::with_capacity(texts.len());
        for ((text, literal), place) in (0..).zip(&texts).zip(places) {
            let hashes = hashes(literal, place.offset.into()).into_iter();
            keys.extend(hashes.map(|hash| Key { hash, text, offset: place.offset.into() }));
        }
        keys.sort_by_key(|key| (key.hash, key.text));
        let mut bitmap = Box::new([0_u64; 1 << (BITS - 6)]);
        let mut first = vec![0_u32; 1 << LEAD].into_boxed_slice();
        for (number, key) in keys.iter().enumerate().rev() {
            bitmap[key.hash as usize / 64] |= 1 << (key.hash % 64);
            first[lead(key.hash)] = number as u32;
        }
        Self { tables, bitmap, keys, first, texts }
    }

    /// Every place where a text stands, in the order of the bytes they are found by, which is that of
    /// the lines; what was in `out` is gone.
    pub(super) fn finds(&self, text: &[u8], out: &mut Vec<Find>) {
        out.clear();
        if self.keys.is_empty() {
            return;
        }
        let mut places = Places::for_text(text.len());
        let mut from = 0;
        while from + WIDTH <= text.len() {
            let rest = &text[from..];
            self.tables.places(rest, &mut places);
            let four = |at: usize| rest.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
            for &at in places.keep(|at| self.has(hash(four(at)))) {
                let at = usize::from(at);
                self.compare(text, from + at, hash(four(at)), out);
            }
            from += BLOCK;
        }
        // A text of three bytes at the very end: nothing follows that could be its fourth.
        if let Some(at) = text.len().checked_sub(WIDTH - 1) {
            let four = [text[at], text[at + 1], text[at + 2], b'\n'];
            if self.has(hash(four)) {
                self.compare(text, at, hash(four), out);
            }
        }
    }

    /// Whether some text has four bytes with this hash.
    #[inline]
    fn has(&self, hash: u32) -> bool {
        self.bitmap[hash as usize / 64] >> (hash % 64) & 1 != 0
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
