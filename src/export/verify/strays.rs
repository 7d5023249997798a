//! Bags that are not of the chain. One that goes on where it ends tells of an older `HEAD.json` that was put back: where
//! bags are locked, whoever hides one cannot take it away.

use std::collections::BTreeSet;

use colophon_model::Sha256;
use colophon_trust::attest::PublicKey;

use super::tags::{Labels, checksums};
use super::{Check, TOO_LARGE};
use crate::export::error::ExportError;
use crate::export::head::Head;
use crate::export::layout::{self, BagName};

/// Most of a signature, and of what a bag says of itself, that is read, in bytes.
const SIGNATURE: u64 = 1 << 10;
const INFO: u64 = 1 << 20;

impl Check<'_> {
    /// Tells what other bags are there.
    pub(super) async fn strays(
        &mut self,
        (head, key): (&Head, &PublicKey),
        chain: &BTreeSet<BagName>,
    ) -> Result<(), ExportError> {
        let carrier = self.carrier;
        let folder = carrier.key(layout::EXPORTS);
        let names = carrier.again(async || carrier.place.folders(&folder).await).await;
        let mut complete = BTreeSet::new();
        for name in names.map_err(|failure| failure.into_trouble(layout::EXPORTS))? {
            let Ok(name) = name.parse::<BagName>() else { continue };
            if chain.contains(&name) {
                continue;
            }
            if self.stray(&name, layout::SIGNATURE, SIGNATURE).await?.is_some() {
                complete.insert(name);
            } else {
                self.found.unfinished.push(name);
            }
        }
        self.ahead(head, key, &mut complete).await?;
        self.found.orphaned.extend(complete);
        if let [_, .., last] = self.found.ahead.as_slice() {
            let count = self.found.ahead.len();
            let text =
                format!("is an old one that was put back: {count} bags follow, up to {last}");
            self.found.wrong(layout::HEAD, text);
        }
        Ok(())
    }

    /// Takes those out of `strays` that go on where the chain ends.
    async fn ahead(
        &mut self,
        head: &Head,
        key: &PublicKey,
        strays: &mut BTreeSet<BagName>,
    ) -> Result<(), ExportError> {
        let (mut sequence, mut end) = (head.cursor.sequence, head.tagmanifest);
        loop {
            sequence = sequence.saturating_add(1);
            let mut next = None;
            for name in strays.iter().filter(|name| name.sequence() == sequence) {
                if let Some((previous, sha256)) = self.link(name, key).await?
                    && previous == end
                {
                    next = Some((name.clone(), sha256));
                    break;
                }
            }
            let Some((name, sha256)) = next else { return Ok(()) };
            strays.remove(&name);
            self.found.ahead.push(name);
            end = sha256;
        }
    }

    /// Which bag a bag rests on, and the hash by which a next one would name it; `None` when it is not signed by `key`.
    async fn link(
        &self,
        name: &BagName,
        key: &PublicKey,
    ) -> Result<Option<(Sha256, Sha256)>, ExportError> {
        let signature = self.stray(name, layout::SIGNATURE, SIGNATURE).await?;
        let listed = self.stray(name, layout::TAG_MANIFEST, INFO).await?;
        let info = self.stray(name, layout::INFO, INFO).await?;
        let (Some(signature), Some(listed), Some(info)) = (signature, listed, info) else {
            return Ok(None);
        };
        let sums = checksums(&String::from_utf8_lossy(&listed)).unwrap_or_default();
        if !key.verifies(&listed, &signature) || sums.get(layout::INFO) != Some(&Sha256::of(&info))
        {
            return Ok(None);
        }
        let labels = Labels::parse(&String::from_utf8_lossy(&info));
        let previous = labels.value("Previous-Export").and_then(|sha256| sha256.parse().ok());
        Ok(previous.map(|previous| (previous, Sha256::of(&listed))))
    }

    /// A small file of a bag that nobody vouches for; one that is too large is empty.
    async fn stray(
        &self,
        name: &BagName,
        path: &str,
        most: u64,
    ) -> Result<Option<axum::body::Bytes>, ExportError> {
        match self.carrier.find_within(&self.carrier.key(&name.file(path)), most).await {
            Err(error) if error.code() == TOO_LARGE => Ok(Some(axum::body::Bytes::new())),
            found => found,
        }
    }
}
