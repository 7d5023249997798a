//! What is sealed: opened where the keys were given, and checked over ciphertext where they were not.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Sha256;

use super::tags::Tags;
use super::{Check, Named};
use crate::export::envelope::{KeyId, Unopened};
use crate::export::layout;
use crate::export::object::{How, Inside, Object};

impl Check<'_> {
    /// How a file of a bag is read of which `keep` bytes are wanted: opened where it is sealed and the key was given.
    pub(super) fn how(&self, tags: &Tags, path: &str, keep: usize) -> How<'_> {
        let sealed = path.ends_with(layout::SEALED);
        let opener =
            (sealed && key(tags).is_some_and(|key| self.opener.has(&key))).then_some(self.opener);
        // Of what is closed nothing is of use.
        let keep = if sealed && opener.is_none() { 0 } else { keep };
        How { most: u64::MAX, keep, opener }
    }

    /// What is in a file of a bag that was read so; `None` when it cannot be opened. Of one that was changed it is what came
    /// before the change.
    pub(super) fn opened(
        &mut self,
        tags: &Tags,
        path: &str,
        object: Object,
        unaltered: bool,
    ) -> Option<Inside> {
        if !path.ends_with(layout::SEALED) {
            return Some(object.inside);
        }
        let Some(key) = key(tags) else {
            self.found.wrong(tags.name.file(path), "is sealed, and the bag names no key");
            return None;
        };
        self.sealed_with(&key);
        if !self.opener.has(&key) {
            self.found.unopened += 1;
            return None;
        }
        match object.opened {
            Ok(()) => Some(object.inside),
            Err(Unopened::Damaged) if !unaltered => Some(object.inside),
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

/// The key that a bag names.
fn key(tags: &Tags) -> Option<KeyId> {
    tags.info.value(layout::ENCRYPTION_KEY)?.parse().ok()
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
