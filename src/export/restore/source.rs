//! The one seam through which an import reads: every byte is compared with the hash that the check found good.

use axum::body::Bytes;
use colophon_model::{Digest, Sha256, TenantSlug};
use colophon_store::MAX_BLOB_LEN;
use colophon_store::rows::TenantRow;
use colophon_trust::RootChain;
use serde::de::DeserializeOwned;

use super::error::content;
use super::{RestoreError, check};
use crate::export::edge::EdgeState;
use crate::export::envelope::{Opener, Unopened};
use crate::export::layout;
use crate::export::object::{How, Inside};
use crate::export::upload::Carrier;
use crate::export::verify::{Proven, Tags};

/// Largest file of a bag that is read whole, in bytes: what the check reads of one.
const FILE: u64 = 64 << 20;

/// Largest public key, in bytes.
const KEY: u64 = 64 << 10;

/// A blob as a bag names it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// SHA-256 of the object, and its size.
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    /// BLAKE3 of the file.
    pub(super) digest: Digest,
    /// The id of the key that it is sealed with.
    pub(super) key: Option<String>,
}

/// Reads what was exported of one tenant.
pub(super) struct Source<'a> {
    carrier: &'a Carrier<'a>,
    opener: &'a Opener,
}

/// The name under which a file lies in a bag: its own, or with what the names of sealed files end with.
fn named<'a>(bag: &'a Tags, path: &str) -> Option<(&'a String, &'a Sha256)> {
    let sealed = format!("{path}{}", layout::SEALED);
    bag.manifest.get_key_value(path).or_else(|| bag.manifest.get_key_value(&sealed))
}

/// Whether a bag has a file, sealed or not.
pub(super) fn has(bag: &Tags, path: &str) -> bool {
    named(bag, path).is_some()
}

impl<'a> Source<'a> {
    pub(super) const fn new(carrier: &'a Carrier<'a>, opener: &'a Opener) -> Self {
        Self { carrier, opener }
    }

    /// A file of a bag, opened; `None` when the bag has none of that name.
    pub(super) async fn file(&self, bag: &Tags, path: &str) -> Result<Option<Bytes>, RestoreError> {
        let Some((path, sha256)) = named(bag, path) else { return Ok(None) };
        let key = path.ends_with(layout::SEALED).then(|| key_of(bag));
        let inside = self.object(&bag.name.file(path), sha256, key, (FILE, FILE as usize)).await?;
        Ok(Some(inside.first.into()))
    }

    /// What is in an object of at most `most` bytes, of which `keep` are kept. It is sealed with a key or not at all.
    async fn object(
        &self,
        at: &str,
        sha256: &Sha256,
        key: Option<String>,
        (most, keep): (u64, usize),
    ) -> Result<Inside, RestoreError> {
        let how = How { most, keep, opener: key.is_some().then_some(self.opener) };
        let found = self.carrier.object(&self.carrier.key(at), how).await?;
        let found = found.ok_or_else(|| content(at, "is not there any more"))?;
        check(found.sha256 == *sha256, at, "was changed since it was checked")?;
        match (found.opened, key) {
            (Err(error), Some(key)) => Err(unopened(at, key, &error)),
            _ => Ok(found.inside),
        }
    }

    /// The same as text, empty when there is none.
    pub(super) async fn text(&self, bag: &Tags, path: &str) -> Result<String, RestoreError> {
        let bytes = self.file(bag, path).await?.unwrap_or_default();
        let text = String::from_utf8(bytes.into());
        text.map_err(|_| content(bag.name.file(path), "is no UTF-8"))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        bag: &Tags,
        path: &str,
    ) -> Result<Option<T>, RestoreError> {
        let Some(bytes) = self.file(bag, path).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|error| content(bag.name.file(path), format!("cannot be read: {error}")))
    }

    /// The first bytes of a file of any size, `most` of them. What is made of them is compared with ids.
    pub(super) async fn beginning(
        &self,
        bag: &Tags,
        path: &str,
        most: usize,
    ) -> Result<Option<Vec<u8>>, RestoreError> {
        let Some((path, sha256)) = named(bag, path) else { return Ok(None) };
        let key = path.ends_with(layout::SEALED).then(|| key_of(bag));
        let inside = self.object(&bag.name.file(path), sha256, key, (u64::MAX, most)).await?;
        Ok(Some(inside.first))
    }

    /// The bytes of a blob, which are those that its digest names.
    pub(super) async fn blob(&self, wanted: &Wanted) -> Result<Vec<u8>, RestoreError> {
        let at = layout::blob(&wanted.sha256);
        let most = wanted.size.min(MAX_BLOB_LEN as u64 + (1 << 20));
        let (key, whole) = (wanted.key.clone(), most as usize);
        let inside = self.object(&at, &wanted.sha256, key, (most, whole)).await?;
        check(inside.digest == wanted.digest, at, "is not the file that it is named as")?;
        Ok(inside.first)
    }

    /// The public keys that the newest bag vouches for, by path.
    pub(super) async fn keys(
        &self,
        proven: &Proven,
    ) -> Result<Vec<(String, String)>, RestoreError> {
        let mut keys = Vec::new();
        let Some(newest) = proven.bags.last() else { return Ok(keys) };
        for label in newest.info.values(layout::PUBLIC_KEY) {
            let Some((sha256, path)) = label.split_once("  ") else { continue };
            let found = self.carrier.find_within(&self.carrier.key(path), KEY).await?;
            let found = found.ok_or_else(|| content(path, "is not there any more"))?;
            let same = Sha256::of(&found).to_string() == sha256;
            check(same, path, "was changed since it was checked")?;
            let text = String::from_utf8(found.into()).map_err(|_| content(path, "is no UTF-8"))?;
            keys.push((path.to_owned(), text));
        }
        Ok(keys)
    }

    /// The tenant's row, as the newest bag that tells of it has it: that of the tenant whose export it is.
    pub(super) async fn tenant(&self, proven: &Proven) -> Result<TenantRow, RestoreError> {
        let none = || content(layout::HEAD, "names no bag");
        let told = |bag: &&Tags| has(bag, layout::TENANT);
        let newest = proven.bags.iter().rev().find(told).or(proven.bags.last()).ok_or_else(none)?;
        let at = newest.name.file(layout::TENANT);
        let row: Option<TenantRow> = self.json(newest, layout::TENANT).await?;
        let row = row.ok_or_else(|| content(&at, "is not there"))?;
        let owner = &proven.head.tenant;
        check((&row.slug, row.uid) == (&owner.slug, owner.uid), at, "is of another tenant")?;
        Ok(row)
    }

    /// What the newest bag that tells of it says of the edge repository.
    pub(super) async fn edge(&self, proven: &Proven) -> Result<Option<EdgeState>, RestoreError> {
        let told = |bag: &&Tags| has(bag, layout::EDGE);
        let Some(bag) = proven.bags.iter().rev().find(told) else { return Ok(None) };
        let state: Option<EdgeState> = self.json(bag, layout::EDGE).await?;
        let at = || bag.name.file(layout::EDGE);
        if let Some(state) = &state {
            let newest = newest_root(state, &proven.head.tenant.slug);
            let newest = newest.map_err(|error| content(at(), error))?;
            let same = newest == Some(state.repository.root.version.get());
            check(same, at(), "names another newest root than it has")?;
        }
        Ok(state)
    }
}

/// The version of the newest root, when each is signed as the one before asks for.
fn newest_root(state: &EdgeState, slug: &TenantSlug) -> Result<Option<u64>, String> {
    let mut roots = state.roots.iter();
    let Some((first, pinned)) = roots.next() else { return Ok(None) };
    let wrong = |error: colophon_trust::Error| format!("has a root that is none: {error}");
    let mut chain = RootChain::pinned(pinned.as_bytes(), slug).map_err(wrong)?;
    let mut newest = *first;
    for (version, root) in roots {
        if chain.next_name() != format!("{version}.root.json") {
            break;
        }
        chain.update(root.as_bytes()).map_err(wrong)?;
        newest = *version;
    }
    Ok(Some(newest))
}

/// The key that a bag says its files are sealed with.
fn key_of(bag: &Tags) -> String {
    bag.info.value(layout::ENCRYPTION_KEY).unwrap_or("a key that it does not name").to_owned()
}

fn unopened(at: &str, key: String, error: &Unopened) -> RestoreError {
    match error {
        Unopened::NoKey => RestoreError::Sealed { at: at.to_owned(), key },
        other => content(at, other.to_string()),
    }
}
