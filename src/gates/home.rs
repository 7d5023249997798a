//! A folder for folders of gates, which a later server removes when this one could not.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder. Removed when dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: tempfile::TempDir,
    /// Locked for as long as the server lives.
    _lock: File,
}

const PREFIX: &str = "colophon-gates-";
/// The file in it that is locked while it is used.
const LOCK: &str = "lock";

impl Home {
    /// Makes one in `parent`, and removes those that servers left there when they were killed.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        left(parent).for_each(|home| {
            let _ = std::fs::remove_dir_all(home);
        });
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.lock()?;
        // Tools may run as another user; a folder that is not open yet is nobody's yet.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Homes that nobody uses any more. One that is just being made has no lock, or is not open yet.
fn left(parent: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let homes = entries.map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    });
    homes.filter(|home| {
        let made = home.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o777 == 0o755);
        made && File::open(home.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a killed server left is removed; what a living one uses is not.
    #[test]
    fn what_a_killed_server_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let living = Home::new(parent.path()).unwrap();
        let killed = Home::new(parent.path()).unwrap();
        let path = killed.path().to_owned();
        let Home { dir, _lock: lock } = killed;
        let _ = dir.keep();
        drop(lock);
        let other = parent.path().join("another");
        std::fs::create_dir(&other).unwrap();
        let _fresh = Home::new(parent.path()).unwrap();
        assert!(!path.exists());
        assert!(living.path().exists() && other.exists());
    }
}
