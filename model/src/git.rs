//! Git objects as the store keeps them and the Git facade reads them.

use crate::{Digest, Oid};

/// The four kinds of Git object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GitKind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A blob.
    Blob,
    /// An annotated tag.
    Tag,
}

impl GitKind {
    /// The number in a pack entry's header (gitformat-pack, "object types").
    pub const fn pack_type(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Tree => 2,
            Self::Blob => 3,
            Self::Tag => 4,
        }
    }

    /// The inverse of [`Self::pack_type`].
    pub const fn from_pack_type(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Commit),
            2 => Some(Self::Tree),
            3 => Some(Self::Blob),
            4 => Some(Self::Tag),
            _ => None,
        }
    }

    /// The word in an object's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// Position of a branch-reachable object in its tenant's log: dense, from 0, never reused. An
/// object's delta base always has a lower ordinal, so delta chains cannot form cycles; a commit
/// reaches exactly the objects up to its own ordinal, because history is linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(u32);

impl Ordinal {
    /// Wraps a position.
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// The position.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The position after this one. A tenant's log ends at 2³² objects.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(position) => Some(Self(position)),
            None => None,
        }
    }
}

/// One object of a tenant's log, in the form in which it goes into a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The object's id.
    pub oid: Oid,
    /// Its kind; never a tag.
    pub kind: GitKind,
    /// Size of the object itself, inflated and resolved, in bytes.
    pub size: u64,
    /// The object this one is a delta against, when it is one.
    pub base: Option<Ordinal>,
    /// Length of the delta chain below this entry: 0 for a whole object, at most 50.
    pub depth: u8,
    /// Size of `deflated` when inflated: `size` for a whole object, the delta's length otherwise.
    pub inflated: u64,
    /// zlib stream of the whole object or of its delta.
    pub deflated: Vec<u8>,
    /// The blob of the store with the same bytes, for kind `Blob`.
    pub blob: Option<Digest>,
}

/// An annotated tag. Tags have no ordinal, so that purging them rewrites nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagObject {
    /// The tag object's id.
    pub oid: Oid,
    /// The commit it points to.
    pub target: Oid,
    /// The object's bytes, without Git's header.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_types_round_trip() {
        for kind in [GitKind::Commit, GitKind::Tree, GitKind::Blob, GitKind::Tag] {
            assert_eq!(GitKind::from_pack_type(kind.pack_type()), Some(kind));
        }
        assert_eq!(GitKind::from_pack_type(6), None, "a delta is not a kind");
    }

    #[test]
    fn ordinals_end_rather_than_wrap() {
        assert_eq!(Ordinal::new(u32::MAX).next(), None);
        assert_eq!(Ordinal::new(0).next(), Some(Ordinal::new(1)));
    }
}
