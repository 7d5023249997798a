//! What agents trust, as far as an auditor needs it years later: every root of the tenant's TUF repository. Roots are
//! never replaced, so a bag that was cut and is made again has the same ones unless a key was replaced in between; the
//! other files change with every build.

use colophon_store::View;
use colophon_store::rows::{EdgeRepo, TenantRow, TufFile};

use super::error::ExportError;
use super::increment::Reference;
use super::layout;

/// The roots, as blobs that the bag names.
pub(super) fn roots(
    view: &View,
    tenant: &TenantRow,
    repo: &EdgeRepo,
) -> Result<Vec<Reference>, ExportError> {
    let mut found = Vec::new();
    for name in (1..=repo.root.version.get()).map(|version| format!("{version}.root.json")) {
        if let Some(TufFile { digest }) = view.get::<TufFile>(&(tenant.uid, name.clone()))? {
            found.push(Reference { digest, path: layout::root(&name) });
        }
    }
    Ok(found)
}
