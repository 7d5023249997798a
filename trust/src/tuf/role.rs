//! The four top-level roles.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A top-level role, and the file it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Names the keys of all roles, its own included.
    Root,
    /// Lists the bundles.
    Targets,
    /// Names the current targets file.
    Snapshot,
    /// Names the current snapshot; the only file that changes in place.
    Timestamp,
}

impl Role {
    /// All of them, in the order in which a client believes them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    /// The word used in file names and in the `_type` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// The name of version `version` of this role's file, relative to `…/tuf/`.
    pub(crate) fn file_name(self, version: NonZeroU64) -> String {
        match self {
            Self::Timestamp => "timestamp.json".to_owned(),
            Self::Root | Self::Targets | Self::Snapshot => format!("{version}.{self}.json"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
