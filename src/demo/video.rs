//! Writes a small but real mp4: one H.264 track of uncompressed (I_PCM) pictures, padded to an exact size. Pure.
//!
//! No encoder is needed: a picture of I_PCM macroblocks is plain samples behind a few header bits
//! (ITU-T H.264 §7.3.5, `mb_type` 25), and every player decodes it. Boxes are those of ISO/IEC 14496-12 and -15.

use std::io::{self, Write};

use crate::vocab::Rng;

/// Width and height in macroblocks of 16 × 16 samples.
const BLOCKS: u16 = 6;
/// Width and height in samples.
const SIDE: u16 = BLOCKS * 16;
/// Pictures a second.
const RATE: u32 = 25;
/// The most pictures in one file (4 s): they are held in memory (1.4 MB); what a file has beyond them is padding.
const MAX_PICTURES: u64 = 100;
/// Bytes of padding made at a time.
const PAD_CHUNK: usize = 64 * 1024;

/// The smallest file [`write_mp4`] can make: headers, one picture, an empty `free` box.
pub const MIN_SIZE: u64 = 16 * 1024;

/// Writes an mp4 of exactly `size` bytes; the same `seed` and `size` give the same bytes.
///
/// # Errors
///
/// `InvalidInput` when `size` is under [`MIN_SIZE`]; otherwise what `out` says.
pub fn write_mp4(out: &mut impl Write, seed: u64, size: u64) -> io::Result<()> {
    if size < MIN_SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("an mp4 needs at least {MIN_SIZE} bytes")));
    }
    let mut rng = Rng::new(seed);
    let colour = [rng.next_u64().to_le_bytes()[0], rng.next_u64().to_le_bytes()[0]];
    let one = picture(0, colour).len() as u64;
    let mut count = (size / one).clamp(1, MAX_PICTURES);
    let (head, pictures, pad) = loop {
        let pictures: Vec<Vec<u8>> = (0..count).map(|n| picture(n, colour)).collect();
        let head = head(&pictures);
        let used = head.len() as u64 + pictures.iter().map(|p| p.len() as u64).sum::<u64>();
        match size.checked_sub(used + 8) {
            Some(pad) => break (head, pictures, pad),
            None if count > 1 => count -= 1,
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "MIN_SIZE is too small for one picture")),
        }
    };
    out.write_all(&head)?;
    for picture in &pictures {
        out.write_all(picture)?;
    }
    write_free(out, pad, &mut rng)
}

/// A `free` box with `pad` bytes behind its eight-byte header (or less behind a long one).
fn write_free(out: &mut impl Write, pad: u64, rng: &mut Rng) -> io::Result<()> {
    let total = pad + 8;
    let mut left = pad;
    if let Ok(short) = u32::try_from(total) {
        out.write_all(&short.to_be_bytes())?;
        out.write_all(b"free")?;
    } else {
        out.write_all(&1u32.to_be_bytes())?;
        out.write_all(b"free")?;
        out.write_all(&total.to_be_bytes())?;
        left -= 8;
    }
    let mut chunk = Vec::with_capacity(PAD_CHUNK);
    while left > 0 {
        chunk.clear();
        while chunk.len() < PAD_CHUNK {
            chunk.extend_from_slice(&rng.next_u64().to_le_bytes());
        }
        let take = usize::try_from(left).unwrap_or(PAD_CHUNK).min(PAD_CHUNK);
        out.write_all(&chunk[..take])?;
        left -= take as u64;
    }
    Ok(())
}

/// Everything before the pictures: `ftyp`, `moov` and the header of `mdat`.
fn head(pictures: &[Vec<u8>]) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", &[b"isom", &0x200u32.to_be_bytes()[..], b"isomiso2avc1mp41"].concat());
    let body: usize = pictures.iter().map(Vec::len).sum();
    // The chunk's place depends on the length of `moov`, which does not depend on the place.
    let place = ftyp.len() + moov(pictures, 0).len() + 8;
    let mut head = ftyp;
    head.extend(moov(pictures, u32::try_from(place).unwrap_or(0)));
    head.extend(u32::try_from(body + 8).unwrap_or(0).to_be_bytes());
    head.extend(b"mdat");
    head
}

fn moov(pictures: &[Vec<u8>], place: u32) -> Vec<u8> {
    let count = u32::try_from(pictures.len()).unwrap_or(0);
    let stbl = boxed(
        b"stbl",
        &[
            sample_description(),
            full(b"stts", &words(&[1, count, 1])),
            full(b"stsc", &words(&[1, 1, count, 1])),
            full(b"stsz", &[words(&[0, count]), words(&sizes(pictures))].concat()),
            full(b"stco", &words(&[1, place])),
        ]
        .concat(),
    );
    let dref = full(b"dref", &[words(&[1]), boxed(b"url ", &words(&[1]))].concat());
    // vmhd must have the flag 1 (§12.1.2).
    let vmhd = boxed(b"vmhd", &[words(&[1]), vec![0; 8]].concat());
    let minf = boxed(b"minf", &[vmhd, boxed(b"dinf", &dref), stbl].concat());
    let mdhd = full(b"mdhd", &[words(&[0, 0, RATE, count]), vec![0x55, 0xc4, 0, 0]].concat());
    let hdlr = full(b"hdlr", &[words(&[0]), b"vide".to_vec(), vec![0; 12], b"VideoHandler\0".to_vec()].concat());
    let mdia = boxed(b"mdia", &[mdhd, hdlr, minf].concat());
    let side = u32::from(SIDE) << 16;
    // Flags 3: the track is enabled and in the presentation.
    let tkhd = boxed(b"tkhd", &[words(&[3, 0, 0, 1, 0, count]), vec![0; 16], matrix(), words(&[side, side])].concat());
    let trak = boxed(b"trak", &[tkhd, mdia].concat());
    let mvhd = full(
        b"mvhd",
        &[words(&[0, 0, RATE, count, 0x0001_0000, 0x0100_0000, 0, 0]), matrix(), vec![0; 24], words(&[2])].concat(),
    );
    boxed(b"moov", &[mvhd, trak].concat())
}

fn sample_description() -> Vec<u8> {
    let (sps, pps) = (sequence_parameters(), picture_parameters());
    let avcc = boxed(
        b"avcC",
        &[&[1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8][..], &sps, &[1, 0, pps.len() as u8], &pps]
            .concat(),
    );
    let side = SIDE.to_be_bytes();
    let entry = [
        &[0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0; 16],
        &side,
        &side,
        &[0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 32],
        &[0, 0x18, 0xff, 0xff],
        &avcc,
    ]
    .concat();
    full(b"stsd", &[words(&[1]), boxed(b"avc1", &entry)].concat())
}

/// The unity matrix of a header box.
fn matrix() -> Vec<u8> {
    words(&[0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000])
}

fn sizes(pictures: &[Vec<u8>]) -> Vec<u32> {
    pictures.iter().map(|p| u32::try_from(p.len()).unwrap_or(0)).collect()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap_or(0).to_be_bytes(), &kind[..], body].concat()
}

/// A box with version 0 and no flags.
fn full(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[0; 4], body].concat())
}

/// Bits, most significant first, as H.264 has them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        for place in (0..width).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((value >> place) & 1) as u8) << self.free;
            }
        }
    }

    /// An Exp-Golomb code, `ue(v)` (§9.1).
    fn ue(&mut self, value: u32) {
        let width = (value + 1).ilog2();
        self.put(0, width);
        self.put(value + 1, width + 1);
    }

    /// Several Exp-Golomb codes; zero is the same in `ue(v)` and `se(v)`.
    fn ues(&mut self, values: &[u32]) {
        for &value in values {
            self.ue(value);
        }
    }

    fn align(&mut self) {
        self.free = 0;
    }

    /// The unit with its stop bit and, where three bytes could be taken for a start code, the escape (§7.4.1).
    fn unit(mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut unit = vec![header];
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit
    }
}

fn sequence_parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x0042_c01e, 24); // baseline, constrained, level 3.0
    bits.ues(&[0, 0, 2, 0]); // id, frame_num in 4 bits, output order is decoding order, no reference pictures
    bits.put(0, 1);
    bits.ues(&[u32::from(BLOCKS) - 1, u32::from(BLOCKS) - 1]);
    bits.put(0b1100, 4); // frames only, direct 8x8; no cropping, no VUI
    bits.unit(0x67)
}

fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.ues(&[0, 0]);
    bits.put(0, 2); // CAVLC
    bits.ues(&[0, 0, 0]);
    bits.put(0, 3);
    bits.ues(&[0, 0, 0]);
    bits.put(0b100, 3); // slices say whether they are deblocked
    bits.unit(0x68)
}

/// One IDR picture with its length in front: a gradient that moves with `number`.
fn picture(number: u64, colour: [u8; 2]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.ues(&[0, 7, 0]); // first macroblock, I slice, picture parameters
    bits.put(0, 4);
    bits.ue(u32::from(number % 2 == 1)); // two IDR pictures in a row differ here
    bits.put(0, 2);
    bits.ues(&[0, 1]); // quantiser as it is, no deblocking
    let shift = (number * 4) as u8;
    for block in 0..u32::from(BLOCKS) * u32::from(BLOCKS) {
        let (left, top) = (block % u32::from(BLOCKS) * 16, block / u32::from(BLOCKS) * 16);
        bits.ue(25);
        bits.align();
        for row in 0..16 {
            bits.bytes.extend((0..16).map(|column| level(((left + column + top + row) as u8).wrapping_add(shift))));
        }
        for chroma in colour {
            bits.bytes.extend([level(chroma); 64]);
        }
    }
    let unit = bits.unit(0x65);
    [&u32::try_from(unit.len()).unwrap_or(0).to_be_bytes()[..], &unit].concat()
}

/// Into the range that video levels have.
fn level(value: u8) -> u8 {
    16 + value % 220
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mp4(seed: u64, size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_mp4(&mut bytes, seed, size).unwrap();
        bytes
    }

    /// Names and lengths of the boxes in `bytes`.
    fn boxes(mut bytes: &[u8]) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            found.push((String::from_utf8(bytes[4..8].to_vec()).unwrap(), size));
            bytes = &bytes[size..];
        }
        found
    }

    #[test]
    fn boxes_add_up_to_the_exact_size_asked_for() {
        for size in [MIN_SIZE, 50_001, 1_000_000, 3_000_007] {
            let bytes = mp4(7, size);
            assert_eq!(bytes.len() as u64, size);
            let names: Vec<String> = boxes(&bytes).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["ftyp", "moov", "mdat", "free"]);
        }
        assert!(write_mp4(&mut Vec::new(), 7, MIN_SIZE - 1).is_err());
    }

    #[test]
    fn the_same_seed_gives_the_same_film_and_another_seed_another() {
        assert_eq!(mp4(7, 100_000), mp4(7, 100_000));
        assert_ne!(mp4(7, 100_000), mp4(8, 100_000));
    }

    #[test]
    fn the_chunk_offset_points_at_the_first_picture() {
        let bytes = mp4(7, 200_000);
        let stco = bytes.windows(4).position(|w| w == b"stco").unwrap();
        let place = u32::from_be_bytes(bytes[stco + 12..stco + 16].try_into().unwrap()) as usize;
        assert_eq!(&bytes[place - 4..place], b"mdat");
        assert_eq!(bytes[place + 4], 0x65, "an IDR slice comes behind its length");
    }
}
