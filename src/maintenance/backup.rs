//! Copying the store while it is in use.

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

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<BackedUp, JobError> {
        if !self.dir.is_absolute() {
            return Err(JobError::Relative(self.dir.clone()));
        }
        if is_inside(&self.dir, &site.config.data) {
            let (dir, data) = (self.dir.clone(), site.config.data.clone());
            return Err(JobError::Inside { dir, data });
        }
        let copied = site.press.store.backup(&self.dir, report)?;
        Ok(BackedUp { dir: self.dir.clone(), copied })
    }
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
