//! Bytes of any length that show where they belong: noise, with the page's number at the start of each page. A hole, a
//! changed byte and a misplaced page are all found, and nothing has to be kept in memory or on disk for that.

use std::io::{ErrorKind, Read};
use std::sync::OnceLock;

use crc_fast::{CrcAlgorithm, Digest};

const PAGE: usize = 4096;
/// The noise repeats after this many bytes, so that it stays in the processor's cache.
const BLOCK: usize = 256 * 1024;

/// Fills the buffer with the pattern's bytes from `offset` on.
pub fn fill(offset: u64, buffer: &mut [u8]) {
    let noise = block();
    let mut offset = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let in_page = (offset % PAGE as u64) as usize;
        let length = rest.len().min(PAGE - in_page);
        let (page, after) = rest.split_at_mut(length);
        let from = (offset % BLOCK as u64) as usize;
        page.copy_from_slice(&noise[from..from + length]);
        let stamp = (offset / PAGE as u64).to_le_bytes();
        for (at, byte) in page.iter_mut().enumerate().take(stamp.len().saturating_sub(in_page)) {
            *byte = stamp[in_page + at];
        }
        offset += length as u64;
        rest = after;
    }
}

/// The pattern's bytes from `offset` on.
pub fn bytes(offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill(offset, &mut bytes);
    bytes
}

/// Writes the pattern's first `length` bytes.
pub fn write(mut to: impl std::io::Write, length: u64) -> std::io::Result<()> {
    let mut chunk = vec![0; BLOCK];
    let mut offset = 0;
    while offset < length {
        let part = &mut chunk[..BLOCK.min((length - offset) as usize)];
        fill(offset, part);
        to.write_all(part)?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// Compares with the pattern's first `length` bytes. Returns the offset of the first difference. Too few or too many
/// bytes are a difference.
pub fn difference(mut from: impl Read, length: u64) -> std::io::Result<Option<u64>> {
    let (mut expected, mut found) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut offset = 0;
    loop {
        let read = match from.read(&mut found) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            return Ok((offset < length).then_some(offset));
        }
        let wanted = read.min((length - offset) as usize);
        fill(offset, &mut expected[..wanted]);
        if expected[..wanted] != found[..wanted] {
            let same = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
            return Ok(Some(offset + same as u64));
        }
        offset += wanted as u64;
        if read > wanted {
            return Ok(Some(offset));
        }
    }
}

/// The CRC-64/NVME of the pattern's first `length` bytes.
pub fn crc64nvme(length: u64) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut chunk = vec![0; BLOCK];
    let mut offset = 0;
    while offset < length {
        let part = &mut chunk[..BLOCK.min((length - offset) as usize)];
        fill(offset, part);
        digest.update(part);
        offset += part.len() as u64;
    }
    digest.finalize()
}

fn block() -> &'static [u8] {
    static BLOCK_OF_NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK_OF_NOISE.get_or_init(|| noise(BLOCK))
}

/// Bytes that look random and are the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    noise_of(0, length)
}

/// The same, with other bytes for each number.
pub fn noise_of(number: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ number;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_the_same_as_in_the_whole() {
        let whole = bytes(0, 3 * BLOCK);
        for (offset, length) in [(0, 1), (3, 9), (4090, 20), (4097, 3), (BLOCK as u64 - 5, 70_000)] {
            let at = offset as usize;
            assert_eq!(bytes(offset, length), &whole[at..at + length], "{offset} {length}");
        }
        let mut written = Vec::new();
        write(&mut written, 3 * BLOCK as u64).unwrap();
        assert!(written == whole);
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(&whole[..500_001]);
        assert_eq!(crc64nvme(500_001), digest.finalize());
    }

    #[test]
    fn whatever_went_wrong_is_seen_where_it_is() {
        let length = 2 * BLOCK as u64 + 77;
        let whole = bytes(0, length as usize);
        let found = |bytes: &[u8]| difference(bytes, length).unwrap();
        assert_eq!(found(&whole), None);
        assert_eq!(found(&whole[..300_000]), Some(300_000));
        assert_eq!(found(&[&whole[..], b"more"].concat()), Some(length));
        let mut changed = whole.clone();
        changed[BLOCK + 1] ^= 1;
        assert_eq!(found(&changed), Some(BLOCK as u64 + 1));
        // Noise repeats after a block; the page's number does not.
        let mut astray = whole.clone();
        astray.copy_within(..32 * 1024, BLOCK);
        assert_eq!(found(&astray), Some(BLOCK as u64));
    }
}
