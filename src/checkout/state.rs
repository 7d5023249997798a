//! What a watch writes down for `--status`, for health checks, and for its own next start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::moment;
use super::{Fault, Folder, VersionName, disk};

/// How a folder stands. Times are RFC 3339, UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When the folder was last found to be at the wanted version.
    pub checked_at: Option<String>,
    /// When the version last changed.
    pub switched_at: Option<String>,
    /// The version for which the command and the signal were last done.
    pub hooked: Option<VersionName>,
    /// What fails, since when.
    pub problem: Option<Problem>,
}

/// Something that fails, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word.
    pub code: String,
    /// What it is.
    pub detail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How often in a row.
    pub failures: u32,
}

impl State {
    /// What was written down; nothing when that is not there or not understood.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(folder: &Folder) -> Result<Self, Fault> {
        let bytes = disk::read(&folder.state())?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Writes it down. It may be lost in a power cut: nothing rests on it but a command that runs twice.
    pub(super) fn write(&self, folder: &Folder) -> Result<(), Fault> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default(); // texts and numbers
        disk::replace(&folder.state(), &bytes, false)
    }

    /// How long ago the folder was last compared with the branch.
    pub fn age(&self) -> Option<Duration> {
        let at = humantime::parse_rfc3339(self.checked_at.as_deref()?).ok()?;
        Some(moment().duration_since(at).unwrap_or_default())
    }
}

/// This moment.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(moment()).to_string()
}
