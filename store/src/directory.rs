//! The store's directory: format, lock, which metadata file is current.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::Error;

const FORMAT: &str = "colophon store 1\n";
const FIRST_METADATA: &str = "meta.1.redb";

/// A locked directory of a known format.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: DirectoryLock,
}

/// Keeps other processes out while it lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being forked on another thread holds a copy of
        // the open file, and with it the lock, until it runs its own program.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// Makes or opens the directory, and locks it. `owner` is shown to whoever comes second.
    pub(crate) fn open(path: &Path, owner: &str) -> Result<Self, Error> {
        make_dir(path).map_err(at(path))?;
        let lock = lock(path, owner)?;
        check_format(path)?;
        // A process that was killed may have left names behind that are not durable yet.
        sync_dir(path).map_err(at(path))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// The directory of the segments, made when missing.
    pub(crate) fn segments(&self) -> Result<PathBuf, Error> {
        let path = self.path.join("segments");
        make_dir(&path).map_err(at(&path))?;
        Ok(path)
    }

    /// Opens the current metadata file with `open`, which makes it when missing. It becomes current
    /// once it is whole.
    pub(crate) fn metadata<T>(
        &self,
        open: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, Error> {
        let current = self.path.join("CURRENT");
        if let Some(name) = read_text(&current).map_err(at(&current))? {
            let path = self.path.join(metadata_name(&name).map_err(at(&current))?);
            // Opening would make the file anew, and so hide that it is lost.
            fs::metadata(&path).map_err(at(&path))?;
            return open(&path).map_err(at(&path));
        }
        let path = self.path.join(FIRST_METADATA);
        remove_if_present(&path).map_err(at(&path))?; // left by a crash before it became current
        let metadata = open(&path).map_err(at(&path))?;
        write_atomic(&current, format!("{FIRST_METADATA}\n").as_bytes()).map_err(at(&current))?;
        Ok(metadata)
    }

    /// The lock, to be kept by whoever uses the store last.
    pub(crate) fn into_lock(self) -> DirectoryLock {
        self.lock
    }
}

/// Wraps an I/O error with the file it is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::File { path, source }
}

fn lock(dir: &Path, owner: &str) -> Result<DirectoryLock, Error> {
    let path = dir.join("LOCK");
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Locked { path: dir.to_owned(), owner: read_owner(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    write_owner(&mut file, owner).map_err(at(&path))?;
    Ok(DirectoryLock(file))
}

/// What the holder wrote about itself: one line, at most 200 characters, `unknown` if unreadable.
fn read_owner(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(800).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line: String = text.chars().take_while(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { "unknown".to_owned() } else { line }
}

fn write_owner(file: &mut File, owner: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(owner.as_bytes())
}

fn check_format(dir: &Path) -> Result<(), Error> {
    let path = dir.join("FORMAT");
    let found = match read_text(&path).map_err(at(&path))? {
        Some(text) if text == FORMAT => return Ok(()),
        Some(text) => text.lines().next().unwrap_or_default().chars().take(80).collect(),
        // FORMAT is the first file of a store, so metadata without it is not a new one.
        None if dir.join("CURRENT").exists() => "none".to_owned(),
        None => return write_atomic(&path, FORMAT.as_bytes()).map_err(at(&path)),
    };
    Err(Error::Format { path, found, expected: FORMAT.trim_end() })
}

/// Reads `meta.<generation>.redb` from the text of `CURRENT`.
fn metadata_name(current: &str) -> io::Result<&str> {
    let generation = |name: &str| {
        let digits = name.strip_prefix("meta.")?.strip_suffix(".redb")?;
        digits.parse::<u64>().ok()
    };
    let name = current.strip_suffix('\n').filter(|name| generation(name).is_some());
    name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "names no metadata file"))
}

fn read_text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a directory and those above it, durably.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    make_dir(parent)?;
    fs::create_dir(path)?;
    sync_dir(parent)
}

/// Replaces a small file so that a crash leaves either the old or the new one.
fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = File::create(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes new names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let dir = if dir.as_os_str().is_empty() { here } else { dir };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metadata_names_are_followed() {
        assert_eq!(metadata_name("meta.12.redb\n").unwrap(), "meta.12.redb");
        for bad in
            ["", "meta.1.redb", "meta..redb\n", "meta.x.redb\n", "../meta.1.redb\n", "meta.1/..\n"]
        {
            assert!(metadata_name(bad).is_err(), "{bad:?}");
        }
    }
}
