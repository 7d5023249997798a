//! Scrubbing: reading what is stored, a part at a time, to find damage before a user does.

use colophon_model::Digest;
use serde::Serialize;

use crate::row::Row;
use crate::{Error, KeyRange, Order, Store, Table, blob::BlobRow};

/// Blobs looked up at a time, in one short snapshot.
const PAGE: usize = 256;

/// What one part of a scrub found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scrubbed {
    /// Where to go on; `None` at the end.
    pub next: Option<Digest>,
    /// Blobs that were read.
    pub blobs: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Those whose bytes are lost or wrong. They are in quarantine now.
    pub damaged: Vec<Digest>,
}

impl Store {
    /// Reads and verifies the blobs after `after`, in order of their digests, until `max_bytes` are
    /// read or the last is reached. Damage is put into quarantine.
    pub fn scrub(&self, after: Option<Digest>, max_bytes: u64) -> Result<Scrubbed, Error> {
        let mut done = Scrubbed { next: after, ..Scrubbed::default() };
        loop {
            let ended = self.scrub_page(&mut done)?;
            if ended {
                done.next = None;
            }
            if ended || done.bytes >= max_bytes {
                break;
            }
        }
        if !done.damaged.is_empty() {
            self.quarantine_suspects()?;
        }
        Ok(done)
    }

    /// Whether the page was the last.
    fn scrub_page(&self, done: &mut Scrubbed) -> Result<bool, Error> {
        let view = self.view()?;
        let mut range = KeyRange::prefix(b"");
        if let Some(after) = &done.next {
            range = range.after(after.as_bytes(), Order::Ascending);
        }
        let rows = view.snapshot().range(Table::Blob, &range, Order::Ascending, PAGE);
        let rows = rows.map_err(Error::Read)?;
        for (key, _) in &rows {
            let digest = BlobRow::decode_key(key).map_err(|e| e.of(Table::Blob))?;
            done.next = Some(digest);
            done.blobs += 1;
            match view.read_any(&digest) {
                Ok(bytes) => done.bytes += bytes.len() as u64,
                Err(Error::Corrupt { .. }) => done.damaged.push(digest),
                Err(error) => return Err(error),
            }
        }
        Ok(rows.len() < PAGE)
    }
}
