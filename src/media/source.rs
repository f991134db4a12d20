//! Reads at offsets of a file whose sizes nobody trusts.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// How much is read at once when a stretch is streamed.
pub(super) const BLOCK: usize = 64 * 1024;

/// Reading and seeking behind one pointer.
pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// The file under a walker.
pub(super) struct Source<'a> {
    reader: &'a mut dyn ReadSeek,
    len: u64,
    deep: bool,
    go_on: &'a mut dyn FnMut() -> bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(reader: &'a mut dyn ReadSeek, len: u64, deep: bool, go_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { reader, len, deep, go_on }
    }

    /// Bytes in the file.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Whether everything is to be decoded.
    pub(super) const fn deep(&self) -> bool {
        self.deep
    }

    /// Fails when the caller wants to stop.
    pub(super) fn pulse(&mut self) -> io::Result<()> {
        if (self.go_on)() { Ok(()) } else { Err(io::Error::other("stopped")) }
    }

    /// Fills as much of `buffer` as the file has at `offset`.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.pulse()?;
        self.reader.seek(SeekFrom::Start(offset))?;
        let mut got = 0;
        while got < buffer.len() {
            match self.reader.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    /// `N` bytes at `offset`; `None` when the file ends before.
    pub(super) fn bytes<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let mut buffer = [0; N];
        Ok((self.read_at(offset, &mut buffer)? == N).then_some(buffer))
    }

    /// Streams `start..end` in blocks; `each` says `false` to end early. Returns how many bytes there were.
    pub(super) fn stream(&mut self, start: u64, end: u64, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
        let mut block = vec![0u8; BLOCK];
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            let got = self.read_at(at, &mut block[..want])?;
            at += got as u64;
            if got == 0 || !each(&block[..got]) {
                break;
            }
        }
        Ok(at - start)
    }

    /// A reader over `start..end` that stops when the caller wants to.
    pub(super) fn section(&mut self, start: u64, end: u64) -> io::Result<BufReader<Section<'_, 'a>>> {
        Ok(BufReader::with_capacity(BLOCK, Section { source: self, at: start, end }))
    }
}

/// A stretch of the file as a reader.
pub(super) struct Section<'s, 'a> {
    source: &'s mut Source<'a>,
    at: u64,
    end: u64,
}

impl Read for Section<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        if want == 0 {
            return Ok(0);
        }
        let got = self.source.read_at(self.at, &mut buffer[..want])?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Entries of a table of big-endian numbers, read block by block.
pub(super) struct Table {
    at: u64,
    end: u64,
    width: usize,
    block: Vec<u8>,
    place: usize,
}

impl Table {
    /// The entries of `width` bytes (16 at most) in `start..end`.
    pub(super) const fn new(start: u64, end: u64, width: usize) -> Self {
        Self { at: start, end, width, block: Vec::new(), place: 0 }
    }

    /// The next entry; `None` at the end of the table or of the file.
    pub(super) fn next(&mut self, source: &mut Source<'_>) -> io::Result<Option<u128>> {
        if self.place >= self.block.len() {
            let most = (BLOCK / self.width * self.width) as u64;
            let want = self.end.saturating_sub(self.at).min(most) as usize / self.width * self.width;
            self.block.resize(want, 0);
            let got = source.read_at(self.at, &mut self.block)?;
            self.block.truncate(got / self.width * self.width);
            (self.at, self.place) = (self.at + self.block.len() as u64, 0);
        }
        let entry = self.block.get(self.place..self.place + self.width);
        self.place += self.width;
        Ok(entry.map(|bytes| bytes.iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))))
    }
}

/// A big-endian number at `at` of `bytes`; 0 beyond the end.
pub(super) fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// A big-endian number at `at` of `bytes`; 0 beyond the end.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// A little-endian number at `at` of `bytes`; 0 beyond the end.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// A little-endian number at `at` of `bytes`; 0 beyond the end.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

/// A little-endian number at `at` of `bytes`; 0 beyond the end.
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
