//! Tells whether a media file is whole, by its structure. Pure: walks over a reader.
//!
//! Every size in a file is a claim of whoever wrote it: it is compared with the file, never allocated, and each
//! loop has a bound. What cannot be told is [`State::Unknown`], never guessed.

mod ebml;
pub mod facts;
mod flac;
mod frames;
mod gzip;
mod image;
mod mp4;
mod ogg;
mod riff;
mod samples;
mod source;
mod zip;

use std::io::{Read, Seek};

use serde::Serialize;

use crate::vocab::Evidence;
use source::Source;

/// The format of a file, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// ISO base media: mp4, mov, m4a, heic.
    Mp4,
    /// Matroska and WebM.
    Mkv,
    /// ZIP and what is built on it.
    Zip,
    /// gzip.
    Gzip,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// FLAC.
    Flac,
    /// RIFF and RF64: avi, wav, webp.
    Riff,
    /// MP3 or another MPEG audio stream.
    Mp3,
    /// AAC as a stream (ADTS).
    Aac,
    /// An MPEG transport stream.
    Ts,
    /// Ogg: Vorbis, Opus (Telegram's voice messages), Theora.
    Ogg,
    /// GIF.
    Gif,
    /// PDF.
    Pdf,
    /// A web page or XML.
    Html,
    /// JSON.
    Json,
    /// A kind of media or archive that is known, but not walked.
    Other,
    /// No byte at all.
    Empty,
    /// None of these.
    Unknown,
}

/// What the structure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything that should be there is.
    Sound,
    /// It ends before it should.
    Short,
    /// It is damaged, or not what its name says.
    Broken,
    /// It cannot be told by structure.
    Unknown,
}

impl State {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Short => "short",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// A verdict on one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What it is.
    pub kind: Kind,
    /// Whether it is whole.
    pub state: State,
    /// One sentence: what shows it.
    pub detail: String,
    /// Offsets and sizes in bytes, counts.
    pub evidence: Evidence,
}

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Structure only; reads little of a large file.
    Cheap,
    /// Also decodes archives and compares every checksum there is.
    Deep,
}

/// What a walker found.
struct Found {
    state: State,
    detail: String,
    evidence: Evidence,
}

impl Found {
    fn new(state: State, detail: impl Into<String>) -> Self {
        Self { state, detail: detail.into(), evidence: Evidence::new() }
    }

    fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.evidence.insert(name.to_owned(), value.into());
        self
    }
}

/// Extensions that promise media. Which kind of them a file really is proves nothing: players look at the first bytes, and
/// many a camera and site names an MP4 `.avi` or a JPEG `.heic`.
const MEDIA: [&str; 36] = [
    "mp4", "m4v", "m4a", "mov", "3gp", "heic", "avif", "mkv", "webm", "mka", "mk3d", "jpg", "jpeg", "png", "webp",
    "flac", "avi", "wav", "ogg", "oga", "opus", "gif", "mp3", "ts", "m2ts", "mts", "aac", "heif", "ogv", "ogx", "m4b",
    "mp2", "f4v", "qt", "3g2", "apng",
];
/// Extensions of media whose first bytes are one of the kinds that we know, of whatever writer.
const MARKED: [&str; 27] = [
    "mp4", "m4v", "m4a", "mov", "3gp", "heic", "avif", "mkv", "webm", "mka", "mk3d", "jpg", "jpeg", "png", "webp",
    "flac", "avi", "wav", "ogg", "oga", "opus", "gif", "heif", "ogv", "m4b", "3g2", "apng",
];
/// Extensions that promise an archive or a document, with the kinds they may turn out to be.
const PROMISES: [(&[&str], Kind); 3] = [
    (&["zip", "cbz", "epub", "docx", "xlsx", "apk", "jar"], Kind::Zip),
    (&["gz", "tgz"], Kind::Gzip),
    (&["pdf"], Kind::Pdf),
];
/// Archives that are not walked: neither emptiness nor a web page is right.
const ARCHIVES: [&str; 3] = ["rar", "7z", "tar"];
/// First bytes of other media and archives: what has one of these is what it is, whatever its name.
const OTHERS: [&[u8]; 26] = [
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"\0\0\x01",
    b"\0\0\0\x01",
    b".RMF",
    b"FORM",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
    b"8BPS",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\xfd7zXZ\0",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
    b"MThd",
    b"\x0b\x77",
    b"\xd0\xcf\x11\xe0",
    b"riff\x2e\x91\xcf\x11",
    b"\x7f\xfe\x80\x01",
    b"wvpk",
];

/// Judges the file in `reader`, `len` bytes long; `name` is only used for its extension.
pub fn check<R: Read + Seek>(reader: &mut R, len: u64, name: &str) -> Verdict {
    check_with(reader, len, name, Depth::Cheap, &mut || true)
}

/// Like [`check`], as deep as asked; `go_on` is called often and stops the look by saying `false`.
pub fn check_with<R: Read + Seek>(
    reader: &mut R,
    len: u64,
    name: &str,
    depth: Depth,
    go_on: &mut dyn FnMut() -> bool,
) -> Verdict {
    let extension = name.rsplit_once('.').map(|(_, last)| last.to_ascii_lowercase()).unwrap_or_default();
    let mut source = Source::new(reader, len, depth == Depth::Deep, go_on);
    let mut kind = Kind::Unknown;
    let found = sniff(&mut source, &extension).and_then(|seen| {
        kind = seen;
        judge(&mut source, seen, &extension)
    });
    let mut found = found
        .unwrap_or_else(|error| Found::new(State::Unknown, format!("it could not be looked at to the end: {error}")));
    found.evidence.insert("size".into(), len.into());
    Verdict { kind, state: found.state, detail: found.detail, evidence: found.evidence }
}

/// Whether a file of this name holds media or an archive, and nothing in it is text.
fn promises(extension: &str) -> bool {
    MEDIA.contains(&extension) || ARCHIVES.contains(&extension) || promised(extension).is_some()
}

fn promised(extension: &str) -> Option<Kind> {
    PROMISES.iter().find(|(names, _)| names.contains(&extension)).map(|(_, kind)| *kind)
}

fn judge(source: &mut Source<'_>, kind: Kind, extension: &str) -> std::io::Result<Found> {
    let media = promises(extension);
    if kind == Kind::Empty {
        let state = if media { State::Broken } else { State::Unknown };
        return Ok(Found::new(state, "it is empty"));
    }
    if media && matches!(kind, Kind::Html | Kind::Json) {
        let what = if kind == Kind::Html { "a web page" } else { "a JSON answer" };
        return Ok(Found::new(State::Broken, format!("it is {what} saved as .{extension}")));
    }
    let foreign = match promised(extension) {
        Some(wanted) => kind != wanted && kind == Kind::Unknown,
        None => kind == Kind::Unknown && MARKED.contains(&extension),
    };
    if foreign {
        return Ok(Found::new(State::Broken, format!("it does not begin as a .{extension} file does")));
    }
    match kind {
        Kind::Mp4 => mp4::walk(source),
        Kind::Mkv => ebml::walk(source),
        Kind::Zip => zip::walk(source),
        Kind::Gzip => gzip::walk(source),
        Kind::Jpeg => image::jpeg(source),
        Kind::Png => image::png(source),
        Kind::Riff => riff::walk(source),
        Kind::Flac => flac::walk(source),
        Kind::Pdf => image::pdf(source),
        Kind::Mp3 => frames::mp3(source),
        Kind::Aac => frames::aac(source),
        Kind::Ts => frames::ts(source),
        Kind::Ogg => ogg::ogg(source),
        Kind::Gif => image::gif(source),
        Kind::Html | Kind::Json | Kind::Other | Kind::Empty | Kind::Unknown => {
            Ok(Found::new(State::Unknown, "nothing in this kind of file tells whether it is whole"))
        }
    }
}

/// The kind by the first bytes; where only the name tells them apart, by the name.
fn sniff(source: &mut Source<'_>, extension: &str) -> std::io::Result<Kind> {
    let mut head = [0u8; 512];
    let got = source.read_at(0, &mut head)?;
    let head = &head[..got];
    if source.len() == 0 || got == 0 {
        return Ok(Kind::Empty);
    }
    let kind = match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Kind::Mkv,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Kind::Zip,
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0xff, 0xd8, 0xff, ..] => Kind::Jpeg,
        [0x89, b'P', b'N', b'G', ..] => Kind::Png,
        [b'f', b'L', b'a', b'C', ..] => Kind::Flac,
        [b'R', b'I', b'F', b'F', ..] => Kind::Riff,
        [b'R', b'F' | b'I', b'6' | b'F', b'4' | b'X', ..] | [b'B', b'W', b'6', b'4', ..] => {
            if head.starts_with(b"RIFX") { Kind::Other } else { Kind::Riff }
        }
        [b'I', b'D', b'3', ..] => tagged(source)?,
        [b'%', b'P', b'D', b'F', ..] => Kind::Pdf,
        [b'O', b'g', b'g', b'S', ..] => Kind::Ogg,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Kind::Gif,
        [_, _, _, _, name @ ..] if mp4::begins(name) => Kind::Mp4,
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Kind::Aac,
        // A text in UTF-16 begins with ff fe, which no layer of MPEG has.
        [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 6 != 0 => Kind::Mp3,
        head if frames::packets(head).is_some() => Kind::Ts,
        head if OTHERS.iter().any(|mark| head.starts_with(mark)) => Kind::Other,
        // Tar has its mark within its first head.
        head if head.get(257..262) == Some(b"ustar") => Kind::Other,
        // Readers of PDF look for its mark behind anything; a program may stand before an archive.
        head if extension == "pdf" && head.windows(5).any(|five| five == b"%PDF-") => Kind::Pdf,
        head if promised(extension) == Some(Kind::Zip) && zip::ends(source)? && text(head, extension) != Kind::Html => {
            Kind::Zip
        }
        _ => text(head, extension),
    };
    Ok(kind)
}

/// What stands behind an ID3v2 tag.
fn tagged(source: &mut Source<'_>) -> std::io::Result<Kind> {
    let Some(at) = frames::behind_tag(source)? else { return Ok(Kind::Mp3) };
    Ok(match source.bytes::<2>(at)? {
        Some([0xff, second]) if second & 0xf6 == 0xf0 => Kind::Aac,
        _ => Kind::Mp3,
    })
}

/// A page or an answer saved in place of the file begins with one of these.
fn text(head: &[u8], extension: &str) -> Kind {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |word: &[u8]| head.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    if starts(b"<!doctype") || starts(b"<html") || starts(b"<?xml") || starts(b"<head") || starts(b"<body") {
        return Kind::Html;
    }
    let readable = std::str::from_utf8(head).is_ok() || head.len() == 512;
    if readable && matches!(head, [b'{', next, ..] if next.is_ascii_whitespace() || *next == b'"')
        || extension == "json"
    {
        return Kind::Json;
    }
    Kind::Unknown
}

#[cfg(test)]
mod tests;
