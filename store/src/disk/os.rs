//! A directory of the operating system, locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};
use crate::Error;

/// A directory that no other process uses while this lives.
#[derive(Debug)]
pub struct OsDisk {
    path: PathBuf,
    _lock: DirectoryLock,
}

/// Keeps other processes out while it lives.
#[derive(Debug)]
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being forked on another thread holds a copy of
        // the open file, and with it the lock, until it runs its own program.
        let _ = self.0.unlock();
    }
}

impl OsDisk {
    /// Makes or opens the directory, and locks it. `owner` is one line about this process, shown to
    /// whoever comes second.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it, [`Error::File`] for what the system refuses.
    pub fn open(path: &Path, owner: &str) -> Result<Self, Error> {
        make_dir(path).map_err(at(path))?;
        let lock = lock(path, owner)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }
}

impl Disk for OsDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.at(name))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.at(dir))?;
        names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        make_dir(&self.at(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_dir(&self.at(dir))
    }

    fn settle(&self, name: &str) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(name))?;
        file.sync_data()?;
        drop_cached(&file)
    }

    fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.at(name))?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP) => fill(&file, len),
            done => done.map_err(io::Error::from),
        }
    }

    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.path)?;
        // What an ordinary user may still take, which leaves out what is kept for root.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// Lets the system forget the pages of a file that it holds in memory and that are not changed.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn drop_cached(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Where the system cannot be told, its own promise about synced files has to do.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn drop_cached(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Takes up space by writing, where the file system cannot set it aside.
fn fill(mut file: &File, len: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len), &mut file)?;
    file.sync_data()
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
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

fn sync_dir(dir: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let dir = if dir.as_os_str().is_empty() { here } else { dir };
    File::open(dir)?.sync_all()
}
