//! Chooses by which four bytes each text is found, and which texts are told apart only by comparing. Pure.
//!
//! A bucket takes every text that has some text's first byte, some text's second byte and so on: texts that share a
//! bucket make false finds of each other's bytes. What that costs is counted on a page of healthy log, and by how
//! frequent bytes are, because a log has identifiers that no page has. One text after the other goes where it
//! costs least, by whichever four of its bytes.

use super::healthy::{fours, frequency, window_share};
use super::literal::Literal;

/// How many bytes of a text are looked at.
pub(super) const WIDTH: usize = 4;

/// How many groups of texts are told apart.
pub(super) const BUCKETS: usize = 16;

/// What each bucket may have at each position.
pub(super) type Buckets = Vec<[[bool; 256]; WIDTH]>;

/// Where a text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: u8,
    /// Where in the text the four bytes stand by which it is found.
    pub(super) offset: u8,
}

/// What it costs to find four bytes of a text on the page, beside that a place is found. Chosen among 0, 0.3, 1, 3 and 5 by the
/// places found in the logs of two benches, the one of `benches/throughput.py` among them.
const COMPARED: f64 = 0.3;

/// The parts of a byte, for a way that looks at each for itself: its lowest four bits, and four that share a bit with them. So the
/// parts of two bytes seldom make a third one, and less is taken for what it is not. The highest bit is not seen.
pub(super) fn parts(byte: u8) -> [u8; 2] {
    [byte & 15, byte >> 3 & 15]
}

/// Finds places for these texts, the most frequent first; what is `known` stays where it is. `sees_parts`: a way that sees only
/// [`parts`] of bytes. `tried` windows of each text, the rarest, are tried in every bucket.
pub(super) fn places(texts: &[Literal], known: &[Option<Place>], sees_parts: bool, tried: usize) -> Vec<Place> {
    let mut places: Vec<Place> = known.iter().map(|place| place.unwrap_or_default()).collect();
    let windows = |text: &Literal| {
        // A text of three bytes is followed by any.
        let all = 0..=text.len().saturating_sub(WIDTH);
        let mut windows: Vec<(f64, usize)> = all.map(|at| (window_share(text, at, WIDTH), at)).collect();
        windows.sort_by(|a, b| a.0.total_cmp(&b.0));
        windows.truncate(tried.max(1));
        windows
    };
    let new = (0..texts.len()).filter(|&number| known[number].is_none());
    let mut order: Vec<(Vec<(f64, usize)>, usize)> = new.map(|number| (windows(&texts[number]), number)).collect();
    if order.is_empty() {
        return places;
    }
    order.sort_by(|a, b| b.0[0].0.total_cmp(&a.0[0].0).then_with(|| texts[a.1].cmp(&texts[b.1])));
    let healthy = Healthy::new(sees_parts);
    let taken = taken(texts.iter().zip(known).filter_map(|(text, place)| Some((text, (*place)?))));
    let mut buckets: Vec<Bucket> = taken.iter().map(|slots| Bucket::new(*slots, &healthy)).collect();
    for (windows, number) in order {
        let (at, window, bucket) = cheapest(&texts[number], &windows, &mut buckets, &healthy);
        buckets[bucket].add(&window, &healthy);
        places[number] = Place { bucket: bucket as u8, offset: at as u8 };
    }
    places
}

/// The buckets with these texts in their places.
pub(super) fn buckets(texts: &[Literal], places: &[Place]) -> Buckets {
    let bytes = |slot: Slot| {
        let mut has = [false; 256];
        slot.all().for_each(|byte| has[usize::from(byte)] = true);
        has
    };
    taken(texts.iter().zip(places.iter().copied())).into_iter().map(|slots| slots.map(bytes)).collect()
}

/// What may stand in each bucket when these texts are in it.
fn taken<'a>(texts: impl Iterator<Item = (&'a Literal, Place)>) -> [Window; BUCKETS] {
    let mut taken = [[Slot::default(); WIDTH]; BUCKETS];
    for (text, Place { bucket, offset }) in texts {
        for (position, slot) in taken[usize::from(bucket) % BUCKETS].iter_mut().enumerate() {
            *slot = slot.with(&Slot::of(text, usize::from(offset) + position));
        }
    }
    taken
}

/// The four bytes and the bucket that together make the fewest new false finds.
fn cheapest(
    text: &Literal,
    windows: &[(f64, usize)],
    buckets: &mut [Bucket],
    healthy: &Healthy,
) -> (usize, Window, usize) {
    let slots: Vec<Slot> = (0..text.len().max(WIDTH)).map(|at| Slot::of(text, at)).collect();
    let mut options: Vec<(f64, usize, usize)> = Vec::with_capacity(slots.len() * buckets.len());
    for &(share, at) in windows {
        let window = &slots[at..at + WIDTH];
        let cost = |bucket: &mut Bucket| bucket.grown(window, healthy) + COMPARED * share;
        options.extend(buckets.iter_mut().map(cost).zip(0..).map(|(cost, number)| (cost, at, number)));
    }
    // What is cheap by the frequency of bytes is looked at first: little else is then looked at closely.
    let first = (0..options.len()).min_by(|&a, &b| options[a].0.total_cmp(&options[b].0)).unwrap_or(0);
    options.swap(0, first);
    let mut best = (f64::INFINITY, 0, 0);
    let mut more: Option<(usize, Vec<u64>)> = None;
    for (grown, at, number) in options {
        if grown >= best.0 {
            continue;
        }
        if more.as_ref().is_none_or(|(of, _)| *of != at) {
            more = Some((at, healthy.with(&slots[at..at + WIDTH])));
        }
        let more = more.as_ref().map_or(&[][..], |(_, sets)| sets);
        let cost = grown + buckets[number].crossed(more, best.0 - grown);
        if cost < best.0 {
            best = (cost, at, number);
        }
    }
    let (_, at, number) = best;
    (at, std::array::from_fn(|i| slots[at + i]), number)
}

/// What may stand at four positions.
type Window = [Slot; WIDTH];

/// The bytes that may stand at a position: all of them, and what a way sees of them that looks at their parts.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    bytes: [u64; 4],
    parts: [u16; 2],
    /// Which byte of a text this is: one, or (from 256 on) one in both cases.
    letter: Option<u16>,
}

/// How many letters there are.
const LETTERS: usize = 2 * 256;

impl Slot {
    const ANY: Self = Self { bytes: [u64::MAX; 4], parts: [u16::MAX; 2], letter: None };

    /// The bytes that may stand at this place of the text; behind its end, any.
    fn of(text: &Literal, at: usize) -> Self {
        if at >= text.len() {
            return Self::ANY;
        }
        let (a, b) = text.choices(at);
        let letter = Some(u16::from(a) + 256 * u16::from(a != b));
        let mut slot = Self { letter, ..Self::default() };
        for byte in [a, b] {
            slot.bytes[usize::from(byte / 64)] |= 1 << (byte % 64);
            slot.parts.iter_mut().zip(parts(byte)).for_each(|(set, part)| *set |= 1 << part);
        }
        slot
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            bytes: std::array::from_fn(|i| self.bytes[i] | other.bytes[i]),
            parts: std::array::from_fn(|i| self.parts[i] | other.parts[i]),
            letter: None,
        }
    }

    fn all(&self) -> impl Iterator<Item = u8> {
        self.bytes.iter().zip(0..).flat_map(|(bits, word)| ones(*bits).map(move |at| word * 64 + at as u8))
    }
}

/// The places of the ones.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        (bits != 0).then(|| {
            bits &= bits - 1;
            at
        })
    })
}

/// How many sets of four bytes there are for each bucket: two for each position, so that parts have one each.
const SETS: usize = 2 * WIDTH;

/// How many words of these sets are looked at together.
const AT_ONCE: usize = 8;

/// What stands in a healthy log.
struct Healthy {
    /// Whether the way sees a byte's parts apart.
    parts: bool,
    /// The share of a log's bytes that have this second part and one of these first parts (those of its half).
    shares: Vec<[f64; 256]>,
    /// Position, part, its value → which of the healthy four bytes have it there.
    with: Vec<u64>,
    /// How many words a set of four bytes takes.
    words: usize,
}

impl Healthy {
    fn new(sees_parts: bool) -> Self {
        let words = fours().len().div_ceil(64).next_multiple_of(AT_ONCE);
        let mut healthy =
            Self { parts: sees_parts, shares: vec![[0.0; 256]; 16], with: vec![0; SETS * 256 * words], words };
        for (number, (four, _)) in fours().iter().enumerate() {
            for (position, byte) in four.iter().enumerate() {
                // Digits are all alike: the page has one date, logs have others.
                let alike = if byte.is_ascii_digit() { b'0'..=b'9' } else { *byte..=*byte };
                for byte in alike {
                    for (part, value) in healthy.seen(byte).into_iter().enumerate() {
                        let from = healthy.set(position, part, value);
                        healthy.with[from + number / 64] |= 1 << (number % 64);
                    }
                }
            }
        }
        for byte in 0..=u8::MAX {
            let [first, second] = parts(byte);
            for set in (0..256).filter(|set| set >> (first & 7) & 1 != 0) {
                healthy.shares[usize::from(second)][set] += frequency(byte);
            }
        }
        healthy
    }

    /// What is seen of a byte: two parts, or all of it and nothing else.
    fn seen(&self, byte: u8) -> [u8; 2] {
        if self.parts { parts(byte) } else { [byte, 0] }
    }

    /// Where a set begins.
    fn set(&self, position: usize, part: usize, value: u8) -> usize {
        ((2 * position + part) * 256 + usize::from(value)) * self.words
    }

    /// Which of the healthy four bytes have at each position what may stand there: a set for each position and part.
    fn with(&self, window: &[Slot]) -> Vec<u64> {
        let mut sets = vec![0; SETS * self.words];
        for (position, slot) in window.iter().enumerate() {
            if slot.bytes == Slot::ANY.bytes {
                sets[2 * position * self.words..][..2 * self.words].fill(u64::MAX);
                continue;
            }
            for byte in slot.all() {
                for (part, value) in self.seen(byte).into_iter().enumerate() {
                    let to = &mut sets[(2 * position + part) * self.words..][..self.words];
                    let from = &self.with[self.set(position, part, value)..][..self.words];
                    to.iter_mut().zip(from).for_each(|(bits, more)| *bits |= more);
                }
            }
        }
        sets
    }

    /// The share of a log's bytes that the way takes for one of these; `share` is that of `slot` without `more`.
    fn grown(&self, slot: &Slot, share: f64, more: &Slot) -> f64 {
        if self.parts {
            let [first, second] = std::array::from_fn(|i| slot.parts[i] | more.parts[i]);
            if [first, second] == slot.parts {
                return share;
            }
            // The lowest bit of the second part is the highest of the first.
            let row = |second: usize| self.shares[second][usize::from(first >> (8 * (second & 1)) & 255)];
            return ones(second.into()).map(row).sum();
        }
        let new = |word: usize| ones(more.bytes[word] & !slot.bytes[word]).map(move |at| word * 64 + at);
        share + (0..4).flat_map(new).map(|byte| frequency(byte as u8)).sum::<f64>()
    }
}

/// Texts that are told apart only by comparing.
struct Bucket {
    slots: Window,
    /// The share of a log's bytes that it has at each position.
    shares: [f64; WIDTH],
    /// The same with one letter more, once it was asked for; not a number before. Thousands of texts share few letters.
    with: [Box<[f64; LETTERS]>; WIDTH],
    /// Which of the healthy four bytes it has, for each position and part; at all of them: false finds.
    sets: Vec<u64>,
}

impl Bucket {
    /// A bucket that has this.
    fn new(slots: Window, healthy: &Healthy) -> Self {
        Self {
            slots,
            shares: slots.map(|slot| healthy.grown(&Slot::default(), 0.0, &slot)),
            with: std::array::from_fn(|_| Box::new([f64::NAN; LETTERS])),
            sets: healthy.with(&slots),
        }
    }

    /// How many more false finds this makes with a window in it, by the frequency of bytes.
    fn grown(&mut self, window: &[Slot], healthy: &Healthy) -> f64 {
        let mut product = 1.0;
        for (position, more) in window.iter().enumerate() {
            let asked = || healthy.grown(&self.slots[position], self.shares[position], more);
            product *= match more.letter.map(|letter| &mut self.with[position][usize::from(letter)]) {
                Some(known) if known.is_nan() => {
                    *known = asked();
                    *known
                }
                Some(known) => *known,
                None => asked(),
            };
        }
        product - self.shares.iter().product::<f64>()
    }

    /// How many more on the healthy page, for a window with these sets; no exact answer is needed above `most`.
    fn crossed(&self, more: &[u64], most: f64) -> f64 {
        let words = more.len() / SETS;
        let mut crossed = 0.0;
        for from in (0..words).step_by(AT_ONCE) {
            let (mut before, mut after) = ([u64::MAX; AT_ONCE], [u64::MAX; AT_ONCE]);
            for set in 0..SETS {
                let here = set * words + from..set * words + from + AT_ONCE;
                for (i, (has, more)) in self.sets[here.clone()].iter().zip(&more[here]).enumerate() {
                    before[i] &= has;
                    after[i] &= has | more;
                }
            }
            for (i, (before, after)) in before.into_iter().zip(after).enumerate() {
                crossed += ones(after & !before).map(|at| fours()[(from + i) * 64 + at].1).sum::<f64>();
            }
            if crossed > most {
                break;
            }
        }
        crossed
    }

    fn add(&mut self, window: &Window, healthy: &Healthy) {
        for (position, more) in window.iter().enumerate() {
            let slot = &mut self.slots[position];
            let with = slot.with(more);
            if (with.bytes, with.parts) != (slot.bytes, slot.parts) {
                self.shares[position] = healthy.grown(slot, self.shares[position], more);
                *slot = with;
                self.with[position].fill(f64::NAN);
            }
        }
        self.sets.iter_mut().zip(healthy.with(window)).for_each(|(bits, more)| *bits |= more);
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Way;
    use super::*;

    #[test]
    fn a_healthy_log_is_rarely_taken_for_a_text() {
        let words =
            ["connection timed out", "permission denied", "no space left", "no such file", "moov atom", "ENOENT"];
        let mut texts: Vec<Literal> = words.iter().map(|word| Literal::any_case(word.as_bytes())).collect();
        texts.extend(super::super::event::error_texts());
        let log = include_bytes!("healthy.txt");
        for way in Way::all() {
            let places = places(&texts, &vec![None; texts.len()], way.sees_parts(), 8);
            let buckets = buckets(&texts, &places);
            for (text, place) in texts.iter().zip(places) {
                let offset = usize::from(place.offset);
                let stands = |bucket: &[[bool; 256]; WIDTH]| {
                    (0..WIDTH.min(text.len())).all(|i| bucket[i][usize::from(text.bytes()[offset + i])])
                };
                assert!(buckets.iter().any(stands), "{text:?} is in no bucket");
            }
            let seen = |byte: u8| if way.sees_parts() { parts(byte) } else { [byte, 0] };
            let taken = |has: &[bool; 256], byte: u8| {
                (0..2).all(|part| (0..=u8::MAX).any(|b| has[usize::from(b)] && seen(b)[part] == seen(byte)[part]))
            };
            let found =
                log.windows(WIDTH).filter(|four| buckets.iter().any(|b| (0..WIDTH).all(|i| taken(&b[i], four[i]))));
            let found = found.count();
            assert!(found * 50 < log.len(), "{way:?} finds {found} of {}", log.len());
        }
    }
}
