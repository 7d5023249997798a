//! An object log on its way: entries in a file without a name, where they are in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use colophon_gitbridge::{Appended, ObjectLog, ReadError, Ref};
use colophon_model::{LogEntry, Oid, Ordinal, TagObject};
use colophon_store::Row as _;

/// A log that is being made anew. About 60 bytes of memory per object; the bytes of the objects are
/// in a file that is gone when this is.
pub(super) struct Draft {
    file: File,
    /// Where each entry begins, and where the last one ends.
    places: Vec<u64>,
    ordinals: HashMap<Oid, Ordinal>,
}

impl Draft {
    /// An empty log, whose file is on the disk of `dir`.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        Ok(Self { file, places: vec![0], ordinals: HashMap::new() })
    }

    /// Adds what a commit appended.
    pub(super) fn add(&mut self, appended: &Appended) -> io::Result<()> {
        for (at, entry) in &appended.entries {
            let (bytes, begin) = (entry.encode(), self.end());
            self.file.seek(SeekFrom::Start(begin))?;
            self.file.write_all(&bytes)?;
            self.places.push(begin + bytes.len() as u64);
            self.ordinals.insert(entry.oid, *at);
        }
        Ok(())
    }

    fn end(&self) -> u64 {
        self.places.last().copied().unwrap_or_default()
    }

    fn read(&self, begin: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (end - begin) as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl ObjectLog for Draft {
    fn len(&self) -> Result<u32, ReadError> {
        Ok(u32::try_from(self.places.len() - 1)?)
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        Ok(self.ordinals.get(oid).copied())
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        match self.places.get(at.get() as usize..).unwrap_or_default() {
            [begin, end, ..] => Ok(Some(LogEntry::decode(&self.read(*begin, *end)?)?)),
            _ => Ok(None),
        }
    }

    fn tag(&self, _: &Oid) -> Result<Option<TagObject>, ReadError> {
        Ok(None)
    }

    fn refs(&self, _: &str) -> Result<Vec<Ref>, ReadError> {
        Ok(Vec::new())
    }

    fn newest_tags(&self, _: usize) -> Result<Vec<Ref>, ReadError> {
        Ok(Vec::new())
    }
}
