//! Sorted sets of ordinals, kept as ranges.

use std::ops::Range;

use colophon_model::Ordinal;

/// Which entries of a log a pack holds, in pack order. A full clone is one range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Disjoint, ascending, not empty; each with the number of ordinals before it.
    parts: Vec<(usize, Range<u32>)>,
    len: usize,
}

impl Ranges {
    /// The ordinals of `range` and those of `more`, which ascend.
    pub(crate) fn new(range: Range<u32>, more: impl IntoIterator<Item = u32>) -> Self {
        let one = |at| at..at + 1; // the last ordinal is never given out
        let (before, after): (Vec<u32>, Vec<u32>) =
            more.into_iter().filter(|at| !range.contains(at)).partition(|at| *at < range.start);
        let before = before.into_iter().map(one);
        let after = after.into_iter().map(one);
        let mut ranges = Self::default();
        for part in before.chain([range]).chain(after) {
            ranges.push(part);
        }
        ranges
    }

    fn push(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let added = range.len();
        match self.parts.last_mut() {
            Some((_, last)) if last.end == range.start => last.end = range.end,
            _ => self.parts.push((self.len, range)),
        }
        self.len += added;
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The ordinal at `index`, in order.
    pub(crate) fn get(&self, index: usize) -> Option<Ordinal> {
        let part = self.parts.partition_point(|(before, _)| *before <= index).checked_sub(1)?;
        let (before, range) = &self.parts[part];
        // No overflow: parts count ordinals, which are `u32`.
        let at = range.start + (index - before) as u32;
        range.contains(&at).then_some(Ordinal::new(at))
    }

    /// The inverse of [`Self::get`].
    pub(crate) fn index_of(&self, at: Ordinal) -> Option<usize> {
        let at = at.get();
        let part = self.parts.partition_point(|(_, range)| range.start <= at).checked_sub(1)?;
        let (before, range) = &self.parts[part];
        range.contains(&at).then(|| before + (at - range.start) as usize)
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
            let more: BTreeSet<u32> = more.into_iter().map(u32::from).collect();
            let ranges = Ranges::new(start..start + len, more.iter().copied());
            let expected: BTreeSet<u32> = (start..start + len).chain(more).collect();
            prop_assert_eq!(ranges.len(), expected.len());
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
