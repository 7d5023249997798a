//! Bytes of damaged blobs, found a second time in a tenant's Git log.

use colophon_model::{Digest, LogEntry, TenantUid};
use colophon_store::{Heal, View};

use crate::projection::TenantLog;

/// Every file on a tenant's branch is in its Git log too, compressed in another way.
#[derive(Debug, Clone, Copy)]
pub struct FromGit;

impl Heal for FromGit {
    fn bytes(&self, view: &View, tenant: TenantUid, digest: &Digest) -> Option<Vec<u8>> {
        let ((_, at), _) = view
            .scan::<LogEntry>(&tenant)
            .filter_map(Result::ok)
            .find(|(_, entry)| entry.blob == Some(*digest))?;
        let object = colophon_gitbridge::object(&TenantLog::new(view, tenant), at);
        object.ok().map(|(_, bytes)| bytes)
    }
}
