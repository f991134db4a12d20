//! A12: `logmedic verify` on media made by ffmpeg, whole and cut.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Name and ffmpeg's arguments. Those marked are live recordings: no total size, so a cut between two of their
/// pieces is no damage that structure could show.
const KINDS: [(&str, &[&str], bool); 12] = [
    ("last.mp4", &["-c:v", "mpeg4"], false),
    ("first.mp4", &["-c:v", "mpeg4", "-movflags", "+faststart"], false),
    ("fragments.mp4", &["-c:v", "mpeg4", "-movflags", "+frag_keyframe+empty_moov"], true),
    ("a.mov", &["-c:v", "mpeg4"], false),
    ("a.mkv", &["-c:v", "mpeg4"], false),
    ("live.mkv", &["-c:v", "mpeg4", "-live", "1"], true),
    ("a.avi", &["-c:v", "mpeg4"], false),
    ("a.jpg", &["-frames:v", "1"], false),
    ("a.png", &["-frames:v", "1"], false),
    ("a.gif", &[], false),
    ("a.flac", &[], false),
    ("a.ogg", &[], false),
];

fn make(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let source = if name.ends_with("flac") || name.ends_with("ogg") {
        "sine=frequency=440:duration=2"
    } else {
        "testsrc=size=320x240:rate=10:duration=2"
    };
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source])
        .args(args)
        .arg(&path)
        .status()
        .expect("this test needs ffmpeg: apt-get install ffmpeg");
    assert!(status.success(), "{name}");
    path
}

fn verdict(file: &Path, deep: bool) -> (u8, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmedic"));
    command.args(["verify", "--json"]).args(deep.then_some("--deep")).arg(file);
    let done = command.output().unwrap();
    let code = u8::try_from(done.status.code().unwrap()).unwrap();
    (code, serde_json::from_slice(&done.stdout).unwrap())
}

#[test]
fn a12_verify_tells_whole_from_cut_for_real_media() {
    let dir = tempfile::tempdir().unwrap();
    for (name, args, live) in KINDS {
        let file = make(dir.path(), name, args);
        for deep in [false, true] {
            let (code, said) = verdict(&file, deep);
            assert_eq!((code, &said["verdict"]), (0, &json!("sound")), "{name} deep={deep}: {said}");
        }
        let whole = std::fs::read(&file).unwrap();
        for share in [10, 60, 95] {
            let cut = dir.path().join(format!("cut-{name}"));
            std::fs::write(&cut, &whole[..whole.len() * share / 100]).unwrap();
            let (code, said) = verdict(&cut, false);
            let bad = said["verdict"] == "short" || said["verdict"] == "broken";
            assert!(live || (code == 1 && bad), "{name} cut to {share} %: {said}");
        }
    }
}

#[test]
fn a12_verify_deep_finds_damage_that_structure_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    for (name, args, _) in KINDS.iter().filter(|(name, ..)| ["first.mp4", "a.mkv"].contains(name)) {
        let file = make(dir.path(), name, args);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 3000].fill(0);
        std::fs::write(&file, bytes).unwrap();
        let (code, said) = verdict(&file, true);
        assert_eq!((code, &said["verdict"]), (1, &json!("broken")), "{said}");
    }
    let page = dir.path().join("page.mp4");
    std::fs::write(&page, "<!DOCTYPE html>").unwrap();
    assert_eq!(verdict(&page, false).1["verdict"], "broken");
    assert_eq!(verdict(&dir.path().join("none.mp4"), false).0, 1);
}
