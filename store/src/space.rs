//! Room on the disk: when to stop taking changes, and what is kept back to get out of it again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::remove_if_present;
use crate::sync::{Arc, Mutex, PoisonError};
use crate::{CommitError, Disk};

/// The file that keeps space back for maintenance.
const RESERVE: &str = "reserve.bin";

/// When a store calls the disk full, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Below this much free space no change is taken, except those of maintenance. 0: never.
    pub low: u64,
    /// From this much free space on changes are taken again. Not below `low`.
    pub high: u64,
    /// Space that is kept back in a file, and given to maintenance when the disk is full.
    pub reserve: u64,
}

/// Whether a write failed for want of space, so that nothing but its own bytes is in doubt.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Watches the free space of a disk.
pub(crate) struct Space {
    /// Without a disk, in memory, there is always room.
    disk: Option<Arc<dyn Disk>>,
    marks: Watermarks,
    full: AtomicBool,
    /// Held while the reserve is made or given up.
    reserving: Mutex<()>,
}

impl Space {
    pub(crate) fn unlimited() -> Self {
        Self {
            disk: None,
            marks: Watermarks::default(),
            full: AtomicBool::new(false),
            reserving: Mutex::new(()),
        }
    }

    /// Looks at the disk: makes the reserve where there is room for it, and gives it up where the
    /// disk is full, so that opening has room.
    pub(crate) fn open(disk: Arc<dyn Disk>, marks: Watermarks) -> io::Result<Self> {
        let (free, space) = (disk.free()?, Self { disk: Some(disk), marks, ..Self::unlimited() });
        if free < marks.low {
            space.full.store(true, Ordering::Relaxed);
            space.release()?;
        } else {
            let missing = space.missing_reserve()?;
            if free >= marks.low.saturating_add(missing) {
                space.restore(missing)?;
            }
        }
        Ok(space)
    }

    /// Refuses when the disk is full.
    pub(crate) fn check(&self) -> Result<(), CommitError> {
        match self.look() {
            Ok(Some(free)) => Err(CommitError::Full { free, resume: self.resume() }),
            // A disk that does not tell how much is free is used until it refuses a write.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// The refusal of a change that did not fit although there seemed to be room.
    pub(crate) fn refusal(&self) -> CommitError {
        let free = self.disk.as_ref().and_then(|disk| disk.free().ok()).unwrap_or(0);
        CommitError::Full { free, resume: self.resume() }
    }

    /// Bytes that are free, if there is a disk.
    pub(crate) fn free(&self) -> io::Result<Option<u64>> {
        self.disk.as_ref().map(|disk| disk.free()).transpose()
    }

    /// Free bytes if the disk is full.
    fn look(&self) -> io::Result<Option<u64>> {
        let Some(disk) = self.disk.as_ref().filter(|_| self.marks.low > 0) else {
            return Ok(None);
        };
        let free = disk.free()?;
        if !self.full.load(Ordering::Relaxed) {
            if free >= self.marks.low {
                return Ok(None);
            }
            self.full.store(true, Ordering::Relaxed);
            self.release()?;
            return Ok(Some(free));
        }
        let missing = self.missing_reserve()?;
        if free < self.marks.high.max(self.marks.low).saturating_add(missing) {
            return Ok(Some(free));
        }
        self.restore(missing)?;
        self.full.store(false, Ordering::Relaxed);
        Ok(None)
    }

    fn resume(&self) -> u64 {
        self.marks.high.max(self.marks.low).saturating_add(self.marks.reserve)
    }

    /// How much the reserve lacks.
    fn missing_reserve(&self) -> io::Result<u64> {
        let Some(disk) = self.disk.as_ref().filter(|_| self.marks.reserve > 0) else {
            return Ok(0);
        };
        match disk.open(RESERVE) {
            Ok(file) => Ok(self.marks.reserve.saturating_sub(file.len()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.marks.reserve),
            Err(error) => Err(error),
        }
    }

    fn restore(&self, missing: u64) -> io::Result<()> {
        let _reserving = self.reserving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(disk) = self.disk.as_ref().filter(|_| missing > 0) else { return Ok(()) };
        remove_if_present(&**disk, RESERVE)?;
        disk.reserve(RESERVE, self.marks.reserve)
    }

    fn release(&self) -> io::Result<()> {
        let _reserving = self.reserving.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.as_ref().map_or(Ok(()), |disk| remove_if_present(&**disk, RESERVE))
    }
}
