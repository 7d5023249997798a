//! Checking the store.

mod bundles;
mod git;

use colophon_model::audit::{Action, Subject};
use colophon_store::{FsckOptions, FsckReport, Report};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};
use crate::heal::FromGit;
use crate::units::Share;

/// What to check, and whether to repair.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fsck {
    /// Repair what can be repaired without loss.
    pub repair: bool,
    /// Do not read the blobs; only look whether they are where they should be.
    pub quick: bool,
    /// Share of the time that it takes.
    pub share: Share,
}

impl Default for Fsck {
    fn default() -> Self {
        Self { repair: false, quick: false, share: Share::ALL }
    }
}

impl Job for Fsck {
    type Outcome = FsckReport;

    fn act(&self) -> Option<(Action, Subject)> {
        Some((Action::StoreCheck, Subject::new("store", "")))
    }

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<FsckReport, JobError> {
        let options =
            FsckOptions { read_blobs: !self.quick, repair: self.repair, pace: self.share.pace() };
        let mut found = site.press.store.fsck(&options, Some(&FromGit), report)?;
        if !self.quick {
            git::check(site.press, report, &mut found)?;
            bundles::check(site.press, report, &mut found)?;
        }
        Ok(found)
    }
}
