//! Every typed row but those of the blobs themselves.
//!
//! Values are compact JSON with fields in declaration order, unknown fields refused, except where a
//! row says otherwise. Rows of a tenant have its uid as the first part of their key.

mod edge;
mod flow;
mod git;
mod tenant;

pub use edge::{BundleAlias, TufFile};
pub use flow::{BuildNumber, EdgeHead, FlowClaim, FlowHead, FlowOwner, SeenPlan};
pub use git::{GitOid, RefRow};
pub use tenant::{QuotaStamp, RootsOrigin, SlugOf, TenantHead, TenantRow, TokenRow};

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
use json_row;
