//! Scrubbing: reading what is stored, a part at a time, to find damage before a user does.

use std::error::Error as _;
use std::fmt::Write as _;

use colophon_model::Digest;
use serde::Serialize;

use crate::row::Row;
use crate::{Error, KeyRange, Order, Store, Table, View, blob::BlobRow};

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
    /// Those that nothing can be said of: the disk did not give them now, or their rows have no digest. A part ends
    /// with the page that has some.
    pub unread: Vec<Unread>,
}

/// A blob that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Its digest, or the key of its row in hex, when that is none.
    pub blob: String,
    /// Why not.
    pub reason: String,
}

impl Store {
    /// Reads and verifies the blobs after `after`, in order of their digests, until `max_bytes` are
    /// read, some cannot be, or the last is reached. Damage is put into quarantine.
    ///
    /// # Errors
    /// When the metadata cannot be read, or damage not be written down.
    pub fn scrub(&self, after: Option<Digest>, max_bytes: u64) -> Result<Scrubbed, Error> {
        let mut done = Scrubbed { next: after, ..Scrubbed::default() };
        let mut cursor = after.map(|after| after.as_bytes().to_vec());
        loop {
            let ended = self.scrub_page(&mut cursor, &mut done)?;
            if ended {
                done.next = None;
            }
            if ended || done.bytes >= max_bytes || !done.unread.is_empty() {
                break;
            }
        }
        if !done.damaged.is_empty() {
            self.quarantine_suspects()?;
        }
        Ok(done)
    }

    /// Whether the page was the last.
    fn scrub_page(&self, cursor: &mut Option<Vec<u8>>, done: &mut Scrubbed) -> Result<bool, Error> {
        let view = self.view()?;
        let mut range = KeyRange::prefix(b"");
        if let Some(after) = &cursor {
            range = range.after(after, Order::Ascending);
        }
        let rows = view.snapshot().range(Table::Blob, &range, Order::Ascending, PAGE);
        let rows = rows.map_err(Error::Read)?;
        for (key, _) in &rows {
            done.look(&view, key);
        }
        let ended = rows.len() < PAGE;
        *cursor = rows.into_iter().next_back().map(|(key, _)| key);
        Ok(ended)
    }
}

impl Scrubbed {
    fn look(&mut self, view: &View, key: &[u8]) {
        let digest = BlobRow::decode_key(key).map_err(|e| e.of(Table::Blob));
        if let Ok(digest) = digest {
            self.next = Some(digest);
        }
        match digest.and_then(|digest| view.read_any(&digest)) {
            Ok(bytes) => self.bytes += bytes.len() as u64,
            Err(Error::Corrupt { digest }) => self.damaged.push(digest),
            Err(error) => {
                self.unread.push(Unread::of(key, &error));
                return;
            }
        }
        self.blobs += 1;
    }
}

impl Unread {
    fn of(key: &[u8], error: &Error) -> Self {
        let mut blob = String::with_capacity(key.len() * 2);
        for byte in key {
            let _ = write!(blob, "{byte:02x}"); // a String takes all
        }
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { blob, reason: format!("{error}{cause}") }
    }
}
