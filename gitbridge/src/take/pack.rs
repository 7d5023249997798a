//! A pack read as a whole (gitformat-pack, "pack-*.pack files have the following format").

use std::collections::BTreeMap;
use std::io::Read as _;

use colophon_model::{GitKind, Oid};
use sha1::{Digest as _, Sha1};

use super::TakeError;
use crate::delta;
use crate::object::Object;

/// Bounds of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenLimits {
    /// Most objects in a pack.
    pub objects: u32,
    /// Largest object, in bytes.
    pub object: u64,
    /// Most bytes of all objects of a pack together.
    pub total: u64,
}

impl Default for TakenLimits {
    /// 500,000 objects, 64 MiB for one of them, 512 MiB for all.
    fn default() -> Self {
        Self { objects: 500_000, object: 64 << 20, total: 512 << 20 }
    }
}

/// Objects by the ids that their bytes have.
#[derive(Debug, Default)]
pub struct Taken(BTreeMap<Oid, (GitKind, Vec<u8>)>);

const HEADER: usize = 12;
const TRAILER: usize = 20;
const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

/// What a delta is a difference from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    /// The entry at this place of the pack.
    At(usize),
    Named(Oid),
}

/// A delta whose base was not there when it was read.
struct Pending {
    at: usize,
    delta: Vec<u8>,
}

struct Reader<'a> {
    pack: &'a [u8],
    at: usize,
    left: u64,
    limits: &'a TakenLimits,
    taken: &'a mut Taken,
    /// Which object stands where.
    places: BTreeMap<usize, Oid>,
    pending: BTreeMap<Base, Vec<Pending>>,
}

/// The id of a blob of these bytes.
///
/// # Errors
/// [`TakeError::Collision`] when they were made to collide.
pub fn blob_id(bytes: &[u8]) -> Result<Oid, TakeError> {
    let object = Object::new(GitKind::Blob, bytes.to_vec()).map_err(|_| TakeError::Collision)?;
    Ok(object.oid)
}

impl Taken {
    /// The object, when it came and is of this kind.
    ///
    /// # Errors
    /// [`TakeError::Missing`], and [`TakeError::NotA`] for one of another kind.
    pub fn get(&self, oid: Oid, kind: GitKind) -> Result<&[u8], TakeError> {
        match self.0.get(&oid) {
            Some((found, bytes)) if *found == kind => Ok(bytes),
            Some(_) => Err(TakeError::NotA { oid, wanted: kind.as_str() }),
            None => Err(TakeError::Missing(oid)),
        }
    }

    /// Adds an object under the id that its bytes have, and returns that.
    ///
    /// # Errors
    /// [`TakeError::Collision`].
    pub fn add(&mut self, kind: GitKind, bytes: Vec<u8>) -> Result<Oid, TakeError> {
        let object = Object::new(kind, bytes).map_err(|_| TakeError::Collision)?;
        self.0.insert(object.oid, (kind, object.bytes));
        Ok(object.oid)
    }

    /// Reads the beginning of a pack up to its first commit, and returns that one's id. Every object before it that it
    /// needs is there then, if the pack has its objects in the order in which they were made and rests on nothing
    /// outside. What follows need not be there, and is not looked at.
    ///
    /// # Errors
    /// When there is no commit within the limits, or the pack is malformed before it.
    pub fn read_first_commit(
        &mut self,
        pack: &[u8],
        limits: &TakenLimits,
    ) -> Result<Oid, TakeError> {
        let count = head(pack)?.min(limits.objects);
        let mut reader = Reader::new(self, pack, limits);
        for _ in 0..count {
            let at = reader.at;
            if reader.entry()? == Some(GitKind::Commit) {
                return reader.places.get(&at).copied().ok_or(CUT);
            }
        }
        Err(TakeError::TooMuch { what: "objects before a commit", most: count.into() })
    }

    pub(super) fn read_pack(&mut self, pack: &[u8], limits: &TakenLimits) -> Result<(), TakeError> {
        let count = count(pack, limits)?;
        let body = &pack[..pack.len() - TRAILER];
        let mut reader = Reader::new(self, body, limits);
        for _ in 0..count {
            reader.entry()?;
        }
        if reader.at != body.len() {
            return Err(TakeError::Malformed("something follows the last entry of the pack"));
        }
        if reader.pending.is_empty() {
            Ok(())
        } else {
            Err(TakeError::Malformed("a delta has no base in the pack"))
        }
    }
}

/// How many entries follow, when the checksum says that the pack is whole.
fn count(pack: &[u8], limits: &TakenLimits) -> Result<u32, TakeError> {
    if pack.len() < HEADER + TRAILER {
        return Err(NO_PACK);
    }
    let count = head(pack)?;
    let (body, checksum) = pack.split_at(pack.len() - TRAILER);
    if Sha1::digest(body).as_slice() != checksum {
        return Err(TakeError::Malformed("the pack has another checksum than it says"));
    }
    if count > limits.objects {
        return Err(TakeError::TooMuch { what: "objects", most: limits.objects.into() });
    }
    Ok(count)
}

const NO_PACK: TakeError = TakeError::Malformed("it is no pack of version 2");

/// How many entries the header says that there are.
fn head(pack: &[u8]) -> Result<u32, TakeError> {
    let count = pack.strip_prefix(b"PACK\0\0\0\x02").and_then(|rest| rest.first_chunk::<4>());
    count.map(|count| u32::from_be_bytes(*count)).ok_or(NO_PACK)
}

impl<'a> Reader<'a> {
    fn new(taken: &'a mut Taken, pack: &'a [u8], limits: &'a TakenLimits) -> Self {
        let (places, pending) = (BTreeMap::new(), BTreeMap::new());
        Self { pack, at: HEADER, left: limits.total, limits, taken, places, pending }
    }

    /// Reads one entry; returns its kind, unless it is a delta.
    fn entry(&mut self) -> Result<Option<GitKind>, TakeError> {
        let at = self.at;
        let (kind, size) = self.head()?;
        match kind {
            OFS_DELTA => {
                let back = self.offset()?;
                let base = at.checked_sub(back).filter(|_| back > 0);
                let base = base.ok_or(TakeError::Malformed("a delta rests on nothing"))?;
                let delta = self.inflate(size)?;
                self.delta(at, Base::At(base), delta).map(|()| None)
            }
            REF_DELTA => {
                let named = self.pack.get(self.at..self.at + Oid::LEN).and_then(Oid::from_slice);
                let named = named.ok_or(CUT)?;
                self.at += Oid::LEN;
                let delta = self.inflate(size)?;
                self.delta(at, Base::Named(named), delta).map(|()| None)
            }
            kind => {
                let unknown = TakeError::Malformed("an entry of an unknown kind");
                let kind = GitKind::from_pack_type(kind).ok_or(unknown)?;
                let bytes = self.inflate(size)?;
                self.settle(at, kind, bytes)?;
                Ok(Some(kind))
            }
        }
    }

    fn byte(&mut self) -> Result<u8, TakeError> {
        let byte = *self.pack.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    /// Kind and inflated size.
    fn head(&mut self) -> Result<(u8, u64), TakeError> {
        let mut byte = self.byte()?;
        let (kind, mut size, mut shift) = ((byte >> 4) & 7, u64::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            if shift > 56 {
                return Err(TakeError::Malformed("an entry's size is too long"));
            }
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok((kind, size))
    }

    /// How far back the base is.
    fn offset(&mut self) -> Result<usize, TakeError> {
        let mut byte = self.byte()?;
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let more = value.checked_add(1).and_then(|value| value.checked_mul(128));
            let more = more.ok_or(TakeError::Malformed("a delta rests on nothing"))?;
            value = more + usize::from(byte & 0x7f);
        }
        Ok(value)
    }

    /// The stream that stands here. Memory grows with what it really holds.
    fn inflate(&mut self, size: u64) -> Result<Vec<u8>, TakeError> {
        self.charge(size)?;
        let mut decoder = flate2::bufread::ZlibDecoder::new(&self.pack[self.at..]);
        let mut out = Vec::new();
        let read = decoder.by_ref().take(size + 1).read_to_end(&mut out);
        if read.is_err() || out.len() as u64 != size {
            return Err(TakeError::Malformed("an entry does not inflate to what it says"));
        }
        self.at += decoder.total_in() as usize; // a part of a slice
        Ok(out)
    }

    fn charge(&mut self, size: u64) -> Result<(), TakeError> {
        let (object, total) = (self.limits.object, self.limits.total);
        if size > object {
            return Err(TakeError::TooMuch { what: "bytes in one object", most: object });
        }
        let left = self.left.checked_sub(size);
        self.left = left.ok_or(TakeError::TooMuch { what: "bytes", most: total })?;
        Ok(())
    }

    fn delta(&mut self, at: usize, base: Base, delta: Vec<u8>) -> Result<(), TakeError> {
        let oid = match base {
            Base::At(place) => self.places.get(&place).copied(),
            Base::Named(oid) => self.taken.0.contains_key(&oid).then_some(oid),
        };
        if let Some(oid) = oid {
            let (kind, bytes) = self.made(oid, &delta)?;
            return self.settle(at, kind, bytes);
        }
        self.pending.entry(base).or_default().push(Pending { at, delta });
        Ok(())
    }

    fn made(&mut self, base: Oid, delta: &[u8]) -> Result<(GitKind, Vec<u8>), TakeError> {
        let wrong = TakeError::Malformed("a delta was not made for its base");
        let size = delta::target_size(delta).ok_or(wrong.clone())?;
        self.charge(size)?;
        let (kind, base) = self.taken.0.get(&base).ok_or(wrong.clone())?;
        let bytes = delta::apply(base, delta, size).ok_or(wrong)?;
        Ok((*kind, bytes))
    }

    /// Keeps an object, and makes what waited for it. Deltas may stand before their bases.
    fn settle(&mut self, at: usize, kind: GitKind, bytes: Vec<u8>) -> Result<(), TakeError> {
        let mut ready = vec![(at, kind, bytes)];
        while let Some((at, kind, bytes)) = ready.pop() {
            let oid = self.taken.add(kind, bytes)?;
            self.places.insert(at, oid);
            for base in [Base::At(at), Base::Named(oid)] {
                for pending in self.pending.remove(&base).unwrap_or_default() {
                    let (kind, bytes) = self.made(oid, &pending.delta)?;
                    ready.push((pending.at, kind, bytes));
                }
            }
        }
        Ok(())
    }
}

const CUT: TakeError = TakeError::Malformed("the pack is cut");
