//! Blobs stored as what differs from another blob: a zstd frame that is made, and read, with the raw
//! bytes of that blob, its base, as the window's first content.
//!
//! The codec of such a blob says how many bases lie below it, and a base always has fewer below itself.
//! So no chain is a circle and none is longer than [`MAX_DEPTH`], whatever rows and frames say.

use colophon_model::Digest;
use zstd::zstd_safe::{CCtx, DCtx};

use crate::frame::{Codec, Frame};
use crate::pool::Pool;
use crate::row::mark_row;
use crate::{KeyRange, Order, Snapshot, Table};

/// Most bases below a blob. Each costs a read another decompression; `docs/compression.md` has how much.
pub(crate) const MAX_DEPTH: u8 = 8;
/// Longest blob that is stored so, and longest base, in bytes: reading keeps two of them in memory.
pub(crate) const MAX_LEN: usize = 1 << 20;
/// A base that is so many times longer than the blob is not worth reading.
const MAX_RATIO: usize = 8;
/// Shortest full encoding that is tried, in bytes. Below it, the base's name and the row that remembers it
/// take what could be saved.
const MIN_FULL: usize = 192;
/// So many times smaller than the blob is what generated text rarely comes to by itself.
const FAR_SMALLER: usize = 16;
/// The codec's number of a blob with one base below it.
const FIRST_NUMBER: u8 = 16;
/// What tells a zstd dictionary from plain content (RFC 8878, section 5), little-endian.
const DICTIONARY_MAGIC: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();
/// Level 3 finds what moved; see `docs/compression.md`.
const LEVEL: i32 = 3;

/// How many bases lie below a blob: at least one, at most [`MAX_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Depth(u8);

impl Depth {
    /// Every depth, by number.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (1..=MAX_DEPTH).map(Self)
    }

    /// That of a blob on a base of codec `base`; `None` when the chain would be too long.
    pub(crate) const fn above(base: Codec) -> Option<Self> {
        let below = base.depth();
        if below < MAX_DEPTH { Some(Self(below + 1)) } else { None }
    }

    pub(crate) const fn get(self) -> u8 {
        self.0
    }

    /// The number that frames and rows store as their codec.
    pub(crate) const fn number(self) -> u8 {
        FIRST_NUMBER + self.0 - 1
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number.checked_sub(FIRST_NUMBER) {
            Some(below) if below < MAX_DEPTH => Some(Self(below + 1)),
            _ => None,
        }
    }
}

/// (Base, blob): the blob's bytes are those of the base and what differs. The value is empty. A base is not
/// deleted while there is a row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rests;

mark_row!(Rests, Rests, (Digest, Digest));

/// The blobs that rest on `base`, as far as rows say.
pub(crate) fn resting_on(snapshot: &dyn Snapshot, base: &Digest) -> std::io::Result<Vec<Digest>> {
    let all = KeyRange::prefix(base.as_bytes());
    let rows = snapshot.range(Table::Rests, &all, Order::Ascending, usize::MAX)?;
    let digest = |key: &[u8]| Some(Digest::from_bytes(*key.last_chunk()?));
    Ok(rows.iter().filter_map(|(key, _)| digest(key)).collect())
}

static PACK: Pool<CCtx<'static>> = Pool::new();
static UNPACK: Pool<DCtx<'static>> = Pool::new();

/// Whether a blob of `raw_len` bytes, of which the payload by itself has `full`, may be worth comparing.
pub(crate) const fn may_pay(raw_len: usize, full: usize) -> bool {
    full >= MIN_FULL && raw_len <= MAX_LEN
}

/// Whether it may be worth comparing with a base of `base_len` bytes.
pub(crate) const fn is_worth_a_look(raw_len: usize, full: usize, base_len: usize) -> bool {
    let fits = base_len > 0 && base_len <= MAX_LEN && base_len / MAX_RATIO <= raw_len;
    fits && may_pay(raw_len, full)
}

/// `raw` as what differs from `base`, unless that saves less than a quarter of `full`, the blob by itself.
pub(crate) fn pack(raw: &[u8], full: &Frame, base: (&Digest, &[u8], Codec)) -> Option<Frame> {
    if !is_worth_a_look(raw.len(), full.payload().len(), base.1.len()) {
        return None;
    }
    differing((full.digest(), raw), base).filter(|delta| pays(delta, full))
}

/// The blob `raw` as what differs from `base`, whatever that saves.
pub(crate) fn differing(
    (digest, raw): (Digest, &[u8]),
    (base, bytes, codec): (&Digest, &[u8], Codec),
) -> Option<Frame> {
    let depth = Depth::above(codec)?;
    let packed = encode(raw, bytes)?;
    let payload = [base.as_bytes().as_slice(), &packed].concat();
    Some(Frame::assemble(digest, Codec::Delta(depth), raw.len(), &payload))
}

/// Whether it saves a quarter of `full`, the blob by itself.
pub(crate) fn pays(delta: &Frame, full: &Frame) -> bool {
    delta.payload().len() <= full.payload().len() - full.payload().len() / 4
}

/// Whether it is so small that the blob need not be compressed by itself to know that it pays.
pub(crate) fn is_far_smaller(delta: &Frame) -> bool {
    delta.payload().len() <= delta.raw_len() as usize / FAR_SMALLER
}

fn encode(raw: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    if base.starts_with(&DICTIONARY_MAGIC) {
        return None;
    }
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
    PACK.with(CCtx::create, |zstd| zstd.compress_using_dict(&mut packed, raw, base, LEVEL)).ok()?;
    Some(packed)
}

/// The base that a payload names, and the rest of it.
pub(crate) fn split(payload: &[u8]) -> Option<(Digest, &[u8])> {
    let (base, rest) = payload.split_first_chunk()?;
    Some((Digest::from_bytes(*base), rest))
}

/// The blob whose payload, without the base's name, is `packed`. Never more than `max_len` bytes, whatever
/// the payload says of itself. Whether they are the blob's, its digest tells.
pub(crate) fn unpack(packed: &[u8], base: &[u8], max_len: usize) -> Option<Vec<u8>> {
    if max_len > MAX_LEN || base.len() > MAX_LEN || base.starts_with(&DICTIONARY_MAGIC) {
        return None;
    }
    let mut raw = Vec::with_capacity(max_len);
    UNPACK.with(DCtx::create, |zstd| zstd.decompress_using_dict(&mut raw, packed, base)).ok()?;
    (raw.len() <= max_len).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A text of lines that do not repeat, so that it does not pack well by itself.
    fn lines(from: u32, to: u32) -> Vec<u8> {
        let line = |n: u32| format!("{n} {}\n", Digest::of(&n.to_be_bytes()));
        (from..to).map(line).collect::<String>().into_bytes()
    }

    fn delta(raw: &[u8], base: &[u8], codec: Codec) -> Option<Frame> {
        let full = Frame::pack(Digest::of(raw), raw);
        pack(raw, &full, (&Digest::of(base), base, codec))
    }

    fn read(frame: &Frame, base: &[u8]) -> Option<Vec<u8>> {
        let (named, packed) = split(frame.payload()).unwrap();
        assert_eq!(named, Digest::of(base));
        unpack(packed, base, frame.raw_len() as usize)
    }

    /// Written blobs must stay readable: this is a payload as format 3 wrote it. Whatever zstd becomes, the
    /// number means these bytes.
    #[test]
    fn golden_payload() {
        let (base, raw) = (lines(0, 6), [lines(0, 3), lines(4, 6)].concat());
        assert_eq!(unpack(&GOLDEN, &base, raw.len()), Some(raw));
        let numbers: Vec<u8> = Depth::all().map(Depth::number).collect();
        assert_eq!(numbers, (16..24).collect::<Vec<_>>());
    }

    /// Of a version that is much like the one before, what differs is stored.
    #[test]
    fn a_version_costs_what_differs() {
        let (base, raw) = (lines(0, 300), [lines(0, 100), lines(101, 301)].concat());
        let frame = delta(&raw, &base, Codec::Zstd).unwrap();
        assert!(frame.payload().len() < 200, "{}", frame.payload().len());
        assert_eq!(frame.codec().depth(), 1);
        assert_eq!(frame.base(), Some(Digest::of(&base)));
        assert_eq!(read(&frame, &base), Some(raw.clone()));
        let again = Frame::parse(frame.as_bytes().to_vec()).unwrap();
        assert_eq!(again, frame);
        assert_eq!(again.unpack(), None, "not without the base");
    }

    /// What saves too little, what is too short or too long, and what has too many below it stands by itself.
    #[test]
    fn what_does_not_pay_is_left() {
        let base = lines(0, 300);
        let like = lines(1, 301);
        assert!(delta(&like, &base, Codec::Zstd).is_some());
        assert_eq!(delta(&lines(1000, 1300), &base, Codec::Zstd), None, "nothing alike");
        assert_eq!(delta(&lines(0, 2), &base, Codec::Zstd), None, "too short");
        assert_eq!(delta(&like, &lines(0, 300 * 10), Codec::Zstd), None, "the base is too long");
        assert_eq!(delta(&like, b"", Codec::Zstd), None);
        let deepest = Depth::all().last().unwrap();
        assert_eq!(delta(&like, &base, Codec::Delta(deepest)), None, "too many below");
        let long = lines(0, (MAX_LEN / 60) as u32);
        assert!(long.len() > MAX_LEN);
        assert_eq!(delta(&long, &long[..MAX_LEN], Codec::Zstd), None, "too long");
    }

    /// What looks like a dictionary of zstd's would be read as one.
    #[test]
    fn a_base_is_never_taken_for_a_dictionary() {
        let base = [DICTIONARY_MAGIC.as_slice(), &lines(0, 300)].concat();
        assert_eq!(delta(&lines(1, 301), &base, Codec::Zstd), None);
        assert_eq!(unpack(&encode(b"abc", b"abc").unwrap(), &base, 1000), None);
    }

    /// A payload that says it is small and unpacks to more is refused, not allocated.
    #[test]
    fn a_bomb_stops_at_the_recorded_size() {
        let (zeros, base) = (vec![b' '; 1 << 19], lines(0, 10));
        let packed = encode(&zeros, &base).unwrap();
        assert_eq!(unpack(&packed, &base, zeros.len() - 1), None);
        assert_eq!(unpack(&packed, &base, MAX_LEN + 1), None);
        assert_eq!(unpack(&packed, &base, zeros.len()), Some(zeros));
    }

    proptest! {
        /// Any blob rests on any other or does not, in any order on one thread.
        #[test]
        fn deltas_round_trip(
            base in proptest::collection::vec(any::<u8>(), 1..3000),
            insert in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<proptest::sample::Index>(),
        ) {
            let at = at.index(base.len());
            let raw = [&base[..at], &insert, &base[at..]].concat();
            let packed = encode(&raw, &base).unwrap();
            prop_assert_eq!(unpack(&packed, &base, raw.len()), Some(raw.clone()));
            if let Some(frame) = delta(&raw, &base, Codec::Raw) {
                prop_assert_eq!(read(&frame, &base), Some(raw));
            }
        }

        /// Damage of the payload or of the base never panics, and never gives more than was asked for.
        #[test]
        fn damage_stays_small(
            flip in 1_u8.., at in any::<proptest::sample::Index>(), of_base: bool,
            junk in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (mut base, raw) = (lines(0, 50), lines(3, 53));
            let mut packed = encode(&raw, &base).unwrap();
            let harmed = if of_base { &mut base } else { &mut packed };
            let at = at.index(harmed.len());
            harmed[at] ^= flip;
            let read = unpack(&packed, &base, raw.len());
            prop_assert!(read.is_none_or(|read| read.len() <= raw.len()));
            prop_assert!(unpack(&junk, &base, 1000).is_none_or(|read| read.len() <= 1000));
        }
    }

    /// What `encode(raw, base)` of [`golden_payload`] once gave.
    const GOLDEN: [u8; 21] =
        [40, 181, 47, 253, 96, 79, 0, 93, 0, 0, 0, 2, 0, 3, 169, 165, 192, 88, 73, 45, 32];
}
