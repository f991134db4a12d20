//! Known attacks on whoever lets ffmpeg look at strangers' files.
//!
//! Playlists that call themselves films made ffmpeg read local files and call servers: CVE-2016-1897 and CVE-2016-1898 (HLS and
//! `concat:`, <https://www.openwall.com/lists/oss-security/2016/01/14/1>), CVE-2017-9993 (a playlist in the subtitles of an AVI).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::house::{BY_HAND, ffmpeg, files, populate, thumbnails};
use super::rig::{Night, until};

/// Whether somebody called since the last time.
fn called(server: &TcpListener) -> bool {
    server.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| server.accept().ok()).count() > 0
}

/// A playlist that makes ffmpeg call a server, and read a file.
fn playlist(port: u16, file: &Path) -> String {
    format!(
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nhttp://127.0.0.1:{port}/a.ts\n#EXTINF:10.0,\nfile://{}\n#EXT-X-ENDLIST\n",
        file.display()
    )
}

/// An AVI whose second stream are subtitles in a GAB2 chunk, and they are this text.
fn avi_with_subtitles(text: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8], body: &[u8]| {
        let mut out = name.to_vec();
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(body);
        out.resize(out.len() + body.len() % 2, 0);
        out
    };
    let list = |name: &[u8], body: &[u8]| chunk(b"LIST", &[name, body].concat());
    let mut main = vec![0; 56];
    main[0..4].copy_from_slice(&100_000u32.to_le_bytes());
    main[16..20].copy_from_slice(&10u32.to_le_bytes());
    main[24..28].copy_from_slice(&1u32.to_le_bytes());
    let mut head = vec![0; 56];
    head[..4].copy_from_slice(b"txts");
    head[20..24].copy_from_slice(&1u32.to_le_bytes());
    head[24..28].copy_from_slice(&1u32.to_le_bytes());
    let mut gab2 = b"GAB2\0\x02\0".to_vec();
    gab2.extend(2u32.to_le_bytes());
    gab2.extend(b"x\0\x04\0");
    gab2.extend((text.len() as u32).to_le_bytes());
    gab2.extend(text);
    let stream = list(b"strl", &[chunk(b"strh", &head), chunk(b"strf", &[])].concat());
    let body =
        [list(b"hdrl", &[chunk(b"avih", &main), stream].concat()), list(b"movi", &chunk(b"00tx", &gab2))].concat();
    chunk(b"RIFF", &[b"AVI ", body.as_slice()].concat())
}

#[test]
fn h3_playlists_that_call_themselves_films_read_and_call_nothing() {
    let night = Night::new(BY_HAND);
    let root = night.path("models");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let secret = night.path("secret.mp4");
    ffmpeg("-f lavfi -i color=white:s=320x240:r=10:d=2 -c:v libx264 -preset ultrafast", &secret);
    let list = playlist(port, &secret);
    let concat = format!("ffconcat version 1.0\nfile 'file:{}'\nfile http://127.0.0.1:{port}/b\n", secret.display());
    let evil: [(&str, Vec<u8>); 8] = [
        ("hls.mp4", list.clone().into()),
        ("hls.mkv", list.clone().into()),
        ("hls.avi", list.clone().into()),
        ("concat.mp4", concat.into()),
        ("gab2.avi", avi_with_subtitles(list.as_bytes())),
        ("svg.jpg", format!("<svg xmlns:xlink=\"http://www.w3.org/1999/xlink\"><image xlink:href=\"http://127.0.0.1:{port}/c\"/></svg>").into()),
        // What begins like a film is read as one, whatever follows.
        ("both.mp4", [b"\0\0\0\x10ftypisom\0\0\0\0".as_slice(), list.as_bytes()].concat()),
        ("image.gif", [b"GIF89a".as_slice(), list.as_bytes()].concat()),
    ];
    for (name, bytes) in &evil {
        fs::write(root.join(name), bytes).unwrap();
    }
    // The attack is real: ffmpeg alone, by its defaults, calls the server.
    let mut alone = Command::new("ffmpeg");
    alone.args(["-v", "error", "-nostdin", "-rw_timeout", "300000", "-protocol_whitelist", "file,http,tcp", "-i"]);
    alone.arg(root.join("hls.mp4")).args(["-frames:v", "1", "-f", "null", "-"]).stderr(Stdio::null());
    let mut alone = alone.spawn().unwrap();
    until("the call of an unconfined ffmpeg", || called(&server).then_some(()));
    alone.kill().unwrap();
    alone.wait().unwrap();
    called(&server);
    let _agent = night.start_reading();
    populate(&night);
    assert_eq!(thumbnails(&night, &[]), "0 made, 0 kept, 8 files without a picture");
    assert!(!called(&server), "somebody was called");
    for (name, file) in files(&night, &[]) {
        assert_eq!(file["thumbnail"]["state"], "none", "{name}");
    }
}

#[test]
fn h3_confinement_alone_leaves_no_second_file_and_no_network() {
    let night = Night::new(BY_HAND);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let secret = night.path("secret.ts");
    ffmpeg("-f lavfi -i testsrc=s=320x240:r=10:d=2 -c:v mpeg2video", &secret);
    // As root it is nobody, who has to come here.
    fs::set_permissions(night.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |mut command: Command, list: &str| {
        fs::write(night.path("list.m3u8"), list).unwrap();
        // Everything that ffmpeg itself could refuse is allowed.
        command.args(["-v", "error", "-nostdin", "-rw_timeout", "300000"]);
        command.args(["-protocol_whitelist", "file,http,tcp", "-allowed_extensions", "ALL", "-f", "hls"]);
        command.args(["-i", "file:/dev/fd/0", "-frames:v", "1", "-f", "null", "-"]);
        command.stdin(fs::File::open(night.path("list.m3u8")).unwrap()).output().unwrap()
    };
    let confined = || night.command(&["__confined", "2000000000", "10", "ffmpeg"]);
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n";
    let local = format!("{head}file:{}\n#EXT-X-ENDLIST\n", secret.display());
    let output = run(Command::new("ffmpeg"), &local);
    assert!(output.status.success(), "the attack is real: {output:?}");
    let output = run(confined(), &local);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Error when loading first segment"), "{said}");
    let remote = format!("{head}http://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n");
    let mut alone = Command::new("ffmpeg");
    alone.args(["-v", "error", "-nostdin", "-protocol_whitelist", "file,http,tcp", "-f", "hls", "-i"]);
    alone.arg(night.path("list.m3u8")).args(["-frames:v", "1", "-f", "null", "-"]).stderr(Stdio::null());
    fs::write(night.path("list.m3u8"), &remote).unwrap();
    let mut alone = alone.spawn().unwrap();
    until("the call of an unconfined ffmpeg: the attack is real", || called(&server).then_some(()));
    alone.kill().unwrap();
    alone.wait().unwrap();
    called(&server);
    let output = run(confined(), &remote);
    assert!(!output.status.success() && !called(&server), "{output:?}");
    // It may write no file, and as root it is nobody.
    fs::create_dir(night.path("open")).unwrap();
    fs::set_permissions(night.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let other = |program: &[&str]| {
        let input = fs::File::open(&secret).unwrap();
        night.command(&["__confined", "2000000000", "10"]).args(program).stdin(input).output().unwrap()
    };
    let to = format!("of={}", night.path("open/file").display());
    let output = other(&["dd", "if=/dev/fd/0", &to, "count=1"]);
    assert_eq!(output.status.signal(), Some(25), "SIGXFSZ: {output:?}");
    let output = other(&["id", "-u"]);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "65534");
    }
    let output = night.command(&["__confined", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
