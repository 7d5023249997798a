//! How far an export has come.

use colophon_model::audit::ChainHead;
use colophon_model::{BuildId, Oid};
use serde::{Deserialize, Serialize};

/// Everything up to here is in the bags so far. The next bag begins behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The end of the audit log in them.
    pub audit: ChainHead,
    /// The id of the last build in them.
    pub build: Option<BuildId>,
    /// The number of the last build in them.
    pub builds: u64,
    /// How many bags there are; the last one's number.
    pub sequence: u64,
    /// The tip of the branch in them.
    pub tip: Option<Oid>,
}
