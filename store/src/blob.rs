//! Blobs: prepared outside the writer, found again through rows of their own.

use std::io;
use std::sync::Arc;

use colophon_model::{Artifact, Digest, TenantUid, UnixMillis};
use rayon::prelude::*;

use crate::frame::{self, Codec};
use crate::row::{InvalidRow, Row, key_bytes, mark_row};
use crate::{Error, Frame, Location, MAX_BLOB_LEN, Segments, Snapshot, Table};

/// A blob that is hashed and compressed, ready to be written. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PreparedBlob(Arc<Frame>);

impl PreparedBlob {
    /// Hashes and compresses `raw` on this thread.
    pub fn new(raw: &[u8]) -> Result<Self, Error> {
        check_size(raw)?;
        Ok(Self(Arc::new(Frame::pack(Digest::of(raw), raw))))
    }

    /// Compresses a generated file, whose digest is known already.
    pub fn of_artifact(artifact: &Artifact) -> Result<Self, Error> {
        check_size(artifact.bytes())?;
        Ok(Self(Arc::new(Frame::pack(artifact.digest(), artifact.bytes()))))
    }

    /// Compresses many generated files on all cores; the answer has their order.
    pub fn of_artifacts(artifacts: &[&Artifact]) -> Result<Vec<Self>, Error> {
        artifacts.par_iter().map(|artifact| Self::of_artifact(artifact)).collect()
    }

    /// The blob's address.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// The blob as it goes into a segment.
    pub fn frame(&self) -> &Frame {
        &self.0
    }
}

fn check_size(raw: &[u8]) -> Result<(), Error> {
    if raw.len() > MAX_BLOB_LEN { Err(Error::BlobTooLarge { size: raw.len() }) } else { Ok(()) }
}

/// Where a blob's bytes are and how they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRow {
    pub(crate) codec: Codec,
    pub(crate) raw_len: u32,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In table `inline-1` under this number.
    Inline(u64),
    /// In a segment.
    Segment(Location),
}

/// `codec u8, raw length u32`, then `0, sequence u64` or `1, segment u64, offset u64, length u32`.
/// Big-endian.
impl Row for BlobRow {
    const TABLE: Table = Table::Blob;
    type Key = Digest;

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.codec.number()];
        bytes.extend_from_slice(&self.raw_len.to_be_bytes());
        match self.place {
            Place::Inline(sequence) => {
                bytes.push(0);
                bytes.extend_from_slice(&sequence.to_be_bytes());
            }
            Place::Segment(location) => {
                bytes.push(1);
                bytes.extend_from_slice(&location.segment.to_be_bytes());
                bytes.extend_from_slice(&location.offset.to_be_bytes());
                bytes.extend_from_slice(&location.length.to_be_bytes());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        parse_blob_row(bytes).ok_or(InvalidRow::Binary("blob"))
    }
}

fn parse_blob_row(bytes: &[u8]) -> Option<BlobRow> {
    let (head, rest) = bytes.split_first_chunk::<6>()?;
    let [codec, len @ .., place] = head;
    let place = match place {
        0 => Place::Inline(u64::from_be_bytes(rest.try_into().ok()?)),
        1 => Place::Segment(parse_location(rest)?),
        _ => return None,
    };
    let raw_len = u32::from_be_bytes(*len);
    Some(BlobRow { codec: Codec::from_number(*codec)?, raw_len, place })
}

fn parse_location(bytes: &[u8]) -> Option<Location> {
    let (segment, rest) = bytes.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    Some(Location {
        segment: u64::from_be_bytes(*segment),
        offset: u64::from_be_bytes(*offset),
        length: u32::from_be_bytes(rest.try_into().ok()?),
    })
}

/// Marks that a tenant may read a blob. The digest comes first, so that all tenants of one blob are
/// found together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member;

mark_row!(Member, Member, (Digest, TenantUid));

/// Says since when nothing of the tenant names the blob, as far as the last collection saw. It goes
/// when something names the blob again; until then the tenant still reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condemned {
    pub(crate) at: UnixMillis,
}

impl Row for Condemned {
    const TABLE: Table = Table::Condemned;
    type Key = (Digest, TenantUid);

    fn encode(&self) -> Vec<u8> {
        self.at.get().to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
        let at = bytes.try_into().map_err(|_| InvalidRow::Binary("time"))?;
        Ok(Self { at: UnixMillis::new(u64::from_be_bytes(at)) })
    }
}

/// Whether rows name bytes for `digest` that are not there or not its own.
pub(crate) fn is_damaged(
    snapshot: &dyn Snapshot,
    segments: &dyn Segments,
    digest: &Digest,
) -> io::Result<bool> {
    match read(snapshot, segments, digest) {
        Ok(_) => Ok(false),
        Err(Error::Read(error)) => Err(error),
        Err(_) => Ok(true),
    }
}

/// Length of the inline payload that row `digest` names, if its bytes are those of the blob.
pub(crate) fn own_payload(
    snapshot: &dyn Snapshot,
    digest: &Digest,
    number: u64,
) -> io::Result<Option<usize>> {
    let row = snapshot.get(Table::Blob, digest.as_bytes())?;
    let payload = snapshot.get(Table::Inline, &key_bytes(&number))?;
    let Some((row, payload)) = row.as_deref().and_then(parse_blob_row).zip(payload) else {
        return Ok(None);
    };
    let own = frame::unpack(digest, row.codec, row.raw_len, &payload).is_some();
    Ok(own.then_some(payload.len()))
}

/// Reads and verifies the blob `digest`, which rows say exists.
pub(crate) fn read(
    snapshot: &dyn Snapshot,
    segments: &dyn Segments,
    digest: &Digest,
) -> Result<Vec<u8>, Error> {
    let row = snapshot.get(Table::Blob, digest.as_bytes()).map_err(Error::Read)?;
    let row = row.as_deref().and_then(parse_blob_row);
    let raw = match row {
        Some(row) => load(snapshot, segments, digest, &row).map_err(Error::Read)?,
        None => None,
    };
    raw.ok_or(Error::Corrupt { digest: *digest })
}

/// The blob's bytes, or `None` when they are not there or not those of the digest.
fn load(
    snapshot: &dyn Snapshot,
    segments: &dyn Segments,
    digest: &Digest,
    row: &BlobRow,
) -> io::Result<Option<Vec<u8>>> {
    match row.place {
        Place::Inline(sequence) => {
            let payload = snapshot.get(Table::Inline, &key_bytes(&sequence))?;
            Ok(payload.and_then(|payload| frame::unpack(digest, row.codec, row.raw_len, &payload)))
        }
        Place::Segment(location) => {
            let Some(bytes) = present(segments.read(&location))? else { return Ok(None) };
            let frame = Frame::parse(bytes).ok().filter(|frame| frame.digest() == *digest);
            Ok(frame.and_then(|frame| frame.unpack()))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = BlobRow> {
        let segment = (any::<u64>(), any::<u64>(), any::<u32>())
            .prop_map(|(segment, offset, length)| Location { segment, offset, length });
        let place =
            prop_oneof![any::<u64>().prop_map(Place::Inline), segment.prop_map(Place::Segment)];
        // Every number that a codec has.
        let codec = (0_u8..8).prop_filter_map("no codec", Codec::from_number);
        (codec, any::<u32>(), place).prop_map(|(codec, raw_len, place)| BlobRow {
            codec,
            raw_len,
            place,
        })
    }

    #[test]
    fn a_blob_over_the_limit_is_refused_before_any_work() {
        let too_large = PreparedBlob::new(&vec![0; MAX_BLOB_LEN + 1]);
        assert!(matches!(too_large, Err(Error::BlobTooLarge { .. })));
    }

    #[test]
    fn artifacts_are_prepared_in_order_under_their_own_digests() {
        let artifact = |n: u8| Artifact::new(colophon_model::FileMode::Regular, vec![n; 100]);
        let artifacts: Vec<Artifact> = (0..50).map(artifact).collect();
        let blobs = PreparedBlob::of_artifacts(&artifacts.iter().collect::<Vec<_>>()).unwrap();
        for (blob, artifact) in blobs.iter().zip(&artifacts) {
            assert_eq!(blob.digest(), artifact.digest());
            assert_eq!(blob.frame().unpack().unwrap(), artifact.bytes());
        }
    }

    proptest! {
        #[test]
        fn blob_rows_round_trip_and_no_cut_row_parses(row in rows()) {
            let bytes = row.encode();
            prop_assert_eq!(BlobRow::decode(&bytes).unwrap(), row);
            for cut in 0..bytes.len() {
                prop_assert!(BlobRow::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
