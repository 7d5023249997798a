//! Frames in memory, for tests and for trying things out. Nothing survives the process.

use std::collections::BTreeMap;
use std::io;

use super::{Location, SegmentInfo, Segments};
use crate::sync::{Mutex, PoisonError};

/// Segments that grow in memory. One is sealed when asked for only.
#[derive(Debug)]
pub struct MemorySegments(Mutex<BTreeMap<u64, Vec<u8>>>);

impl MemorySegments {
    /// No frames.
    pub fn new() -> Self {
        Self(Mutex::new(BTreeMap::from([(1, Vec::new())])))
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Vec<u8>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemorySegments {
    fn default() -> Self {
        Self::new()
    }
}

impl Segments for MemorySegments {
    fn append(&self, frames: &[&[u8]]) -> io::Result<Vec<Location>> {
        self.with(|segments| {
            let mut last = segments.last_entry().ok_or(io::ErrorKind::NotFound)?;
            let segment = *last.key();
            let bytes = last.get_mut();
            let append = |frame: &&[u8]| {
                let (offset, length) = (bytes.len() as u64, frame.len() as u32);
                bytes.extend_from_slice(frame);
                Location { segment, offset, length }
            };
            Ok(frames.iter().map(append).collect())
        })
    }

    fn read(&self, location: &Location) -> io::Result<Vec<u8>> {
        self.with(|segments| {
            let segment = segments.get(&location.segment).ok_or(io::ErrorKind::NotFound)?;
            let end = location.offset.saturating_add(u64::from(location.length));
            let bytes = segment.get(location.offset as usize..end as usize);
            bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn list(&self) -> io::Result<Vec<SegmentInfo>> {
        self.with(|segments| {
            let last = segments.keys().next_back().copied();
            let info = |(generation, bytes): (&u64, &Vec<u8>)| SegmentInfo {
                generation: *generation,
                length: bytes.len() as u64,
                sealed: Some(*generation) != last,
            };
            Ok(segments.iter().map(info).collect())
        })
    }

    fn seal(&self) -> io::Result<()> {
        self.with(|segments| {
            let next = segments.keys().next_back().map_or(1, |last| last + 1);
            segments.insert(next, Vec::new());
            Ok(())
        })
    }

    fn remove(&self, generation: u64) -> io::Result<()> {
        self.with(|segments| {
            segments.remove(&generation);
            Ok(())
        })
    }
}
