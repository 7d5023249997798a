//! What is done to a bag so that it can be forgotten: its files are sealed, and what is left plain names nobody.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::rows::{ExportBlob, ExportPlace, PlannedExport, TenantRow};
use tokio::runtime::Runtime;

use super::Run;
use crate::config::ExportConfig;
use crate::export::acts;
use crate::export::bag::Body;
use crate::export::envelope::{KeyId, Sealer};
use crate::export::error::ExportError;
use crate::export::increment::Content;
use crate::export::keyring::Ring;
use crate::export::place::PlaceUrl;
use crate::export::{copies, keyring, layout};
use crate::pipeline::Press;

/// What seals for the tenant: one for each of its keys, the one in use last.
pub(super) struct Sealers(Vec<Sealer>);

/// Seals for the tenant: with a key that is made when there is none and there shall be, and whose copies lie where they should.
pub(super) fn sealers(
    (press, config, runtime): (&Press, &ExportConfig, &Runtime),
    tenant: &TenantRow,
    to: &PlaceUrl,
) -> Result<Sealers, ExportError> {
    let of = |ring: &Ring| Sealers(ring.all().map(Sealer::new).collect());
    if !config.encrypt {
        // A bag that was begun with it is ended with it.
        let kept = keyring::find(press, tenant.uid)?;
        return Ok(kept.as_ref().map_or(Sealers::NONE, of));
    }
    let mut ring = keyring::ensure(press, tenant)?;
    copies::ensure(press, config, runtime, (tenant, to), &mut ring)?;
    Ok(of(&ring))
}

impl Sealers {
    /// The tenant has no key, or nothing is written.
    pub(super) const NONE: Self = Self(Vec::new());

    /// What new bags are sealed with.
    pub(super) fn current(&self) -> Option<&Sealer> {
        self.0.last()
    }

    /// What sealed a bag that was begun. A version of before keys could be replaced did not say which: the first one did.
    fn of_begun(&self, plan: &PlannedExport) -> Option<&Sealer> {
        match &plan.key {
            Some(key) => self.0.iter().find(|sealer| sealer.key().to_string() == *key),
            None => self.0.first(),
        }
    }
}

impl Run<'_> {
    /// What seals the bag that was begun; none: it is plain.
    pub(super) fn sealer_of(&self, row: &ExportPlace) -> Result<Option<&Sealer>, ExportError> {
        let found = match &row.planned {
            Some(plan) if plan.sealed => self.sealers.of_begun(plan),
            None if self.config.encrypt => self.sealers.current(),
            _ => return Ok(None),
        };
        found.map(Some).ok_or(ExportError::Key)
    }

    /// The key that the next bag would be sealed with, as far as there is one.
    pub(super) fn key_of_next(&self) -> Result<Option<KeyId>, ExportError> {
        if !self.config.encrypt {
            return Ok(None);
        }
        let kept = keyring::find(self.press, self.tenant.uid)?;
        Ok(kept.map(|kept| kept.current().id()))
    }

    /// The files below `data/` of a sealed bag. All but the checkpoint are sealed; what is needed to follow the log and to find
    /// the blobs without the key is said beside them.
    pub(super) fn seal(
        &self,
        sealer: &Sealer,
        content: &Content,
        plain: BTreeMap<String, Body>,
        blobs: &BTreeMap<Digest, ExportBlob>,
    ) -> Result<BTreeMap<String, Body>, ExportError> {
        let mut files = BTreeMap::new();
        for (path, body) in plain {
            if path == layout::CHECKPOINT {
                files.insert(path, body);
            } else {
                files.insert(format!("{path}{}", layout::SEALED), self.sealed(sealer, body)?);
            }
        }
        if !content.lines.is_empty() {
            let first = content.since.audit.seq + 1;
            let lines = acts::of_lines(&content.lines);
            let lines =
                lines.map_err(|at| ExportError::Broken { number: content.since.audit.seq + at })?;
            files.insert(layout::acts(first), Body::Bytes(lines.into()));
        }
        if !content.references.is_empty() {
            files.insert(layout::OBJECTS.to_owned(), Body::Bytes(objects(content, blobs).into()));
        }
        Ok(files)
    }

    fn sealed(&self, sealer: &Sealer, body: Body) -> Result<Body, ExportError> {
        match body {
            Body::Bytes(bytes) => Ok(Body::Bytes(sealer.seal(&bytes))),
            Body::File(file) => {
                let mut from = file.try_clone().map_err(ExportError::Aside)?;
                let mut into = tempfile::tempfile_in(self.aside).map_err(ExportError::Aside)?;
                sealer.seal_file(&mut from, &mut into).map_err(ExportError::Aside)?;
                Ok(Body::File(Arc::new(into)))
            }
        }
    }
}

/// A line for each object: SHA-256, size and key. By SHA-256, so that the order says nothing of what they are.
fn objects(content: &Content, blobs: &BTreeMap<Digest, ExportBlob>) -> String {
    let rows = content.references.iter().filter_map(|name| blobs.get(&name.digest));
    let rows: BTreeMap<_, _> = rows.map(|row| (row.sha256, row)).collect();
    let mut text = String::new();
    for (sha256, row) in rows {
        let _ = writeln!(text, "{sha256} {} {}", row.size, row.key.as_deref().unwrap_or("-")); // a String takes all
    }
    text
}
