//! Reading blobs: rows lead to bytes, bytes may rest on those of other blobs, and the digest decides.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use colophon_model::Digest;

use crate::blob::{BlobRow, Place};
use crate::delta;
use crate::frame::Codec;
use crate::row::{Row, key_bytes};
use crate::{Error, Frame, Location, MAX_BLOB_LEN, Segments, Snapshot, Table};

/// Reads blobs in one state of the store.
pub(crate) struct Reader<'a> {
    snapshot: &'a dyn Snapshot,
    segments: &'a dyn Segments,
    /// What is about to be written; it is read in place of what is there.
    fresh: HashMap<Digest, &'a Frame>,
}

/// A blob as it is stored.
pub(crate) struct Stored {
    codec: Codec,
    raw_len: u32,
    bytes: Vec<u8>,
    /// Which of the bytes are the payload.
    payload: Range<usize>,
}

impl Stored {
    fn of_frame(frame: Frame) -> Self {
        let (codec, raw_len, payload) = (frame.codec(), frame.raw_len(), frame.payload_range());
        Self { codec, raw_len, bytes: frame.into_bytes(), payload }
    }

    fn of_payload(row: &BlobRow, bytes: Vec<u8>) -> Self {
        Self { codec: row.codec, raw_len: row.raw_len, payload: 0..bytes.len(), bytes }
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }

    /// Bytes that it takes: a frame, or a payload in the metadata.
    pub(crate) const fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The blob that it rests on, as the payload says.
    pub(crate) fn base(&self) -> Option<Digest> {
        match self.codec {
            Codec::Delta(_) => delta::split(self.payload()).map(|(base, _)| base),
            Codec::Raw | Codec::Zstd | Codec::Dictionary(_) => None,
        }
    }

    /// The bytes that it decodes to; `below` are those of its base.
    fn decode(&self, below: Option<&[u8]>) -> Option<Vec<u8>> {
        let max_len = self.raw_len as usize;
        let raw = match self.codec {
            Codec::Delta(_) => delta::unpack(delta::split(self.payload())?.1, below?, max_len),
            codec => codec.decode(max_len, self.payload()),
        };
        raw.filter(|raw| raw.len() == max_len)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(snapshot: &'a dyn Snapshot, segments: &'a dyn Segments) -> Self {
        Self { snapshot, segments, fresh: HashMap::new() }
    }

    /// As if `frames` were written already.
    pub(crate) fn with(self, frames: impl Iterator<Item = &'a Frame>) -> Self {
        Self { fresh: frames.map(|frame| (frame.digest(), frame)).collect(), ..self }
    }

    /// Reads and verifies the blob `digest`, which rows say exists.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let raw = self.load(digest).map_err(Error::Read)?;
        raw.ok_or(Error::Corrupt { digest: *digest })
    }

    /// The blob's bytes, or `None` when they are not there or not those of the digest.
    pub(crate) fn load(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        let Some(mut links) = self.links(digest)? else { return Ok(None) };
        let mut raw = None;
        while let Some(link) = links.pop() {
            raw = link.decode(raw.as_deref());
            if raw.is_none() {
                return Ok(None);
            }
        }
        Ok(raw.filter(|raw| Digest::of(raw) == *digest))
    }

    /// The blob and what it rests on, down to one that rests on nothing. Each has fewer below it than the one
    /// above, so this ends whatever the rows say.
    fn links(&self, digest: &Digest) -> io::Result<Option<Vec<Stored>>> {
        let mut links: Vec<Stored> = Vec::new();
        let mut next = Some(*digest);
        while let Some(digest) = next {
            let Some(stored) = self.stored(&digest)? else { return Ok(None) };
            let is_sound = links.last().is_none_or(|above| {
                stored.codec.depth() < above.codec.depth()
                    && stored.raw_len as usize <= delta::MAX_LEN
            });
            next = stored.base();
            if !is_sound || next.is_none() && stored.codec.depth() > 0 {
                return Ok(None);
            }
            links.push(stored);
        }
        Ok(Some(links))
    }

    /// The blobs that `digest` rests on, nearest first, as far as they are there.
    pub(crate) fn bases(&self, digest: &Digest) -> io::Result<Vec<Digest>> {
        let (mut bases, mut depth) = (Vec::new(), u8::MAX);
        let mut next = Some(*digest);
        while let Some(digest) = next {
            let stored = self.stored(&digest)?.filter(|stored| stored.codec.depth() < depth);
            depth = stored.as_ref().map_or(0, |stored| stored.codec.depth());
            next = stored.and_then(|stored| stored.base());
            bases.extend(next);
        }
        Ok(bases)
    }

    /// Whether rows name bytes for `digest` that are not there or not its own.
    pub(crate) fn is_damaged(&self, digest: &Digest) -> io::Result<bool> {
        Ok(self.load(digest)?.is_none())
    }

    /// Length of the inline payload that row `digest` names, if its bytes are those of the blob.
    pub(crate) fn own_payload(&self, digest: &Digest) -> io::Result<Option<usize>> {
        let Some(stored) = self.stored(digest)? else { return Ok(None) };
        Ok(self.load(digest)?.map(|_| stored.payload.len()))
    }

    /// The row of a blob, if it parses.
    pub(crate) fn row(&self, digest: &Digest) -> io::Result<Option<BlobRow>> {
        let row = self.snapshot.get(Table::Blob, digest.as_bytes())?;
        Ok(row.and_then(|row| BlobRow::decode(&row).ok()))
    }

    /// The blob as it is stored, unchecked but for its frame.
    pub(crate) fn stored(&self, digest: &Digest) -> io::Result<Option<Stored>> {
        if let Some(frame) = self.fresh.get(digest) {
            return Ok(Some(Stored::of_frame((*frame).clone())));
        }
        let Some(row) = self.row(digest)? else { return Ok(None) };
        let stored = match row.place {
            Place::Inline(number) => {
                let payload = self.snapshot.get(Table::Inline, &key_bytes(&number))?;
                payload.map(|payload| Stored::of_payload(&row, payload))
            }
            Place::Segment(location) => self.framed(digest, &location)?,
        };
        Ok(stored.filter(|stored| stored.raw_len as usize <= MAX_BLOB_LEN))
    }

    fn framed(&self, digest: &Digest, location: &Location) -> io::Result<Option<Stored>> {
        let Some(bytes) = present(self.segments.read(location))? else { return Ok(None) };
        let frame = Frame::parse(bytes).ok().filter(|frame| frame.digest() == *digest);
        Ok(frame.map(Stored::of_frame))
    }
}

/// Tells bytes that are gone from a disk that cannot be read now.
fn present(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_gone(error: &io::Error) -> bool {
    let ended = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof);
    // A sector that the disk gives up on is as good as lost.
    ended || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
