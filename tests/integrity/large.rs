//! Looks at a film of 4 GB, of which it reads next to nothing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use logmedic::media::{State, check};

use super::media::make;

const SIZE: u64 = 4_000_000_000;

/// The most that may be read of it.
const MOST: u64 = 10_000_000;

struct Counted(File, u64);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read(buffer)?;
        self.1 += got as u64;
        Ok(got)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn look(file: File) -> (State, String, u64) {
    let len = file.metadata().unwrap().len();
    let mut counted = Counted(file, 0);
    let verdict = check(&mut counted, len, "film.mp4");
    (verdict.state, verdict.detail, counted.1)
}

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), name.as_slice(), body].concat()
}

/// The box of this name at the top: where it begins and ends.
fn find(bytes: &[u8], name: &[u8; 4]) -> (usize, usize) {
    let mut at = 0;
    loop {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if &bytes[at + 4..at + 8] == name {
            return (at, at + size);
        }
        at += size;
    }
}

#[test]
fn c7_a_real_film_stretched_to_4_gb_is_looked_at_by_reading_little() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(make(dir.path(), "a.mp4", &["-c:v", "libx264", "-c:a", "aac"])).unwrap();
    // ffmpeg leaves eight bytes before the media data, for a size of 64 bits.
    let (free, data, index) = (find(&bytes, b"free"), find(&bytes, b"mdat"), find(&bytes, b"moov"));
    assert_eq!((free.1 - free.0, free.1), (8, data.0));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes[..free.0]).unwrap();
    let media = SIZE - (index.1 - index.0) as u64 - free.0 as u64;
    file.write_all(&[&[0, 0, 0, 1], b"mdat".as_slice(), &media.to_be_bytes()].concat()).unwrap();
    file.write_all(&bytes[data.0 + 8..data.1]).unwrap();
    file.write_all_at(&bytes[index.0..index.1], free.0 as u64 + media).unwrap();
    let (state, detail, read) = look(file.try_clone().unwrap());
    assert_eq!(state, State::Sound, "{detail}");
    assert!(read < MOST / 100, "{read}");
    file.set_len(SIZE - 1).unwrap();
    assert_eq!(look(file).0, State::Short);
}

#[test]
fn c7_the_index_of_two_hours_is_followed_by_reading_less_than_10_mb() {
    const CHUNKS: u32 = 14_400;
    // Two tracks, 60 pictures and 47 frames of sound a second, half a second a chunk.
    let mut film = Film { samples: vec![(b"avc1", 30, 9_000), (b"mp4a", 23, 350)], chunks: CHUNKS };
    let file = film.write();
    let len = file.metadata().unwrap().len();
    assert!(len > 3_900_000_000, "{len}");
    let (state, detail, read) = look(file.try_clone().unwrap());
    println!("a film of {len} bytes, {} samples: {read} bytes were read", CHUNKS * 53);
    assert_eq!(state, State::Sound, "{detail}");
    assert!(read < MOST, "{read}");
    // A download that was never fetched to its end, with room for all of it: the last third are zeros.
    let step = u64::from(film.chunk_bytes());
    for chunk in u64::from(CHUNKS) * 2 / 3..u64::from(CHUNKS) {
        file.write_all_at(&[0; 16], 40 + chunk * step).unwrap();
    }
    let (state, detail, _) = look(file);
    assert_eq!(state, State::Broken, "{detail}");
    film.chunks = 1;
}

struct Film {
    /// Name of the coding, samples in a chunk, bytes of a sample.
    samples: Vec<(&'static [u8; 4], u32, u32)>,
    chunks: u32,
}

impl Film {
    fn chunk_bytes(&self) -> u32 {
        self.samples.iter().map(|(_, count, size)| count * size).sum()
    }

    fn track(&self, at: usize) -> Vec<u8> {
        let (coding, count, size) = self.samples[at];
        let before: u32 = self.samples[..at].iter().map(|(_, count, size)| count * size).sum();
        let number = |value: u32| value.to_be_bytes();
        let all = self.chunks * count;
        let mut sizes = [[0; 4], number(0), number(all)].concat();
        sizes.extend(number(size).repeat(all as usize));
        let mut offsets = [[0; 4], number(self.chunks)].concat();
        for chunk in 0..u64::from(self.chunks) {
            offsets.extend((40 + chunk * u64::from(self.chunk_bytes()) + u64::from(before)).to_be_bytes());
        }
        let tables = [
            boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8], coding.as_slice()].concat()),
            boxed(b"stsc", &[[0; 4], number(1), number(1), number(count), number(1)].concat()),
            boxed(b"stsz", &sizes),
            boxed(b"co64", &offsets),
        ];
        boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", &tables.concat()))))
    }

    /// A file with holes: 24 bytes of head, the media data at byte 40, then the index.
    fn write(&self) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let media = u64::from(self.chunk_bytes()) * u64::from(self.chunks);
        file.write_all(&boxed(b"ftyp", b"isom\0\0\x02\0isommp41")).unwrap();
        file.write_all(&[&[0, 0, 0, 1], b"mdat".as_slice(), &(media + 16).to_be_bytes()].concat()).unwrap();
        // What a picture begins with: its length, and a slice.
        for chunk in 0..u64::from(self.chunks) {
            let at = 40 + chunk * u64::from(self.chunk_bytes());
            file.write_all_at(&[0, 0, 0x23, 0x24, 0x65, 0x88, 0x84], at).unwrap();
        }
        let index: Vec<u8> = (0..self.samples.len()).flat_map(|at| self.track(at)).collect();
        file.write_all_at(&boxed(b"moov", &index), 40 + media).unwrap();
        file
    }
}
