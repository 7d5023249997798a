//! A tenant's upstream repository, and what is waiting to be done after a commit.

use colophon_model::{Oid, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use super::json_row;
use crate::KeyPart;
use crate::row::take_array;

/// Where a tenant's branch and tags are pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorRow {
    /// The repository's URL, without credentials.
    pub url: String,
    /// Who pushes.
    pub username: String,
    /// Where the password is found, such as `env:NAME`; never the password. `None`: none is sent.
    pub credential: Option<String>,
    /// New tags in one push.
    pub tags_per_push: u32,
    /// When this was set.
    pub set: UnixMillis,
}

json_row!(MirrorRow, Mirror, TenantUid);

/// How the mirror fares. Absent until the first attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorState {
    /// The newest commit that the remote was seen to have.
    pub tip: Option<Oid>,
    /// When it was last seen to have all there is.
    pub succeeded: Option<UnixMillis>,
    /// No attempt before this.
    pub next: UnixMillis,
    /// Attempts that failed since the last one that did not.
    pub failures: u32,
    /// Whether the last one failed for its credential.
    pub refused: bool,
    /// Why the last one failed.
    pub trouble: Option<String>,
    /// Why there will be no attempt until somebody asks for one.
    pub halt: Option<Halt>,
}

json_row!(MirrorState, MirrorState, TenantUid);

/// Why a mirror is at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
pub enum Halt {
    /// The remote refuses in a way that trying again does not mend.
    Parked {
        /// Since when.
        since: UnixMillis,
    },
    /// Somebody else writes to the remote.
    Quarantined {
        /// Since when.
        since: UnixMillis,
        /// Full name of the ref where that shows.
        name: String,
        /// What it names here.
        ours: Oid,
        /// What it names at the remote.
        theirs: Oid,
    },
}

/// A tag that a push to the upstream was begun for, by full name. It is what may be deleted there
/// once it is purged here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorTag {
    /// The tag object.
    pub oid: Oid,
}

json_row!(MirrorTag, MirrorTag, (TenantUid, String));

/// A kind of work that follows a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Push to the upstream repository.
    Push,
    /// Send events to endpoints.
    Notify,
    /// Export for auditors.
    Export,
}

impl KeyPart for Effect {
    fn push(&self, key: &mut Vec<u8>) {
        key.push(match self {
            Self::Push => 1,
            Self::Notify => 2,
            Self::Export => 3,
        });
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        match take_array::<1>(rest)? {
            [1] => Some(Self::Push),
            [2] => Some(Self::Notify),
            [3] => Some(Self::Export),
            _ => None,
        }
    }
}

/// Work that follows a commit and is not done: written in the transaction of each commit that asks
/// for it, deleted when it is done as long as nothing was asked for in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxRow {
    /// When it was first asked for.
    pub since: UnixMillis,
    /// How often it was asked for since then.
    pub changes: u64,
}

json_row!(OutboxRow, Outbox, (TenantUid, Effect));
