//! The files of a bag that are not its payload.

use std::collections::BTreeMap;

use colophon_model::Sha256;
use colophon_trust::attest::PublicKey;

use super::Check;
use crate::export::error::ExportError;
use crate::export::layout::{self, BagName};

/// What a bag says of itself, signed and checked.
pub(in crate::export) struct Tags {
    pub(in crate::export) name: BagName,
    pub(in crate::export) info: Labels,
    /// Checksums of the payload, by path.
    pub(in crate::export) manifest: BTreeMap<String, Sha256>,
}

/// Lines of `bag-info.txt`.
pub(in crate::export) struct Labels(Vec<(String, String)>);

impl Labels {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        Self(lines.map(|(label, value)| (label.to_owned(), value.to_owned())).collect())
    }

    /// The value of a label; `-` stands for none.
    pub(in crate::export) fn value(&self, label: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == label).map(|(_, value)| value.as_str());
        found.filter(|value| *value != "-")
    }

    pub(in crate::export) fn values<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == label).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, label: &str) -> Option<u64> {
        self.value(label)?.parse().ok()
    }

    /// `from-to`.
    pub(super) fn range(&self, label: &str) -> Option<(u64, u64)> {
        let (from, to) = self.value(label)?.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()?))
    }
}

impl Tags {
    /// The bag before, and the SHA-256 of its tag manifest.
    pub(super) fn previous(&self) -> Option<(BagName, Sha256)> {
        let name = self.info.value(layout::PREVIOUS_NAME)?.parse().ok()?;
        Some((name, self.info.value("Previous-Export")?.parse().ok()?))
    }
}

/// Lines as `sha256sum` writes them.
pub(super) fn checksums(text: &str) -> Option<BTreeMap<String, Sha256>> {
    let line = |line: &str| {
        let (sha256, path) = line.split_once("  ")?;
        Some((path.to_owned(), sha256.parse().ok()?))
    };
    text.lines().map(line).collect()
}

impl Check<'_> {
    /// Reads what a bag says of itself, if all of it is signed by `key` and its tag manifest has this hash.
    pub(super) async fn tags(
        &mut self,
        name: &BagName,
        sha256: Sha256,
        key: &PublicKey,
    ) -> Result<Option<Tags>, ExportError> {
        let at = name.file(layout::TAG_MANIFEST);
        let Some(listed) = self.get(&at).await? else { return Ok(None) };
        let signature_at = name.file(layout::SIGNATURE);
        let Some(signature) = self.get(&signature_at).await? else { return Ok(None) };
        if Sha256::of(&listed) != sha256 {
            self.found.wrong(&at, "is not the one that the next bag, or `HEAD.json`, names");
            return Ok(None);
        }
        if !key.verifies(&listed, &signature) {
            self.found.wrong(
                signature_at,
                format!("is no signature of key {} over the tag manifest", key.id()),
            );
            return Ok(None);
        }
        let Some(listed) = checksums(&String::from_utf8_lossy(&listed)) else {
            self.found.wrong(at, "is no list of checksums");
            return Ok(None);
        };
        let mut texts = BTreeMap::new();
        for (path, sha256) in listed {
            let at = name.file(&path);
            let Some(bytes) = self.get(&at).await? else { continue };
            if Sha256::of(&bytes) != sha256 {
                self.found.wrong(at, "was changed");
            }
            texts.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
        let info = Labels::parse(texts.get(layout::INFO).map_or("", String::as_str));
        let manifest = texts.get(layout::MANIFEST).and_then(|text| checksums(text));
        let Some(manifest) = manifest else {
            self.found.wrong(name.file(layout::MANIFEST), "is no list of checksums");
            return Ok(None);
        };
        Ok(Some(Tags { name: name.clone(), info, manifest }))
    }
}
