//! How a blob's bytes are encoded: compression, and the frame around them in a segment.

use colophon_model::Digest;

/// Longest blob, in bytes before compression. Lengths are stored as `u32`.
pub const MAX_BLOB_LEN: usize = 256 << 20;

const MAGIC: [u8; 4] = *b"CLF1";
/// Magic, codec, payload length, raw length, digest.
const HEADER_LEN: usize = 4 + 1 + 4 + 4 + Digest::LEN;
const CRC_LEN: usize = 4;
const ZSTD_LEVEL: i32 = 1;

/// How the payload encodes the blob. Never part of a blob's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// The bytes themselves.
    Raw,
    /// One zstd frame (RFC 8878) without a dictionary.
    Zstd,
}

impl Codec {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// One blob as it lies in a segment: self-describing, so that segments can be read without rows.
///
/// `CLF1`, codec (`u8`), payload length and raw length (`u32`, big-endian), BLAKE3 of the raw bytes,
/// payload, CRC-32 (IEEE) of all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    digest: Digest,
    codec: Codec,
    raw_len: u32,
    bytes: Vec<u8>,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// They do not begin with the magic of a known version.
    #[error("not a frame")]
    Magic,
    /// The codec is not known.
    #[error("unknown codec")]
    Codec,
    /// They are cut, too long, or the lengths in them are out of bounds.
    #[error("lengths do not agree")]
    Length,
    /// The checksum does not match.
    #[error("checksum does not match")]
    Checksum,
}

impl Frame {
    /// Compresses `raw`, whose address is `digest`; keeps it as it is when that saves less than 5 %.
    /// The caller has checked that it is no longer than [`MAX_BLOB_LEN`].
    pub(crate) fn pack(digest: Digest, raw: &[u8]) -> Self {
        let packed = zstd::bulk::compress(raw, ZSTD_LEVEL).ok();
        match packed.filter(|packed| packed.len() < raw.len() - raw.len() / 20) {
            Some(packed) => Self::assemble(digest, Codec::Zstd, raw.len(), &packed),
            None => Self::assemble(digest, Codec::Raw, raw.len(), raw),
        }
    }

    fn assemble(digest: Digest, codec: Codec, raw_len: usize, payload: &[u8]) -> Self {
        let raw_len = raw_len as u32;
        let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len() + CRC_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(codec.number());
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&raw_len.to_be_bytes());
        bytes.extend_from_slice(digest.as_bytes());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        Self { digest, codec, raw_len, bytes }
    }

    /// Checks form and checksum of one whole frame. Whether the payload gives the digest is known
    /// only after [`Self::unpack`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, InvalidFrame> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(InvalidFrame::Magic)?;
        let (body, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(InvalidFrame::Length)?;
        let (payload_len, raw_len, codec, digest) =
            parse_header(rest).ok_or(InvalidFrame::Length)?;
        let len = HEADER_LEN.checked_add(payload_len as usize);
        if len != Some(body.len()) || raw_len as usize > MAX_BLOB_LEN {
            return Err(InvalidFrame::Length);
        }
        if crc32fast::hash(body).to_be_bytes() != *crc {
            return Err(InvalidFrame::Checksum);
        }
        let codec = Codec::from_number(codec).ok_or(InvalidFrame::Codec)?;
        Ok(Self { digest, codec, raw_len, bytes })
    }

    /// The frame's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The blob's address.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    /// Size of the blob, in bytes.
    pub const fn raw_len(&self) -> u32 {
        self.raw_len
    }

    /// The encoded blob.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..self.bytes.len() - CRC_LEN]
    }

    /// The blob's bytes, or `None` when they are not those of the digest.
    pub fn unpack(&self) -> Option<Vec<u8>> {
        unpack(&self.digest, self.codec, self.raw_len, self.payload())
    }
}

/// Payload length, raw length, codec and digest, from what follows the magic.
fn parse_header(rest: &[u8]) -> Option<(u32, u32, u8, Digest)> {
    let (codec, rest) = rest.split_first()?;
    let (payload_len, rest) = rest.split_first_chunk()?;
    let (raw_len, rest) = rest.split_first_chunk()?;
    let digest = Digest::from_bytes(*rest.first_chunk()?);
    Some((u32::from_be_bytes(*payload_len), u32::from_be_bytes(*raw_len), *codec, digest))
}

/// Decodes `payload` and returns it if it has the recorded length and digest.
pub(crate) fn unpack(
    digest: &Digest,
    codec: Codec,
    raw_len: u32,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let raw = decode(codec, raw_len as usize, payload)?;
    (raw.len() == raw_len as usize && Digest::of(&raw) == *digest).then_some(raw)
}

/// Never makes more than `max_len` bytes, whatever the payload says of itself.
fn decode(codec: Codec, max_len: usize, payload: &[u8]) -> Option<Vec<u8>> {
    match codec {
        _ if max_len > MAX_BLOB_LEN => None,
        Codec::Raw => (payload.len() <= max_len).then(|| payload.to_vec()),
        Codec::Zstd => zstd::bulk::decompress(payload, max_len).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written segments must stay readable: this is a frame as version 1 wrote it.
    #[test]
    fn golden_frame() {
        let frame = Frame::pack(Digest::of(b"abc"), b"abc");
        let mut expected = b"CLF1\0\0\0\0\x03\0\0\0\x03".to_vec();
        expected.extend_from_slice(Digest::of(b"abc").as_bytes());
        expected.extend_from_slice(b"abc");
        assert_eq!(frame.as_bytes()[..expected.len()], expected);
        let crc = crc32fast::hash(&expected).to_be_bytes();
        assert_eq!(frame.as_bytes()[expected.len()..], crc);
    }

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        let text = "def step(state): return state\n".repeat(100);
        let frame = Frame::pack(Digest::of(text.as_bytes()), text.as_bytes());
        assert_eq!(frame.codec(), Codec::Zstd);
        assert!(frame.payload().len() < text.len() / 10);

        let noise: Vec<u8> =
            (0..100_u32).flat_map(|i| *Digest::of(&i.to_be_bytes()).as_bytes()).collect();
        assert_eq!(Frame::pack(Digest::of(&noise), &noise).codec(), Codec::Raw);
    }

    /// A payload that says it is small and unpacks to more is refused, not allocated.
    #[test]
    fn a_bomb_stops_at_the_recorded_size() {
        let zeros = vec![0; 1 << 20];
        let packed = zstd::bulk::compress(&zeros, ZSTD_LEVEL).unwrap();
        assert_eq!(decode(Codec::Zstd, 1000, &packed), None);
        assert_eq!(decode(Codec::Zstd, MAX_BLOB_LEN + 1, &packed), None);
        assert_eq!(decode(Codec::Raw, 1000, &zeros), None);
        assert_eq!(decode(Codec::Zstd, zeros.len(), &packed), Some(zeros));
    }

    proptest! {
        #[test]
        fn frames_round_trip(raw in proptest::collection::vec(any::<u8>(), 0..2000), n in 1..20_usize) {
            let raw = raw.repeat(n);
            let frame = Frame::pack(Digest::of(&raw), &raw);
            let parsed = Frame::parse(frame.as_bytes().to_vec());
            prop_assert_eq!(parsed.as_ref(), Ok(&frame));
            prop_assert_eq!(frame.unpack(), Some(raw));
        }

        /// No single changed byte passes both the checksum and the digest; no cut frame parses.
        #[test]
        fn damage_is_noticed(raw in proptest::collection::vec(any::<u8>(), 0..300),
                             at in any::<proptest::sample::Index>(), flip in 1_u8..) {
            let frame = Frame::pack(Digest::of(&raw), &raw);
            let mut bytes = frame.as_bytes().to_vec();
            let at = at.index(bytes.len());
            prop_assert!(Frame::parse(bytes[..at].to_vec()).is_err());
            bytes[at] ^= flip;
            prop_assert!(Frame::parse(bytes).is_err());
        }

        #[test]
        fn junk_is_refused(junk in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Frame::parse(junk).is_err());
        }
    }
}
