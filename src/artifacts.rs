//! Bundles in a bucket too, where builders and agents fetch them by signed URLs, so that whole installs cost the
//! server nothing (docs/edge-artifacts.md).
//!
//! A build that has a bundle asks for its upload in its own transaction (`store/src/outbox.rs`). A worker of the
//! running server carries what is due (`worker.rs`), writes down what lies there (`ledger.rs`), and compares both
//! from time to time (`check.rs`). A URL into the bucket is given out for what is written down as lying there; until
//! then, and whenever there is doubt, the server's own is.

mod check;
mod ledger;
pub mod policy;
mod rounds;
mod shelf;
mod worker;

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use colophon_model::{Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{ArtifactRow, BundleAlias, TenantRow};
use colophon_store::{Change, Error, Store, View, outbox};

use crate::config::Config;
use crate::http::chain;
use crate::place::{Options, Place, PlaceUrl};

pub use ledger::{Waiting, places, waiting};
pub use shelf::{Cleared, Shelf, folder};
pub use worker::Uploader;

/// The bucket of this server, if it has one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Artifacts(Option<Arc<Bucket>>);

#[derive(Debug)]
struct Bucket {
    /// Which bucket of which store, as rows name it.
    name: String,
    /// Whether there are URLs into it that are good without a token.
    has_urls: bool,
    /// Open, once it could be opened.
    shelf: OnceLock<Shelf>,
}

/// A URL that anybody can fetch a bundle from, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// When it ends, by the machine's clock.
    pub expires: UnixMillis,
}

impl Artifacts {
    /// The bucket that is configured. It is not asked for anything, and need not be there.
    ///
    /// # Errors
    /// When what is configured cannot be.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let Some(url) = &config.edge.artifacts else { return Ok(Self::default()) };
        if let PlaceUrl::File(folder) = url
            && folder.starts_with(&config.data)
        {
            bail!("`edge.artifacts`: `{}` is inside the data directory", folder.display());
        }
        let writer = config.edge.artifact_writer(&config.export);
        let name = Place::name_of(url, &writer, &Options::default());
        let name = name.with_context(|| format!("`edge.artifacts`: {url}"))?;
        let has_urls = matches!(url, PlaceUrl::S3 { .. });
        Ok(Self(Some(Arc::new(Bucket { name, has_urls, shelf: OnceLock::new() }))))
    }

    /// Whether there is one.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it is worth asking for a URL of a bundle in it: there can be one, though not of each bundle at each time.
    pub fn has_urls(&self) -> bool {
        self.0.as_ref().is_some_and(|bucket| bucket.has_urls)
    }

    /// Which bucket of which store.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|bucket| bucket.name.as_str())
    }

    /// Adds to a change that publishes a bundle that it is to be uploaded.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn request(
        &self,
        change: &mut Change,
        view: &View,
        bundle: (TenantUid, Sha256),
        now: UnixMillis,
    ) -> Result<(), Error> {
        let Some(bucket) = &self.0 else { return Ok(()) };
        outbox::upload(change, view, bundle, &bucket.name, now)
    }

    /// A URL of a bundle in the bucket. `None`: it does not lie there, or cannot be signed now.
    pub fn url(&self, store: &Store, tenant: &TenantRow, zip: &Sha256) -> Option<SignedUrl> {
        let bucket = self.0.as_ref()?;
        let open = bucket.shelf.get()?;
        match lies_there(store, &bucket.name, (tenant.uid, *zip)) {
            Ok(true) => open.sign(&tenant.slug, zip),
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what lies in the bucket is not known");
                None
            }
        }
    }

    fn shelf(&self) -> Option<&Shelf> {
        self.0.as_ref()?.shelf.get()
    }

    fn opened(&self, open: Shelf) {
        if let Some(bucket) = &self.0 {
            let _ = bucket.shelf.set(open); // one is as good as another
        }
    }
}

/// A bundle that was purged is not given out any more, though it may lie there for a while.
fn lies_there(store: &Store, place: &str, key: (TenantUid, Sha256)) -> Result<bool, Error> {
    let view = store.view()?;
    let row = view.get::<ArtifactRow>(&key)?.filter(|row| row.place == place);
    Ok(row.is_some() && view.get::<BundleAlias>(&key)?.is_some())
}
