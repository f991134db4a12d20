//! Puts the named pieces of a rule file's `[fragments]` into patterns. Pure.
//!
//! ```text
//! quoted = '''"[^"\n]*"|'[^'\n]*''''        cannot open {quoted}: denied
//!                                        →  cannot open (?:"[^"\n]*"|'[^'\n]*'): denied
//! ```
//!
//! Nothing that a pattern could mean is taken away: a count (`{3,5}`) begins with a digit, and braces in a class, behind
//! a backslash or of `\p{…}`, `\x{…}`, `\u{…}`, `\b{start}` stay what they are. `build.rs` has this file, too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The longest pattern, in bytes, with its fragments put in. Longer ones are several rules.
pub const MAX_PATTERN: usize = 4096;

/// The most fragments in one file: each is kept with those that it uses put in.
const MAX_FRAGMENTS: usize = 256;

/// How long one file's patterns that use fragments may become together, in bytes: three bytes that stand for four
/// thousand, forty thousand times, must not take the machine along. The generic pack's have an eighth of it.
const MAX_EXPANDED: usize = 1 << 20;

/// What `\b{…}` may say itself; no fragment is called so.
const BOUNDARIES: [&str; 4] = ["start", "end", "start-half", "end-half"];

/// The fragments of one file.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// With those that they use put in; `None`: there is something wrong with it.
    pieces: BTreeMap<String, Option<String>>,
    /// How long the patterns that use them became so far.
    expanded: usize,
}

/// Why a fragment is none, or cannot be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// No name, or one that a regex means something by.
    Name,
    /// There are too many.
    Many,
    /// A group, a class or an escape in it is open at its end, or closed before its start.
    Cut,
    /// It uses what is not defined before it.
    Unknown(String),
    /// It uses one that has something wrong with it.
    Broken(String),
    /// It has more than [`MAX_PATTERN`] bytes with what it uses put in.
    Long,
    /// The file's patterns became too long together.
    Full,
}

impl Fragments {
    /// Takes one more; it may use those taken before it.
    ///
    /// # Errors
    /// When there is something wrong with it: then whatever uses it is wrong, too.
    pub(super) fn define(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        if self.pieces.len() >= MAX_FRAGMENTS {
            return Err(Wrong::Many);
        }
        let named = name_at(format!("{{{name}}}").as_bytes()) == Some(name.len() + 2) && !BOUNDARIES.contains(&name);
        let read = Uses::of(text);
        let (piece, wrong) = match (named, read.whole) {
            (false, _) => (None, Err(Wrong::Name)),
            (true, false) => (None, Err(Wrong::Cut)),
            (true, true) => match self.put_in(text, &read) {
                Ok(piece) => (Some(piece), Ok(())),
                Err(wrong) => (None, Err(wrong)),
            },
        };
        self.pieces.insert(name.to_owned(), piece);
        wrong
    }

    /// The pattern with its fragments put in.
    ///
    /// # Errors
    /// When it uses one that is not there, or becomes too long.
    pub(super) fn expand<'t>(&mut self, pattern: &'t str) -> Result<Cow<'t, str>, Wrong> {
        let read = Uses::of(pattern);
        if read.places.is_empty() {
            return Ok(Cow::Borrowed(pattern));
        }
        let expanded = self.put_in(pattern, &read)?;
        self.expanded += expanded.len();
        if self.expanded > MAX_EXPANDED { Err(Wrong::Full) } else { Ok(Cow::Owned(expanded)) }
    }

    /// The names taken so far.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.keys().map(String::as_str)
    }

    fn put_in(&self, text: &str, read: &Uses) -> Result<String, Wrong> {
        // A piece reads the same wherever it stands: its blanks count.
        let open = if read.verbose { "(?-x:" } else { "(?:" };
        let (mut result, mut end) = (String::with_capacity(text.len()), 0);
        for place in &read.places {
            let name = &text[place.start + 1..place.end - 1];
            let piece = match self.pieces.get(name) {
                Some(Some(piece)) => piece,
                Some(None) => return Err(Wrong::Broken(name.to_owned())),
                None => return Err(Wrong::Unknown(name.to_owned())),
            };
            for part in [&text[end..place.start], open, piece, ")"] {
                result.push_str(part);
            }
            end = place.end;
            if result.len() > MAX_PATTERN {
                return Err(Wrong::Long);
            }
        }
        result.push_str(&text[end..]);
        if result.len() > MAX_PATTERN { Err(Wrong::Long) } else { Ok(result) }
    }
}

/// Where a pattern uses fragments.
#[derive(Default)]
struct Uses {
    /// Each `{name}`.
    places: Vec<Range<usize>>,
    /// Whether its groups, classes and escapes are all closed in it.
    whole: bool,
    /// Whether it sets the flag `x` somewhere, which takes blanks and `# …` out of patterns.
    verbose: bool,
}

impl Uses {
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut uses = Self { whole: true, ..Self::default() };
        let (mut at, mut groups, mut classes) = (0, 0_usize, 0_usize);
        while let Some(byte) = bytes.get(at) {
            let rest = &bytes[at..];
            at += match byte {
                b'\\' => escape(rest),
                b'[' => {
                    classes += 1;
                    // The first `]` in a class is a member.
                    let not = usize::from(rest.get(1) == Some(&b'^'));
                    1 + not + usize::from(rest.get(1 + not) == Some(&b']'))
                }
                b']' if classes > 0 => {
                    classes -= 1;
                    1
                }
                _ if classes > 0 => 1,
                b'(' => {
                    groups += 1;
                    uses.verbose |= rest.get(1) == Some(&b'?')
                        && rest[2..].iter().take_while(|flag| flag.is_ascii_alphabetic()).any(|flag| *flag == b'x');
                    1
                }
                b')' => {
                    uses.whole &= groups > 0;
                    groups = groups.saturating_sub(1);
                    1
                }
                b'#' if uses.verbose => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
                b'{' => match name_at(rest) {
                    Some(length) => {
                        uses.places.push(at..at + length);
                        length
                    }
                    None => 1,
                },
                _ => 1,
            };
        }
        uses.whole &= groups == 0 && classes == 0 && at == bytes.len();
        uses
    }
}

/// How long the `{name}` is that the text begins with.
fn name_at(text: &[u8]) -> Option<usize> {
    let name = text.strip_prefix(b"{")?;
    let plain = |byte: &&u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b'_';
    let length = name.iter().take_while(plain).count();
    (name.first()?.is_ascii_lowercase() && name.get(length) == Some(&b'}')).then_some(length + 2)
}

/// How long the escape is that the text begins with; the braces of `\p{Greek}` are part of it.
fn escape(text: &[u8]) -> usize {
    let braces = text.get(2) == Some(&b'{');
    let inner = |end: usize| text.get(3..end).unwrap_or_default();
    match (text.get(1), memchr::memchr(b'}', text)) {
        (Some(b'p' | b'P' | b'x' | b'u' | b'U'), Some(end)) if braces => end + 1,
        (Some(b'b'), Some(end)) if braces && BOUNDARIES.iter().any(|name| name.as_bytes() == inner(end)) => end + 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragments(pieces: &[(&str, &str)]) -> Fragments {
        let mut fragments = Fragments::default();
        pieces.iter().for_each(|(name, text)| fragments.define(name, text).unwrap());
        fragments
    }

    #[test]
    fn a_fragment_is_put_in_as_a_whole_wherever_a_regex_could_mean_nothing_else() {
        let mut known = fragments(&[("a", "x|y"), ("both", "{a}-{a}"), ("greek", "z"), ("path", "(?P<path>/{a})")]);
        for (pattern, want) in [
            ("{a}", "(?:x|y)"),
            ("^{both}+$", "^(?:(?:x|y)-(?:x|y))+$"),
            (r"\d{3,5}{a}{2}", r"\d{3,5}(?:x|y){2}"),
            ("to {path}", "to (?:(?P<path>/(?:x|y)))"),
            (r"\{a}[{a}][^]{a}][a[{a}]]", r"\{a}[{a}][^]{a}][a[{a}]]"),
            (r"\p{greek}\u{a}\x{a}\b{start}\\{a}", r"\p{greek}\u{a}\x{a}\b{start}\\(?:x|y)"),
            (r"\b{a}\d{a}[]]{a}(?i:{a})", r"\b(?:x|y)\d(?:x|y)[]](?:x|y)(?i:(?:x|y))"),
            ("{A}{0}{a-b}{a", "{A}{0}{a-b}{a"),
            ("(?x) {a} # {a} (\n{a}", "(?x) (?-x:x|y) # {a} (\n(?-x:x|y)"),
        ] {
            assert_eq!(known.expand(pattern).unwrap(), want);
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_whatever_uses_it_is_wrong_too() {
        let mut known = fragments(&[("a", "x")]);
        for name in ["", "A", "a-b", "1a", "start", "end", "a}"] {
            assert_eq!(known.define(name, "x"), Err(Wrong::Name), "{name}");
        }
        for cut in ["(", ")(", "[a", r"a\", "a)|(b"] {
            assert_eq!(known.define("cut", cut), Err(Wrong::Cut), "{cut}");
        }
        assert_eq!(known.define("self", "{self}"), Err(Wrong::Unknown("self".into())));
        assert_eq!(known.expand("{none}"), Err(Wrong::Unknown("none".into())));
        assert_eq!(known.expand("{a}{self}"), Err(Wrong::Broken("self".into())));
        let many = (0..MAX_FRAGMENTS + 1).map(|number| known.define(&format!("a{number}"), "x")).last();
        assert_eq!(many, Some(Err(Wrong::Many)));
    }

    #[test]
    fn what_doubles_itself_stays_small() {
        let mut known = fragments(&[("a0", "xx")]);
        let grown: Vec<_> =
            (1..64).map(|n| known.define(&format!("a{n}"), &format!("{{a{0}}}{{a{0}}}", n - 1))).collect();
        assert!(grown.contains(&Err(Wrong::Long)), "{grown:?}");
        assert!(known.pieces.values().flatten().all(|piece| piece.len() <= MAX_PATTERN));
        let total: usize = (0..10_000).filter_map(|_| Some(known.expand("{a7}{a7}").ok()?.len())).sum();
        assert!(total > MAX_EXPANDED / 2 && total <= MAX_EXPANDED, "{total}");
    }

    proptest! {
        #[test]
        fn whatever_is_written_expands_within_bounds_and_leaves_no_use(
            pieces in prop::collection::vec(r"(\{[a-e]\}|[\\\[\](){}^#?x:|a-e \n]){0,40}", 0..5),
            pattern in r"(\{[a-e]\}|[\\\[\](){}^#?x:|a-e \n]){0,60}",
        ) {
            let mut known = Fragments::default();
            for (name, text) in ["a", "b", "c", "d", "e"].iter().zip(&pieces) {
                let _ = known.define(name, text);
            }
            if let Ok(expanded) = known.expand(&pattern) {
                prop_assert!(expanded.len() <= MAX_PATTERN.max(pattern.len()));
                if !Uses::of(&pattern).verbose && pieces.iter().all(|piece| !Uses::of(piece).verbose) {
                    prop_assert!(Uses::of(&expanded).places.is_empty(), "{expanded}");
                    prop_assert_eq!(Uses::of(&expanded).whole, Uses::of(&pattern).whole);
                }
            }
        }
    }
}
