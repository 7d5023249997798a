//! What the blobs of a store are, and what each kind takes.

use std::collections::{BTreeMap, HashSet};

use colophon_model::{BuildRecord, Digest, TenantUid, Tree};
use colophon_store::View;
use colophon_store::rows::{BundleAlias, Planted, TufFile};

/// Bytes as they lie in the store, and how many blobs, by what they are; what is two things counts as the
/// first.
#[derive(Default)]
pub(crate) struct Stored {
    seen: HashSet<Digest>,
    pub(crate) kinds: BTreeMap<&'static str, (u64, u64)>,
}

impl Stored {
    pub(crate) fn of(view: &View, uid: TenantUid) -> anyhow::Result<Self> {
        let mut stored = Self::default();
        for row in view.scan::<BuildRecord>(&uid) {
            stored.add_record(view, uid, &row?.1)?;
        }
        for row in view.scan::<TufFile>(&uid) {
            stored.add(view, uid, "signed metadata", row?.1.digest)?;
        }
        for row in view.scan::<BundleAlias>(&uid) {
            for (_, digest) in row?.1.documents {
                stored.add(view, uid, "provenance, signatures, bills", digest)?;
            }
        }
        for row in view.scan::<Planted>(&uid) {
            stored.add(view, uid, "first files", row?.1.digest)?;
        }
        Ok(stored)
    }

    fn add_record(
        &mut self,
        view: &View,
        uid: TenantUid,
        record: &BuildRecord,
    ) -> anyhow::Result<()> {
        for edge in record.outputs.iter().filter_map(|output| output.edge.as_ref()) {
            let text = view.read_blob(uid, &edge.tree)?.unwrap_or_default();
            self.add(view, uid, "lists of bundles' files", edge.tree)?;
            for entry in Tree::decode(&text)?.entries() {
                self.add(view, uid, "files of bundles", entry.digest)?;
            }
        }
        self.add(view, uid, "flows as received", record.body)?;
        if let Some(manifest) = record.manifest {
            self.add(view, uid, "manifests of the branch", manifest)?;
        }
        for output in &record.outputs {
            self.add(view, uid, "lists of files on the branch", output.tree)?;
            for file in &output.files {
                self.add(view, uid, "files on the branch", file.digest)?;
            }
        }
        Ok(())
    }

    /// Bytes of all of them.
    pub(crate) fn total(&self) -> u64 {
        self.kinds.values().map(|(_, bytes)| bytes).sum()
    }

    fn add(
        &mut self,
        view: &View,
        uid: TenantUid,
        kind: &'static str,
        digest: Digest,
    ) -> anyhow::Result<()> {
        if self.seen.insert(digest) {
            let (count, total) = self.kinds.entry(kind).or_default();
            *count += 1;
            *total += view.stored_bytes(uid, &digest)?.unwrap_or_default();
        }
        Ok(())
    }
}
