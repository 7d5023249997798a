//! Sorted sets of ordinals, kept as ranges.

use colophon_model::Ordinal;
use roaring::RoaringBitmap;

/// Which entries of a log a pack holds, in pack order. A full clone is one range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Disjoint, ascending, not empty.
    parts: Vec<Part>,
    len: usize,
}

/// A range of ordinals. Small, because a pack without blobs has as many as commits.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// The number of ordinals in the parts before this one.
    before: u32,
    start: u32,
    end: u32,
}

/// How far somebody has read, who reads all in order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    part: usize,
    /// Of that part.
    passed: u32,
}

impl Cursor {
    /// After `count` more ordinals, none of which is behind the end of the same part.
    pub(crate) const fn after(self, count: u32) -> Self {
        Self { part: self.part, passed: self.passed + count }
    }
}

impl Ranges {
    /// The ordinals of a set.
    pub(crate) fn new(set: &RoaringBitmap) -> Self {
        let mut ranges = Self::default();
        let mut iter = set.iter();
        // The last ordinal is never given out, so that every end is a `u32`.
        while let Some(range) = iter.next_range() {
            ranges.push(*range.start(), range.end().saturating_add(1));
        }
        ranges
    }

    fn push(&mut self, start: u32, end: u32) {
        // No overflow: a set of `u32` without the last one has less than 2³² members.
        self.parts.push(Part { before: self.len as u32, start, end });
        self.len += (end - start) as usize;
    }

    /// The lowest ordinal.
    pub(crate) fn first(&self) -> Option<Ordinal> {
        self.parts.first().map(|part| Ordinal::new(part.start))
    }

    /// How many ordinals there are from 0 on before the first gap.
    pub(crate) fn before_gap(&self) -> usize {
        self.parts.first().filter(|part| part.start == 0).map_or(0, |part| part.end as usize)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The ordinal behind those that `cursor` has passed.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Ordinal> {
        let mut part = self.parts.get(cursor.part)?;
        if cursor.passed == part.end - part.start {
            *cursor = Cursor { part: cursor.part + 1, passed: 0 };
            part = self.parts.get(cursor.part)?;
        }
        cursor.passed += 1;
        Some(Ordinal::new(part.start + cursor.passed - 1))
    }

    /// How many ordinals come before `at`, which is one of them.
    pub(crate) fn index_of(&self, at: Ordinal) -> Option<usize> {
        let at = at.get();
        let part = self.parts.partition_point(|part| part.start <= at).checked_sub(1)?;
        let Part { before, start, end } = self.parts[part];
        (at < end).then(|| (before + (at - start)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_sorted_sets(start in 0_u32..40, len in 0_u32..20, more: BTreeSet<u8>) {
            let more = more.into_iter().map(u32::from);
            let expected: BTreeSet<u32> = (start..start + len).chain(more).collect();
            let ranges = Ranges::new(&expected.iter().copied().collect());
            prop_assert_eq!(ranges.len(), expected.len());
            let gap = (0_u32..300).find(|at| !expected.contains(at)).unwrap();
            prop_assert_eq!(ranges.before_gap(), gap as usize);
            prop_assert_eq!(ranges.first(), expected.first().map(|at| Ordinal::new(*at)));
            let mut cursor = Cursor::default();
            for (index, at) in expected.iter().copied().map(Ordinal::new).enumerate() {
                prop_assert_eq!(ranges.next(&mut cursor), Some(at));
                prop_assert_eq!(ranges.index_of(at), Some(index));
            }
            prop_assert_eq!(ranges.next(&mut cursor), None);
            prop_assert_eq!(ranges.next(&mut cursor), None);
            for at in (0..300).filter(|at| !expected.contains(at)) {
                prop_assert_eq!(ranges.index_of(Ordinal::new(at)), None);
            }
        }
    }
}
