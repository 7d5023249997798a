//! The bucket itself: what lies where, and what is asked of it.

use std::collections::BTreeSet;
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

    /// Where it is.
    pub(super) fn url(&self) -> String {
        self.store.url().to_string()
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
        let found = self.store.measure(key).await;
        let (found, _) = found.map_err(|failure| failure.into_trouble(key))?;
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
        Ok(names.iter().filter_map(|name| zip_of(slug, name)).collect())
    }

    /// Looks whether it answers to these credentials.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), Trouble> {
        self.folders().await.map(drop)
    }

    async fn folders(&self) -> Result<Vec<String>, Trouble> {
        self.store.folders("").await.map_err(|failure| failure.into_trouble("the bucket"))
    }

    /// The tenants of whom something lies there, or an old version, as far as somebody may look for those.
    pub(super) async fn tenants(&self) -> Result<BTreeSet<TenantSlug>, Trouble> {
        let old = self.store.versioned("").await.ok().flatten().unwrap_or_default();
        let old = old.iter().filter_map(|name| name.split_once('/')).map(|(folder, _)| folder);
        let folders = self.folders().await?;
        let all = folders.iter().map(String::as_str).chain(old);
        Ok(all.filter_map(|name| name.parse().ok()).collect())
    }

    /// What lies there of a tenant, and what lay there and of which an old version may be left. A key that may not look
    /// for versions sees what lies there.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn look(&self, slug: &TenantSlug) -> Result<Seen, Trouble> {
        let there: BTreeSet<Sha256> = self.list(slug).await?.into_iter().collect();
        let (old, unseen) = match self.store.versioned(slug.as_str()).await {
            Ok(names) => (names.unwrap_or_default(), None),
            Err(failure) => (Vec::new(), Some(failure.into_trouble(slug.as_str()))),
        };
        let mut all = there.clone();
        all.extend(old.iter().filter_map(|name| zip_of(slug, name)));
        Ok(Seen { there, all, unseen })
    }

    /// Takes bundles of a tenant away, each with its old versions and the marks that it was deleted.
    ///
    /// # Errors
    /// Those of the store; some may be gone. What could not be deleted, and is known, is in the answer.
    pub async fn take_away(
        &self,
        slug: &TenantSlug,
        wanted: impl Fn(&Sha256) -> bool,
    ) -> Result<Cleared, Trouble> {
        let Seen { all, unseen, .. } = self.look(slug).await?;
        let gone: BTreeSet<Sha256> = all.into_iter().filter(&wanted).collect();
        let mut left = Vec::new();
        if gone.is_empty() {
            return Ok(Cleared { removed: gone, left, unseen });
        }
        // Versions first: what is left of them then still shows, where a mark would hide it.
        if unseen.is_none() {
            left = self.destroy(slug, &gone).await?;
        }
        for zip in self.list(slug).await?.iter().filter(|zip| gone.contains(zip)) {
            let key = key(slug, zip);
            self.store.remove(&key).await.map_err(|failure| failure.into_trouble(&key))?;
        }
        if !left.is_empty() {
            left = self.destroy(slug, &gone).await?;
        }
        Ok(Cleared { removed: gone, left, unseen })
    }

    /// Deletes every version of these bundles; returns what is left of them.
    async fn destroy(
        &self,
        slug: &TenantSlug,
        zips: &BTreeSet<Sha256>,
    ) -> Result<Vec<String>, Trouble> {
        let of_them = |name: &str| zip_of(slug, name).is_some_and(|zip| zips.contains(&zip));
        let destroyed = self.store.destroy(slug.as_str(), of_them).await;
        Ok(destroyed.map_err(|failure| failure.into_trouble(slug.as_str()))?.left)
    }
}

/// What a look at a tenant's folder has found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What lies there.
    pub(super) there: BTreeSet<Sha256>,
    /// The same, and that of which there is an old version, or the mark that it was deleted.
    pub(super) all: BTreeSet<Sha256>,
    /// Why nobody could look for versions.
    pub(super) unseen: Option<Trouble>,
}

/// What was taken out of the bucket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The bundles.
    pub removed: BTreeSet<Sha256>,
    /// What of them could not be deleted, with the reason.
    pub left: Vec<String>,
    /// Why nobody could look for old versions; there may be some.
    pub unseen: Option<Trouble>,
}

/// The bundle that a name below the place is of.
fn zip_of(slug: &TenantSlug, name: &str) -> Option<Sha256> {
    name.strip_prefix(slug.as_str())?.strip_prefix('/')?.strip_suffix(".zip")?.parse().ok()
}

fn key(slug: &TenantSlug, zip: &Sha256) -> String {
    format!("{}{zip}.zip", folder(slug))
}

/// Where the bundles of a tenant are, below the bucket's prefix.
pub fn folder(slug: &TenantSlug) -> String {
    format!("{slug}/")
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
        let gone = shelf.take_away(&slug, |one| *one == other).await.unwrap();
        assert_eq!(gone, Cleared { removed: [other].into(), ..Cleared::default() });
        assert_eq!(shelf.list(&slug).await, Ok(vec![zip]), "what is wanted stays");
        assert_eq!(shelf.take_away(&slug, |_| true).await.unwrap().removed, [zip].into());
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
