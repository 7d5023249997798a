//! What is sealed: opened where the keys were given, and checked over ciphertext where they were not.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use colophon_model::{Digest, Sha256};

use super::tags::Tags;
use super::{Check, Named};
use crate::export::envelope::{KeyId, Opener};
use crate::export::layout;

impl Named {
    /// Whether an object, which is the one of that name, holds the file that is named; `None` when that cannot be told without
    /// its key.
    pub(super) fn holds(&self, object: &Bytes, opener: &Opener) -> Option<bool> {
        match (self.sealed, self.digest) {
            (_, None) => None,
            (false, Some(digest)) => Some(Digest::of(object) == digest),
            (true, Some(digest)) => {
                Some(opener.open(object).is_ok_and(|file| Digest::of(&file) == digest))
            }
        }
    }
}

impl Check<'_> {
    /// A file of a bag by the name that it has when it is opened, and what is in it; `None` when it cannot be opened. `unaltered`
    /// says that all of it is here.
    pub(super) fn opened(
        &mut self,
        tags: &Tags,
        path: &str,
        bytes: Vec<u8>,
        unaltered: bool,
    ) -> Option<(String, Vec<u8>)> {
        let Some(name) = path.strip_suffix(layout::SEALED) else {
            return Some((path.to_owned(), bytes));
        };
        let Some(key) = tags.info.value(layout::ENCRYPTION_KEY).and_then(|key| key.parse().ok())
        else {
            self.found.wrong(tags.name.file(path), "is sealed, and the bag names no key");
            return None;
        };
        self.sealed_with(&key);
        if !self.opener.has(&key) {
            self.found.unopened += 1;
            return None;
        }
        let plain = if unaltered {
            self.opener.open(&bytes).map(|bytes| bytes.to_vec())
        } else {
            self.opener.open_start(&bytes)
        };
        match plain {
            Ok(plain) => Some((name.to_owned(), plain)),
            Err(error) => {
                self.found.wrong(tags.name.file(path), format!("cannot be opened: {error}"));
                None
            }
        }
    }

    fn sealed_with(&mut self, key: &KeyId) {
        if !self.found.sealed.contains(key) {
            self.found.sealed.push(key.clone());
        }
    }

    /// Remembers a blob; whether it is the one that an earlier bag named so.
    pub(super) fn note(&mut self, sha256: Sha256, blob: Named) -> bool {
        let before = self.blobs.entry(sha256).or_insert(blob);
        let same = (before.size, before.sealed) == (blob.size, blob.sealed);
        match (before.digest, blob.digest) {
            (Some(a), Some(b)) if a != b => false,
            (None, Some(_)) => {
                before.digest = blob.digest;
                same
            }
            _ => same,
        }
    }

    /// The objects that a sealed bag names for everybody, which must be those of its list.
    pub(super) fn objects(
        &mut self,
        tags: &Tags,
        files: &BTreeMap<String, String>,
        named: &BTreeMap<Sha256, Named>,
    ) {
        let at = tags.name.file(layout::OBJECTS);
        let sealed =
            tags.manifest.contains_key(&format!("{}{}", layout::BLOB_LIST, layout::SEALED));
        let Some(text) = files.get(layout::OBJECTS) else {
            if sealed {
                self.found.wrong(at, "is not there");
            }
            return;
        };
        let mut objects = BTreeSet::new();
        for line in text.lines() {
            let Some((sha256, blob, key)) = parse(line) else {
                self.found.wrong(&at, format!("`{line}` names no object"));
                continue;
            };
            if let Some(key) = &key {
                self.sealed_with(key);
            }
            if key.as_ref().map(ToString::to_string).as_deref()
                != tags.info.value(layout::ENCRYPTION_KEY)
            {
                self.found.wrong(&at, format!("object {sha256} has another key than the bag"));
            }
            objects.insert(sha256);
            if !self.note(sha256, blob) {
                self.found.wrong(&at, format!("object {sha256} is another one in a list"));
            }
        }
        if files.contains_key(layout::BLOB_LIST) && !named.keys().eq(objects.iter()) {
            self.found.wrong(at, "names other objects than the sealed list");
        }
    }

    /// Builds that cannot be looked into are counted as the bag's info, which is signed, says.
    pub(super) fn skip_builds(&mut self, tags: &Tags) {
        let range = tags.info.range("Builds");
        match range {
            Some((from, to)) if from == self.builds + 1 && to >= from => self.builds = to,
            _ => self.found.wrong(
                tags.name.file(layout::INFO),
                format!("after build {} it begins elsewhere", self.builds),
            ),
        }
        self.found.builds = self.builds;
        self.last_build = tags.info.value("Last-Build").and_then(|id| id.parse().ok());
    }
}

/// A line of `objects.txt`: SHA-256, size, key.
fn parse(line: &str) -> Option<(Sha256, Named, Option<KeyId>)> {
    let mut parts = line.split(' ');
    let sha256 = parts.next()?.parse().ok()?;
    let size = parts.next()?.parse().ok()?;
    let key = match parts.next()? {
        "-" => None,
        key => Some(key.parse().ok()?),
    };
    let blob = Named { digest: None, size, sealed: key.is_some() };
    parts.next().is_none().then_some((sha256, blob, key))
}
