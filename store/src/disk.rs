//! The seam to the file system: named files below one directory, and when what of them is durable.
//!
//! Everything the store keeps on disk goes through it, so that a test can lose each write that was
//! not synced, fill the disk, or fail any single operation (`tests/it/sim.rs`).

pub(crate) mod os;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A directory with files and one level of directories. Names are relative, with `/` between parts;
/// the empty name is the directory itself.
///
/// A file's bytes are durable once [`DiskFile::sync`] returns. A name that was made, renamed or
/// removed is durable once [`Disk::sync_dir`] of its directory returns. Before that, a crash leaves
/// any part of it.
pub trait Disk: Send + Sync {
    /// Opens a file that exists, to read and write.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in the place of any file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names of the files in `dir`, without the directory's, in any order.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes a directory durably, unless it is there.
    fn make_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes sure that what is read of a file from now on is what is on the disk.
    ///
    /// After a failed sync the system may go on showing bytes that never reached the disk, also to
    /// the next process, and tell no one again. So a file that is to be relied on is settled first.
    fn settle(&self, name: &str) -> io::Result<()>;

    /// Makes a file that takes up `len` bytes of space, whatever is written elsewhere.
    fn reserve(&self, name: &str, len: u64) -> io::Result<()>;

    /// Bytes that can still be written.
    fn free(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; the file grows as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends the file; what is added reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// The whole of a small file, or `None` when there is none.
pub(crate) fn read_small(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    /// Files like `FORMAT` and `CURRENT` have one line.
    const MAX: u64 = 64 << 10;
    let file = match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = vec![0; file.len()?.min(MAX) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces a small file so that a crash leaves either the old or the new one.
pub(crate) fn write_atomic(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temp = format!("{name}.tmp");
    remove_if_present(disk, &temp)?;
    let file = disk.create(&temp)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&temp, name)?;
    // From here on a crash may leave either: no error may look like one after which nothing changed.
    disk.sync_dir(parent(name)).map_err(io::Error::other)
}

/// Removes a file; one that is gone already is as good.
pub(crate) fn remove_if_present(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
