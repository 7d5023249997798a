//! The numbers of inline blobs.

use std::io;

use crate::row::InvalidRow;
use crate::{Batch, KeyRange, Order, Snapshot, Table};

/// How many numbers are leased at a time.
const LEASE: u64 = 1024;
/// The name of the sequence in table `sequence-1`.
const INLINE: &[u8] = b"inline";

/// Ascending numbers, never given twice. A range of them is leased in the metadata, so that most
/// groups write no row for it; what a crash leaves of a range is skipped.
pub(crate) struct Sequence {
    next: u64,
    leased: u64,
}

impl Sequence {
    pub(crate) fn load(snapshot: &dyn Snapshot) -> io::Result<Self> {
        // No number is given twice, even if the lease was lost.
        let all = KeyRange::prefix(b"");
        let last = snapshot.range(Table::Inline, &all, Order::Descending, 1)?;
        let after_last = last.first().and_then(|(key, _)| key.as_slice().try_into().ok());
        let after_last = after_last.map_or(0, |key| u64::from_be_bytes(key) + 1);
        let next = leased(snapshot)?.max(after_last);
        Ok(Self { next, leased: next })
    }

    /// The next number; `batch` leases a new range when the last one is used up.
    pub(crate) fn next(&mut self, batch: &mut Batch) -> u64 {
        let number = self.next;
        self.next += 1;
        if number >= self.leased {
            self.leased = number + LEASE;
            let lease = self.leased.to_be_bytes().to_vec();
            batch.writes.insert((Table::Sequence, INLINE.to_vec()), Some(lease));
        }
        number
    }
}

/// The first number that no lease covers.
pub(crate) fn leased(snapshot: &dyn Snapshot) -> io::Result<u64> {
    let Some(bytes) = snapshot.get(Table::Sequence, INLINE)? else { return Ok(0) };
    let bytes = bytes.as_slice().try_into().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, InvalidRow::Binary("sequence number"))
    })?;
    Ok(u64::from_be_bytes(bytes))
}
