//! How a blob's bytes are encoded: compression, and the frame around them in a segment.

use std::ops::Range;

use colophon_model::Digest;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, ResetDirective};

use crate::delta::{self, Depth};
use crate::dictionary::Dictionary;
use crate::pool::Pool;

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
    /// One zstd frame made with a dictionary, whose id is left out: the codec's number says which.
    Dictionary(Dictionary),
    /// The digest of a base, and one zstd frame made with the base's bytes.
    Delta(Depth),
}

static COMPRESSORS: Pool<Compressor<'static>> = Pool::new();
static DECOMPRESSORS: Pool<Decompressor<'static>> = Pool::new();

impl Codec {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
            Self::Dictionary(dictionary) => dictionary.number(),
            Self::Delta(depth) => depth.number(),
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match (number, Dictionary::from_number(number), Depth::from_number(number)) {
            (0, ..) => Some(Self::Raw),
            (1, ..) => Some(Self::Zstd),
            (_, Some(dictionary), _) => Some(Self::Dictionary(dictionary)),
            (_, _, Some(depth)) => Some(Self::Delta(depth)),
            (_, None, None) => None,
        }
    }

    /// How many bases lie below a blob.
    pub(crate) const fn depth(self) -> u8 {
        match self {
            Self::Delta(depth) => depth.get(),
            Self::Raw | Self::Zstd | Self::Dictionary(_) => 0,
        }
    }

    /// How a new blob is packed, unless that saves too little.
    fn for_blob(raw: &[u8]) -> Self {
        Dictionary::for_blob(raw).map_or(Self::Zstd, Self::Dictionary)
    }

    fn encode(self, raw: &[u8]) -> Option<Vec<u8>> {
        COMPRESSORS.with(Compressor::default, |zstd| {
            zstd.context_mut().reset(ResetDirective::SessionAndParameters).ok()?;
            match self {
                Self::Raw => return Some(raw.to_vec()),
                Self::Zstd => zstd.set_parameter(CParameter::CompressionLevel(ZSTD_LEVEL)),
                Self::Dictionary(it) => zstd.set_prepared_dictionary(it.encoder()),
                Self::Delta(_) => return None,
            }
            .ok()?;
            zstd.set_parameter(CParameter::DictIdFlag(false)).ok()?;
            zstd.compress(raw).ok()
        })
    }

    /// Never makes more than `max_len` bytes, whatever the payload says of itself. What rests on a base is not
    /// decoded without it: see [`crate::delta::unpack`].
    pub(crate) fn decode(self, max_len: usize, payload: &[u8]) -> Option<Vec<u8>> {
        if max_len > MAX_BLOB_LEN {
            return None;
        }
        DECOMPRESSORS.with(Decompressor::default, |zstd| {
            match self {
                Self::Raw => return (payload.len() <= max_len).then(|| payload.to_vec()),
                Self::Zstd => zstd.set_dictionary(&[]),
                Self::Dictionary(it) => zstd.set_prepared_dictionary(it.decoder()),
                Self::Delta(_) => return None,
            }
            .ok()?;
            zstd.decompress(payload, max_len).ok()
        })
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
        let codec = Codec::for_blob(raw);
        let packed = codec.encode(raw);
        match packed.filter(|packed| packed.len() < raw.len() - raw.len() / 20) {
            Some(packed) => Self::assemble(digest, codec, raw.len(), &packed),
            None => Self::assemble(digest, Codec::Raw, raw.len(), raw),
        }
    }

    pub(crate) fn assemble(digest: Digest, codec: Codec, raw_len: usize, payload: &[u8]) -> Self {
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
        &self.bytes[self.payload_range()]
    }

    pub(crate) const fn payload_range(&self) -> Range<usize> {
        HEADER_LEN..self.bytes.len() - CRC_LEN
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The blob that this one is stored as a difference from.
    pub(crate) fn base(&self) -> Option<Digest> {
        match self.codec {
            Codec::Delta(_) => delta::split(self.payload()).map(|(base, _)| base),
            Codec::Raw | Codec::Zstd | Codec::Dictionary(_) => None,
        }
    }

    /// The blob's bytes, or `None` when they are not those of the digest, or rest on another blob.
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
    let raw = codec.decode(raw_len as usize, payload)?;
    (raw.len() == raw_len as usize && Digest::of(&raw) == *digest).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON: &str = "{\n  \"schema\": 1,\n  \"tenant\": \"acme-inc\",\n  \"flows\": {}\n}\n";
    const TEXT: &str = "# Generated by colophon. Change the flow in its builder, not here.\n\
        from __future__ import annotations\n";

    fn codecs() -> impl Iterator<Item = Codec> {
        [Codec::Raw, Codec::Zstd]
            .into_iter()
            .chain(Dictionary::ALL.into_iter().map(Codec::Dictionary))
    }

    /// Bytes of any kind: binary, and what begins as text or JSON does.
    fn blobs() -> impl Strategy<Value = Vec<u8>> {
        let head = prop_oneof![Just(""), Just(TEXT), Just(JSON), Just("[1, "), Just("x")];
        let tail = proptest::collection::vec(any::<u8>(), 0..2000);
        (head, tail, 1..20_usize)
            .prop_map(|(head, tail, times)| [head.as_bytes(), &tail].concat().repeat(times))
    }

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

    /// A payload of each codec as it was once written, of a blob that holds a text twice. Whatever
    /// zstd or the newest dictionary becomes, these numbers mean these bytes.
    #[test]
    fn golden_payloads() {
        let plain = "28b52ffd20ccd502006206141790b739b8480ab729b9097dca46c21deaa6b7ef39b62a4a25b95b9e\
                     fcdd69e291c36a8c71e542c6f438a242189d9abf06d086b2553449eb590d57a84e5917ee2441897b\
                     42ae4ee8a1a8e13ce8f3a0800100e648d31005";
        let golden = [
            (1, plain, TEXT),
            (2, "28b52ffd20cc5d000000023023650a432cbd0602", TEXT),
            (3, "28b52ffd207295000000057c009c1150117d6d8ece1d3913968902", JSON),
        ];
        for (number, payload, text) in golden {
            let (payload, raw) = (unhex(payload), text.repeat(2).into_bytes());
            let codec = Codec::from_number(number).unwrap();
            let frame = Frame::assemble(Digest::of(&raw), codec, raw.len(), &payload);
            assert_eq!(frame.as_bytes()[MAGIC.len()], number);
            let frame = Frame::parse(frame.as_bytes().to_vec()).unwrap();
            assert_eq!(frame.unpack(), Some(raw), "codec {number}");
        }
        assert_eq!(codecs().count(), 1 + golden.len(), "a codec without a golden payload");
    }

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn a_number_that_was_never_given_is_refused() {
        let deltas = Depth::all().map(Codec::Delta);
        let taken: Vec<u8> = codecs().chain(deltas).map(Codec::number).collect();
        for number in 0..=u8::MAX {
            let mut bytes = Frame::pack(Digest::of(b"abc"), b"abc").bytes;
            bytes[MAGIC.len()] = number;
            let body = bytes.len() - CRC_LEN;
            let crc = crc32fast::hash(&bytes[..body]).to_be_bytes();
            bytes[body..].copy_from_slice(&crc);
            let parsed = Frame::parse(bytes).map(|frame| frame.codec().number());
            let expected =
                if taken.contains(&number) { Ok(number) } else { Err(InvalidFrame::Codec) };
            assert_eq!(parsed, expected);
        }
    }

    /// What a blob is decides how it is packed; nothing else does.
    #[test]
    fn each_kind_has_its_codec() {
        let noise: Vec<u8> =
            (0..100_u32).flat_map(|i| *Digest::of(&i.to_be_bytes()).as_bytes()).collect();
        let binary = [0, 159, 146, 150].repeat(100);
        let long = TEXT.repeat(4000);
        let cases: [(&[u8], Codec); 5] = [
            (TEXT.as_bytes(), Codec::Dictionary(Dictionary::Text1)),
            (JSON.as_bytes(), Codec::Dictionary(Dictionary::Json1)),
            (long.as_bytes(), Codec::Zstd),
            (&binary, Codec::Zstd),
            (&noise, Codec::Raw),
        ];
        for (raw, codec) in cases {
            let frame = Frame::pack(Digest::of(raw), raw);
            assert_eq!(frame.codec(), codec);
            assert_eq!(frame.payload().len() < raw.len() - raw.len() / 20, codec != Codec::Raw);
        }
    }

    /// Short blobs are most of a store's files, and what the dictionaries are for. The codec says
    /// which dictionary it is, so the payload spends no bytes on that.
    #[test]
    fn a_dictionary_takes_a_third_off_what_is_short() {
        for (raw, dictionary) in [(TEXT, Dictionary::Text1), (JSON, Dictionary::Json1)] {
            let packed = |codec: Codec| codec.encode(raw.as_bytes()).unwrap();
            let (with, without) = (packed(Codec::Dictionary(dictionary)), packed(Codec::Zstd));
            assert!(with.len() * 3 < without.len() * 2, "{} of {}", with.len(), without.len());
            assert_eq!(zstd::zstd_safe::get_dict_id_from_frame(&with), None);
        }
    }

    /// A payload that says it is small and unpacks to more is refused, not allocated.
    #[test]
    fn a_bomb_stops_at_the_recorded_size() {
        let zeros = vec![b' '; 1 << 20];
        for codec in codecs() {
            let packed = codec.encode(&zeros).unwrap();
            assert_eq!(codec.decode(1000, &packed), None, "{codec:?}");
            assert_eq!(codec.decode(zeros.len() - 1, &packed), None, "{codec:?}");
            assert_eq!(codec.decode(MAX_BLOB_LEN + 1, &packed), None, "{codec:?}");
            assert_eq!(codec.decode(zeros.len(), &packed).as_ref(), Some(&zeros), "{codec:?}");
        }
    }

    /// A frame says the wrong dictionary, or none: no panic, no wrong bytes, and the next blob of the
    /// thread is read as if nothing had been.
    #[test]
    fn the_wrong_dictionary_gives_nothing() {
        let raw = TEXT.repeat(3).into_bytes();
        let digest = Digest::of(&raw);
        let right = Codec::Dictionary(Dictionary::Text1);
        let payload = right.encode(&raw).unwrap();
        for codec in codecs().filter(|codec| *codec != right) {
            assert_eq!(Frame::assemble(digest, codec, raw.len(), &payload).unpack(), None);
            let again = Frame::assemble(digest, right, raw.len(), &payload).unpack();
            assert_eq!(again.as_ref(), Some(&raw), "after {codec:?}");
        }
    }

    proptest! {
        #[test]
        fn frames_round_trip(raw in blobs()) {
            let frame = Frame::pack(Digest::of(&raw), &raw);
            let parsed = Frame::parse(frame.as_bytes().to_vec());
            prop_assert_eq!(parsed.as_ref(), Ok(&frame));
            prop_assert_eq!(frame.unpack(), Some(raw));
        }

        /// Any codec packs any blob, in any order on one thread.
        #[test]
        fn codecs_round_trip(raw in blobs()) {
            for codec in codecs() {
                let packed = codec.encode(&raw).unwrap();
                let unpacked = codec.decode(raw.len(), &packed);
                prop_assert_eq!(unpacked.as_ref(), Some(&raw), "{:?}", codec);
            }
        }

        /// No single changed byte passes both the checksum and the digest; no cut frame parses.
        #[test]
        fn damage_is_noticed(raw in blobs(), at in any::<proptest::sample::Index>(),
                             flip in 1_u8..) {
            let frame = Frame::pack(Digest::of(&raw), &raw);
            let mut bytes = frame.as_bytes().to_vec();
            let at = at.index(bytes.len());
            prop_assert!(Frame::parse(bytes[..at].to_vec()).is_err());
            bytes[at] ^= flip;
            prop_assert!(Frame::parse(bytes).is_err());
        }

        /// A payload that is damaged below the checksum, as in a row, never gives other bytes.
        #[test]
        fn damaged_payloads_give_nothing_else(raw in blobs(), at in any::<proptest::sample::Index>(),
                                              flip in 1_u8..) {
            for codec in codecs() {
                let mut payload = codec.encode(&raw).unwrap();
                if payload.is_empty() { continue; }
                let at = at.index(payload.len());
                payload[at] ^= flip;
                let unpacked = unpack(&Digest::of(&raw), codec, raw.len() as u32, &payload);
                prop_assert!(unpacked.is_none_or(|unpacked| unpacked == raw));
            }
        }

        #[test]
        fn junk_is_refused(junk in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Frame::parse(junk.clone()).is_err());
            for codec in codecs() {
                prop_assert_eq!(unpack(&Digest::of(b"other"), codec, 1000, &junk), None);
            }
        }
    }
}
