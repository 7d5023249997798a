//! What is told while it happens.

use std::time::Duration;

use colophon_model::{FlowId, Oid};
use serde::Serialize;

use super::VersionName;

/// Something that happened, as one line of JSON has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Blobs are being fetched.
    Progress {
        /// Blobs that are here.
        done: u64,
        /// Blobs that were missing.
        total: u64,
    },
    /// `current` leads to another version.
    Switched {
        /// The commit before.
        #[serde(skip_serializing_if = "Option::is_none")]
        old: Option<Oid>,
        /// The commit now.
        new: Oid,
        /// The folder's name below `generations/`.
        version: VersionName,
        /// Files of the version.
        files: usize,
        /// Blobs that had to be fetched.
        fetched: usize,
        /// Milliseconds since the branch was seen to have moved.
        millis: u64,
        /// The commit is older than the one before, by their times in seconds.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        backwards: bool,
    },
    /// `current` is at the wanted version already.
    Unchanged {
        /// The commit.
        commit: Oid,
    },
    /// A version was damaged, and is made anew.
    Damaged {
        /// The commit.
        commit: Oid,
        /// The first flaw.
        found: String,
    },
    /// A wanted flow is not on the branch any more; its files are left out.
    NoFlow {
        /// Which.
        flow: FlowId,
    },
    /// A version that was replaced could not be taken away.
    Stuck {
        /// The folder's name below `generations/`.
        version: VersionName,
        /// Why.
        detail: String,
    },
    /// The command or signal after a switch.
    Hook {
        /// The commit it ran for.
        commit: Oid,
        /// Whether it went well.
        ok: bool,
        /// What went wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// Something failed, and is tried again.
    Failed {
        /// A stable word.
        code: String,
        /// What it was.
        detail: String,
        /// Milliseconds until it is tried again.
        retry_millis: u64,
    },
    /// All is well again.
    Recovered {
        /// Failures in a row.
        failures: u32,
    },
    /// The watch ends because it was told to.
    Stopped,
}

pub(super) const fn millis(span: Duration) -> u64 {
    let millis = span.as_millis();
    if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 }
}
