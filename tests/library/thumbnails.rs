//! Pictures: not black, kept, made again, and reasons where there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::house::{Answer, BY_HAND, FILM, ask, call, ffmpeg, files, get, populate, ready, thumbnails};
use super::rig::{Night, until};

/// How bright a picture is, 0 to 255, and how many pixels it has.
fn brightness(jpeg: &Path) -> (f64, usize) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(jpeg)
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let sum: u64 = output.stdout.iter().map(|b| u64::from(*b)).sum();
    (sum as f64 / output.stdout.len() as f64, output.stdout.len())
}

fn picture(night: &Night, name: &str) -> Answer {
    let file = &files(night, &[])[name];
    let url = file["thumbnail"]["url"].as_str().unwrap_or_else(|| panic!("{file}"));
    let answer = get(night, url.trim_start_matches("/api/v1/"));
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer
}

fn reason(night: &Night, name: &str) -> String {
    let file = &files(night, &[])[name];
    assert_eq!(file["thumbnail"]["state"], "none", "{file}");
    let answer = get(night, &format!("library/{}/thumbnail", file["id"].as_str().unwrap()));
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (404, "no_thumbnail"));
    assert_eq!(answer.json()["detail"], file["thumbnail"]["reason"]);
    file["thumbnail"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn c6_a_film_that_begins_black_has_a_picture_that_is_not() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    // Black at 20 %, 50 % and 5 % of its length.
    ffmpeg(
        "-f lavfi -i color=black:s=320x240:r=10:d=6 -f lavfi -i testsrc=s=320x240:r=10:d=4 -filter_complex [0][1]concat -c:v libx264 -preset ultrafast -g 10",
        &root.join("late.mp4"),
    );
    ffmpeg(
        "-f lavfi -i testsrc=s=640x360:r=10:d=4 -c:v libx264 -preset ultrafast -movflags +faststart",
        &root.join("film.mp4"),
    );
    ffmpeg("-f lavfi -i testsrc=s=640x360:r=10:d=4 -c:v libvpx -b:v 500k", &root.join("clip.webm"));
    ffmpeg("-f lavfi -i testsrc=s=320x240:r=10:d=4 -c:v mpeg4", &root.join("old.avi"));
    ffmpeg("-f lavfi -i testsrc=s=640x360 -frames:v 1", &root.join("photo.jpg"));
    ffmpeg("-f lavfi -i testsrc=s=640x360 -frames:v 1", &root.join("photo.png"));
    ffmpeg("-f lavfi -i testsrc=s=640x360 -frames:v 1 -c:v libwebp", &root.join("photo.webp"));
    ffmpeg("-f lavfi -i testsrc=s=640x360:r=5:d=1", &root.join("moves.gif"));
    // Nobody else may read it: as root, ffmpeg becomes its owner for that.
    fs::set_permissions(root.join("film.mp4"), fs::Permissions::from_mode(0o600)).unwrap();
    let _agent = night.start_reading();
    populate(&night);
    assert_eq!(thumbnails(&night, &[]), "8 made, 0 kept, 0 files without a picture");
    for name in ["late.mp4", "film.mp4", "clip.webm", "old.avi", "photo.jpg", "photo.png", "photo.webp", "moves.gif"] {
        let answer = picture(&night, name);
        fs::write(night.path("seen.jpg"), &answer.body).unwrap();
        let (bright, pixels) = brightness(&night.path("seen.jpg"));
        assert!((60.0..200.0).contains(&bright), "{name}: {bright}");
        assert!((320 * 178..=320 * 320).contains(&pixels), "{name}: {pixels}");
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000, immutable"));
        let tag = answer.header("etag").unwrap();
        assert_eq!(tag, format!("\"{}\"", blake3::hash(&answer.body).to_hex()));
        let id = files(&night, &[])[name]["id"].as_str().unwrap().to_owned();
        let route = format!("library/{id}/thumbnail");
        assert_eq!(call(&night, "GET", &route, &format!("If-None-Match: \"x\", {tag}\r\n"), "").status, 304);
        assert_eq!(get(&night, &route).header("cache-control"), Some("private, no-cache"));
        let bytes = answer.body.windows(4).any(|four| four == b"Lavc" || four == b"Exif");
        assert!(!bytes, "{name}: nothing but the picture is in it");
    }
    // What is there is kept, what is forced or was lost is made again, what changed is made anew.
    assert_eq!(thumbnails(&night, &[]), "0 made, 0 kept, 0 files without a picture");
    let id = files(&night, &[])["film.mp4"]["id"].as_str().unwrap().to_owned();
    assert_eq!(thumbnails(&night, &[&id]), "0 made, 1 kept, 0 files without a picture");
    assert_eq!(thumbnails(&night, &[&id, "--force"]), "1 made, 0 kept, 0 files without a picture");
    assert_eq!(thumbnails(&night, &["--force"]), "8 made, 0 kept, 0 files without a picture");
    ffmpeg("-f lavfi -i color=white:s=320x240:r=10:d=4 -c:v libx264 -preset ultrafast", &root.join("film.mp4"));
    populate(&night);
    assert_eq!(files(&night, &[])["film.mp4"]["thumbnail"]["state"], "pending");
    assert_eq!(thumbnails(&night, &[]), "1 made, 0 kept, 0 files without a picture");
    fs::write(night.path("seen.jpg"), &picture(&night, "film.mp4").body).unwrap();
    assert!(brightness(&night.path("seen.jpg")).0 > 230.0);
}

#[test]
fn c6_where_there_is_no_picture_there_is_a_reason() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    ffmpeg("-f lavfi -i sine=d=1", &root.join("song.wav"));
    ffmpeg(FILM, &root.join("film.mp4"));
    let film = fs::read(root.join("film.mp4")).unwrap();
    fs::write(root.join("cut.mp4"), &film[..film.len() / 2]).unwrap();
    fs::write(root.join("notes.txt"), "hello").unwrap();
    let _agent = night.start_reading();
    populate(&night);
    assert_eq!(thumbnails(&night, &[]), "1 made, 0 kept, 3 files without a picture");
    assert_eq!(reason(&night, "song.wav"), "it is sound alone");
    assert_eq!(reason(&night, "notes.txt"), "there is nothing to see in this kind of file");
    assert!(reason(&night, "cut.mp4").starts_with("ffmpeg says: "), "{}", reason(&night, "cut.mp4"));
    assert_eq!(thumbnails(&night, &[]), "0 made, 0 kept, 0 files without a picture", "nobody asks again in vain");
}

#[test]
fn c6_without_ffmpeg_it_is_said_and_nothing_is_marked() {
    let night = Night::new("[library]\nenabled = false\nffmpeg = '/nowhere/ffmpeg'\n");
    fs::write(night.path("models/a.gif"), b"GIF89a\x01\0\x01\0\0\0\0;").unwrap();
    let _agent = night.start_reading();
    populate(&night);
    let output = night.ask(&["library", "thumbnails", "--wait", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("failed to find /nowhere/ffmpeg: install it"), "{text}");
    assert_eq!(files(&night, &[])["a.gif"]["thumbnail"]["state"], "pending");
    let stats = get(&night, "library/stats").json();
    assert_eq!(stats["thumbnails_pending"], 1);
    assert!(stats["thumbnails_trouble"].as_str().unwrap().starts_with("failed to find"), "{stats}");
}

/// How long it would sleep: of this run alone.
fn seconds() -> u32 {
    100_000 + std::process::id()
}

/// A program that calls itself ffmpeg, and hangs with a child.
fn hanging(night: &Night) {
    let path = night.path("ffmpeg");
    // Confined, it has three descriptors and one more: no shell works with so few.
    fs::write(&path, format!("#!/usr/bin/perl\nfork; exec 'sleep', '{}';\n", seconds())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // As root it is nobody, who has to come here.
    fs::set_permissions(night.path(""), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Processes that sleep as those of [`hanging`] do.
fn sleepers() -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == format!("sleep\0{}\0", seconds()).as_bytes())
    })
    .count()
}

#[test]
fn c6_a_program_that_hangs_is_ended_with_all_it_started() {
    let night = Night::new("");
    let configured =
        format!("[library]\nenabled = false\ntimeout = '1s'\nffmpeg = '{}'\n", night.path("ffmpeg").display());
    night.configure(&configured);
    hanging(&night);
    ffmpeg(FILM, &night.path("models/film.mp4"));
    let agent = night.start_reading();
    populate(&night);
    let began = Instant::now();
    assert_eq!(thumbnails(&night, &[]), "0 made, 0 kept, 1 files without a picture");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(reason(&night, "film.mp4"), "ffmpeg took longer than the 1 s of [library] timeout");
    assert_eq!(sleepers(), 0);
    agent.stop();
    // It pauses, goes on and ends within a second while such a program hangs.
    night.configure(&configured.replace("'1s'", "'600s'"));
    let agent = night.start_reading();
    ready(&night);
    let begun = ask(&night, &["library", "thumbnails", "--force", "--json"]).remove(0);
    let id = begun["id"].as_str().unwrap();
    until("the program", || (sleepers() == 2).then_some(()));
    let state = |wanted: &str| {
        let began = Instant::now();
        until(wanted, || (get(&night, &format!("operations/{id}")).json()["state"] == wanted).then_some(()));
        assert!(began.elapsed() < Duration::from_secs(1), "{wanted}: {:?}", began.elapsed());
    };
    call(&night, "POST", &format!("operations/{id}/pause"), "", "");
    state("paused");
    call(&night, "POST", &format!("operations/{id}/resume"), "", "");
    state("running");
    call(&night, "POST", &format!("operations/{id}/cancel"), "", "");
    state("cancelled");
    until("their end", || (sleepers() == 0).then_some(()));
    assert_eq!(files(&night, &[])["film.mp4"]["thumbnail"]["state"], "none", "what was known of it stays");
    // kill -9 leaves no process.
    ask(&night, &["library", "thumbnails", "--force", "--json"]);
    until("the program", || (sleepers() == 2).then_some(()));
    agent.kill();
    // The child of the child is ended by the next run at the latest, by its mark.
    let _agent = night.start_reading();
    until("their end, but for those begun anew", || (sleepers() <= 2).then_some(()));
}
