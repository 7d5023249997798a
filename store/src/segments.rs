//! The seam for larger blobs: append-only frames with a place each.

pub(crate) mod files;
pub(crate) mod memory;

use std::io;

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

/// A segment as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its generation.
    pub generation: u64,
    /// Its length, in bytes.
    pub length: u64,
    /// Whether it takes no more frames, so that it may be removed.
    pub sealed: bool,
}

/// Frames that are appended and read, never changed.
///
/// One caller at a time appends, seals and removes; any number read meanwhile.
pub trait Segments: Send + Sync {
    /// Appends encoded frames and answers where they lie, in the same order. They are durable on
    /// return.
    ///
    /// # Errors
    /// Nothing is known about any of the frames, and a sync is not tried again. With
    /// [`io::ErrorKind::StorageFull`] the disk took none of them, and the caller may go on.
    fn append(&self, frames: &[&[u8]]) -> io::Result<Vec<Location>>;

    /// The bytes at `location`, unchecked. A place beyond the end of what was written is
    /// [`io::ErrorKind::UnexpectedEof`]; a segment that is not there, [`io::ErrorKind::NotFound`].
    fn read(&self, location: &Location) -> io::Result<Vec<u8>>;

    /// Every segment, by generation.
    fn list(&self) -> io::Result<Vec<SegmentInfo>>;

    /// Seals the segment that takes frames now and begins another, durably.
    fn seal(&self) -> io::Result<()>;

    /// Removes a sealed segment for good, durably. One that is gone already is as good.
    fn remove(&self, generation: u64) -> io::Result<()>;
}
