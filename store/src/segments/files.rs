//! Frames in files `<generation>.seg`, 16 hex digits, each sealed when it reaches its size.
//!
//! A file is only ever appended to. After a crash its tail may hold frames that no row names; the
//! next frame goes behind them. The file with the highest generation is never removed, because the
//! next generation is one above it.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::{Location, SegmentInfo, Segments};
use crate::disk::remove_if_present;
use crate::space::is_full;
use crate::sync::{Arc, Mutex, PoisonError};
use crate::{Disk, DiskFile};

/// The directory of the files.
const DIR: &str = "segments";
/// Most files kept open for reading.
const MAX_READERS: usize = 128;

/// Segments as files of one directory.
pub struct FileSegments {
    disk: Arc<dyn Disk>,
    max_len: u64,
    tail: Mutex<Tail>,
    readers: Mutex<HashMap<u64, Arc<dyn DiskFile>>>,
}

/// What there is, and where the next frame goes.
#[derive(Debug)]
struct Tail {
    next_generation: u64,
    active: Option<Active>,
    /// Lengths of the files that take no more frames.
    sealed: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Active {
    generation: u64,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// How much of it rows may name: all that was synced.
    synced: u64,
}

impl FileSegments {
    /// Opens the directory `segments` of `disk`, or makes it. A file is sealed once it holds
    /// `max_len` bytes.
    pub fn open(disk: Arc<dyn Disk>, max_len: u64) -> io::Result<Self> {
        disk.make_dir(DIR)?;
        disk.sync_dir(DIR)?; // the last file's name may not be durable yet
        let mut sealed = BTreeMap::new();
        for generation in disk.list(DIR)?.iter().filter_map(|name| generation(name)) {
            sealed.insert(generation, disk.open(&segment_name(generation))?.len()?);
        }
        // Only these can have been written when a sync failed.
        for generation in sealed.keys().rev().take(2) {
            disk.settle(&segment_name(*generation))?;
        }
        let active = sealed.pop_last().map(|(last, _)| Active::resume(&*disk, last)).transpose()?;
        let next_generation = active.as_ref().map_or(0, |active| active.generation) + 1;
        let tail = Mutex::new(Tail { next_generation, active, sealed });
        Ok(Self { disk, max_len, tail, readers: Mutex::default() })
    }

    fn tail(&self) -> crate::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self, generation: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = readers.get(&generation) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&segment_name(generation))?;
        if readers.len() >= MAX_READERS {
            readers.clear();
        }
        readers.insert(generation, Arc::clone(&file));
        Ok(file)
    }
}

impl Segments for FileSegments {
    fn append(&self, frames: &[&[u8]]) -> io::Result<Vec<Location>> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let mut tail = self.tail();
        let mut locations = Vec::with_capacity(frames.len());
        for frame in frames {
            locations.push(tail.append(&*self.disk, self.max_len, frame)?);
        }
        tail.sync()?;
        Ok(locations)
    }

    fn read(&self, location: &Location) -> io::Result<Vec<u8>> {
        let file = self.reader(location.segment)?;
        let end = location.offset.checked_add(u64::from(location.length));
        if end.is_none_or(|end| file.len().is_ok_and(|len| len < end)) {
            return Err(io::ErrorKind::UnexpectedEof.into()); // before memory is set aside for it
        }
        let mut bytes = vec![0; location.length as usize];
        file.read_at(location.offset, &mut bytes)?;
        Ok(bytes)
    }

    fn list(&self) -> io::Result<Vec<SegmentInfo>> {
        let tail = self.tail();
        let sealed = tail.sealed.iter().map(|(g, len)| (*g, *len, true));
        let active = tail.active.iter().map(|active| (active.generation, active.len, false));
        let info = |(generation, length, sealed)| SegmentInfo { generation, length, sealed };
        Ok(sealed.chain(active).map(info).collect())
    }

    fn seal(&self) -> io::Result<()> {
        self.tail().roll(&*self.disk)
    }

    fn remove(&self, generation: u64) -> io::Result<()> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&generation);
        if self.tail().sealed.remove(&generation).is_some() {
            remove_if_present(&*self.disk, &segment_name(generation))?;
            self.disk.sync_dir(DIR)?;
        }
        Ok(())
    }
}

impl Tail {
    fn append(&mut self, disk: &dyn Disk, max_len: u64, frame: &[u8]) -> io::Result<Location> {
        if self.active.as_ref().is_none_or(|active| active.len >= max_len) {
            self.roll(disk)?;
        }
        // Taken out, so that a file whose write failed is not appended to again.
        let mut active = self.active.take().ok_or(io::ErrorKind::NotFound)?;
        let appended = active.append(frame);
        if appended.as_ref().is_err_and(|error| !is_full(error) || active.give_back().is_err()) {
            self.sealed.insert(active.generation, active.file.len().unwrap_or(active.len));
        } else {
            self.active = Some(active);
        }
        appended
    }

    fn sync(&mut self) -> io::Result<()> {
        self.active.as_mut().map_or(Ok(()), Active::sync)
    }

    /// Seals the file that is active and begins the next.
    fn roll(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.sync()?;
        let generation = self.next_generation;
        let file = disk.create(&segment_name(generation))?;
        self.next_generation += 1;
        if let Some(full) = self.active.replace(Active { generation, file, len: 0, synced: 0 }) {
            self.sealed.insert(full.generation, full.len);
        }
        disk.sync_dir(DIR).map_err(io::Error::other)
    }
}

impl Active {
    fn resume(disk: &dyn Disk, generation: u64) -> io::Result<Self> {
        let file = disk.open(&segment_name(generation))?;
        let len = file.len()?;
        Ok(Self { generation, file, len, synced: len })
    }

    fn append(&mut self, frame: &[u8]) -> io::Result<Location> {
        self.file.write_at(self.len, frame)?;
        let (offset, length) = (self.len, frame.len() as u32);
        self.len += u64::from(length);
        Ok(Location { segment: self.generation, offset, length })
    }

    fn sync(&mut self) -> io::Result<()> {
        // Also for want of space a failed sync leaves unknown what is durable.
        self.file.sync().map_err(io::Error::other)?;
        self.synced = self.len;
        Ok(())
    }

    /// Gives up what was appended since the last sync, on a disk that is full.
    fn give_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.synced)?;
        self.len = self.synced;
        Ok(())
    }
}

/// The name of a segment on its disk.
pub(crate) fn segment_name(generation: u64) -> String {
    format!("{DIR}/{generation:016x}.seg")
}

fn generation(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".seg").filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::{OsDisk, PreparedBlob};

    fn open(dir: &Path, max_len: u64) -> FileSegments {
        FileSegments::open(Arc::new(OsDisk::open(dir, "").unwrap()), max_len).unwrap()
    }

    fn path(dir: &Path, generation: u64) -> PathBuf {
        dir.join(segment_name(generation))
    }

    fn frame(text: &str) -> Vec<u8> {
        PreparedBlob::new(text.as_bytes()).unwrap().frame().as_bytes().to_vec()
    }

    fn append(segments: &FileSegments, text: &str) -> Location {
        segments.append(&[&frame(text)]).unwrap()[0]
    }

    #[test]
    fn files_are_sealed_at_their_size_and_stay_readable() {
        let dir = tempfile::tempdir().unwrap();
        let segments = open(dir.path(), 100);
        let frames: Vec<_> = (0..10).map(|i| frame(&format!("blob {i}"))).collect();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let locations = segments.append(&frames).unwrap();
        assert_eq!(locations.iter().map(|l| l.segment).max(), Some(5), "two frames fill a file");
        for (location, frame) in locations.iter().zip(&frames) {
            assert_eq!(segments.read(location).unwrap(), *frame);
        }
        let sealed: Vec<_> = segments.list().unwrap().iter().map(|info| info.sealed).collect();
        assert_eq!(sealed, [true, true, true, true, false]);
        let listed = segments.list().unwrap();
        drop(segments);
        assert_eq!(open(dir.path(), 100).list().unwrap(), listed);
    }

    /// A generation is used once, also when everything before it was removed.
    #[test]
    fn the_last_file_stays_so_that_generations_never_return() {
        let dir = tempfile::tempdir().unwrap();
        let segments = open(dir.path(), 1000);
        let first = append(&segments, "x");
        segments.remove(first.segment).unwrap();
        assert!(segments.read(&first).is_ok(), "it was not sealed");
        segments.seal().unwrap();
        segments.remove(first.segment).unwrap();
        segments.remove(first.segment).unwrap();
        assert_eq!(segments.read(&first).unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(segments);
        assert_eq!(append(&open(dir.path(), 1000), "y").segment, 2);
    }

    /// What a crash left behind the last known frame is neither overwritten nor in the way.
    #[test]
    fn a_torn_tail_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = append(&open(dir.path(), 1000), "first");
        let path = path(dir.path(), first.segment);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"CLF1torn").unwrap();
        let before = fs::read(&path).unwrap();

        let segments = open(dir.path(), 1000);
        let second = append(&segments, "second");
        assert!(fs::read(&path).unwrap().starts_with(&before));
        assert_eq!(segments.read(&first).unwrap(), frame("first"));
        assert_eq!(segments.read(&second).unwrap(), frame("second"));
    }

    #[test]
    fn places_that_do_not_exist_are_errors_of_their_own_kind() {
        let dir = tempfile::tempdir().unwrap();
        let segments = open(dir.path(), 1000);
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
