//! What is used as a library: the store and its peers, each behind the same few calls.

mod cacache;
mod colophon;
mod files;
mod iroh;

use std::path::Path;

use clap::ValueEnum;

pub(crate) use cacache::Cacache;
pub(crate) use colophon::{Colophon, TENANT};
pub(crate) use files::Files;
pub(crate) use iroh::Iroh;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Side {
    /// Our store.
    Colophon,
    /// The crate `cacache`.
    Cacache,
    /// The crate `iroh-blobs`, its file store.
    Iroh,
    /// One file per blob: write, fsync, rename, fsync the directory.
    Files,
}

impl Side {
    /// What the command line calls it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Colophon => "colophon",
            Self::Cacache => "cacache",
            Self::Iroh => "iroh",
            Self::Files => "files",
        }
    }

    /// What the tables call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Colophon => "**colophon store**",
            Self::Cacache => "cacache 13 (¹)",
            Self::Iroh => "iroh-blobs 0.104 (¹)",
            Self::Files => "one file per blob, fsync + rename",
        }
    }
}

/// What the sign in [`Side::name`] means.
pub(crate) const NOT_DURABLE: &str = "(¹) does not sync its data files by itself; the benchmark adds one `sync -f` at the end, timed";

/// Puts and gets blobs.
pub(crate) trait Blobs: Sized {
    /// What a blob is found by.
    type Address;

    /// Opens or makes the store in `dir`.
    fn open(dir: &Path) -> anyhow::Result<Self>;

    /// Stores a blob.
    fn put(&self, bytes: Vec<u8>) -> anyhow::Result<Self::Address>;

    /// Makes what was put durable. Nothing, for those that have done so in `put`.
    fn settle(&self) -> anyhow::Result<()>;

    /// Reads a blob and checks it, for those that can.
    fn get(&self, address: &Self::Address) -> anyhow::Result<Vec<u8>>;
}
