//! Every typed row but those of the blobs themselves.
//!
//! Values are compact JSON with fields in declaration order, unknown fields refused, except where a
//! row says otherwise. Rows of a tenant have its uid as the first part of their key.

use colophon_model::{BuildRecord, LogEntry, TagObject};

use crate::blob::{BlobRow, Condemned, Member};
use crate::damage::Quarantined;
use crate::delta::Rests;
use crate::erase::{Erasure, RetiredSlug};
use crate::{InvalidRow, Row, Table};

mod agent;
mod artifact;
mod audit;
mod delivery;
mod edge;
mod export;
mod flow;
mod git;
mod hex_name;
mod hook;
mod import;
mod intake;
mod mirror;
mod outbound;
mod tenant;

pub use agent::{AgentFlow, AgentFlowState, AgentRow};
pub use artifact::{ArtifactRow, UploadRow};
pub use audit::{AuditCheckpoint, AuditHead, AuditLine, AuditOrigin};
pub use delivery::{DeliveryBody, DeliveryKey, DeliveryRow, InvalidDeliveryKey};
pub use edge::{BundleAlias, BundleTree, Document, EdgeRepo, PoolRoot, SignedFile, TufFile};
pub use export::{
    ExportBlob, ExportDrill, ExportKey, ExportPlace, ExportState, FormerExportKey, KeyCopy,
    KeyLeftover, KnownHead, PlannedExport, ShredFate, ShredPlace, ShredRecord,
};
pub use flow::{
    BuildNumber, EdgeHead, EnvHead, FlowClaim, FlowGone, FlowHead, FlowOwner, SeenPlan,
};
pub use git::{GitOid, RefRow};
pub(crate) use git::{RefChanges, blob_of_log_entry};
pub use hook::{HookId, HookRow, InvalidHookId, PullFrom, PullRow};
pub use import::{FormerKey, ImportRow};
pub use intake::{DeliveryClaim, WebhookRow, WebhookSecret};
pub use mirror::{Effect, Halt, MirrorRow, MirrorState, MirrorTag, OutboxRow};
pub use outbound::{
    AttemptRow, Disabled, EndpointId, EndpointRow, EndpointState, EventKey, EventRow, HoldRow,
    InvalidEndpointId, InvalidEventKey, SendKey, SendRow,
};
pub use tenant::{
    FirstCommit, Planted, QuotaStamp, RootsOrigin, SlugOf, TenantHead, TenantRow, TokenRow,
    TokenUsed,
};

/// Makes a serde type a row of a table, encoded as JSON.
macro_rules! json_row {
    ($row:ty, $table:ident, $key:ty) => {
        impl crate::Row for $row {
            const TABLE: crate::Table = crate::Table::$table;
            type Key = $key;

            fn encode(&self) -> Vec<u8> {
                crate::row::to_json(self)
            }

            fn decode(bytes: &[u8]) -> Result<Self, crate::InvalidRow> {
                crate::row::from_json(bytes)
            }
        }
    };
}
pub(crate) use json_row;

/// Whether a row of `table` decodes, whatever it says.
pub(crate) fn decodes(table: Table, key: &[u8], value: &[u8]) -> Result<(), InvalidRow> {
    match table {
        Table::Blob => row::<BlobRow>(key, value),
        Table::Inline => u64_key(key),
        Table::Member => row::<Member>(key, value),
        Table::Condemned => row::<Condemned>(key, value),
        Table::Quarantine => row::<Quarantined>(key, value),
        Table::Rests => row::<Rests>(key, value),
        Table::Sequence => {
            if value.len() == 8 {
                Ok(())
            } else {
                Err(InvalidRow::Binary("number"))
            }
        }
        Table::Erasure => row::<Erasure>(key, value),
        Table::RetiredSlug => row::<RetiredSlug>(key, value),
        Table::Tenant => row::<TenantRow>(key, value),
        Table::Slug => row::<SlugOf>(key, value),
        Table::Planted => row::<Planted>(key, value),
        Table::FirstCommit => row::<FirstCommit>(key, value),
        Table::Token => row::<TokenRow>(key, value),
        Table::TokenUsed => row::<TokenUsed>(key, value),
        Table::TenantHead => row::<TenantHead>(key, value),
        Table::FlowHead => row::<FlowHead>(key, value),
        Table::FlowGone => row::<FlowGone>(key, value),
        Table::FlowClaim => row::<FlowClaim>(key, value),
        Table::FlowOwner => row::<FlowOwner>(key, value),
        Table::SeenPlan => row::<SeenPlan>(key, value),
        Table::Build => row::<BuildRecord>(key, value),
        Table::BuildNumber => row::<BuildNumber>(key, value),
        Table::Ref => row::<RefRow>(key, value),
        Table::RefChanges => row::<RefChanges>(key, value),
        Table::GitLog => row::<LogEntry>(key, value),
        Table::GitOid => row::<GitOid>(key, value),
        Table::GitTag => row::<TagObject>(key, value),
        Table::TufFile => row::<TufFile>(key, value),
        Table::BundleAlias => row::<BundleAlias>(key, value),
        Table::BundleTree => row::<BundleTree>(key, value),
        Table::PoolRoot => row::<PoolRoot>(key, value),
        Table::QuotaStamp => row::<QuotaStamp>(key, value),
        Table::Agent => row::<AgentRow>(key, value),
        Table::Mirror => row::<MirrorRow>(key, value),
        Table::MirrorState => row::<MirrorState>(key, value),
        Table::MirrorTag => row::<MirrorTag>(key, value),
        Table::Outbox => row::<OutboxRow>(key, value),
        Table::ExportPlace => row::<ExportPlace>(key, value),
        Table::ExportBlob => row::<ExportBlob>(key, value),
        Table::Artifact => row::<ArtifactRow>(key, value),
        Table::Upload => row::<UploadRow>(key, value),
        Table::Import => row::<ImportRow>(key, value),
        Table::FormerKey => row::<FormerKey>(key, value),
        Table::ExportKey => row::<ExportKey>(key, value),
        Table::ShredRecord => row::<ShredRecord>(key, value),
        Table::ExportState => row::<ExportState>(key, value),
        Table::ExportDrill => row::<ExportDrill>(key, value),
        Table::AuditLine => row::<AuditLine>(key, value),
        Table::AuditHead => row::<AuditHead>(key, value),
        Table::AuditOrigin => row::<AuditOrigin>(key, value),
        Table::AuditCheckpoint => row::<AuditCheckpoint>(key, value),
        Table::DeliveryClaim => row::<DeliveryClaim>(key, value),
        Table::Delivery => row::<DeliveryRow>(key, value),
        Table::DeliveryBody => row::<DeliveryBody>(key, value),
        Table::Hook => row::<HookRow>(key, value),
        Table::Pull => row::<PullRow>(key, value),
        Table::Webhook => row::<WebhookRow>(key, value),
        Table::Endpoint => row::<EndpointRow>(key, value),
        Table::EndpointState => row::<EndpointState>(key, value),
        Table::Event => row::<EventRow>(key, value),
        Table::Send => row::<SendRow>(key, value),
        Table::Hold => row::<HoldRow>(key, value),
        Table::Attempt => row::<AttemptRow>(key, value),
    }
}

fn row<R: Row>(key: &[u8], value: &[u8]) -> Result<(), InvalidRow> {
    R::decode_key(key).and(R::decode(value).map(drop))
}

/// The rows of inline blobs have no type of their own: a number and the encoded bytes.
fn u64_key(key: &[u8]) -> Result<(), InvalidRow> {
    if key.len() == 8 { Ok(()) } else { Err(InvalidRow::Key) }
}
