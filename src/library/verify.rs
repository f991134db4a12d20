//! Says what looks at a file together mean. Pure.
//!
//! Only proof calls a file short or broken: its structure ends too early, its content is not what was recorded though nobody
//! wrote to it, or a decoder fails on what its structure says is whole. The rest is changed or unknown, and nothing is done.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::IDS_MAX;
use crate::ledger::library::{Checked, Integrity, Stamp};
use crate::media::{Kind, State, Verdict};
use crate::vocab::{Id, clean_line, shorten};

/// Characters of what ffmpeg says that are kept.
const SAID_MAX: usize = 300;

/// How thoroughly files are looked at. Each level has those before it in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = IntegrityLevel)]
#[schemars(inline)]
pub enum Level {
    /// Whether its parts are there, as far as little reading tells.
    #[default]
    Structure,
    /// Whether its content is what was recorded, and every checksum in it right. Reads all of it.
    Checksum,
    /// Whether ffmpeg can decode all of it.
    Decode,
}

impl Level {
    /// Every level.
    pub const ALL: &'static [Self] = &[Self::Structure, Self::Checksum, Self::Decode];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Checksum => "checksum",
            Self::Decode => "decode",
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|level| level.as_str() == word);
        found.ok_or_else(|| "expected one of structure, checksum, decode".to_owned())
    }
}

/// Which files are to be verified, and how thoroughly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VerifyOrder)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// How thoroughly.
    pub level: Level,
    /// These files; without any: all.
    #[schema(max_items = 1000)]
    pub ids: Vec<String>,
    /// Only files of this root.
    pub root: Option<String>,
    /// Only files that an earlier check found short, broken or changed.
    pub only_reported: bool,
    /// Nobody waits for it: all other work goes first.
    pub gently: bool,
}

impl Verify {
    /// Whether it stays within the limits.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.ids.len() <= IDS_MAX && self.ids.iter().all(|id| Id::parse(id).is_some())
    }
}

/// What a file's content is, beside what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It was not looked at.
    Unread,
    /// Nothing was recorded before.
    New,
    /// The same.
    Same,
    /// Another.
    Other,
}

/// What became of decoding a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All of it.
    Whole,
    /// ffmpeg fails on it.
    Fails(String),
    /// It was not tried, or what went wrong proves nothing.
    Untold(String),
}

/// Everything that was seen of one file.
pub(super) struct Seen<'a> {
    pub(super) structure: &'a Verdict,
    pub(super) content: Content,
    pub(super) decoded: Option<Decoded>,
    /// An earlier look found its content changed, and nobody wrote to it since.
    pub(super) changed: bool,
    /// Who it was when its content was recorded.
    pub(super) known: Stamp,
    /// Who it is.
    pub(super) is: Stamp,
    /// Somebody may be writing to it still: what looks bad may become well.
    pub(super) fresh: bool,
}

/// What all of it means, in a sentence.
pub(super) fn conclude(seen: &Seen<'_>) -> (Integrity, String) {
    let (verdict, reason) = judge(seen);
    if seen.fresh && verdict != Integrity::Sound {
        return (Integrity::Unknown, format!("it is being written, or was just now: {reason}"));
    }
    (verdict, reason)
}

fn judge(seen: &Seen<'_>) -> (Integrity, String) {
    let Verdict { state, detail, .. } = seen.structure;
    match state {
        State::Short => return (Integrity::Short, detail.clone()),
        State::Broken => return (Integrity::Broken, detail.clone()),
        State::Sound | State::Unknown => {}
    }
    if let Some(Decoded::Fails(why)) = &seen.decoded {
        return if proves(seen.structure) {
            (Integrity::Broken, format!("ffmpeg cannot decode it: {why}"))
        } else {
            (Integrity::Unknown, format!("ffmpeg stumbles over it, which proves nothing here: {why}"))
        };
    }
    if seen.content == Content::Other {
        if seen.changed {
            return (Integrity::Changed, "its content is not what was recorded, as an earlier look found".into());
        }
        return match (seen.known == seen.is, seen.known.size == seen.is.size && seen.known.mtime_ns == seen.is.mtime_ns)
        {
            // The date of a change cannot be set back: nobody wrote to it, so the disk did not keep it.
            (true, _) => (Integrity::Broken, "its content is not what was recorded, and nobody wrote to it".into()),
            (false, true) => {
                let why = "its content is not what was recorded; size and date are, but somebody touched it";
                (Integrity::Changed, why.into())
            }
            (false, false) => (Integrity::Changed, "somebody wrote to it since it was recorded".into()),
        };
    }
    let note = match &seen.decoded {
        Some(Decoded::Whole) => "; ffmpeg decodes all of it".to_owned(),
        Some(Decoded::Untold(why)) => format!("; not decoded: {why}"),
        Some(Decoded::Fails(_)) | None => String::new(),
    };
    let content = if seen.content == Content::Same { "; its content is what was recorded" } else { "" };
    let verdict = if *state == State::Sound { Integrity::Sound } else { Integrity::Unknown };
    (verdict, format!("{detail}{content}{note}"))
}

/// Whether an earlier verdict stands: nobody wrote to the file since, and this look, which found nothing, looked less thoroughly.
pub(super) fn stands(before: &Checked, same: bool, level: Level, verdict: Integrity) -> bool {
    let found = matches!(before.verdict, Integrity::Short | Integrity::Broken | Integrity::Changed);
    let deeper = before.level.as_deref().and_then(|word| word.parse().ok()).is_some_and(|before: Level| before > level);
    same && found && deeper && matches!(verdict, Integrity::Sound | Integrity::Unknown)
}

/// Whether a decoder that fails on such a file proves damage. Streams of frames may hold anything between them, and what stands
/// behind the end confuses ffmpeg, not players.
pub(super) fn proves(structure: &Verdict) -> bool {
    let extra = ["trailing_bytes", "trailing_zero_bytes"];
    structure.state == State::Sound
        && !matches!(structure.kind, Kind::Mp3 | Kind::Aac | Kind::Ts)
        && !extra.iter().any(|name| structure.evidence.contains_key(*name))
}

/// ffmpeg says these of files that are whole: what it cannot do, or may not.
const ITS_OWN: [&str; 17] = [
    "not found",
    "unsupported",
    "not supported",
    "not implemented",
    "implement",
    "does not contain any stream",
    "matches no streams",
    "whitelist",
    "permission",
    "not permitted",
    "too many open",
    "memory",
    "alloc",
    "get_buffer",
    "encrypt",
    "option",
    "logmedic:",
];

/// Words of ffmpeg that speak of damage, also when it goes on.
const DAMAGE: [&str; 16] = [
    "invalid as first byte",
    "invalid data",
    "ended prematurely",
    "error dc",
    "error y",
    "error count",
    "overread",
    "lzw decode failed",
    "crc mismatch",
    "unknown obu",
    "invalid block label",
    "without all image",
    "invalid nal",
    "error while decoding",
    "corrupt",
    "truncat",
];

/// What ffmpeg's end and words mean. Its exit code alone proves nothing: it is 0 for many a damaged file, but then it talks.
pub(super) fn said(success: bool, text: &str) -> Decoded {
    // What the sink says is about dates, not about the file.
    let of_the_file =
        |line: &&str| !line.trim().is_empty() && !line.starts_with("[null @") && !line.starts_with("[out#");
    let lines: Vec<&str> = text.lines().filter(of_the_file).collect();
    let has = |line: &str, words: &[&str]| {
        let line = line.to_ascii_lowercase();
        words.iter().any(|word| line.contains(word))
    };
    let shown = |line: &str| shorten(&clean_line(line.trim_start_matches("file:/dev/fd/0: ")), SAID_MAX).into_owned();
    if success {
        return lines.iter().find(|line| has(line, &DAMAGE)).map_or(Decoded::Whole, |line| Decoded::Fails(shown(line)));
    }
    if let Some(line) = lines.iter().find(|line| has(line, &ITS_OWN)) {
        return Decoded::Untold(shown(line));
    }
    match lines.first() {
        Some(line) => Decoded::Fails(shown(line)),
        None => Decoded::Untold("ffmpeg gave up without a word".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Evidence;

    fn verdict(kind: Kind, state: State) -> Verdict {
        Verdict { kind, state, detail: "as it is".into(), evidence: Evidence::new() }
    }

    fn stamp(mtime_ns: i64, ctime_ns: i64) -> Stamp {
        Stamp { dev: 1, ino: 2, size: 3, mtime_ns, ctime_ns }
    }

    fn judged(structure: &Verdict, content: Content, decoded: Option<Decoded>, is: Stamp, fresh: bool) -> Integrity {
        conclude(&Seen { structure, content, decoded, changed: false, known: stamp(5, 6), is, fresh }).0
    }

    #[test]
    fn c7_a_look_that_sees_less_does_not_overrule_one_that_saw_more() {
        let before =
            |verdict, level: Level| Checked { verdict, reason: None, level: Some(level.as_str().into()), at: Some(1) };
        let (broken, sound) = (before(Integrity::Broken, Level::Decode), before(Integrity::Sound, Level::Decode));
        assert!(stands(&broken, true, Level::Structure, Integrity::Sound));
        assert!(!stands(&broken, false, Level::Structure, Integrity::Sound), "somebody wrote to it");
        assert!(!stands(&broken, true, Level::Decode, Integrity::Sound), "it was looked at as thoroughly");
        assert!(!stands(&broken, true, Level::Structure, Integrity::Short), "something new was found");
        assert!(!stands(&sound, true, Level::Structure, Integrity::Unknown));
        assert!(!stands(&Checked::default(), true, Level::Structure, Integrity::Sound));
        // A look at all files found the content changed: that is no proof later either.
        let structure = verdict(Kind::Mp4, State::Sound);
        let (known, is) = (stamp(5, 6), stamp(5, 6));
        let seen = Seen {
            structure: &structure,
            content: Content::Other,
            decoded: None,
            changed: true,
            known,
            is,
            fresh: false,
        };
        assert_eq!(conclude(&seen).0, Integrity::Changed);
    }

    #[test]
    fn c7_only_proof_calls_a_file_bad() {
        let (same, moved, touched) = (stamp(5, 6), stamp(7, 8), stamp(5, 9));
        let sound = verdict(Kind::Mp4, State::Sound);
        let fails = || Some(Decoded::Fails("no".into()));
        let cases = [
            (judged(&sound, Content::Unread, None, same, false), Integrity::Sound),
            (judged(&sound, Content::Same, None, same, false), Integrity::Sound),
            (judged(&sound, Content::Other, None, same, false), Integrity::Broken),
            (judged(&sound, Content::Other, None, moved, false), Integrity::Changed),
            (judged(&sound, Content::Other, None, touched, false), Integrity::Changed),
            (judged(&sound, Content::Other, None, same, true), Integrity::Unknown),
            (judged(&sound, Content::New, fails(), same, false), Integrity::Broken),
            (judged(&sound, Content::New, Some(Decoded::Untold("no ffmpeg".into())), same, false), Integrity::Sound),
            (judged(&verdict(Kind::Mp3, State::Sound), Content::New, fails(), same, false), Integrity::Unknown),
            (judged(&verdict(Kind::Mp4, State::Unknown), Content::New, fails(), same, false), Integrity::Unknown),
            (judged(&verdict(Kind::Mp4, State::Short), Content::Same, None, same, false), Integrity::Short),
            (judged(&verdict(Kind::Mp4, State::Short), Content::Unread, None, same, true), Integrity::Unknown),
        ];
        for (number, (is, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(is, wanted, "{number}");
        }
        let mut tagged = sound;
        tagged.evidence.insert("trailing_bytes".into(), 9.into());
        assert_eq!(judged(&tagged, Content::New, fails(), same, false), Integrity::Unknown);
    }

    #[test]
    fn c7_what_ffmpeg_cannot_do_is_no_damage() {
        for (success, text, fails) in [
            (true, "", false),
            (true, "[null @ 0x1] Application provided invalid, non monotonically increasing dts to muxer\n", false),
            (true, "[h264 @ 0x1] mmco: unref short failure\n", false),
            (true, "[matroska,webm @ 0x1] 0x00 at pos 99 (0x63) invalid as first byte of an EBML number\n", true),
            (
                false,
                "[h264 @ 0x1] error while decoding MB 3 4\nfile:/dev/fd/0: corrupt decoded frame in stream 0\n",
                true,
            ),
            (false, "Decoder (codec none) not found for input stream #0:0\n", false),
            (false, "[hevc @ 0x1] get_buffer() failed\nError: Cannot allocate memory\n", false),
            (false, "", false),
        ] {
            assert_eq!(matches!(said(success, text), Decoded::Fails(_)), fails, "{text}");
        }
    }
}
