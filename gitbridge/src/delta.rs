//! Git's delta encoding (gitformat-pack, "Deltified representation").
//!
//! The encoder indexes the base in blocks of 16 bytes and grows each match in both directions. For
//! successive versions of one generated file that finds nearly all there is to find, in linear
//! time.

/// Bytes per indexed block, and so the shortest match that is found.
const BLOCK: usize = 16;
/// Longest copy of one instruction in pack version 2.
const MAX_COPY: usize = 0x1_0000;
/// Longest literal of one instruction.
const MAX_LITERAL: usize = 0x7f;

/// The delta that makes `target` from `base`, or `None` when `base` is too small to help or beyond
/// the 4 GiB that copy offsets reach.
pub(crate) fn encode(base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if base.len() < BLOCK || u32::try_from(base.len()).is_err() {
        return None;
    }
    let index = BlockIndex::new(base);
    let mut out = Vec::new();
    put_size(&mut out, base.len());
    put_size(&mut out, target.len());
    let (mut pending, mut at) = (0, 0);
    while at + BLOCK <= target.len() {
        let Some(found) = index.find(&target[at..]) else {
            at += 1;
            continue;
        };
        let before = common_suffix(&base[..found], &target[pending..at]);
        let length = before + common_prefix(&base[found..], &target[at..]);
        put_literal(&mut out, &target[pending..at - before]);
        put_copy(&mut out, found - before, length);
        at = at - before + length;
        pending = at;
    }
    put_literal(&mut out, &target[pending..]);
    Some(out)
}

/// Where each block of the base stands. A slot holds the first block with its hash; a lost block
/// costs a longer delta, never a wrong one.
struct BlockIndex<'a> {
    base: &'a [u8],
    slots: Vec<u32>,
    shift: u32,
}

/// No block: block positions are multiples of 16, so this is none of them.
const VACANT: u32 = u32::MAX;

impl<'a> BlockIndex<'a> {
    fn new(base: &'a [u8]) -> Self {
        let size = (base.len() / BLOCK * 2).next_power_of_two().max(2);
        let shift = u64::BITS - size.trailing_zeros();
        let mut index = Self { base, slots: vec![VACANT; size], shift };
        for at in (0..=base.len() - BLOCK).step_by(BLOCK) {
            let slot = index.slot(&base[at..]);
            if index.slots[slot] == VACANT {
                index.slots[slot] = at as u32; // the caller bounds the base by 4 GiB
            }
        }
        index
    }

    fn find(&self, window: &[u8]) -> Option<usize> {
        let at = self.slots[self.slot(window)];
        let at = (at != VACANT).then_some(at as usize)?;
        (self.base[at..at + BLOCK] == window[..BLOCK]).then_some(at)
    }

    /// Fibonacci hashing of the block's two halves.
    fn slot(&self, window: &[u8]) -> usize {
        let half = |at: usize| window[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        let mixed = half(0).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ half(8);
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }
}

/// Block by block first, which is many times as fast as byte by byte.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let same = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// Seven bits a byte, lowest first, the top bit saying that more follow.
fn put_size(out: &mut Vec<u8>, mut size: usize) {
    while size >= 0x80 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
}

fn put_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(MAX_LITERAL) {
        out.push(chunk.len() as u8);
        out.extend_from_slice(chunk);
    }
}

fn put_copy(out: &mut Vec<u8>, mut offset: usize, mut length: usize) {
    while length > 0 {
        let now = length.min(MAX_COPY);
        put_copy_op(out, offset as u32, now);
        offset += now;
        length -= now;
    }
}

/// Zero bytes of offset and size are left out, and the opcode's low bits say which remain. A size
/// of 0x10000 is written as none.
fn put_copy_op(out: &mut Vec<u8>, offset: u32, length: usize) {
    let opcode_at = out.len();
    out.push(0x80);
    let size = if length == MAX_COPY { 0 } else { length as u32 };
    let fields = offset.to_le_bytes().into_iter().chain(size.to_le_bytes().into_iter().take(2));
    for (bit, byte) in fields.enumerate().filter(|(_, byte)| *byte != 0) {
        out[opcode_at] |= 1 << bit;
        out.push(byte);
    }
}

/// What `delta` makes of `base`, or `None` when it was not made for this base, is cut, or makes
/// anything but `size` bytes.
pub(crate) fn apply(base: &[u8], delta: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut rest = delta;
    let expected = take_size(&mut rest)?;
    let produced = take_size(&mut rest)?;
    if expected != base.len() as u64 || produced != size {
        return None;
    }
    let mut out = Vec::new();
    while let Some(opcode) = take_byte(&mut rest) {
        let piece = match opcode {
            0 => return None, // reserved
            1..=0x7f => rest.split_off(..usize::from(opcode))?,
            _ => take_copy(&mut rest, opcode, base)?,
        };
        if (out.len() + piece.len()) as u64 > size {
            return None;
        }
        out.extend_from_slice(piece);
    }
    (out.len() as u64 == size).then_some(out)
}

/// How many bytes `delta` says that it makes.
pub(crate) fn target_size(delta: &[u8]) -> Option<u64> {
    let mut rest = delta;
    take_size(&mut rest)?;
    take_size(&mut rest)
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

fn take_size(rest: &mut &[u8]) -> Option<u64> {
    let mut size = 0;
    for shift in (0..63).step_by(7) {
        let byte = take_byte(rest)?;
        size |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
    None
}

fn take_copy<'a>(rest: &mut &[u8], opcode: u8, base: &'a [u8]) -> Option<&'a [u8]> {
    let mut fields = [0_u8; 8];
    for bit in (0..7).filter(|bit| opcode & 1 << bit != 0) {
        fields[bit] = take_byte(rest)?;
    }
    let [o0, o1, o2, o3, s0, s1, s2, _] = fields;
    let offset = u32::from_le_bytes([o0, o1, o2, o3]) as usize;
    let size = match u32::from_le_bytes([s0, s1, s2, 0]) as usize {
        0 => MAX_COPY,
        size => size,
    };
    base.get(offset..offset.checked_add(size)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_changed_line_costs_a_line() {
        let old = format!("{:#?}", (0..200).collect::<Vec<u32>>());
        let new = old.replace(" 100,", " one hundred,");
        let delta = encode(old.as_bytes(), new.as_bytes()).unwrap();
        assert!(delta.len() < 60, "{} bytes", delta.len());
        assert_eq!(apply(old.as_bytes(), &delta, new.len() as u64), Some(new.into_bytes()));
    }

    /// Copies of exactly 0x10000 bytes are written without a size.
    #[test]
    fn long_copies_are_cut_at_the_instruction_limit() {
        let base: Vec<u8> = (0..70_000_u32).flat_map(u32::to_le_bytes).collect();
        for length in [0xffff, 0x1_0000, 0x1_0001, 0x2_0000, base.len()] {
            let delta = encode(&base, &base[..length]).unwrap();
            assert!(delta.len() < 64);
            assert_eq!(apply(&base, &delta, length as u64), Some(base[..length].to_vec()));
        }
    }

    #[test]
    fn damaged_deltas_are_refused() {
        let (base, target) = (b"0123456789abcdefXYZ", b"0123456789abcdef!");
        let good = encode(base, target).unwrap();
        assert_eq!(apply(base, &good, 17).as_deref(), Some(&target[..]));
        assert_eq!(apply(&base[1..], &good, 17), None, "another base");
        assert_eq!(apply(base, &good, 16), None, "another size");
        assert_eq!(apply(base, &good[..good.len() - 1], 17), None, "cut");
        assert_eq!(apply(base, &[19, 1, 0], 1), None, "reserved instruction");
        assert_eq!(apply(base, &[19, 4, 0x91, 17, 4], 4), None, "copy past the end");
    }

    proptest! {
        #[test]
        fn deltas_round_trip(
            base in proptest::collection::vec(0_u8..4, 0..600),
            cut in 0_usize..600,
            patch in proptest::collection::vec(0_u8..8, 0..40),
        ) {
            let cut = cut.min(base.len());
            let target = [&base[cut..], &patch, &base[..cut], &base[cut / 2..]].concat();
            if let Some(delta) = encode(&base, &target) {
                prop_assert_eq!(apply(&base, &delta, target.len() as u64), Some(target));
            } else {
                prop_assert!(base.len() < BLOCK);
            }
        }

        #[test]
        fn applying_never_panics(base: Vec<u8>, delta: Vec<u8>, size in 0_u64..2000) {
            let _ = apply(&base, &delta, size);
        }
    }
}
