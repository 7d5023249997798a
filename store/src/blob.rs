//! Blobs: prepared outside the writer, found again through rows of their own.

use std::sync::{Arc, OnceLock};

use colophon_model::{Artifact, Digest, TenantUid, UnixMillis};
use rayon::prelude::*;

use crate::delta;
use crate::frame::Codec;
use crate::row::{InvalidRow, Row, mark_row};
use crate::{Error, Frame, Location, MAX_BLOB_LEN, Table, View};

/// A blob that is hashed and compressed, ready to be written. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PreparedBlob(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    digest: Digest,
    /// The blob by itself. Where what differs from another is far smaller, it is made when somebody asks for it.
    full: OnceLock<Frame>,
    /// The bytes to make it from; none when it is made.
    raw: Vec<u8>,
    /// What differs from another blob of the tenant. The writer takes it if that blob is there then.
    delta: Option<Frame>,
}

/// From this length on, in bytes, what differs is looked at before the blob is compressed by itself.
const LONG: usize = 4096;

impl PreparedBlob {
    /// Hashes and compresses `raw` on this thread.
    pub fn new(raw: &[u8]) -> Result<Self, Error> {
        check_size(raw)?;
        Ok(Self::whole(Digest::of(raw), raw))
    }

    /// Compresses a generated file, whose digest is known already.
    pub fn of_artifact(artifact: &Artifact) -> Result<Self, Error> {
        check_size(artifact.bytes())?;
        Ok(Self::whole(artifact.digest(), artifact.bytes()))
    }

    fn whole(digest: Digest, raw: &[u8]) -> Self {
        Self::with(digest, OnceLock::from(Frame::pack(digest, raw)), None)
    }

    fn with(digest: Digest, full: OnceLock<Frame>, delta: Option<Frame>) -> Self {
        Self(Arc::new(Prepared { digest, full, raw: Vec::new(), delta }))
    }

    /// The same as [`Self::of_artifact`] and [`Self::against`]; but a long blob of which little differs is not
    /// compressed by itself, unless it turns out that it cannot rest on `base`.
    pub fn version_of(
        view: &View,
        tenant: TenantUid,
        (digest, raw): (Digest, &[u8]),
        base: impl FnOnce() -> Option<Digest>,
    ) -> Result<Self, Error> {
        check_size(raw)?;
        if raw.len() < LONG {
            return Self::whole(digest, raw).against(view, tenant, raw, base);
        }
        let base = base().filter(|base| *base != digest);
        let delta = match base {
            Some(base) => Self::delta_on(view, tenant, (digest, raw), &base)?,
            None => None,
        };
        if delta.as_ref().is_some_and(delta::is_far_smaller) {
            let (full, raw) = (OnceLock::new(), raw.to_vec());
            return Ok(Self(Arc::new(Prepared { digest, full, raw, delta })));
        }
        let full = Frame::pack(digest, raw);
        let delta = delta.filter(|delta| delta::pays(delta, &full));
        Ok(Self::with(digest, OnceLock::from(full), delta))
    }

    /// What differs from `base`, where that may serve as one.
    fn delta_on(
        view: &View,
        tenant: TenantUid,
        (digest, raw): (Digest, &[u8]),
        base: &Digest,
    ) -> Result<Option<Frame>, Error> {
        let read = view.base_for(tenant, (raw.len(), raw.len()), base)?;
        Ok(read.and_then(|(bytes, codec)| delta::differing((digest, raw), (base, &bytes, codec))))
    }

    /// The blob, which is `raw`, as what differs from `base`, where that pays: `base` is a blob that `tenant`
    /// has in `view`, and the version before, or another that is much like this one. It is asked for only
    /// when the blob is long enough. A hint: nobody who reads the blob notices, and what cannot serve as a
    /// base is no error.
    ///
    /// # Errors
    /// [`Error::Read`] when the store cannot be read.
    pub fn against(
        self,
        view: &View,
        tenant: TenantUid,
        raw: &[u8],
        base: impl FnOnce() -> Option<Digest>,
    ) -> Result<Self, Error> {
        let lengths = (raw.len(), self.frame().payload().len());
        if !delta::may_pay(lengths.0, lengths.1) {
            return Ok(self);
        }
        let Some(base) = base().filter(|base| *base != self.digest()) else { return Ok(self) };
        let Some((bytes, codec)) = view.base_for(tenant, lengths, &base)? else {
            return Ok(self);
        };
        let delta = delta::pack(raw, self.frame(), (&base, &bytes, codec));
        let digest = self.digest();
        let full =
            Arc::try_unwrap(self.0).map_or_else(|shared| shared.full.clone(), |own| own.full);
        Ok(Self::with(digest, full, delta))
    }

    /// Compresses many generated files on all cores; the answer has their order.
    pub fn of_artifacts(artifacts: &[&Artifact]) -> Result<Vec<Self>, Error> {
        artifacts.par_iter().map(|artifact| Self::of_artifact(artifact)).collect()
    }

    /// The blob's address.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The blob by itself, as it goes into a segment.
    pub fn frame(&self) -> &Frame {
        self.0.full.get_or_init(|| Frame::pack(self.0.digest, &self.0.raw))
    }

    /// The blob's bytes.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        match self.0.full.get() {
            Some(full) => full.unpack(),
            None => Some(self.0.raw.clone()),
        }
    }

    /// The form in which the blob is likely to be stored.
    pub(crate) fn likely(&self) -> &Frame {
        self.delta().unwrap_or_else(|| self.frame())
    }

    /// The blob as what differs from another, if that pays.
    pub(crate) fn delta(&self) -> Option<&Frame> {
        self.0.delta.as_ref()
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
        let codec = (0_u8..32).prop_filter_map("no codec", Codec::from_number);
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
