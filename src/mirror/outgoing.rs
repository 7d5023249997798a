//! The body of a push as it is sent: made piece by piece, each in a snapshot of its own, so that a slow
//! remote pins nothing.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use colophon_gitbridge::{PackStream, PushRequest};
use colophon_model::TenantUid;
use colophon_store::Store;

use crate::http::chain;
use crate::projection::TenantLog;

/// Reads as the request's body.
pub(super) struct Outgoing<'a> {
    store: &'a Store,
    tenant: TenantUid,
    /// Set when the server stops.
    stopping: &'a AtomicBool,
    piece: io::Cursor<Vec<u8>>,
    pack: Option<PackStream>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(
        store: &'a Store,
        tenant: TenantUid,
        stopping: &'a AtomicBool,
        request: PushRequest,
    ) -> Self {
        let PushRequest { head, pack } = request;
        Self { store, tenant, stopping, piece: io::Cursor::new(head), pack }
    }

    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(pack) = &mut self.pack else { return Ok(None) };
        if self.stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the server stops"));
        }
        let view = self.store.view().map_err(|e| io::Error::other(chain(&e)))?;
        let next = pack.next(&TenantLog::new(&view, self.tenant));
        next.map_err(|e| io::Error::other(chain(&e)))
    }
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next_piece()? {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}
