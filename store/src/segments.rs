//! The seam for larger blobs: append-only frames with a place each.

pub(crate) mod files;
pub(crate) mod memory;

use std::io;

use crate::Frame;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment's generation. Never used again, also after the segment is gone.
    pub segment: u64,
    /// Offset of the frame in the segment, in bytes.
    pub offset: u64,
    /// Length of the whole frame, in bytes.
    pub length: u32,
}

/// Frames that are appended and read, never changed.
pub trait Segments: Send + Sync {
    /// Appends `frames` and answers where they lie, in the same order. They are durable on return.
    ///
    /// # Errors
    /// After an error nothing is known about any of the frames: the caller must not go on.
    fn append(&self, frames: &[&Frame]) -> io::Result<Vec<Location>>;

    /// The bytes at `location`, unchecked. A place beyond the end of what was written is
    /// [`io::ErrorKind::UnexpectedEof`]; a segment that is not there, [`io::ErrorKind::NotFound`].
    fn read(&self, location: &Location) -> io::Result<Vec<u8>>;
}
