//! The pack format, version 2 (gitformat-pack).

use colophon_model::{GitKind, Oid};
use sha1::{Digest as _, Sha1};

/// What a pack and its index end with: SHA-1 of all before it. Collisions are not looked for, which
/// would take several times as long: it is only a checksum, and objects were screened when they were
/// appended.
#[derive(Default)]
pub(crate) struct Checksum(Sha1);

impl Checksum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 20] {
        self.0.finalize().into()
    }
}

/// `PACK`, the version, the number of objects.
pub(crate) fn header(objects: u32) -> Vec<u8> {
    [b"PACK", &2_u32.to_be_bytes()[..], &objects.to_be_bytes()].concat()
}

/// Starts the entry of a whole object of `size` bytes.
pub(crate) fn whole(kind: GitKind, size: u64) -> Vec<u8> {
    entry(kind.pack_type(), size)
}

/// Starts a delta of `size` bytes against the entry that began `distance` bytes before this one.
pub(crate) fn ofs_delta(size: u64, distance: u64) -> Vec<u8> {
    let mut out = entry(6, size);
    put_distance(&mut out, distance);
    out
}

/// Starts a delta of `size` bytes against the object `base`.
pub(crate) fn ref_delta(size: u64, base: Oid) -> Vec<u8> {
    let mut out = entry(7, size);
    out.extend_from_slice(base.as_bytes());
    out
}

/// Three bits of type and four of size, then seven bits a byte, lowest first.
fn entry(number: u8, mut size: u64) -> Vec<u8> {
    let mut byte = number << 4 | (size & 0x0f) as u8;
    size >>= 4;
    let mut out = Vec::with_capacity(30);
    while size > 0 {
        out.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    out.push(byte);
    out
}

/// Seven bits a byte, highest first; every byte but the last counts from one, so that no number has
/// two spellings.
fn put_distance(out: &mut Vec<u8>, mut distance: u64) {
    let mut bytes = [0; 10]; // 64 bits, seven a byte
    let mut from = bytes.len() - 1;
    bytes[from] = (distance & 0x7f) as u8;
    while distance > 0x7f {
        distance = (distance >> 7) - 1;
        from -= 1;
        bytes[from] = (distance & 0x7f) as u8 | 0x80;
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values worked out from gitformat-pack.
    #[test]
    fn numbers_are_spelled_as_the_format_says() {
        assert_eq!(whole(GitKind::Blob, 0), [0x30]);
        assert_eq!(whole(GitKind::Commit, 15), [0x1f]);
        assert_eq!(whole(GitKind::Commit, 16), [0x90, 0x01]);
        assert_eq!(whole(GitKind::Tree, 0x7ff), [0xaf, 0x7f]);
        assert_eq!(ofs_delta(1, 0x7f), [0x61, 0x7f]);
        assert_eq!(ofs_delta(1, 0x80), [0x61, 0x80, 0x00]);
        assert_eq!(ofs_delta(1, 0x407f), [0x61, 0xff, 0x7f]);
        assert_eq!(ofs_delta(1, 0x4080), [0x61, 0x80, 0x80, 0x00]);
        assert_eq!(ofs_delta(1, u64::MAX).len(), 11, "the longest there is");
    }
}
