//! Gives any bytes, under any name and with any length claimed, to the walkers. They end soon, and say sound only of what they
//! looked at to the end.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use logmedic::media::{Depth, check, check_with};

const NAMES: [&str; 16] = [
    "a.mp4", "a.mkv", "a.jpg", "a.png", "a.gif", "a.webp", "a.flac", "a.mp3", "a.aac", "a.ts", "a.ogg", "a.zip", "a.gz", "a.pdf",
    "a.bin", "a.wav",
];

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let name = NAMES[usize::from(first % 16)];
    let len = bytes.len() as u64;
    for depth in [Depth::Cheap, Depth::Deep] {
        // A look at so few bytes that takes so many steps does not end soon.
        let mut steps = 0u32;
        check_with(&mut Cursor::new(bytes), len, name, depth, &mut || {
            steps += 1;
            assert!(steps < 1_000_000, "{name}: it does not end");
            true
        });
    }
    // The file changes while it is looked at: its length is a lie.
    let lie = len.wrapping_mul(u64::from(*first) + 1);
    check(&mut Cursor::new(bytes), lie, name);
    check(&mut Cursor::new(bytes), len / 2, name);
});
