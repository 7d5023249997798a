//! Frames in files `<generation>.seg`, 16 hex digits, each sealed when it reaches its size.
//!
//! A file is only ever appended to. After a crash its tail may hold frames that no row names; the
//! next frame goes behind them. The file with the highest generation must never be deleted, because
//! the next generation is one above it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Location, Segments};
use crate::Frame;
use crate::directory::sync_dir;

/// Most files kept open for reading.
const MAX_READERS: usize = 128;

/// Segments as files of one directory.
#[derive(Debug)]
pub struct FileSegments {
    dir: PathBuf,
    max_len: u64,
    tail: Mutex<Tail>,
    readers: Mutex<HashMap<u64, Arc<File>>>,
}

/// Where the next frame goes.
#[derive(Debug)]
struct Tail {
    next_generation: u64,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    generation: u64,
    file: File,
    len: u64,
}

impl FileSegments {
    /// Opens the existing directory `dir`. A file is sealed once it holds `max_len` bytes.
    pub fn open(dir: &Path, max_len: u64) -> io::Result<Self> {
        sync_dir(dir)?; // the last file's name may not be durable yet
        let mut last = 0;
        for entry in fs::read_dir(dir)? {
            last = last.max(generation(&entry?.file_name().to_string_lossy()).unwrap_or(0));
        }
        let active = match last {
            0 => None,
            generation => Some(Active::resume(dir, generation)?),
        };
        let tail = Mutex::new(Tail { next_generation: last + 1, active });
        Ok(Self { dir: dir.to_owned(), max_len, tail, readers: Mutex::default() })
    }

    fn reader(&self, generation: u64) -> io::Result<Arc<File>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = readers.get(&generation) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(path(&self.dir, generation))?);
        if readers.len() >= MAX_READERS {
            readers.clear();
        }
        readers.insert(generation, Arc::clone(&file));
        Ok(file)
    }
}

impl Segments for FileSegments {
    fn append(&self, frames: &[&Frame]) -> io::Result<Vec<Location>> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locations = Vec::with_capacity(frames.len());
        // Taken out, so that a file whose write failed is never appended to again.
        let mut active = tail.active.take();
        for frame in frames {
            let mut file = match active {
                Some(file) if file.len < self.max_len => file,
                full => tail.roll(&self.dir, full)?,
            };
            locations.push(file.append(frame)?);
            active = Some(file);
        }
        if let Some(file) = &active {
            file.file.sync_data()?;
        }
        tail.active = active;
        Ok(locations)
    }

    fn read(&self, location: &Location) -> io::Result<Vec<u8>> {
        let file = self.reader(location.segment)?;
        let end = location.offset.checked_add(u64::from(location.length));
        if end.is_none_or(|end| file.metadata().is_ok_and(|file| file.len() < end)) {
            return Err(io::ErrorKind::UnexpectedEof.into()); // before memory is set aside for it
        }
        let mut bytes = vec![0; location.length as usize];
        file.read_exact_at(&mut bytes, location.offset)?;
        Ok(bytes)
    }
}

impl Tail {
    /// Seals `full` and begins the next file.
    fn roll(&mut self, dir: &Path, full: Option<Active>) -> io::Result<Active> {
        if let Some(full) = full {
            full.file.sync_data()?;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        let path = path(dir, generation);
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        sync_dir(dir)?;
        Ok(Active { generation, file, len: 0 })
    }
}

impl Active {
    fn resume(dir: &Path, generation: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path(dir, generation))?;
        let len = file.metadata()?.len();
        Ok(Self { generation, file, len })
    }

    fn append(&mut self, frame: &Frame) -> io::Result<Location> {
        let bytes = frame.as_bytes();
        self.file.write_all(bytes)?;
        let (offset, length) = (self.len, bytes.len() as u32);
        self.len += u64::from(length);
        Ok(Location { segment: self.generation, offset, length })
    }
}

fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:016x}.seg"))
}

fn generation(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".seg").filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PreparedBlob;

    fn frame(text: &str) -> PreparedBlob {
        PreparedBlob::new(text.as_bytes()).unwrap()
    }

    fn append(segments: &FileSegments, text: &str) -> Location {
        segments.append(&[frame(text).frame()]).unwrap()[0]
    }

    #[test]
    fn files_are_sealed_at_their_size_and_stay_readable() {
        let dir = tempfile::tempdir().unwrap();
        let segments = FileSegments::open(dir.path(), 100).unwrap();
        let blobs: Vec<_> = (0..10).map(|i| frame(&format!("blob {i}"))).collect();
        let frames: Vec<&Frame> = blobs.iter().map(PreparedBlob::frame).collect();
        let locations = segments.append(&frames).unwrap();
        assert_eq!(locations.iter().map(|l| l.segment).max(), Some(5), "two frames fill a file");
        for (location, frame) in locations.iter().zip(frames) {
            assert_eq!(segments.read(location).unwrap(), frame.as_bytes());
        }
    }

    /// What a crash left behind the last known frame is neither overwritten nor in the way.
    #[test]
    fn a_torn_tail_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = append(&FileSegments::open(dir.path(), 1000).unwrap(), "first");
        let path = path(dir.path(), first.segment);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"CLF1torn").unwrap();
        let before = fs::read(&path).unwrap();

        let segments = FileSegments::open(dir.path(), 1000).unwrap();
        let second = append(&segments, "second");
        assert!(fs::read(&path).unwrap().starts_with(&before));
        assert_eq!(segments.read(&first).unwrap(), frame("first").frame().as_bytes());
        assert_eq!(segments.read(&second).unwrap(), frame("second").frame().as_bytes());
    }

    #[test]
    fn places_that_do_not_exist_are_errors_of_their_own_kind() {
        let dir = tempfile::tempdir().unwrap();
        let segments = FileSegments::open(dir.path(), 1000).unwrap();
        let good = append(&segments, "x");
        for (bad, kind) in [
            (Location { length: u32::MAX, ..good }, io::ErrorKind::UnexpectedEof),
            (Location { offset: u64::MAX, ..good }, io::ErrorKind::UnexpectedEof),
            (Location { segment: 9, ..good }, io::ErrorKind::NotFound),
        ] {
            assert_eq!(segments.read(&bad).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn foreign_files_are_not_segments() {
        for name in ["1.seg", "0000000000000001.tmp", "000000000000000g.seg", ".seg"] {
            assert_eq!(generation(name), None, "{name}");
        }
        assert_eq!(generation("000000000000000a.seg"), Some(10));
    }
}
