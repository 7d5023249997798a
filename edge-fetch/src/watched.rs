//! What the disk was told, as tests of power cuts follow it. Outside of tests nobody listens.

#[cfg(test)]
pub(crate) use crate::faults::power::{made, moving, removing, synced, synced_folder};

#[cfg(not(test))]
pub(crate) use deaf::{made, moving, removing, synced, synced_folder};

#[cfg(not(test))]
mod deaf {
    use std::path::Path;

    /// A file or folder was made, or a file emptied.
    pub(crate) const fn made(_: &Path) {}

    /// The first is about to be the second.
    pub(crate) const fn moving(_: &Path, _: &Path) {}

    /// A file or folder, with all in it, is about to go.
    pub(crate) const fn removing(_: &Path) {}

    /// The bytes of a file are on the medium.
    pub(crate) const fn synced(_: &Path) {}

    /// The names in a folder are on the medium.
    pub(crate) const fn synced_folder(_: &Path) {}
}
