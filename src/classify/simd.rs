//! Finds places where four bytes may begin one of many texts: the same by AVX-512, by AVX2 and byte by byte. Pure.
//!
//! Each text is in one of 16 buckets by four neighbouring bytes of it. For each of the four, a table says per
//! byte which buckets have it there; a place counts when some bucket has all four. Vector code looks up 32 or 64
//! places at once: with `vpermi2b` by the low seven bits of a byte, with `pshufb` by two parts of four bits. Both may find
//! more than [`Tables::portable`]; who asks looks at every place again ([`super::scan`]), so that nothing comes of it.
//!
//! This is the only unsafe code of the room: unaligned loads, and calls of functions for a processor's extensions
//! after asking whether it has them. `tests` here holds every way against the portable one, byte for byte.
#![allow(unsafe_code)]

use super::groups::{BUCKETS, Buckets, WIDTH, parts};

/// How many bytes are searched at once: they and what was found in them stay in the nearest cache.
pub(super) const BLOCK: usize = 4 * 1024;

/// So many places of a word are noted without asking whether there are as many: most words have fewer.
const UNASKED: usize = 4;

/// Where in a block a text may begin, in order.
pub(super) struct Places {
    at: Box<[u16]>,
    count: usize,
}

impl Places {
    /// Room for a text of this length, and no more: most are a line, which comes so seldom that the rest would have to be fetched from
    /// the memory first.
    pub(super) fn for_text(length: usize) -> Self {
        Self { at: vec![0; length.min(BLOCK) + 64].into(), count: 0 }
    }

    /// Keeps the places of which `is` says so, without a branch that the processor would guess wrong; gives what is left.
    #[inline]
    pub(super) fn keep(&mut self, is: impl Fn(usize) -> bool) -> &[u16] {
        let mut kept = 0;
        for number in 0..self.count {
            let at = self.at[number];
            self.at[kept] = at;
            kept += usize::from(is(usize::from(at)));
        }
        self.count = kept;
        &self.at[..kept]
    }

    /// Drops the places from this one on.
    fn cut(&mut self, end: usize) {
        let kept = self.at[..self.count].partition_point(|at| usize::from(*at) < end);
        self.count = kept;
    }

    /// Adds the places of a word of a block: a bit for each of the 64 from `from` on.
    // Always, so that it is compiled for the extensions of who calls it.
    #[inline(always)]
    fn note(&mut self, from: usize, mut word: u64) {
        if word == 0 {
            return;
        }
        let count = word.count_ones() as usize;
        let slots = &mut self.at[self.count..self.count + 64];
        for slot in &mut slots[..UNASKED] {
            *slot = from as u16 + word.trailing_zeros() as u16;
            word &= word.wrapping_sub(1);
        }
        for slot in slots[..count].iter_mut().skip(UNASKED) {
            *slot = from as u16 + word.trailing_zeros() as u16;
            word &= word.wrapping_sub(1);
        }
        self.count += count;
    }
}

/// Which code a processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Any processor.
    Portable,
    /// 32 places at once.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64 places at once.
    #[cfg(target_arch = "x86_64")]
    Vbmi,
}

impl Way {
    /// Whether it looks at each part of a byte for itself, and so takes more bytes for those of a bucket.
    pub(super) fn sees_parts(self) -> bool {
        match self {
            Self::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Vbmi => false,
        }
    }

    /// All that this processor can do, the best one first.
    pub(super) fn all() -> Vec<Self> {
        let mut ways = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            // `--cfg without_avx512` measures the other code on a processor that has both.
            let whole = !cfg!(without_avx512);
            let counts = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt");
            if whole && counts && is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512bw") {
                ways.push(Self::Vbmi);
            }
            if counts && is_x86_feature_detected!("avx2") {
                ways.push(Self::Avx2);
            }
        }
        ways.push(Self::Portable);
        ways
    }
}

/// A table of 128 bytes for `vpermi2b`, or its halves; aligned as vectors like it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Plane([u8; 128]);

/// What to look for.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    way: Way,
    /// Position, byte → buckets.
    exact: Box<[[u16; 256]; WIDTH]>,
    /// Half of the buckets, position; by a byte's low seven bits.
    seven: Box<[[Plane; WIDTH]; 2]>,
    /// Half of the buckets, position; by the one part of a byte (first 16 bytes), by the other (next 16): [`parts`].
    nibbles: Box<[[Plane; WIDTH]; 2]>,
}

impl Tables {
    /// Tables for what each bucket, at most [`BUCKETS`], may have at each position.
    pub(super) fn new(buckets: &Buckets, way: Way) -> Self {
        let mut exact = Box::new([[0_u16; 256]; WIDTH]);
        let mut seven = Box::new([[Plane([0; 128]); WIDTH]; 2]);
        let mut nibbles = seven.clone();
        for (number, bucket) in buckets.iter().enumerate().take(BUCKETS) {
            let (half, bit) = (number / 8, 1_u8 << (number % 8));
            for (position, bytes) in bucket.iter().enumerate() {
                for (byte, _) in bytes.iter().enumerate().filter(|(_, has)| **has) {
                    exact[position][byte] |= 1 << number;
                    seven[half][position].0[byte & 0x7f] |= bit;
                    let [first, second] = parts(byte as u8).map(usize::from);
                    nibbles[half][position].0[first] |= bit;
                    nibbles[half][position].0[16 + second] |= bit;
                }
            }
        }
        Self { way, exact, seven, nibbles }
    }

    /// Tells where in the first [`BLOCK`] bytes of `text` a text may begin that has all its four bytes there; what was in
    /// `places` is gone. More than a block helps: the last places then have their four bytes.
    #[inline]
    pub(super) fn places(&self, text: &[u8], places: &mut Places) {
        let text = &text[..text.len().min(BLOCK + WIDTH - 1)];
        places.count = 0;
        if self.way == Way::Portable {
            return self.portable(text, places);
        }
        let count = text.len().saturating_sub(WIDTH - 1);
        let rest = count / 64 * 64;
        if rest > 0 {
            self.vectors(text, 0, places);
        }
        if rest < count {
            let mut padded = [0; 128];
            padded[..text.len() - rest].copy_from_slice(&text[rest..]);
            self.vectors(&padded, rest, places);
            places.cut(count);
        }
    }

    /// The words of 64 places that have all their bytes in the text, which begins at `base`.
    #[inline]
    fn vectors(&self, text: &[u8], base: usize, places: &mut Places) {
        match self.way {
            Way::Portable => {}
            // SAFETY: `Way::all` gave this way, so the processor has the extensions.
            #[cfg(target_arch = "x86_64")]
            Way::Avx2 => unsafe { self.avx2(text, base, places) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Way::Vbmi => unsafe { self.vbmi(text, base, places) },
        }
    }

    /// The same for all of the text, byte by byte.
    fn portable(&self, text: &[u8], places: &mut Places) {
        let count = text.len().saturating_sub(WIDTH - 1);
        for from in (0..count).step_by(64) {
            let windows = text[from..text.len().min(from + 64 + WIDTH - 1)].windows(WIDTH).enumerate();
            let word = windows.fold(0, |bits, (at, four)| {
                bits | u64::from(self.is_place([four[0], four[1], four[2], four[3]])) << at
            });
            places.note(from, word);
        }
    }

    /// Whether these bytes may begin a text.
    #[inline]
    pub(super) fn is_place(&self, bytes: [u8; WIDTH]) -> bool {
        let [first, second, third, fourth] = &*self.exact;
        let [a, b, c, d] = bytes.map(usize::from);
        first[a] & second[b] & third[c] & fourth[d] != 0
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
        _mm256_shuffle_epi8, _mm256_srli_epi16, _mm512_and_si512, _mm512_loadu_si512, _mm512_or_si512,
        _mm512_permutex2var_epi8, _mm512_test_epi8_mask,
    };

    use super::{BLOCK, Places, Plane, Tables, WIDTH};

    // Spelled out, not mapped over positions or halves: what takes a closure does not take part in the extensions of the
    // function around it, and is then called instead of inlined (a third of the time, without link-time optimisation).
    impl Tables {
        /// Fills the words that have all their bytes; the text begins at `base`.
        ///
        /// # Safety
        /// The processor has AVX-512 BW and VBMI, BMI1 and POPCNT.
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi1,popcnt")]
        pub(super) unsafe fn vbmi(&self, text: &[u8], base: usize, places: &mut Places) {
            let [[a, b, c, d], [e, f, g, h]] = &*self.seven;
            let (a, b, c, d) = (Seven::load(a), Seven::load(b), Seven::load(c), Seven::load(d));
            let (e, f, g, h) = (Seven::load(e), Seven::load(f), Seven::load(g), Seven::load(h));
            let full = (text.len().saturating_sub(WIDTH - 1) / 64).min(BLOCK / 64);
            for number in 0..full {
                // SAFETY: 64 bytes from the third behind this are inside the text: full * 64 + 3 <= its length.
                let (first, second, third, fourth) = unsafe {
                    let start = text.as_ptr().add(number * 64);
                    (
                        _mm512_loadu_si512(start.cast()),
                        _mm512_loadu_si512(start.add(1).cast()),
                        _mm512_loadu_si512(start.add(2).cast()),
                        _mm512_loadu_si512(start.add(3).cast()),
                    )
                };
                let low = _mm512_and_si512(
                    _mm512_and_si512(a.of(first), b.of(second)),
                    _mm512_and_si512(c.of(third), d.of(fourth)),
                );
                let high = _mm512_and_si512(
                    _mm512_and_si512(e.of(first), f.of(second)),
                    _mm512_and_si512(g.of(third), h.of(fourth)),
                );
                let any = _mm512_or_si512(low, high);
                places.note(base + number * 64, _mm512_test_epi8_mask(any, any));
            }
        }

        /// Fills the words that have all their bytes; the text begins at `base`.
        ///
        /// # Safety
        /// The processor has AVX2, BMI1 and POPCNT.
        #[target_feature(enable = "avx2,bmi1,popcnt")]
        pub(super) unsafe fn avx2(&self, text: &[u8], base: usize, places: &mut Places) {
            let [[a, b, c, d], [e, f, g, h]] = &*self.nibbles;
            let (a, b, c, d) = (Nibbles::load(a), Nibbles::load(b), Nibbles::load(c), Nibbles::load(d));
            let (e, f, g, h) = (Nibbles::load(e), Nibbles::load(f), Nibbles::load(g), Nibbles::load(h));
            let full = (text.len().saturating_sub(WIDTH - 1) / 64).min(BLOCK / 64);
            for number in 0..full {
                let (mut word, mut half) = (0, 0);
                while half < 64 {
                    // SAFETY: 32 bytes from the third behind this are inside the text: full * 64 + 3 <= its length.
                    let (first, second, third, fourth) = unsafe {
                        let start = text.as_ptr().add(number * 64 + half);
                        (
                            Parts::of(_mm256_loadu_si256(start.cast())),
                            Parts::of(_mm256_loadu_si256(start.add(1).cast())),
                            Parts::of(_mm256_loadu_si256(start.add(2).cast())),
                            Parts::of(_mm256_loadu_si256(start.add(3).cast())),
                        )
                    };
                    let low = _mm256_and_si256(
                        _mm256_and_si256(a.of(first), b.of(second)),
                        _mm256_and_si256(c.of(third), d.of(fourth)),
                    );
                    let high = _mm256_and_si256(
                        _mm256_and_si256(e.of(first), f.of(second)),
                        _mm256_and_si256(g.of(third), h.of(fourth)),
                    );
                    let none = _mm256_cmpeq_epi8(_mm256_or_si256(low, high), _mm256_setzero_si256());
                    word |= u64::from(!(_mm256_movemask_epi8(none) as u32)) << half;
                    half += 32;
                }
                places.note(base + number * 64, word);
            }
        }
    }

    /// A table by the low seven bits of a byte.
    #[derive(Clone, Copy)]
    struct Seven(__m512i, __m512i);

    impl Seven {
        #[inline]
        #[target_feature(enable = "avx512f")]
        fn load(plane: &Plane) -> Self {
            let start = plane.0.as_ptr();
            // SAFETY: a plane is 128 bytes long.
            unsafe { Self(_mm512_loadu_si512(start.cast()), _mm512_loadu_si512(start.add(64).cast())) }
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vbmi")]
        fn of(self, bytes: __m512i) -> __m512i {
            _mm512_permutex2var_epi8(self.0, bytes, self.1)
        }
    }

    /// A table by the one part of a byte, and one by the other.
    #[derive(Clone, Copy)]
    struct Nibbles(__m256i, __m256i);

    /// The parts of bytes, as [`parts`](super::parts) has them.
    #[derive(Clone, Copy)]
    struct Parts(__m256i, __m256i);

    impl Nibbles {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn load(plane: &Plane) -> Self {
            let start = plane.0.as_ptr();
            // SAFETY: the two tables are the first 32 of a plane's 128 bytes.
            let (low, high) = unsafe { (_mm_loadu_si128(start.cast()), _mm_loadu_si128(start.add(16).cast())) };
            Self(_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high))
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn of(self, bytes: Parts) -> __m256i {
            _mm256_and_si256(_mm256_shuffle_epi8(self.0, bytes.0), _mm256_shuffle_epi8(self.1, bytes.1))
        }
    }

    impl Parts {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn of(bytes: __m256i) -> Self {
            let nibble = _mm256_set1_epi8(15);
            Self(_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16::<3>(bytes), nibble))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_way_finds_what_the_portable_one_finds(
            words in prop::collection::vec((prop::array::uniform4(any::<u8>()), 0..BUCKETS), 1..40),
            text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(b' ')], 0..400),
            seed in any::<usize>(),
        ) {
            let mut buckets = vec![[[false; 256]; WIDTH]; BUCKETS];
            let mut text = text;
            for (word, bucket) in &words {
                for position in 0..WIDTH {
                    buckets[*bucket][position][usize::from(word[position])] = true;
                }
                if text.len() > WIDTH {
                    let at = seed % (text.len() - WIDTH);
                    text[at..at + WIDTH].copy_from_slice(word);
                }
            }
            let found = |way: Way| {
                let mut places = Places::for_text(text.len());
                Tables::new(&buckets, way).places(&text, &mut places);
                places.keep(|_| true).to_vec()
            };
            let want = found(Way::Portable);
            for way in Way::all() {
                // What it finds besides comes of the bits that it does not look at.
                let got = found(way);
                prop_assert!(got.is_sorted(), "{:?} is out of order", way);
                prop_assert!(want.iter().all(|at| got.binary_search(at).is_ok()), "{:?} misses some", way);
            }
        }
    }
}
