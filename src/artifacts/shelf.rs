//! The bucket itself: what lies where, and what is asked of it.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use colophon_model::{Sha256, TenantSlug};
use futures_util::FutureExt as _;

use super::SignedUrl;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::place::{Failure, Options, Place, PlaceUrl, Trouble};
use crate::secrets::Secrets;

/// The media type of a bundle.
const ZIP: &str = "application/zip";

/// An open bucket. A bundle is named `<slug>/<sha256>.zip` below its prefix.
pub struct Shelf {
    store: Place,
    /// What URLs are signed with, when that is another.
    reader: Option<Place>,
    lifetime: Duration,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelf({})", self.store.url())
    }
}

/// What became of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It was written.
    Written,
    /// It was there.
    WasThere,
}

impl Shelf {
    /// Opens the bucket `url`. Nothing is asked of it; a secret may be.
    ///
    /// # Errors
    /// When credentials cannot be read.
    pub fn open(url: &PlaceUrl, config: &Config, secrets: &Secrets) -> Result<Self, Trouble> {
        let open = |config: &_| Place::open(url, config, &Options::default(), secrets);
        let store = open(&config.edge.artifact_writer(&config.export))?;
        let reader = config.edge.artifact_reader(&config.export);
        let reader = reader.as_ref().map(open).transpose()?;
        Ok(Self { store, reader, lifetime: config.edge.artifact_url_lifetime.get() })
    }

    /// Writes a bundle where none is. What is there must be the same.
    pub(super) async fn put(
        &self,
        slug: &TenantSlug,
        zip: &Sha256,
        bytes: Bytes,
    ) -> Result<Put, Trouble> {
        let key = key(slug, zip);
        match self.store.put_file(&key, bytes, ZIP).await {
            Ok(()) => Ok(Put::Written),
            // Perhaps by the request before, whose answer was lost.
            Err(Failure::There) => self.compare(&key, zip).await,
            Err(failure) => Err(failure.into_trouble(&key)),
        }
    }

    async fn compare(&self, key: &str, zip: &Sha256) -> Result<Put, Trouble> {
        let found = self.store.measure(key, 0).await;
        let (found, ..) = found.map_err(|failure| failure.into_trouble(key))?;
        if found == *zip {
            return Ok(Put::WasThere);
        }
        let text = format!("at `{key}` lie other bytes, with SHA-256 {found}");
        Err(Trouble::new("export-taken", text)
            .hint("find out who wrote them, and delete them; they are not given out"))
    }

    /// A URL that is good for a while. `None` where there are no such URLs, and when credentials are being renewed.
    pub(super) fn sign(&self, slug: &TenantSlug, zip: &Sha256) -> Option<SignedUrl> {
        // Stores look at their own clock and know seconds only.
        let now = SystemClock.now().seconds() * 1000;
        let lifetime = u64::try_from(self.lifetime.as_millis()).ok()?;
        let expires = colophon_model::UnixMillis::new(now).plus(lifetime);
        let signed = self.signer().presign(&key(slug, zip), self.lifetime).now_or_never()?;
        Some(SignedUrl { url: signed.ok()??, expires })
    }

    /// Renews credentials that end soon, so that [`Self::sign`] never has to wait for them.
    pub(super) async fn refresh(&self) {
        if let Err(failure) = self.signer().presign("refresh", self.lifetime).await {
            let trouble = failure.into_trouble("refresh");
            tracing::warn!(%trouble, "no URL into the bucket can be signed");
        }
    }

    fn signer(&self) -> &Place {
        self.reader.as_ref().unwrap_or(&self.store)
    }

    /// What lies there of a tenant.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, slug: &TenantSlug) -> Result<Vec<Sha256>, Trouble> {
        let names = self.store.list(slug.as_str()).await;
        let names = names.map_err(|failure| failure.into_trouble(slug.as_str()))?;
        let zip = |name: &String| {
            name.strip_prefix(slug.as_str())?.strip_prefix('/')?.strip_suffix(".zip")?.parse().ok()
        };
        Ok(names.iter().filter_map(zip).collect())
    }

    /// Looks whether it answers to these credentials.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), Trouble> {
        self.tenants().await.map(drop)
    }

    /// The tenants of whom something lies there.
    pub(super) async fn tenants(&self) -> Result<Vec<TenantSlug>, Trouble> {
        let folders = self.store.folders("").await;
        let folders = folders.map_err(|failure| failure.into_trouble("the bucket"))?;
        Ok(folders.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Takes a bundle away.
    pub(super) async fn remove(&self, slug: &TenantSlug, zip: &Sha256) -> Result<(), Trouble> {
        let key = key(slug, zip);
        self.store.remove(&key).await.map_err(|failure| failure.into_trouble(&key))
    }

    /// Takes everything of a tenant away; returns how much that was.
    ///
    /// # Errors
    /// Those of the store; some may be gone.
    pub async fn clear(&self, slug: &TenantSlug) -> Result<u64, Trouble> {
        let there = self.list(slug).await?;
        for zip in &there {
            self.remove(slug, zip).await?;
        }
        Ok(there.len() as u64)
    }
}

fn key(slug: &TenantSlug, zip: &Sha256) -> String {
    format!("{slug}/{zip}.zip")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::SecretsConfig;

    fn shelf(url: &str, change: impl FnOnce(&mut Config)) -> Result<Shelf, Trouble> {
        let mut config = Config::default();
        change(&mut config);
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        Shelf::open(&url.parse().unwrap(), &config, &secrets)
    }

    /// What lies there is never written over, and other bytes under a bundle's name are never taken for it.
    #[tokio::test]
    async fn a_bundle_is_written_once_and_compared_after_that() {
        let shelf = shelf("memory://artifacts-shelf", |_| {}).unwrap();
        let (slug, bytes) = ("acme-inc".parse().unwrap(), Bytes::from_static(b"zip"));
        let zip = Sha256::of(&bytes);
        assert_eq!(shelf.put(&slug, &zip, bytes.clone()).await, Ok(Put::Written));
        assert_eq!(shelf.put(&slug, &zip, bytes).await, Ok(Put::WasThere));
        let other = Sha256::of(b"other");
        shelf.put(&slug, &other, Bytes::from_static(b"wrong")).await.unwrap();
        let taken = shelf.put(&slug, &other, Bytes::from_static(b"other")).await.unwrap_err();
        assert_eq!((taken.code, taken.passing), ("export-taken", false));
        let mut there = shelf.list(&slug).await.unwrap();
        there.sort();
        assert_eq!(there.len(), 2);
        assert!(there.contains(&zip));
        // A name that begins alike is another tenant's.
        assert_eq!(shelf.list(&"acme".parse().unwrap()).await, Ok(vec![]));
        assert_eq!(shelf.clear(&slug).await, Ok(2));
        assert_eq!(shelf.list(&slug).await, Ok(vec![]));
        assert_eq!(shelf.sign(&slug, &zip), None, "memory has no URLs");
    }

    /// A URL names the host that others reach, the key that may only read, and its end; it has no secret in it.
    #[tokio::test]
    async fn urls_are_signed_by_the_reader_for_the_public_host() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "readsecret").unwrap();
        let from = format!("file:{}", secret.path().display());
        let shelf = shelf("s3://edge-artifacts/press", |config| {
            config.edge.artifact_endpoint = Some("http://127.0.0.1:1".to_owned());
            config.edge.artifact_access_key = Some("writekey".to_owned());
            config.edge.artifact_secret_key = Some(from.clone());
            config.edge.artifact_public_endpoint = Some("https://bundles.example".to_owned());
            config.edge.artifact_reader_key = Some("readkey".to_owned());
            config.edge.artifact_reader_secret = Some(from);
            config.edge.artifact_url_lifetime = crate::units::Span::seconds(60);
        });
        let (slug, zip) = ("acme-inc".parse().unwrap(), Sha256::of(b"zip"));
        let before = SystemClock.now();
        let SignedUrl { url, expires } = shelf.unwrap().sign(&slug, &zip).unwrap();
        let path = format!("https://bundles.example/edge-artifacts/press/acme-inc/{zip}.zip?");
        assert!(url.starts_with(&path), "{url}");
        assert!(url.contains("X-Amz-Expires=60") && url.contains("readkey"), "{url}");
        assert!(!url.contains("readsecret") && !url.contains("writekey"), "{url}");
        assert!(expires <= before.plus(61_000) && expires >= before.plus(58_000), "{expires:?}");
    }
}
