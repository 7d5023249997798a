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

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The ordinal at `index`, in order.
    pub(crate) fn get(&self, index: usize) -> Option<Ordinal> {
        let index = u32::try_from(index).ok()?;
        let part = self.parts.partition_point(|part| part.before <= index).checked_sub(1)?;
        let Part { before, start, end } = self.parts[part];
        let at = start.checked_add(index - before)?;
        (at < end).then_some(Ordinal::new(at))
    }

    /// The inverse of [`Self::get`].
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
            prop_assert_eq!(ranges.first(), expected.first().map(|at| Ordinal::new(*at)));
            for (index, at) in expected.iter().copied().map(Ordinal::new).enumerate() {
                prop_assert_eq!(ranges.get(index), Some(at));
                prop_assert_eq!(ranges.index_of(at), Some(index));
            }
            prop_assert_eq!(ranges.get(expected.len()), None);
            for at in (0..300).filter(|at| !expected.contains(at)) {
                prop_assert_eq!(ranges.index_of(Ordinal::new(at)), None);
            }
        }
    }
}
