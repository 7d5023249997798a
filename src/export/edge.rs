//! What of a tenant's edge repository no build tells: its roots, what was signed when, and the floors of its flows.

use std::collections::BTreeMap;

use colophon_model::FlowId;
use colophon_model::audit::Action;
use colophon_store::View;
use colophon_store::rows::{EdgeRepo, FlowGone, FlowHead, TenantHead, TenantRow, TufFile};
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::error::ExportError;
use crate::feed::repo;

/// `data/edge.json`. Agents that have pinned a root of it can go on from a restored store that has the same keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EdgeState {
    /// What was signed when, under which generation of keys.
    pub(super) repository: EdgeRepo,
    /// The exact text of each root, by version.
    pub(super) roots: BTreeMap<u64, String>,
    /// Flows that agents must not go below a number of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) floors: BTreeMap<FlowId, Floor>,
}

/// Whether an act changed what is told here.
pub(super) const fn changes(action: Action) -> bool {
    matches!(
        action,
        Action::EdgeRotate
            | Action::EdgeRollback
            | Action::EdgeArchive
            | Action::EdgeRestore
            | Action::EnvironmentSet
            | Action::EnvironmentRemove
            | Action::RootsImport
    )
}

/// What agents never go below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floor {
    /// The lowest number of a bundle that may still be activated, once one was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min_seq: Option<u64>,
    /// How often an environment was set.
    #[serde(default)]
    pub(super) env_seq: u64,
}

impl EdgeState {
    /// What there is to tell beyond the bags that end at `since`; `None` when that is nothing new. Timestamps alone,
    /// which are signed anew every day, are nothing new. `told`: lines of the bag say that something is.
    pub(super) fn beyond(
        view: &View,
        tenant: &TenantRow,
        since: &Cursor,
        told: bool,
    ) -> Result<Option<Self>, ExportError> {
        let head = view.get::<TenantHead>(&tenant.uid)?.unwrap_or_default();
        let repository = repo::state(tenant, &head);
        let newest = repository.root.signed.max(repository.targets.signed);
        // What a line of the bag tells of may have been signed before the last line of the bag before was written.
        if since.sequence > 0 && newest <= since.audit.time && !told {
            return Ok(None);
        }
        let (roots, floors) = (roots(view, tenant)?, floors(view, tenant)?);
        Ok(Some(Self { repository, roots, floors }))
    }
}

fn roots(view: &View, tenant: &TenantRow) -> Result<BTreeMap<u64, String>, ExportError> {
    let mut roots = BTreeMap::new();
    for row in view.scan::<TufFile>(&tenant.uid) {
        let ((_, name), TufFile { digest }) = row?;
        let version = name.strip_suffix(".root.json").and_then(|version| version.parse().ok());
        let Some(version) = version else { continue };
        let lost = || ExportError::Blob { digest };
        let bytes = view.read_blob(tenant.uid, &digest)?.ok_or_else(lost)?;
        roots.insert(version, String::from_utf8(bytes).map_err(|_| lost())?);
    }
    Ok(roots)
}

fn floors(view: &View, tenant: &TenantRow) -> Result<BTreeMap<FlowId, Floor>, ExportError> {
    let mut floors = BTreeMap::new();
    for row in view.scan::<FlowHead>(&tenant.uid) {
        let ((_, flow), FlowHead { min_seq, env_seq, .. }) = row?;
        floors.insert(flow, Floor { min_seq, env_seq });
    }
    for row in view.scan::<FlowGone>(&tenant.uid) {
        let ((_, flow), FlowGone { env_seq, .. }) = row?;
        floors.insert(flow, Floor { min_seq: None, env_seq });
    }
    floors.retain(|_, floor| *floor != Floor::default());
    Ok(floors)
}
