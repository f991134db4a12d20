//! Makes files with ffmpeg and damages them: sound ones are never called bad, and it is written down what each level finds.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use logmedic::media::{Depth, State, check_with};
use serde_json::Value;

/// A name and ffmpeg's arguments, for two seconds of picture and sound.
type Kind = (&'static str, &'static [&'static str]);

/// In the table, and decoded.
const KINDS: [Kind; 22] = [
    ("last.mp4", &["-c:v", "libx264", "-c:a", "aac"]),
    ("first.mp4", &["-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart"]),
    ("fragments.mp4", &["-c:v", "libx264", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
    ("cmaf.mp4", &["-c:v", "libx264", "-an", "-movflags", "cmaf"]),
    ("a.mov", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]),
    ("a.mkv", &["-c:v", "libx264", "-c:a", "aac"]),
    ("live.mkv", &["-c:v", "libx264", "-c:a", "aac", "-live", "1"]),
    ("a.webm", &["-c:v", "libvpx", "-c:a", "libopus"]),
    ("a.avi", &["-c:v", "mpeg4", "-c:a", "libmp3lame"]),
    ("a.ts", &["-c:v", "libx264", "-c:a", "aac"]),
    ("a.jpg", &["-frames:v", "1", "-an"]),
    ("a.png", &["-frames:v", "1", "-an"]),
    ("apng.png", &["-t", "0.5", "-an", "-f", "apng"]),
    ("a.gif", &["-t", "0.5", "-an"]),
    ("a.webp", &["-frames:v", "1", "-an"]),
    ("a.flac", &["-vn"]),
    ("xing.mp3", &["-vn", "-c:a", "libmp3lame"]),
    ("plain.mp3", &["-vn", "-c:a", "libmp3lame", "-write_xing", "0", "-write_id3v1", "1"]),
    ("a.aac", &["-vn", "-c:a", "aac"]),
    ("a.ogg", &["-vn", "-c:a", "libvorbis"]),
    ("a.opus", &["-vn", "-c:a", "libopus"]),
    ("a.wav", &["-vn"]),
];

/// More writers and settings, for the one question whether a sound file is called bad.
const SOUND: [Kind; 24] = [
    ("sidx.mp4", &["-c:v", "libx264", "-movflags", "+frag_keyframe+empty_moov+default_base_moof+global_sidx"]),
    ("every.mp4", &["-c:v", "libx264", "-movflags", "+dash+frag_every_frame"]),
    ("hint.mp4", &["-c:v", "libx264", "-movflags", "+rtphint"]),
    ("b.mp4", &["-c:v", "libx264", "-bf", "3", "-movflags", "+negative_cts_offsets"]),
    ("open.mp4", &["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=12:bframes=3"]),
    ("hevc.mp4", &["-c:v", "libx265", "-x265-params", "log-level=error", "-t", "1"]),
    ("vp9.mp4", &["-c:v", "libvpx-vp9", "-t", "1"]),
    ("vfr.mp4", &["-c:v", "libx264", "-vf", "select='not(mod(n,3))'", "-vsync", "vfr"]),
    ("mjpeg.mov", &["-c:v", "mjpeg"]),
    ("prores.mov", &["-c:v", "prores", "-t", "1"]),
    ("time.mov", &["-c:v", "mpeg4", "-timecode", "00:00:00:00"]),
    ("alac.m4a", &["-vn", "-c:a", "alac"]),
    ("ism.mp4", &["-c:v", "libx264", "-f", "ismv"]),
    ("cues.mkv", &["-c:v", "libx264", "-cues_to_front", "1"]),
    ("nocrc.mkv", &["-c:v", "libx264", "-write_crc32", "0"]),
    ("reserve.mkv", &["-c:v", "libx264", "-reserve_index_space", "10000"]),
    ("small.mkv", &["-c:v", "libx264", "-cluster_time_limit", "100"]),
    ("opus.mka", &["-vn", "-c:a", "libopus"]),
    ("raw.avi", &["-c:v", "rawvideo", "-t", "0.5"]),
    ("rf64.wav", &["-vn", "-rf64", "always"]),
    ("m2ts.m2ts", &["-c:v", "libx264", "-mpegts_m2ts_mode", "1", "-f", "mpegts"]),
    ("mono.mp3", &["-vn", "-c:a", "libmp3lame", "-ar", "22050", "-ac", "1"]),
    ("theora.ogv", &["-c:v", "libtheora", "-c:a", "libvorbis"]),
    ("flac.oga", &["-vn", "-c:a", "flac", "-f", "ogg"]),
];

/// Written to a pipe, where a writer cannot go back.
const PIPED: [(&str, &str, &[&str]); 6] = [
    ("pipe.mp4", "mp4", &["-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"]),
    ("pipe.mkv", "matroska", &["-c:v", "libx264"]),
    ("pipe.webm", "webm", &["-c:v", "libvpx", "-c:a", "libopus"]),
    ("pipe.flac", "flac", &["-vn"]),
    ("pipe.ogg", "ogg", &["-vn", "-c:a", "libvorbis"]),
    ("pipe.wav", "wav", &["-vn"]),
];

fn ffmpeg(args: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=2"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]);
    // A command line writes audio into pictures otherwise.
    command.args(["-fflags", "+bitexact", "-map_metadata", "-1"]).args(args);
    command
}

/// Makes one with ffmpeg.
pub fn make(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let status = ffmpeg(args).arg(&path).status().expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(status.success(), "{name}");
    path
}

fn structure(bytes: &[u8], name: &str, depth: Depth) -> State {
    check_with(&mut Cursor::new(bytes), bytes.len() as u64, name, depth, &mut || true).state
}

/// What `logmedic verify --deep` says of each of these.
fn decoded(files: &[PathBuf]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmedic"));
    let output = command.args(["verify", "--deep", "--json"]).args(files).output().unwrap();
    let said: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), files.len(), "{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What may happen to a file, and how often it is tried.
fn damage(what: &str, whole: &[u8]) -> Vec<Vec<u8>> {
    let len = whole.len();
    let places = |count: usize| (0..count).map(move |n| len * (2 * n + 1) / (2 * count));
    match what {
        "cut" => places(24).map(|at| whole[..at].to_vec()).collect(),
        // As a download leaves it that had its room from the beginning.
        "end missing, zeros in its place" => places(6)
            .map(|at| {
                let mut bytes = whole.to_vec();
                bytes[at..].fill(0);
                bytes
            })
            .collect(),
        "hole of 5 %" => places(8)
            .map(|at| {
                let mut bytes = whole.to_vec();
                bytes[at..(at + len / 20 + 16).min(len)].fill(0);
                bytes
            })
            .collect(),
        "one bit" => places(12)
            .map(|at| {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 0x10;
                bytes
            })
            .collect(),
        "a web page in its place" => vec![b"<!DOCTYPE html><html><head><title>404</title>".to_vec()],
        "empty" => vec![Vec::new()],
        "something behind its end" => [&b"\n"[..], b"a note of somebody, in words", &[0; 4096], &[0xa7; 999]]
            .iter()
            .map(|junk| [whole, *junk].concat())
            .collect(),
        _ => unreachable!("{what}"),
    }
}

const DAMAGES: [&str; 7] = [
    "cut",
    "end missing, zeros in its place",
    "hole of 5 %",
    "one bit",
    "a web page in its place",
    "empty",
    "something behind its end",
];

/// How many of each damage ffmpeg is asked about: every one takes it some hundredths of a second.
const ASKED: usize = 3;

fn is_bad(state: State) -> bool {
    matches!(state, State::Short | State::Broken)
}

#[test]
fn c7_no_sound_file_is_called_bad_by_any_level() {
    let dir = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = KINDS.iter().chain(&SOUND).map(|(name, args)| make(dir.path(), name, args)).collect();
    for (name, format, args) in PIPED {
        let path = dir.path().join(name);
        let output = ffmpeg(args).args(["-f", format, "pipe:1"]).output().unwrap();
        assert!(output.status.success(), "{name}");
        fs::write(&path, output.stdout).unwrap();
        files.push(path);
    }
    // A film that does not begin with a whole picture, and one in two pieces.
    let open = dir.path().join("open.mp4");
    let later = dir.path().join("later.mp4");
    let copied = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-ss", "0.7", "-i"])
        .arg(&open)
        .args(["-c", "copy"])
        .arg(&later)
        .status();
    assert!(copied.unwrap().success());
    files.push(later);
    let twice = dir.path().join("twice.ts");
    let piece = fs::read(dir.path().join("a.ts")).unwrap();
    fs::write(&twice, piece.repeat(2)).unwrap();
    files.push(twice);
    for said in decoded(&files) {
        assert!(["sound", "unknown"].contains(&said["verdict"].as_str().unwrap()), "{said}");
    }
    for file in &files {
        let (bytes, name) = (fs::read(file).unwrap(), file.file_name().unwrap().to_str().unwrap());
        for depth in [Depth::Cheap, Depth::Deep] {
            let state = structure(&bytes, name, depth);
            let untold = ["pipe.wav"].contains(&name);
            assert_eq!(state, if untold { State::Unknown } else { State::Sound }, "{name} {depth:?}");
        }
    }
}

#[test]
fn c7_what_each_level_finds() {
    let dir = tempfile::tempdir().unwrap();
    let shown = &DAMAGES[..4];
    let mut table = format!("| file | {} |\n|---|{}\n", shown.join(" | "), "---|".repeat(shown.len()));
    for (name, args) in KINDS {
        let whole = fs::read(make(dir.path(), name, args)).unwrap();
        write!(table, "| {name} |").unwrap();
        for what in DAMAGES {
            let damaged = damage(what, &whole);
            let found = |depth| damaged.iter().filter(|bytes| is_bad(structure(bytes, name, depth))).count();
            let (cheap, deep) = (found(Depth::Cheap), found(Depth::Deep));
            let step = damaged.len().div_ceil(ASKED);
            let asked: Vec<PathBuf> = damaged
                .iter()
                .step_by(step)
                .enumerate()
                .map(|(number, bytes)| {
                    let path = dir.path().join(format!("{number}-{name}"));
                    fs::write(&path, bytes).unwrap();
                    path
                })
                .collect();
            let said = decoded(&asked);
            let bad = said.iter().filter(|one| one["verdict"] == "short" || one["verdict"] == "broken").count();
            let all = damaged.len();
            match what {
                "a web page in its place" | "empty" => assert_eq!((cheap, bad), (1, 1), "{name}: {what}"),
                "something behind its end" => {
                    assert_eq!((cheap, deep, bad), (0, 0, 0), "{name}: {what}: {said:?}");
                }
                // Streams are made to be cut; the rest says how long it is.
                "cut" if !["a.ts", "plain.mp3", "a.aac", "xing.mp3"].contains(&name) => {
                    assert_eq!(cheap, all, "{name}: {what}");
                }
                "one bit" if ["a.png", "apng.png", "a.ogg", "a.opus"].contains(&name) => {
                    assert_eq!(cheap, all, "{name}: {what}");
                }
                "one bit" if name.ends_with(".mkv") => assert!(deep * 10 >= all * 9, "{name}: {what}: {deep}"),
                _ => {}
            }
            assert!(deep >= cheap, "{name}: {what}");
            let word = |found: usize, all: usize| match found {
                0 => "–".to_owned(),
                found if found == all => "all".to_owned(),
                found => format!("{found}⁄{all}"),
            };
            if shown.contains(&what) {
                let cell = [word(cheap, all), word(deep, all), word(bad, asked.len())];
                write!(table, " {} |", cell.join(" / ")).unwrap();
            }
        }
        table.push('\n');
    }
    // Written anew on demand: other versions of ffmpeg write other files.
    if let Some(path) = std::env::var_os("LOGMEDIC_INTEGRITY_TABLE") {
        fs::write(path, &table).unwrap();
    }
    let document = fs::read_to_string("docs/INTEGRITY.md").unwrap();
    for (name, _) in KINDS {
        assert!(document.contains(&format!("| {name} |")), "docs/INTEGRITY.md does not tell of {name}");
    }
}
