//! How the tenants' edge repositories stand, for operators.

use std::sync::atomic::{AtomicU64, Ordering};

use colophon_model::{TenantSlug, UnixMillis};
use colophon_store::View;
use colophon_store::rows::{RootsOrigin, SignedFile, TenantHead, TenantRow};
use serde::{Deserialize, Serialize};

use super::repo;

/// A tenant's edge repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeStatus {
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantSlug,
    /// Where its root keys were made: `server` means that this server could sign anything for it.
    #[schema(value_type = String)]
    pub roots: RootsOrigin,
    /// Whether agents are told to remove its flows.
    pub archived: bool,
    /// The newest root.
    pub root: FileStatus,
    /// The current targets file.
    pub targets: FileStatus,
    /// The current snapshot.
    pub snapshot: FileStatus,
    /// The current timestamp.
    pub timestamp: FileStatus,
    /// What an operator has to do.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

/// One metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileStatus {
    /// Its version.
    pub version: u64,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// How often the role's key was replaced.
    pub key_generation: u32,
}

impl EdgeStatus {
    /// When the files of each role end.
    pub fn ends(tenant: &TenantRow, head: &TenantHead) -> [(&'static str, UnixMillis); 4] {
        let state = repo::state(tenant, head);
        [
            ("root", state.root.expires),
            ("targets", state.targets.expires),
            ("snapshot", state.snapshot.expires),
            ("timestamp", state.timestamp.expires),
        ]
    }

    /// How the tenant's repository stands at `now`.
    pub fn of(tenant: &TenantRow, head: &TenantHead, now: UnixMillis) -> Self {
        let state = repo::state(tenant, head);
        let mut warnings = Vec::new();
        if tenant.roots == RootsOrigin::Offline && state.root.is_half_over(now) {
            warnings.push(root_ends(&tenant.slug, state.root.expires));
        }
        Self {
            tenant: tenant.slug.clone(),
            roots: tenant.roots,
            archived: state.archived,
            root: state.root.into(),
            targets: state.targets.into(),
            snapshot: state.snapshot.into(),
            timestamp: state.timestamp.into(),
            warnings,
        }
    }

    /// Every tenant's, or those of `tenants`.
    pub fn read(
        view: &View,
        tenants: &[TenantRow],
        now: UnixMillis,
    ) -> Result<Vec<Self>, colophon_store::Error> {
        let mut all = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            if let Some(head) = view.get::<TenantHead>(&tenant.uid)? {
                all.push(Self::of(tenant, &head, now));
            }
        }
        Ok(all)
    }
}

impl From<SignedFile> for FileStatus {
    fn from(file: SignedFile) -> Self {
        Self {
            version: file.version.get(),
            expires: file.expires.rfc3339_seconds(),
            key_generation: file.generation,
        }
    }
}

/// The warning about a root that only a ceremony can renew.
pub fn root_ends(tenant: &TenantSlug, expires: UnixMillis) -> String {
    format!(
        "the root of tenant `{tenant}` ends at {expires}, and only a ceremony can renew it: \
         `colophon keys request --renew {tenant}`"
    )
}

/// How many tenants need a ceremony, as the last look at all of them found. For `/readyz`, which must
/// not look at every tenant each time.
#[derive(Debug, Default)]
pub struct EndingRoots(AtomicU64);

impl EndingRoots {
    /// Keeps the number.
    pub fn set(&self, tenants: u64) {
        self.0.store(tenants, Ordering::Relaxed);
    }

    /// The number; 0 until somebody looked.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
