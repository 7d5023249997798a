//! Frames in memory, for tests and for trying things out. Nothing survives the process.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Location, Segments};
use crate::Frame;

/// One segment that grows in memory.
#[derive(Debug, Default)]
pub struct MemorySegments(Mutex<Vec<u8>>);

impl MemorySegments {
    /// No frames.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Segments for MemorySegments {
    fn append(&self, frames: &[&Frame]) -> io::Result<Vec<Location>> {
        let mut segment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let append = |frame: &&Frame| {
            let (offset, bytes) = (segment.len() as u64, frame.as_bytes());
            segment.extend_from_slice(bytes);
            Location { segment: 1, offset, length: bytes.len() as u32 }
        };
        Ok(frames.iter().map(append).collect())
    }

    fn read(&self, location: &Location) -> io::Result<Vec<u8>> {
        let segment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = location.offset.saturating_add(u64::from(location.length));
        let bytes = segment.get(location.offset as usize..end as usize);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
