//! What is found, what is read again, and what is never followed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::Value;

use super::house::{BY_HAND, FILM, call, ffmpeg, files, get, mtime, populate, set_mtime};
use super::rig::{Night, until};

#[test]
fn c5_populate_tells_what_each_file_is() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    ffmpeg(FILM, &root.join("ana/film.mp4"));
    ffmpeg(&format!("{FILM} -f matroska"), &root.join("ana/film.mkv"));
    ffmpeg("-f lavfi -i testsrc=s=320x240:r=10:d=4 -c:v libvpx -b:v 200k", &root.join("eva/clip.webm"));
    ffmpeg("-f lavfi -i testsrc=s=320x240:r=10:d=4 -c:v mpeg4", &root.join("eva/old.avi"));
    ffmpeg("-f lavfi -i sine=d=7 -c:a libopus", &root.join("voice.ogg"));
    ffmpeg("-f lavfi -i sine=d=7 -c:a libmp3lame", &root.join("song.mp3"));
    ffmpeg("-f lavfi -i sine=d=7 -c:a flac", &root.join("song.flac"));
    ffmpeg("-f lavfi -i sine=d=7", &root.join("song.wav"));
    ffmpeg("-f lavfi -i sine=d=7 -c:a aac", &root.join("song.m4a"));
    ffmpeg("-f lavfi -i testsrc=s=640x360 -frames:v 1", &root.join("ana/photo.jpg"));
    ffmpeg("-f lavfi -i testsrc=s=641x361 -frames:v 1", &root.join("photo.png"));
    ffmpeg("-f lavfi -i testsrc=s=322x200 -frames:v 1", &root.join("photo.gif"));
    ffmpeg("-f lavfi -i testsrc=s=320x180 -frames:v 1 -c:v libwebp", &root.join("photo.webp"));
    fs::write(root.join("notes.txt"), "hello").unwrap();
    let _agent = night.start_reading();
    let detail = populate(&night);
    assert!(detail.starts_with("14 files: 14 new, 0 changed, 0 moved, 0 gone; "), "{detail}");
    let files = files(&night, &[]);
    let of = |name: &str| {
        let file = &files[name];
        let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
        let size = (file["width"].as_u64(), file["height"].as_u64());
        let seconds = file["duration_ms"].as_u64().map(|ms| (ms as f64 / 1000.0).round() as u64);
        (text("kind"), text("format"), seconds, size, text("video_codec"), text("audio_codec"))
    };
    let row = |kind: &str, format: &str, seconds, size: (u64, u64), video: &str, audio: &str| {
        let size = if size.0 == 0 { (None, None) } else { (Some(size.0), Some(size.1)) };
        (kind.to_owned(), format.to_owned(), seconds, size, video.to_owned(), audio.to_owned())
    };
    assert_eq!(of("film.mp4"), row("video", "mp4", Some(10), (320, 240), "avc1", "mp4a"));
    assert_eq!(of("film.mkv"), row("video", "mkv", Some(10), (320, 240), "V_MPEG4/ISO/AVC", "A_AAC"));
    assert_eq!(of("clip.webm"), row("video", "webm", Some(4), (320, 240), "V_VP8", ""));
    assert_eq!(of("old.avi"), row("video", "avi", Some(4), (320, 240), "FMP4", ""));
    assert_eq!(of("voice.ogg"), row("audio", "ogg", Some(7), (0, 0), "", "opus"));
    assert_eq!(of("song.mp3"), row("audio", "mp3", Some(7), (0, 0), "", "mp3"));
    assert_eq!(of("song.flac"), row("audio", "flac", Some(7), (0, 0), "", "flac"));
    assert_eq!(of("song.wav"), row("audio", "wav", Some(7), (0, 0), "", "pcm"));
    assert_eq!(of("song.m4a"), row("audio", "mp4", Some(7), (0, 0), "", "mp4a"));
    assert_eq!(of("photo.jpg"), row("image", "jpeg", None, (640, 360), "", ""));
    assert_eq!(of("photo.png"), row("image", "png", None, (641, 361), "", ""));
    assert_eq!(of("photo.gif"), row("image", "gif", None, (322, 200), "", ""));
    assert_eq!(of("photo.webp"), row("image", "webp", None, (320, 180), "", ""));
    assert_eq!(of("notes.txt").0, "other");
    let film = &files["film.mp4"];
    let bytes = fs::read(root.join("ana/film.mp4")).unwrap();
    assert_eq!(film["blake3"], blake3::hash(&bytes).to_hex().to_string());
    assert_eq!(film["size"], bytes.len());
    assert_eq!((&film["model"], &film["path"]), (&"ana".into(), &"models/ana/film.mp4".into()));
    assert_eq!(film["integrity"]["verdict"], "unknown");
    assert_eq!(films_of(&night), 10);
}

/// A page of the interface, filtered and sorted, in two steps.
fn films_of(night: &Night) -> usize {
    let first = get(night, "library?sort=-size&limit=9").json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(night, &format!("library?sort=-size&limit=9&cursor={cursor}")).json();
    let sizes = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|file| file["size"].as_u64().unwrap()).collect()
    };
    let all = [sizes(&first), sizes(&second)].concat();
    assert!(all.len() == 14 && all.is_sorted_by(|a, b| a >= b), "{all:?}");
    for sort in ["name", "-name", "duration", "-duration", "modified", "-modified", "first_seen", "size"] {
        assert_eq!(get(night, &format!("library?sort={sort}")).json()["items"].as_array().unwrap().len(), 14, "{sort}");
    }
    let count = |query: &str| get(night, &format!("library?{query}")).json()["items"].as_array().unwrap().len();
    assert_eq!(count("model=ana"), 3);
    assert_eq!(count("kind=image"), 4);
    assert_eq!(count("kind=video&model=eva"), 2);
    assert_eq!(count("q=FILM"), 2);
    assert_eq!(count("q=%25"), 0, "a percent sign is one");
    assert_eq!(count("integrity=sound"), 0);
    assert_eq!(count("root=other"), 0);
    for (bad, code) in [
        ("sort=evil", "bad_sort"),
        ("kind=x", "bad_kind"),
        ("integrity=x", "bad_integrity"),
        ("gone=x", "bad_gone"),
        ("cursor=x", "bad_cursor"),
    ] {
        let answer = get(night, &format!("library?{bad}"));
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (400, code));
    }
    assert_eq!(get(night, "library/nonsense").json()["code"], "file_not_found");
    let stats = get(night, "library/stats").json();
    assert_eq!((stats["files"].as_u64(), stats["models"].as_u64()), (Some(14), Some(3)), "{stats}");
    let images = stats["by_kind"].as_array().unwrap().iter().find(|share| share["name"] == "image").unwrap();
    assert_eq!(images["files"], 4);
    assert_eq!(stats["bytes"].as_u64().unwrap(), all.iter().sum::<u64>());
    10
}

#[test]
fn c5_only_what_changed_is_read_again_and_nothing_is_forgotten() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    fs::create_dir_all(root.join("ana")).unwrap();
    for name in ["same.bin", "mode.bin", "moved.bin", "lost.bin", "written.bin", "silent.bin", "gone/inner.bin"] {
        let path = root.join("ana").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {name}")).unwrap();
    }
    let agent = night.start_reading();
    assert!(populate(&night).starts_with("7 files: 7 new, "));
    let before = files(&night, &[]);
    assert_eq!(populate(&night), "7 files: 0 new, 0 changed, 0 moved, 0 gone; 0 bytes read");
    let ana = |name: &str| root.join("ana").join(name);
    fs::set_permissions(ana("mode.bin"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(ana("moved.bin"), root.join("elsewhere.bin")).unwrap();
    fs::remove_file(ana("lost.bin")).unwrap();
    fs::remove_dir_all(ana("gone")).unwrap();
    fs::write(ana("written.bin"), "another content, longer").unwrap();
    let at = mtime(&ana("silent.bin"));
    fs::write(ana("silent.bin"), "CONTENT of silent.bin").unwrap();
    set_mtime(&ana("silent.bin"), at);
    let detail = populate(&night);
    assert!(detail.starts_with("5 files: 0 new, 2 changed, 1 moved, 2 gone; "), "{detail}");
    let after = files(&night, &[]);
    let same = |name: &str, now: &str, key: &str| assert_eq!(before[name][key], after[now][key], "{name} {key}");
    for key in ["id", "blake3", "first_seen_at"] {
        same("same.bin", "same.bin", key);
        same("mode.bin", "mode.bin", key);
        same("moved.bin", "elsewhere.bin", key);
    }
    assert_eq!((&after["elsewhere.bin"]["model"], after.len()), (&"".into(), 5));
    same("written.bin", "written.bin", "id");
    assert_ne!(before["written.bin"]["blake3"], after["written.bin"]["blake3"]);
    assert_eq!(after["written.bin"]["integrity"]["verdict"], "unknown");
    // Nobody is known to have written to it: what was recorded stays, and is missed.
    same("silent.bin", "silent.bin", "blake3");
    assert_eq!(after["silent.bin"]["integrity"]["verdict"], "changed");
    let gone = files(&night, &["--gone"]);
    assert_eq!(gone.len(), 2);
    assert!(gone["lost.bin"]["gone_at"].is_string() && gone["inner.bin"]["gone_at"].is_string());
    // What comes back is known again.
    fs::write(ana("lost.bin"), "content of lost.bin").unwrap();
    let detail = populate(&night);
    assert!(detail.starts_with("6 files: 0 new, 0 changed, 0 moved, 0 gone; "), "{detail}");
    assert_eq!(files(&night, &[])["lost.bin"]["id"], before["lost.bin"]["id"]);
    // The list is there without the agent.
    agent.stop();
    assert_eq!(files(&night, &[]).len(), 6);
    let output = night.ask(&["library", "populate"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}

#[test]
fn h1_no_link_is_followed_and_no_name_does_harm() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.mp4"), "secret").unwrap();
    symlink(outside.path().join("secret.mp4"), root.join("link.mp4")).unwrap();
    symlink(outside.path(), root.join("dir")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe.mp4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in [".hidden.mp4", "half.mp4.part", "waits.mp4", "waits.mp4.aria2", "bot.session", "x.temp.mp4"] {
        fs::write(root.join(name), "x").unwrap();
    }
    fs::create_dir_all(root.join(".logmedic/quarantine")).unwrap();
    fs::write(root.join(".logmedic/quarantine/bad.mp4"), "x").unwrap();
    let nasty: [&[u8]; 4] = [
        b"line\nbreak.mp4",
        b"\x1b[31mred\x1b]0;title\x07.mp4",
        b"not\xff\xfetext.mp4",
        "bidi\u{202e}4pm.exe".as_bytes(),
    ];
    for name in nasty {
        fs::create_dir_all(root.join(OsStr::from_bytes(name)).join("in")).unwrap();
        fs::write(root.join(OsStr::from_bytes(name)).join("in").join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(&[b'n'; 255])), "x").unwrap();
    let _agent = night.start_reading();
    let detail = populate(&night);
    assert!(detail.starts_with("5 files: 5 new, "), "{detail}");
    let output = night.ask(&["library"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    assert!(text.contains("line\\nbreak.mp4") && text.contains("not\u{fffd}"), "{text}");
    for file in get(&night, "library").json()["items"].as_array().unwrap() {
        let own = get(&night, &format!("library/{}", file["id"].as_str().unwrap())).json();
        assert_eq!(&own, file);
    }
    assert_eq!(populate(&night), "5 files: 0 new, 0 changed, 0 moved, 0 gone; 0 bytes read");
    // The root is taken away, and a link to another place put where it was.
    fs::rename(&root, night.path("aside")).unwrap();
    symlink(outside.path(), &root).unwrap();
    populate(&night);
    let answer = get(&night, "library?gone=any&q=secret").json();
    assert_eq!(answer["items"].as_array().unwrap().len(), 0, "{answer}");
}

#[test]
fn c5_a_new_download_enters_when_it_is_complete() {
    let night = Night::new("[library]\nthumbnails = false\n[jobs]\nwatch_every = '200ms'\n");
    let root = night.path("models");
    fs::create_dir_all(root.join("ana")).unwrap();
    fs::write(root.join("ana/before.bin"), "was there").unwrap();
    let _agent = night.start_reading();
    until("the first look of its own", || files(&night, &[]).contains_key("before.bin").then_some(()));
    fs::write(root.join("ana/new.bin.part"), "half").unwrap();
    until("the watcher to see it", || {
        let jobs = get(&night, "jobs").json();
        jobs["items"].as_array().unwrap().iter().any(|job| job.to_string().contains("new.bin")).then_some(())
    });
    assert!(!files(&night, &[]).contains_key("new.bin"));
    fs::write(root.join("ana/new.bin.part"), "half and the rest").unwrap();
    fs::rename(root.join("ana/new.bin.part"), root.join("ana/new.bin")).unwrap();
    let new = until("the new file", || files(&night, &[]).remove("new.bin"));
    assert_eq!(new["blake3"], blake3::hash(b"half and the rest").to_hex().to_string());
    assert!(new["job"].is_string(), "{new}");
    fs::remove_file(root.join("ana/new.bin")).unwrap();
    until("its end", || files(&night, &["--gone"]).contains_key("new.bin").then_some(()));
}

#[test]
fn c5_nobody_but_an_operator_begins_it() {
    let night = Night::new(BY_HAND);
    let _agent = night.start_reading();
    let answer = call(&night, "POST", "operations/thumbnails/regenerate", "", r#"{"ids": ["../../etc/passwd"]}"#);
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (400, "bad_ids"));
    let answer = call(&night, "POST", "operations/thumbnails/regenerate", "", r#"{"files": []}"#);
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (400, "bad_body"));
    let answer = call(&night, "POST", "operations/library/populate", "", "");
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["kind"], "library");
}
