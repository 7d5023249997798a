//! Which blobs of a pack are alike, so that one can be a delta against another.
//!
//! A part of history often begins with files whose older versions stay behind. What then is alike are
//! the files that were generated from one template: files of one name in different folders, and
//! files of one kind in one folder. Git's own packing looks at names for the same reason.

use std::collections::{BTreeSet, HashMap};

use colophon_model::Ordinal;

/// How many blobs rest on one another in a row, before a new row begins. The last of `n` is reached
/// over this many deltas and `n` divided by this.
const ROW: usize = 32;

/// A blob that goes into a pack, and where it lies.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) at: Ordinal,
    /// The tree that names it.
    pub(crate) folder: Ordinal,
    pub(crate) name: Vec<u8>,
}

/// What a blob can rest on: another blob of the pack that stands before it.
pub(crate) type Mates = HashMap<Ordinal, Ordinal>;

/// Blobs that are likely to be alike.
#[derive(PartialEq, Eq, Hash)]
enum Family<'a> {
    Name(&'a [u8]),
    Kind(Ordinal, &'a [u8]),
}

/// Finds a mate for every leaf that has one.
pub(crate) fn mates(leaves: &[Leaf]) -> Mates {
    let mut names = HashMap::<&[u8], usize>::new();
    for leaf in leaves {
        *names.entry(&leaf.name).or_default() += 1;
    }
    let mut families = HashMap::<Family<'_>, BTreeSet<Ordinal>>::new();
    for leaf in leaves {
        let family = match names.get(&leaf.name[..]) {
            Some(2..) => Family::Name(&leaf.name),
            _ => Family::Kind(leaf.folder, extension(&leaf.name)),
        };
        families.entry(family).or_default().insert(leaf.at);
    }
    families.into_values().flat_map(row).collect()
}

fn row(family: BTreeSet<Ordinal>) -> Vec<(Ordinal, Ordinal)> {
    let members: Vec<_> = family.into_iter().collect();
    let mate = |(at, member): (usize, &Ordinal)| {
        let before = if at % ROW == 0 { at.checked_sub(ROW)? } else { at - 1 };
        Some((*member, members[before]))
    };
    members.iter().enumerate().filter_map(mate).collect()
}

fn extension(name: &[u8]) -> &[u8] {
    let dot = name.iter().rposition(|byte| *byte == b'.');
    dot.map_or(&[], |dot| &name[dot..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(at: u32, folder: u32, name: &str) -> Leaf {
        let (at, folder) = (Ordinal::new(at), Ordinal::new(folder));
        Leaf { at, folder, name: name.as_bytes().to_vec() }
    }

    #[test]
    fn files_generated_alike_rest_on_one_another() {
        let leaves = [
            leaf(9, 1, "flow_b.py"),
            leaf(3, 1, "flow_a.py"),
            leaf(4, 1, "a.json"),
            leaf(5, 2, "main.py"),
            leaf(6, 3, "main.py"),
        ];
        let found = mates(&leaves);
        let expected = [(9, 3), (6, 5)].map(|(at, mate)| (Ordinal::new(at), Ordinal::new(mate)));
        assert_eq!(found, Mates::from(expected));
    }

    /// A chain of deltas as long as a large folder would take a reader for ever.
    #[test]
    fn rows_are_cut() {
        let found = row((0..10_000).map(Ordinal::new).collect());
        let mates = Mates::from_iter(found);
        let mut at = Ordinal::new(9_999);
        let mut steps = 0;
        while let Some(mate) = mates.get(&at) {
            assert!(*mate < at);
            (at, steps) = (*mate, steps + 1);
        }
        assert_eq!(at, Ordinal::new(0));
        assert!(steps < 32 + 10_000 / 32, "{steps}");
    }
}
