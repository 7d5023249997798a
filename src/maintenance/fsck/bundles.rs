//! Whether every bundle that can be asked for is still made as it was signed.

use colophon_store::rows::{BundleAlias, TenantRow};
use colophon_store::{Error, FsckReport, Problem, Progress, Report};

use crate::bundles::FilesError;
use crate::http::chain;
use crate::pipeline::Press;
use crate::zips::{self, ZipError};

/// Renders each bundle of every tenant. Damaged files are told with the other blobs.
pub(super) fn check(
    press: &Press,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let view = press.store.view()?;
    let mut done = 0;
    for tenant in view.scan::<TenantRow>(&()) {
        let (slug, tenant) = tenant?;
        for row in view.scan::<BundleAlias>(&tenant.uid) {
            let ((uid, sha256), alias) = row?;
            report(Progress { stage: "checking bundles", done, total: None });
            done += 1;
            match zips::make(&press.store, uid, &sha256, &alias) {
                Ok(_)
                | Err(
                    ZipError::Store(_)
                    | ZipError::Files(FilesError::Store(_) | FilesError::Missing(_)),
                ) => {}
                Err(error) => {
                    found.add(problem(&slug, &format!("bundle {sha256}: {}", chain(&error))));
                }
            }
        }
    }
    Ok(())
}

fn problem(place: &impl ToString, message: &str) -> Problem {
    let (place, message) = (place.to_string(), message.to_owned());
    Problem { code: "E_ALIAS".into(), place, message, repaired: false }
}
