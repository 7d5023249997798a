//! A fresh folder with the files of a build, which is gone when it is dropped.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use colophon_model::{Artifact, ArtifactPath};

/// The folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Who may write in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The server alone.
    Nobody,
    /// The user that the tool runs as; `None`: the server's.
    Tool(Option<u32>),
}

impl Folder {
    /// Writes `files` to a fresh folder in `parent`. Whoever is to work in it may read them: a tool's own user,
    /// else everybody, since tools may run as another user than the server.
    pub(super) fn new<'a>(
        parent: &Path,
        files: impl Iterator<Item = (&'a ArtifactPath, &'a Artifact)>,
        writer: Writer,
    ) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("build-").tempdir_in(parent)?;
        let folder = Self(dir.keep());
        let mut made = BTreeSet::new();
        for (path, file) in files {
            let path = folder.0.join(path.as_str());
            let parent = path.parent().unwrap_or(&folder.0);
            if made.insert(parent.to_owned()) {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, file.bytes())?;
        }
        // A server without the right to do this has tools that read only.
        let given = |user| std::os::unix::fs::chown(&folder.0, Some(user), Some(user)).is_ok();
        let bits = match writer {
            // Other tools' users, and others of the machine, have no business there.
            Writer::Tool(Some(user)) if given(user) => 0o700,
            _ => 0o755,
        };
        std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(bits))?;
        Ok(folder)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A tool may have made a folder that its owner cannot enter.
        let removed = std::fs::remove_dir_all(&self.0).or_else(|_| {
            open_up(&self.0);
            std::fs::remove_dir_all(&self.0)
        });
        if let Err(error) = removed {
            tracing::error!(folder = %self.0.display(), %error, "a gate's folder stays behind");
        }
    }
}

/// Lets the owner into every folder from `dir` down. Links are not followed.
fn open_up(dir: &Path) {
    let _ = std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::FileMode;

    /// Nothing that a tool leaves behind survives, also what its owner may not enter.
    #[test]
    fn it_is_gone_with_everything_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let path: ArtifactPath = "app/flows/a.py".parse().unwrap();
        let file = Artifact::new(FileMode::Regular, b"X = 1\n".to_vec());
        let files = [(&path, &file)].into_iter();
        let folder = Folder::new(parent.path(), files, Writer::Nobody).unwrap();
        assert_eq!(std::fs::read(folder.path().join("app/flows/a.py")).unwrap(), b"X = 1\n");
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::write(closed.join("left"), "x").unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        drop(folder);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
