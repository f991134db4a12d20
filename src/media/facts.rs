//! Reads what is in a media file from its headers: how long, how large, how coded. Pure: bounded reads over a reader.
//!
//! Nothing here is trusted: a header says what its writer liked. What cannot be told is left out.

mod audio;
mod mkv;
mod mp4;
mod picture;

use std::io::{self, Read, Seek};

use super::source::Source;
use super::{Kind, sniff};

/// Values beyond these are claims, not facts: ten years, and more pixels than any codec has.
const DURATION_MAX_MS: u64 = 10 * 366 * 86_400_000;
const PIXELS_MAX: u32 = 1 << 17;

/// Names of codecs are cut after so many bytes.
const CODEC_MAX: usize = 32;

/// What a file is for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// It has moving pictures.
    Video,
    /// It has sound alone.
    Audio,
    /// A picture.
    Image,
    /// Something to read.
    Document,
    /// Holds other files.
    Archive,
    /// None of these, or nobody can tell.
    #[default]
    Other,
}

impl Sort {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Image => "image",
            Self::Document => "document",
            Self::Archive => "archive",
            Self::Other => "other",
        }
    }
}

/// What the headers of a file say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// What it is for people.
    pub sort: Sort,
    /// What it is for programs: `mp4`, `mkv`, `jpeg` …, `unknown`.
    pub format: &'static str,
    /// How long it plays, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// How its pictures are coded.
    pub video_codec: Option<String>,
    /// How its sound is coded.
    pub audio_codec: Option<String>,
}

impl Headers {
    fn pixels(&mut self, width: u32, height: u32) {
        let fine = |n: u32| (1..=PIXELS_MAX).contains(&n);
        if fine(width) && fine(height) {
            (self.width, self.height) = (Some(width), Some(height));
        }
    }

    /// A duration of `units` of which `per_second` make a second.
    fn duration(&mut self, units: u64, per_second: u64) {
        if per_second == 0 || units == 0 {
            return;
        }
        let ms = u128::from(units) * 1_000 / u128::from(per_second);
        self.duration_ms = u64::try_from(ms).ok().filter(|ms| *ms <= DURATION_MAX_MS);
    }
}

/// Reads the headers of the file in `reader`, `len` bytes long; `name` is only used for its extension.
pub fn headers<R: Read + Seek>(reader: &mut R, len: u64, name: &str) -> Headers {
    let extension = name.rsplit_once('.').map(|(_, last)| last.to_ascii_lowercase()).unwrap_or_default();
    let mut go_on = || true;
    let mut source = Source::new(reader, len, false, &mut go_on);
    let Ok(kind) = sniff(&mut source, &extension) else { return Headers { format: "unknown", ..Headers::default() } };
    let mut headers = Headers { sort: sort(kind), format: format(kind), ..Headers::default() };
    // What was read before a header ended too early is still right.
    let _ = read(&mut source, kind, &mut headers);
    headers
}

fn read(source: &mut Source<'_>, kind: Kind, headers: &mut Headers) -> io::Result<()> {
    match kind {
        Kind::Mp4 => mp4::read(source, headers),
        Kind::Mkv => mkv::read(source, headers),
        Kind::Jpeg => picture::jpeg(source, headers),
        Kind::Png => picture::png(source, headers),
        Kind::Gif => picture::gif(source, headers),
        Kind::Riff => riff(source, headers),
        Kind::Flac => audio::flac(source, headers),
        Kind::Ogg => audio::ogg(source, headers),
        Kind::Mp3 => audio::mp3(source, headers),
        Kind::Aac
        | Kind::Ts
        | Kind::Other
        | Kind::Zip
        | Kind::Gzip
        | Kind::Pdf
        | Kind::Html
        | Kind::Json
        | Kind::Empty
        | Kind::Unknown => Ok(()),
    }
}

fn riff(source: &mut Source<'_>, headers: &mut Headers) -> io::Result<()> {
    let Some(head) = source.bytes::<12>(0)? else { return Ok(()) };
    match &head[8..] {
        b"WEBP" => picture::webp(source, headers),
        b"WAVE" => audio::wav(source, headers),
        b"AVI " => picture::avi(source, headers),
        _ => Ok(()),
    }
}

const fn sort(kind: Kind) -> Sort {
    match kind {
        Kind::Mp4 | Kind::Mkv | Kind::Ts => Sort::Video,
        Kind::Mp3 | Kind::Aac | Kind::Flac | Kind::Ogg => Sort::Audio,
        Kind::Jpeg | Kind::Png | Kind::Gif => Sort::Image,
        Kind::Pdf | Kind::Html | Kind::Json => Sort::Document,
        Kind::Zip | Kind::Gzip => Sort::Archive,
        Kind::Riff | Kind::Empty | Kind::Other | Kind::Unknown => Sort::Other,
    }
}

const fn format(kind: Kind) -> &'static str {
    match kind {
        Kind::Mp4 => "mp4",
        Kind::Mkv => "mkv",
        Kind::Zip => "zip",
        Kind::Gzip => "gzip",
        Kind::Jpeg => "jpeg",
        Kind::Png => "png",
        Kind::Flac => "flac",
        Kind::Riff => "riff",
        Kind::Mp3 => "mp3",
        Kind::Aac => "aac",
        Kind::Ts => "ts",
        Kind::Ogg => "ogg",
        Kind::Gif => "gif",
        Kind::Pdf => "pdf",
        Kind::Html => "html",
        Kind::Json => "json",
        Kind::Empty => "empty",
        Kind::Other | Kind::Unknown => "unknown",
    }
}

/// A codec's name as far as it is printable.
fn codec(bytes: &[u8]) -> Option<String> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./".contains(b);
    let name: String = bytes.iter().take(CODEC_MAX).take_while(|b| plain(b)).map(|b| char::from(*b)).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8], name: &str) -> Headers {
        headers(&mut Cursor::new(bytes), bytes.len() as u64, name)
    }

    #[test]
    fn c5_small_headers_are_read() {
        let gif = of(b"GIF89a\x40\x01\xf0\x00\x00\x00\x00", "a.gif");
        assert_eq!((gif.width, gif.height, gif.sort), (Some(320), Some(240), Sort::Image));
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend([0, 0, 1, 64, 0, 0, 0, 240, 8, 2, 0, 0, 0]);
        assert_eq!((of(&png, "a.png").width, of(&png, "a.png").height), (Some(320), Some(240)));
        let mut wav = b"RIFF\x24\x20\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
        wav.extend(8_000u32.to_le_bytes());
        wav.extend(16_000u32.to_le_bytes());
        wav.extend(b"\x02\x00\x10\x00data");
        wav.extend(32_000u32.to_le_bytes());
        let wav = of(&wav, "a.wav");
        assert_eq!((wav.duration_ms, wav.sort), (Some(2_000), Sort::Audio));
        assert_eq!(wav.audio_codec.as_deref(), Some("pcm"));
    }

    #[test]
    fn h4_claims_are_no_facts_and_loops_end() {
        // A box that holds itself, sizes of zero, a picture of two billion pixels.
        let mut mp4 = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        for _ in 0..2_000 {
            mp4.extend(b"\0\0\0\x08moov\0\0\0\x08trak");
        }
        assert_eq!(of(&mp4, "a.mp4").format, "mp4");
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend([0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8, 2, 0, 0, 0]);
        assert_eq!(of(&png, "a.png").width, None);
        let mut headers = Headers::default();
        headers.duration(u64::MAX, 1);
        assert_eq!(headers.duration_ms, None);
    }

    #[test]
    fn h4_bytes_of_chance_behind_every_magic_do_no_harm() {
        let magics: [&[u8]; 9] = [
            b"\0\0\0\x18ftypmp42",
            b"\x1a\x45\xdf\xa3\x80",
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF\xff\xff\xff\xffWEBPVP8X",
            b"RIFF\xff\xff\xff\xffAVI LIST",
            b"fLaC",
            b"OggS",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for magic in magics {
            for round in 0..300 {
                let mut bytes = magic.to_vec();
                for _ in 0..round {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    bytes.extend(state.to_le_bytes());
                }
                of(&bytes, "a.bin");
            }
        }
    }
}
