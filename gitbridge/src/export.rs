//! A log as a pack in a file, with its index, or as a bundle.

use std::io::{self, Write};

use colophon_model::{GitKind, Oid, Ordinal, TagObject};

use crate::pack::Checksum;
use crate::zlib::Deflater;
use crate::{Error, ObjectLog, Ref, pack, read};

/// Why a pack was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] Error),
    /// The pack cannot be written.
    #[error("the pack cannot be written")]
    Write(#[from] io::Error),
}

/// Where each object of a pack is: what an index file says.
#[derive(Debug)]
pub struct PackIndex {
    objects: Vec<Indexed>,
    checksum: [u8; 20],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Indexed {
    oid: Oid,
    offset: u64,
    crc: u32,
}

/// Part of a log: what came after one commit, up to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// The commit that is left out with all before it; none: from the beginning.
    pub since: Option<Ordinal>,
    /// The last commit that is in it; none: to the end.
    pub until: Option<Ordinal>,
}

/// Writes every object of a part of the log, and `tags`, as one pack (gitformat-pack, version
/// 2). With `since`, a commit of the log, the pack is thin: it rests on what that commit reaches.
/// `done` is told of each object. Memory: the largest object, and 40 bytes for each.
pub fn write_pack(
    log: &dyn ObjectLog,
    part: Part,
    tags: &[TagObject],
    out: &mut dyn Write,
    done: &dyn Fn(u64),
) -> Result<PackIndex, ExportError> {
    let len = log.len().map_err(Error::Read)?;
    let end = part.until.map_or(len, |at| (at.get() + 1).min(len));
    let first = part.since.map_or(0, |at| at.get() + 1).min(end);
    let count = u32::try_from(tags.len()).ok().and_then(|tags| tags.checked_add(end - first));
    let mut file = PackFile::new(out);
    file.write(&[&pack::header(count.ok_or(Error::Full)?)])?;
    let mut deflater = Deflater::new();
    for at in (first..end).map(Ordinal::new) {
        let entry = read::entry(log, at)?;
        let head = match entry.base {
            None => pack::whole(entry.kind, entry.size),
            Some(base) if base.get() >= first => {
                let begin = file.objects[(base.get() - first) as usize].offset;
                pack::ofs_delta(entry.inflated, file.made - begin)
            }
            Some(base) => pack::ref_delta(entry.inflated, read::entry(log, base)?.oid),
        };
        file.object(entry.oid, &[&head, &entry.deflated])?;
        done(file.objects.len() as u64);
    }
    for tag in tags {
        let head = pack::whole(GitKind::Tag, tag.bytes.len() as u64);
        file.object(tag.oid, &[&head, &deflater.deflate(&tag.bytes)])?;
    }
    Ok(file.finish()?)
}

/// A pack under way: what was written is hashed and counted.
struct PackFile<'a> {
    out: &'a mut dyn Write,
    hasher: Checksum,
    made: u64,
    objects: Vec<Indexed>,
}

impl<'a> PackFile<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, hasher: Checksum::default(), made: 0, objects: Vec::new() }
    }

    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.out.write_all(part)?;
            self.hasher.update(part);
            self.made += part.len() as u64;
        }
        Ok(())
    }

    fn object(&mut self, oid: Oid, parts: &[&[u8]]) -> io::Result<()> {
        let mut crc = crc32fast::Hasher::new();
        for part in parts {
            crc.update(part);
        }
        self.objects.push(Indexed { oid, offset: self.made, crc: crc.finalize() });
        self.write(parts)
    }

    fn finish(self) -> io::Result<PackIndex> {
        let checksum = self.hasher.finish();
        self.out.write_all(&checksum)?;
        self.out.flush()?;
        Ok(PackIndex { objects: self.objects, checksum })
    }
}

/// Offsets from here on are in a table of their own.
const LARGE: u64 = 1 << 31;

impl PackIndex {
    /// How many objects the pack has.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The checksum at the end of the pack, in hex: the name that Git gives it.
    pub fn name(&self) -> String {
        Oid::from_bytes(self.checksum).to_string()
    }

    /// The index file (gitformat-pack, "Version 2 pack-*.idx files").
    pub fn encode(mut self) -> Vec<u8> {
        self.objects.sort_unstable();
        let mut bytes = vec![0xff, b't', b'O', b'c', 0, 0, 0, 2];
        for first in 0..=u8::MAX {
            let below = self.objects.partition_point(|object| object.oid.as_bytes()[0] <= first);
            put(&mut bytes, below as u32); // a pack counts its objects in 32 bits
        }
        for object in &self.objects {
            bytes.extend_from_slice(object.oid.as_bytes());
        }
        for object in &self.objects {
            put(&mut bytes, object.crc);
        }
        let mut large = Vec::new();
        for object in &self.objects {
            if object.offset < LARGE {
                put(&mut bytes, object.offset as u32);
            } else {
                put(&mut bytes, LARGE as u32 | (large.len() / 8) as u32);
                large.extend_from_slice(&object.offset.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&large);
        bytes.extend_from_slice(&self.checksum);
        let mut hasher = Checksum::default();
        hasher.update(&bytes);
        bytes.extend_from_slice(&hasher.finish());
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// What stands before the pack of a bundle (gitformat-bundle, version 2): what it rests on, and the
/// refs in it. `HEAD` goes along, so that a clone of the bundle checks out the branch.
pub fn bundle_header(since: Option<Oid>, head: Oid, refs: &[Ref]) -> Vec<u8> {
    let rests = since.map(|oid| format!("-{oid} \n")).unwrap_or_default();
    let refs = refs.iter().map(|one| format!("{} {}\n", one.oid, one.name));
    let refs: String = refs.chain([format!("{head} HEAD\n")]).collect();
    format!("# v2 git bundle\n{rests}{refs}\n").into_bytes()
}

/// The file `packed-refs` of a repository: `refs` sorted by name (gitrepository-layout).
pub fn packed_refs(refs: &[Ref]) -> Vec<u8> {
    let line = |one: &Ref| {
        let peeled = one.peeled.map(|oid| format!("^{oid}\n")).unwrap_or_default();
        format!("{} {}\n{peeled}", one.oid, one.name)
    };
    let lines: String = refs.iter().map(line).collect();
    format!("# pack-refs with: peeled fully-peeled sorted \n{lines}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs of over 2 GiB are not made by a test: their offsets are.
    #[test]
    fn offsets_beyond_two_gibibytes_have_a_table_of_their_own() {
        let object = |n: u8, offset| Indexed { oid: Oid::from_bytes([n; 20]), offset, crc: 7 };
        let objects =
            vec![object(2, 12), object(1, LARGE), object(0, LARGE + 5), object(3, LARGE - 1)];
        let bytes = PackIndex { objects, checksum: [9; 20] }.encode();
        let table = 8 + 256 * 4 + 4 * 20 + 4 * 4;
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let words: Vec<u32> = (0..4).map(|n| word(table + 4 * n)).collect();
        assert_eq!(words, [0x8000_0000, 0x8000_0001, 12, 0x7fff_ffff]);
        let large = &bytes[table + 16..table + 32];
        assert_eq!(large, [(LARGE + 5).to_be_bytes(), LARGE.to_be_bytes()].concat());
        assert_eq!(bytes.len(), table + 32 + 40);
    }
}
