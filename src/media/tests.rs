//! Proves the walkers on files built byte by byte, on cuts at every length, and on random damage.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;

use super::*;

fn cheap(bytes: &[u8], name: &str) -> State {
    check(&mut Cursor::new(bytes), bytes.len() as u64, name).state
}

fn judge_bytes(bytes: &[u8], name: &str) -> State {
    check_with(&mut Cursor::new(bytes), bytes.len() as u64, name, Depth::Deep, &mut || true).state
}

fn mp4_box(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(name);
    out.extend_from_slice(body);
    out
}

fn mp4() -> Vec<u8> {
    let stco = mp4_box(b"stco", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 30]);
    let trak = mp4_box(b"trak", &mp4_box(b"mdia", &mp4_box(b"minf", &mp4_box(b"stbl", &stco))));
    [mp4_box(b"ftyp", b"isom\0\0\0\0"), mp4_box(b"mdat", &[7; 100]), mp4_box(b"moov", &trak)].concat()
}

fn mkv() -> Vec<u8> {
    let mut inner = vec![0x16, 0x54, 0xae, 0x6b, 0x82, 1, 2]; // Tracks
    inner.extend([0x1f, 0x43, 0xb6, 0x75, 0x84, 0xe7, 0x82, 3, 4]); // Cluster with its time
    let mut out = vec![0x1a, 0x45, 0xdf, 0xa3, 0x81, 0];
    out.extend([0x18, 0x53, 0x80, 0x67, 0x80 | u8::try_from(inner.len()).unwrap()]);
    out.extend(inner);
    out
}

fn png() -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", vec![0; 13]), (b"IDAT", vec![9; 50]), (b"IEND", vec![])] {
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        let typed = [name.to_vec(), body].concat();
        out.extend(&typed);
        out.extend(crc32fast::hash(&typed).to_be_bytes());
    }
    out
}

fn jpeg() -> Vec<u8> {
    let mut out = vec![0xff, 0xd8, 0xff, 0xc0, 0, 4, 1, 1, 0xff, 0xda, 0, 2];
    out.extend([1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, 0xd9]);
    out
}

fn gz() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&b"a line of a log\n".repeat(100)).unwrap();
    encoder.finish().unwrap()
}

fn zip() -> Vec<u8> {
    let (name, body) = (b"a.txt", b"hello hello hello");
    let crc = crc32fast::hash(body).to_le_bytes();
    let size = u32::try_from(body.len()).unwrap().to_le_bytes();
    let mut sizes = crc.to_vec();
    sizes.extend(size);
    sizes.extend(size);
    sizes.extend([5, 0, 0, 0]);
    let mut out = [b"PK\x03\x04".as_slice(), &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0], &sizes, name, body].concat();
    let start = u32::try_from(out.len()).unwrap();
    let central = [b"PK\x01\x02".as_slice(), &[20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0], &sizes, &[0; 14], name].concat();
    out.extend(&central);
    out.extend([b"PK\x05\x06".as_slice(), &[0, 0, 0, 0, 1, 0, 1, 0]].concat());
    out.extend(u32::try_from(central.len()).unwrap().to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn ogg() -> Vec<u8> {
    let page = |flags: u8, body: &[u8]| {
        let head = [b"OggS\0".as_slice(), &[flags], &[0; 8], &[7, 0, 0, 0], &[0; 8], &[1, body.len() as u8]].concat();
        let mut page = [head, body.to_vec()].concat();
        // Bit by bit, as the standard has it.
        let crc = page.iter().fold(0u32, |crc, byte| {
            (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
                if crc & 0x8000_0000 != 0 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 }
            })
        });
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        page
    };
    [page(2, b"head"), page(0, b"sound"), page(4, b"end")].concat()
}

fn gif() -> Vec<u8> {
    let mut out = b"GIF89a\x01\0\x01\0\x80\0\0".to_vec();
    out.extend([0; 6]);
    out.extend(b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    out
}

fn mp3() -> Vec<u8> {
    let mut out = b"ID3\x04\0\0\0\0\0\x05title\xff\xfb\x90\x00".to_vec();
    out.extend([0; 32]);
    out.extend(b"Info\0\0\0\x03\0\0\0\x09\0\0\x20\0");
    out.resize(15 + 0x2000, 0x55);
    out
}

#[test]
fn streams_are_sound_when_their_end_is_there_and_unknown_where_nothing_tells() {
    let mut bytes = mp3();
    assert_eq!(judge_bytes(&bytes, "a.mp3"), State::Sound);
    assert_eq!(judge_bytes(&bytes[..4000], "a.mp3"), State::Short);
    bytes[51] = 0; // No Info tag any more.
    assert_eq!(judge_bytes(&bytes, "a.mp3"), State::Unknown);
    let bytes = ogg();
    assert_eq!(judge_bytes(&bytes[..bytes.len() - 31], "a.ogg"), State::Unknown, "cut between two pages");
}

fn every_kind() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.mp4", mp4()),
        ("a.mkv", mkv()),
        ("a.png", png()),
        ("a.jpg", jpeg()),
        ("a.gz", gz()),
        ("a.zip", zip()),
        ("a.gif", gif()),
    ]
}

#[test]
fn whole_files_are_sound_and_no_cut_of_them_is() {
    for (name, bytes) in every_kind() {
        assert_eq!(judge_bytes(&bytes, name), State::Sound, "{name}");
        for len in 0..bytes.len() {
            let state = judge_bytes(&bytes[..len], name);
            assert!(matches!(state, State::Short | State::Broken), "{name} cut to {len}: {state:?}");
        }
    }
}

#[test]
fn checksums_show_a_flipped_bit_where_the_format_has_them() {
    for (name, at) in [("a.png", 50), ("a.gz", 20), ("a.zip", 40)] {
        let mut bytes = every_kind().into_iter().find(|(kind, _)| *kind == name).unwrap().1;
        bytes[at] ^= 1;
        assert_eq!(judge_bytes(&bytes, name), State::Broken, "{name}");
    }
}

#[test]
fn pages_and_answers_saved_as_media_are_broken_but_stay_what_they_are_elsewhere() {
    assert_eq!(judge_bytes(b"<!DOCTYPE html><html>", "a.mp4"), State::Broken);
    assert_eq!(judge_bytes(b"{\"ok\":false,\"error_code\":404}", "a.jpg"), State::Broken);
    assert_eq!(judge_bytes(b"", "a.mp3"), State::Broken);
    assert_eq!(judge_bytes(&[0; 4096], "a.mp4"), State::Broken);
    assert_eq!(judge_bytes(b"{\"a\":1}", "a.json"), State::Unknown);
    assert_eq!(judge_bytes(b"", "a.txt"), State::Unknown);
    assert_eq!(judge_bytes(b"some bytes", "a.bin"), State::Unknown);
}

#[test]
fn legal_oddities_are_sound() {
    // mp4: the last box may run to the end of the file; sizes may have 64 bits.
    let mut open_ended = [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &[])].concat();
    open_ended.extend(b"\0\0\0\0mdat-and-its-data");
    assert_eq!(judge_bytes(&open_ended, "a.mp4"), State::Sound);
    let mut wide = [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &[])].concat();
    wide.extend(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14data");
    assert_eq!(judge_bytes(&wide, "a.mov"), State::Sound);
    // Matroska: live recordings have neither the segment's nor the cluster's size.
    let mut live = vec![0x1a, 0x45, 0xdf, 0xa3, 0x81, 0, 0x18, 0x53, 0x80, 0x67, 0xff];
    live.extend([0x16, 0x54, 0xae, 0x6b, 0x82, 1, 2, 0x1f, 0x43, 0xb6, 0x75, 0xff]);
    live.extend([0xe7, 0x81, 0, 0xa3, 0x83, 1, 2, 3]);
    assert_eq!(judge_bytes(&live, "a.webm"), State::Sound);
    live.pop();
    assert_eq!(judge_bytes(&live, "a.webm"), State::Short);
}

#[test]
fn an_index_that_points_beyond_the_file_shows_the_cut() {
    let stco = mp4_box(b"stco", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0]);
    let trak = mp4_box(b"trak", &mp4_box(b"mdia", &mp4_box(b"minf", &mp4_box(b"stbl", &stco))));
    let mut cut = [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &trak)].concat();
    cut.extend(b"\0\0\0\0mdat-begins");
    assert_eq!(judge_bytes(&cut, "a.mp4"), State::Short);
}

#[test]
fn another_kind_of_media_than_the_name_says_is_no_damage_but_no_kind_at_all_is() {
    for name in ["a.avi", "a.mkv", "a.heic", "a.mp3", "a.bin"] {
        for bytes in [mp4(), png(), jpeg(), gif(), ogg()] {
            assert_eq!(judge_bytes(&bytes, name), State::Sound, "{name}");
        }
    }
    for known in [&b"FLV\x01\x05\0\0\0\x09"[..], b"\0\0\x01\xba\x44\0", b"BM\x36\0\0\0", b"7z\xbc\xaf\x27\x1c"] {
        assert_eq!(judge_bytes(known, "a.mp4"), State::Unknown, "{known:?}");
    }
    assert_eq!(judge_bytes(b"\xd0\xcf\x11\xe0 an encrypted document", "a.docx"), State::Unknown);
    assert_eq!(judge_bytes(b"what is this", "a.mp4"), State::Broken);
    assert_eq!(judge_bytes(b"what is this", "a.zip"), State::Broken);
    let behind_a_program = [b"#!/bin/sh\nexec java -jar $0\n".to_vec(), zip()].concat();
    assert_eq!(judge_bytes(&behind_a_program, "a.jar"), State::Sound);
}

#[test]
fn what_stands_behind_a_whole_film_proves_nothing() {
    for junk in [&b"\n"[..], b"abc", b"a note of somebody, in words", &[0xa7; 100], &[0; 64]] {
        for (name, bytes) in every_kind().into_iter().chain([("a.ogg", ogg())]) {
            let state = cheap(&[bytes, junk.to_vec()].concat(), name);
            assert!(matches!(state, State::Sound | State::Unknown), "{name} with {junk:?}: {state:?}");
        }
    }
}

#[test]
fn samples_of_the_index_lie_in_media_data_and_are_no_holes() {
    // Two pictures of 20 bytes in one chunk at byte 16 + 8.
    let film = |picture: [u8; 20], size: u32| {
        let sizes = [vec![0; 11], vec![2], 20u32.to_be_bytes().to_vec(), size.to_be_bytes().to_vec()].concat();
        let tables = [
            mp4_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8], b"avc1".as_slice()].concat()),
            mp4_box(b"stsc", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1]),
            mp4_box(b"stsz", &sizes),
            mp4_box(b"stco", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 24]),
        ];
        let trak = mp4_box(b"trak", &mp4_box(b"mdia", &mp4_box(b"minf", &mp4_box(b"stbl", &tables.concat()))));
        let data = mp4_box(b"mdat", &[picture, [7; 20]].concat());
        [mp4_box(b"ftyp", b"isom\0\0\0\0"), data, mp4_box(b"moov", &trak)].concat()
    };
    assert_eq!(cheap(&film([7; 20], 20), "a.mp4"), State::Sound);
    assert_eq!(cheap(&film([0; 20], 20), "a.mp4"), State::Broken, "zeros where a picture begins");
    assert_eq!(cheap(&film([7; 20], 2000), "a.mp4"), State::Short, "the last picture is longer than the file");
    let tagged = [film([7; 20], 20), b"SEFH and what a telephone appends".to_vec()].concat();
    let verdict = check(&mut Cursor::new(&tagged), tagged.len() as u64, "a.mp4");
    assert_eq!((verdict.state, verdict.evidence.get("trailing_bytes")), (State::Sound, Some(&33.into())));
}

#[test]
fn frames_of_sound_are_followed_one_by_one() {
    // 128 kbit/s at 44,100 Hz: 417 bytes.
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0x55);
    let mp3 = frame.repeat(30);
    assert_eq!(cheap(&mp3, "a.mp3"), State::Sound);
    assert_eq!(cheap(&mp3[..5000], "a.mp3"), State::Unknown, "streams are cut anywhere");
    let tag = [b"TAG".to_vec(), vec![b' '; 125]].concat();
    assert_eq!(cheap(&[mp3.clone(), tag].concat(), "a.mp3"), State::Sound);
    let mut hole = [mp3.clone(), mp3].concat();
    hole[834..834 + 4200].fill(0);
    assert_eq!(cheap(&hole, "a.mp3"), State::Broken);
    let adts = [vec![0xff, 0xf1, 0x50, 0x80, 0x0d, 0x5f, 0xfc], vec![1; 99]].concat();
    assert_eq!(cheap(&adts.repeat(40), "a.aac"), State::Sound);
    let mut ts = [vec![0x47], vec![1; 187]].concat().repeat(50);
    assert_eq!(cheap(&ts, "a.ts"), State::Sound);
    assert_eq!(cheap(&ts[..9000], "a.ts"), State::Unknown);
    ts[188 * 20..188 * 21].fill(0);
    assert_eq!(cheap(&ts, "a.ts"), State::Broken);
}

#[test]
fn large_sound_files_have_their_sizes_elsewhere() {
    let mut wav = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    for number in [76u64, 16, 0] {
        wav.extend(number.to_le_bytes());
    }
    wav.extend([0; 4]);
    wav.extend(b"fmt \x08\0\0\0\0\0\0\0\0\0\0\0data\xff\xff\xff\xff");
    wav.extend([9; 16]);
    assert_eq!(cheap(&wav, "a.wav"), State::Sound, "{}", wav.len());
    assert_eq!(cheap(&wav[..wav.len() - 9], "a.wav"), State::Short);
}

#[test]
fn sizes_at_the_end_of_all_numbers_are_claims_like_others() {
    let mut wav = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    wav.extend([0xff; 24]);
    wav.extend(b"data\xff\xff\xff\xff");
    wav.extend([0; 64]);
    assert_ne!(cheap(&wav, "a.wav"), State::Sound);
    assert_ne!(check(&mut Cursor::new(&wav), u64::MAX, "a.wav").state, State::Sound);
}

#[test]
fn a_stop_ends_the_look_without_a_verdict() {
    let bytes = gz();
    let mut calls = 0;
    let verdict = check_with(&mut Cursor::new(&bytes), bytes.len() as u64, "a.gz", Depth::Deep, &mut || {
        calls += 1;
        calls < 2
    });
    assert_eq!(verdict.state, State::Unknown);
}

proptest! {
    #[test]
    fn no_bytes_make_a_walker_panic(
        magic in 0usize..13, mut bytes in proptest::collection::vec(any::<u8>(), 0..2048)
    ) {
        let starts: [&[u8]; 13] = [
            b"\0\0\0\x10ftyp", b"\x1a\x45\xdf\xa3", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n",
            b"fLaC\0\0\0\x22", b"RIFF", b"%PDF", b"",
            b"OggS\0\x02", b"GIF89a", b"ID3\x04\0\0\0\0\0\x05title\xff\xfb\x90\x00",
        ];
        for (slot, byte) in bytes.iter_mut().zip(starts[magic]) {
            *slot = *byte;
        }
        let _ = judge_bytes(&bytes, "a.bin");
    }

    #[test]
    fn no_damage_to_a_good_file_makes_a_walker_panic(
        kind in 0usize..7, hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), len_lie in any::<u16>()
    ) {
        let (name, mut bytes) = every_kind().swap_remove(kind);
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = judge_bytes(&bytes, name);
        // The length may be a lie too: the file changes while we look.
        let _ = check(&mut Cursor::new(&bytes), u64::from(len_lie), name);
        let _ = check(&mut Cursor::new(&bytes), u64::MAX, name);
    }
}
