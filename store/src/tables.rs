//! Every table of the metadata, and nothing else.
//!
//! The number in a name is the version of the table's encoding. Rows are compared byte for byte when
//! a change states what it expects, so an encoding never changes under a name: a new encoding is a
//! new table.

use std::fmt;

/// Declares the enum, the list of all tables and their names in one place.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident = $name:literal,)*) => {
        /// A table of ordered rows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table {
            $($(#[$doc])* $table,)*
        }

        impl Table {
            /// Every table.
            pub const ALL: &[Self] = &[$(Self::$table,)*];

            /// The name on disk.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$table => $name,)*
                }
            }
        }
    };
}

tables! {
    /// Digest → where a blob's bytes are and how they are encoded.
    Blob = "blob-1",
    /// Sequence number → encoded bytes of a small blob.
    Inline = "inline-1",
    /// (digest, tenant) → nothing: the tenant may read the blob.
    Member = "member-1",
    /// (digest, tenant) → since when nothing of the tenant names the blob.
    Condemned = "condemned-1",
    /// Digest → nothing: the blob's bytes are lost or wrong.
    Quarantine = "quarantine-1",
    /// (Base, blob) → nothing: the blob is stored as what differs from the base.
    Rests = "rests-1",
    /// Name of a sequence → first number that is not leased yet.
    Sequence = "sequence-1",
    /// Number → an erasure that is not finished.
    Erasure = "erasure-1",
    /// Digest of a slug → nothing: a tenant of that name was erased.
    RetiredSlug = "retired-slug-1",
    /// Tenant slug → tenant.
    Tenant = "tenant-1",
    /// Tenant uid → slug.
    Slug = "slug-1",
    /// (uid, path) → a file that the tenant's branch began with.
    Planted = "planted-1",
    /// Tenant uid → the commit that the tenant's branch began with.
    FirstCommit = "first-commit-1",
    /// SHA-256 of a token → what it grants.
    Token = "token-1",
    /// (uid, SHA-256 of a token) → when it was used last.
    TokenUsed = "token-used-1",
    /// Tenant uid → the row that every build of the tenant checks and replaces.
    TenantHead = "tenant-head-1",
    /// (uid, flow) → the flow's current build.
    FlowHead = "flow-head-1",
    /// (uid, flow) → what remains of a flow that was deleted.
    FlowGone = "flow-gone-1",
    /// (uid, builder, native id) → the flow id claimed for it.
    FlowClaim = "flow-claim-1",
    /// (uid, flow) → which builder and native id own the flow id.
    FlowOwner = "flow-owner-1",
    /// (uid, flow, digest of a plan) → nothing: the plan was built before.
    SeenPlan = "seen-plan-1",
    /// (uid, build id) → build record.
    Build = "build-1",
    /// (uid, build number) → build id.
    BuildNumber = "build-number-1",
    /// (uid, full ref name) → object ids.
    Ref = "ref-1",
    /// Tenant uid → how often its refs changed.
    RefChanges = "ref-changes-1",
    /// (uid, ordinal) → object of the Git log.
    GitLog = "git-log-1",
    /// (uid, object id) → ordinal in the Git log.
    GitOid = "git-oid-1",
    /// (uid, object id) → annotated tag.
    GitTag = "git-tag-1",
    /// (uid, file name) → digest of a TUF metadata file.
    TufFile = "tuf-file-1",
    /// (uid, SHA-256) → the bundle with that checksum.
    BundleAlias = "bundle-alias-2",
    /// (uid, digest of a tree) → nothing: the tree is that of a bundle.
    BundleTree = "bundle-tree-1",
    /// Tenant uid → a root from a ceremony, for the tenant that will take it.
    PoolRoot = "pool-root-1",
    /// (uid, target, count) → when that build was made.
    QuotaStamp = "quota-stamp-1",
    /// Tenant uid → its upstream repository.
    Mirror = "mirror-1",
    /// Tenant uid → how the pushes to its upstream fare.
    MirrorState = "mirror-state-1",
    /// (uid, full ref name) → a tag that was pushed to the upstream.
    MirrorTag = "mirror-tag-1",
    /// (uid, device) → what an agent reported last.
    Agent = "agent-1",
    /// (uid, effect) → work that follows a commit and is not done.
    Outbox = "outbox-1",
    /// (uid, number) → line of the audit log; the system's uid is zeros.
    AuditLine = "audit-line-1",
    /// uid → the end of the audit log.
    AuditHead = "audit-head-1",
    /// (uid, number) → where the act of that line came from.
    AuditOrigin = "audit-origin-1",
    /// (uid, number of lines) → a signed note over so many lines.
    AuditCheckpoint = "audit-checkpoint-1",
    /// Tenant uid → which of its webhook secrets are good.
    Webhook = "webhook-1",
    /// (uid, digest of a delivery's name) → the build that claimed it.
    DeliveryClaim = "delivery-claim-1",
    /// (uid, time and random bits) → a delivery and what became of it.
    Delivery = "delivery-1",
    /// (uid, time and random bits) → the body of a delivery that was refused.
    DeliveryBody = "delivery-body-1",
    /// Random id → whose deliveries come in at that address, and how they are proven.
    Hook = "hook-1",
    /// (uid, digest of a place) → how the tenant's export to that place stands.
    ExportPlace = "export-place-1",
    /// (uid, digest of a place, digest) → the blob as it was exported to that place.
    ExportBlob = "export-blob-1",
    /// (uid, SHA-256) → the bundle as it lies in a bucket.
    Artifact = "artifact-1",
    /// (uid, SHA-256) → a bundle that is to be brought to the bucket.
    Upload = "upload-1",
    /// Tenant uid → the key that the tenant's exports are sealed with.
    ExportKey = "export-key-1",
    /// Digest of a tenant's pseudonym → an erasure whose signed record is not at every place yet.
    ShredRecord = "shred-record-1",
    /// (uid, digest of a place) → exports of the schedule to that place that failed.
    ExportState = "export-state-1",
    /// (uid, digest of a place) → what came of restoring that export for trial.
    ExportDrill = "export-drill-1",
    /// Tenant uid → an import that is not finished: there is no such tenant yet.
    Import = "import-1",
    /// (uid, path) → a public key of the server that the tenant was exported by, before it was imported here.
    FormerKey = "former-key-1",
    /// (uid, delivery) → a flow that is to be read from its builder.
    Pull = "pull-1",
    /// (uid, endpoint) → where events are sent.
    Endpoint = "endpoint-1",
    /// (uid, endpoint) → how it fares.
    EndpointState = "endpoint-state-1",
    /// (uid, time, place and random bits) → something that happened, as it is told.
    Event = "event-1",
    /// (uid, endpoint, time, event) → an event that is to be sent.
    Send = "send-1",
    /// (uid, endpoint, flow) → the event that later ones of the flow wait for.
    Hold = "hold-1",
    /// (uid, time and random bits) → an attempt to deliver an event.
    Attempt = "attempt-1",
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_carry_a_version() {
        let names: std::collections::BTreeSet<_> = Table::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(names.len(), Table::ALL.len());
        assert!(names.iter().all(|n| n.rsplit_once('-').unwrap().1.parse::<u32>().is_ok()));
    }
}
