//! Our store.

use std::path::Path;

use anyhow::Context as _;
use colophon_model::{Digest, TenantUid};
use colophon_store::{Change, Options, PreparedBlob, Store};

use super::Blobs;

/// Whose blobs they are, where one tenant is enough.
pub(crate) const TENANT: TenantUid = TenantUid::from_bytes([7; 16]);

/// The store with its defaults.
pub(crate) struct Colophon(pub(crate) Store);

impl Blobs for Colophon {
    type Address = Digest;

    fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self(Store::open(dir, &Options::default())?))
    }

    fn put(&self, bytes: Vec<u8>) -> anyhow::Result<Digest> {
        let blob = PreparedBlob::new(&bytes)?;
        let digest = blob.digest();
        let mut change = Change::new();
        change.blob(TENANT, blob);
        self.0.lane(TENANT).submit(change).wait()?;
        Ok(digest)
    }

    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// A view of its own for each read, as a request would take it.
    fn get(&self, digest: &Digest) -> anyhow::Result<Vec<u8>> {
        self.0.view()?.read_blob(TENANT, digest)?.context("a blob is missing")
    }
}
