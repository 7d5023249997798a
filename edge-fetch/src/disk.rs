//! File operations that a crash cannot leave half-done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use colophon_model::FileMode;

use crate::Error;

/// Attaches the path to a failure.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Disk { path: path.to_owned(), source })
    }
}

/// The contents of a file, or `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    absent_as_none(fs::read(path)).at(path)
}

/// Removes a file; that it is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    absent_as_none(fs::remove_file(path)).map(drop).at(path)
}

/// Removes a folder and all in it; that it is not there is fine.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    absent_as_none(fs::remove_dir_all(path)).map(drop).at(path)
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).at(path)
}

pub(crate) fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file as a whole: after a crash it has the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let mut file = File::create(temporary).at(temporary)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at(temporary)?;
    drop(file);
    rename(temporary, path)
}

/// Moves a file or folder, and makes the move durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).at(to)?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Writes a file that is not there yet, durably.
pub(crate) fn create(path: &Path, mode: FileMode, bytes: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    let mut file = options.open(path).at(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at(path)
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: FileMode) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(match mode {
        FileMode::Regular => 0o644,
        FileMode::Executable => 0o755,
    });
}

#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: FileMode) {}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).at(path)
}

/// Windows has no handle to sync a folder by; its journal orders names after contents.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}
