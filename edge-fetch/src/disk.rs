//! File operations that a crash cannot leave half-done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use colophon_model::FileMode;

#[cfg(test)]
use crate::faults::step;
use crate::{Error, watched};

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
    step(false).at(path)?;
    watched::removing(path);
    absent_as_none(patiently(|| fs::remove_file(path))).map(drop).at(path)
}

/// Removes a folder and all in it; that it is not there is fine.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    step(false).at(path)?;
    watched::removing(path);
    absent_as_none(patiently(|| fs::remove_dir_all(path))).map(drop).at(path)
}

/// Makes a folder and those above it, durably: what is synced in a folder whose own name is lost is lost with it.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let news: Vec<&Path> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    make_folder_unsynced(path)?;
    let above = news.iter().rev().filter_map(|folder| folder.parent());
    above
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .try_for_each(sync_folder)
}

/// The same for what may be lost, or for whoever syncs it.
pub(crate) fn make_folder_unsynced(path: &Path) -> Result<(), Error> {
    step(true).at(path)?;
    fs::create_dir_all(path).at(path)?;
    watched::made(path);
    Ok(())
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
    step(true).at(temporary)?;
    let mut file = File::create(temporary).at(temporary)?;
    watched::made(temporary);
    write(&mut file, bytes).at(temporary)?;
    watched::synced(temporary);
    drop(file);
    rename(temporary, path)
}

/// As [`replace`], and nobody but the owner may read the file, from its first moment on.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("key.new");
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_private(&mut options);
    step(true).at(&temporary)?;
    let mut file = options.open(&temporary).at(&temporary)?;
    watched::made(&temporary);
    write(&mut file, bytes).at(&temporary)?;
    watched::synced(&temporary);
    drop(file);
    rename(&temporary, path)
}

/// Moves a file or folder, and makes the move durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    step(false).at(to)?;
    watched::moving(from, to);
    patiently(|| fs::rename(from, to)).at(to)?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Writes a file that is not there yet, durably.
pub(crate) fn create(path: &Path, mode: FileMode, bytes: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    step(true).at(path)?;
    let mut file = options.open(path).at(path)?;
    watched::made(path);
    write(&mut file, bytes).at(path)?;
    watched::synced(path);
    Ok(())
}

fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    grow(file, bytes)?;
    step(true)?;
    file.sync_all()
}

/// Writes in two halves, since a death or a full disk may come in the middle.
fn grow(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (start, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(start)?;
    step(true)?;
    file.write_all(rest)
}

/// Puts a file that nobody may write in its place as a whole. It is not synced: after a power cut it
/// may have any bytes.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_read_only(&mut options);
    step(true).at(&temporary)?;
    let mut file = options.open(&temporary).at(&temporary)?;
    watched::made(&temporary);
    grow(&mut file, bytes).at(&temporary)?;
    drop(file);
    step(false).at(path)?;
    watched::moving(&temporary, path);
    patiently(|| fs::rename(&temporary, path)).at(path)
}

/// A file that grows at its end, and is not synced.
pub(crate) struct Growing<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Growing<'a> {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &'a Path) -> Result<Self, Error> {
        step(true).at(path)?;
        let file = OpenOptions::new().create(true).append(true).open(path).at(path)?;
        watched::made(path);
        Ok(Self { path, file })
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        step(true).at(self.path)?;
        grow(&mut self.file, bytes).at(self.path)
    }
}

/// Where tests let the process die or the disk fill up.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
const fn step(_grows: bool) -> io::Result<()> {
    Ok(())
}

/// How often a file that somebody has open is tried again, and how long the first wait is. Each is
/// twice the one before: 1.3 seconds in all.
const TRIES: u32 = 7;
const WAIT: Duration = Duration::from_millis(10);

/// Does what Windows refuses while a virus scanner or an indexer has the file open, which is a
/// matter of moments.
fn patiently<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    with_patience(work, is_in_use, &mut std::thread::sleep)
}

fn with_patience<T>(
    mut work: impl FnMut() -> io::Result<T>,
    is_in_use: impl Fn(&io::Error) -> bool,
    wait: &mut dyn FnMut(Duration),
) -> io::Result<T> {
    for turn in 0..TRIES {
        match work() {
            Err(error) if is_in_use(&error) => wait(WAIT * 2_u32.pow(turn)),
            result => return result,
        }
    }
    work()
}

/// `ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION` and `ERROR_LOCK_VIOLATION`.
fn is_in_use(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33))
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

#[cfg(unix)]
fn set_read_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o444);
}

#[cfg(unix)]
fn set_private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// On Windows the folder's own rights hold, which are the user's.
#[cfg(not(unix))]
fn set_private(_: &mut OpenOptions) {}

/// On Windows a file that is read-only could not be replaced or removed.
#[cfg(not(unix))]
fn set_read_only(_: &mut OpenOptions) {}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).at(path)?;
    watched::synced_folder(path);
    Ok(())
}

/// Windows has no handle to sync a folder by; its journal orders names after contents.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a file that is in use for a moment is no failure; one that stays in use is.
    #[test]
    fn files_in_use_are_waited_for() {
        let in_use = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let run = |busy: u32| {
            let (mut calls, mut waits) = (0, Vec::new());
            let work = || {
                calls += 1;
                if calls <= busy { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
            };
            let result = with_patience(work, in_use, &mut |wait| waits.push(wait.as_millis()));
            (result.is_ok(), waits)
        };
        assert_eq!(run(0), (true, vec![]));
        assert_eq!(run(3), (true, vec![10, 20, 40]));
        assert_eq!(run(100), (false, vec![10, 20, 40, 80, 160, 320, 640]));
        let other =
            with_patience(|| Err::<(), _>(io::ErrorKind::NotFound.into()), in_use, &mut |_| {
                panic!("another failure is not waited for")
            });
        assert!(other.is_err());
    }
}
