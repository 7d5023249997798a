//! Copying the store while it is in use.

use colophon_model::audit::{Action, Subject};
use std::path::{Path, PathBuf};

use colophon_store::{BackupReport, Report};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site};

/// Where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// An absolute path on the server's machine, absent or empty.
    pub dir: PathBuf,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where to.
    pub dir: PathBuf,
    /// What.
    #[serde(flatten)]
    pub copied: BackupReport,
}

impl Job for Backup {
    type Outcome = BackedUp;

    fn act(&self) -> Option<(Action, Subject)> {
        Some((Action::StoreBackup, Subject::new("store", "")))
    }

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<BackedUp, JobError> {
        check_outside(&self.dir, &site.config.data)?;
        let copied = site.press.store.backup(&self.dir, report)?;
        Ok(BackedUp { dir: self.dir.clone(), copied })
    }
}

/// Refuses a path that is relative, or inside the data directory.
pub(super) fn check_outside(path: &Path, data: &Path) -> Result<(), JobError> {
    if !path.is_absolute() {
        return Err(JobError::Relative(path.to_owned()));
    }
    if is_inside(path, data) {
        return Err(JobError::Inside { dir: path.to_owned(), data: data.to_owned() });
    }
    Ok(())
}

/// Whether `dir`, or the nearest folder above it that is there, is `data` or below it.
fn is_inside(dir: &Path, data: &Path) -> bool {
    let there = dir.ancestors().find_map(|folder| folder.canonicalize().ok());
    there.zip(data.canonicalize().ok()).is_some_and(|(dir, data)| dir.starts_with(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_data_is_seen_through_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for inside in ["data", "data/backup", "data/a/b", "data/../data/x"] {
            assert!(is_inside(&dir.path().join(inside), &data), "{inside}");
        }
        for outside in ["data2", "backup/today", "data/../backup"] {
            assert!(!is_inside(&dir.path().join(outside), &data), "{outside}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
            assert!(is_inside(&dir.path().join("link/backup"), &data));
        }
    }
}
