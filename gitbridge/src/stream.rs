//! A pack on its way to a client, piece by piece.

use colophon_model::{GitKind, LogEntry, Ordinal};

use crate::framing::Framing;
use crate::log::PAGE;
use crate::pack::Checksum;
use crate::piece::{Body, Piece};
use crate::protocol::PackOptions;
use crate::ranges::Cursor;
use crate::select::Plan;
use crate::sent::{Trace, trace};
use crate::zlib::Deflater;
use crate::{Error, Made, ObjectLog, SentPage, delta, pack, pkt, read};

/// A pack that was planned in one view of the log and is read from others.
///
/// Each call of [`Self::next`] reads only the entries for one piece, so that the caller can open a
/// short snapshot for each and a slow client pins nothing. Memory: one piece, the largest single
/// object, and eight bytes per object of the pack.
pub struct PackStream {
    plan: Plan,
    options: PackOptions,
    framing: Framing,
    /// Where each entry began, in the order of the plan.
    offsets: Vec<u64>,
    cursor: Cursor,
    /// Entries at the start of the pack that are where other clones have them.
    alike: usize,
    /// Of the pages that were sent.
    trace: Trace,
    tags_sent: usize,
    /// Bytes of the pack up to the end of `piece`.
    made: u64,
    /// Of what was handed out; gone with the last piece.
    checksum: Option<Checksum>,
    piece: Piece,
    /// What was taken for a piece of the answer when the next read failed.
    kept: Vec<u8>,
    closed: bool,
}

impl std::fmt::Debug for PackStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects = self.plan.len();
        f.debug_struct("PackStream")
            .field("objects", &objects)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl PackStream {
    pub(crate) fn new(plan: Plan, options: PackOptions, framing: Framing) -> Result<Self, Error> {
        let objects = u32::try_from(plan.len()).map_err(|_| Error::Full)?;
        let piece = Piece::new(pack::header(objects), Body::Nothing);
        let shares = options.ofs_delta && plan.mates.is_empty();
        Ok(Self {
            offsets: Vec::with_capacity(plan.entries.len()),
            alike: if shares { plan.entries.before_gap() } else { 0 },
            trace: Trace::default(),
            plan,
            options,
            framing,
            cursor: Cursor::default(),
            tags_sent: 0,
            made: piece.len() as u64,
            checksum: Some(Checksum::default()),
            piece,
            kept: Vec::new(),
            closed: false,
        })
    }

    /// The number of objects in the pack.
    pub fn objects(&self) -> usize {
        self.plan.len()
    }

    /// The next piece of the answer, at most 65,520 bytes, or `None` after the last. `log` may be a
    /// later view of the same log than the one that the request was answered from.
    pub fn next(&mut self, log: &dyn ObjectLog) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = Vec::with_capacity(pkt::MAX_PACKET);
        Ok(self.next_into(log, &mut piece)?.then_some(piece))
    }

    /// The same, put behind what is in `out`. False after the last piece. After an error `out` is
    /// what it was, and the same can be asked again.
    pub fn next_into(&mut self, log: &dyn ObjectLog, out: &mut Vec<u8>) -> Result<bool, Error> {
        let start = out.len();
        self.framing.open(out);
        let body = out.len();
        out.append(&mut self.kept);
        let filled = self.fill(log, body, out);
        if filled.is_ok() && out.len() > body {
            self.framing.close(start, out);
            return Ok(true);
        }
        self.kept = out.split_off(body);
        out.truncate(start);
        filled.map(|()| self.end(out))
    }

    /// Fills the piece whose bytes begin at `body`.
    fn fill(&mut self, log: &dyn ObjectLog, body: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let end = body + self.framing.payload();
        let mut hashed = body;
        while out.len() < end {
            if !self.piece.is_taken() {
                self.piece.give(end - out.len(), out);
            } else if let Some(piece) = self.make(log)? {
                self.made += piece.len() as u64;
                self.piece = piece;
            } else if let Some(mut checksum) = self.checksum.take() {
                checksum.update(&out[hashed..]);
                hashed = out.len();
                self.piece = Piece::new(checksum.finish().to_vec(), Body::Nothing);
            } else {
                break;
            }
        }
        // In one go, while the bytes are near.
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&out[hashed..]);
        }
        Ok(())
    }

    /// Ends the answer, once.
    fn end(&mut self, out: &mut Vec<u8>) -> bool {
        let end = if self.closed { &[] } else { self.framing.end() };
        self.closed = true;
        out.extend_from_slice(end);
        !end.is_empty()
    }

    /// The last bytes to send when [`Self::next`] has failed: an error on the third band. Empty
    /// without bands, where only cutting the connection tells the client.
    pub fn failure(&self, error: &Error) -> Vec<u8> {
        let text = if error.is_clients() { error.to_string() } else { FAILED.to_owned() };
        self.framing.error(&text)
    }

    /// Makes one entry or one tag, or nothing when all are made.
    fn make(&mut self, log: &dyn ObjectLog) -> Result<Option<Piece>, Error> {
        if let Some(page) = self.page(log)? {
            return Ok(Some(page));
        }
        let mut cursor = self.cursor;
        if let Some(at) = self.plan.entries.next(&mut cursor) {
            let piece = self.entry(log, at)?;
            self.passed(cursor, &[self.made]);
            return Ok(Some(piece));
        }
        let tag = self.plan.tags.get(self.tags_sent);
        self.tags_sent += usize::from(tag.is_some());
        Ok(tag.map(|tag| Piece::new(pack::whole(GitKind::Tag, tag.size), Body::Tag(tag.clone()))))
    }

    /// The next page, where one begins that clones share.
    fn page(&mut self, log: &dyn ObjectLog) -> Result<Option<Piece>, Error> {
        let (sent, size) = (self.offsets.len(), PAGE as usize);
        if !sent.is_multiple_of(size) || sent + size > self.alike {
            return Ok(None);
        }
        let mut make = |entries: &[LogEntry]| {
            SentPage::make(self.trace, &self.offsets, self.made, entries.iter())
        };
        let page = log.sent_page(Ordinal::new(sent as u32), &mut make).map_err(Error::Read)?;
        let Some(page) = page.filter(|page| page.follows(&self.trace)) else { return Ok(None) };
        let cursor = self.cursor.after(PAGE);
        self.passed(cursor, page.offsets());
        Ok(Some(Piece::new(Vec::new(), Body::Page(page))))
    }

    /// Notes where entries begin, the last of them just before `cursor`.
    fn passed(&mut self, cursor: Cursor, offsets: &[u64]) {
        self.cursor = cursor;
        self.offsets.extend_from_slice(offsets);
        if self.offsets.len() <= self.alike && self.offsets.len().is_multiple_of(PAGE as usize) {
            let page = self.offsets.len() - PAGE as usize;
            self.trace = trace(&self.trace, &self.offsets[page..]);
        }
    }

    /// The entry of the object at `at`: as it stands in the log when the client can resolve that.
    fn entry(&self, log: &dyn ObjectLog, at: Ordinal) -> Result<Piece, Error> {
        let entry = read::entry(log, at)?;
        let mate = || self.plan.mates.get(&at).copied();
        let Some(base) = entry.base else {
            return match mate() {
                Some(mate) => self.made(log, at, &entry, Some(mate)),
                None => Ok(Piece::new(pack::whole(entry.kind, entry.size), Body::Held(entry))),
            };
        };
        let offset = self.offset(base);
        if offset.is_some() || self.options.thin && self.plan.is_had(base, entry.kind) {
            let head = self.delta_head(log, base, offset, entry.inflated)?;
            return Ok(Piece::new(head, Body::Held(entry)));
        }
        self.made(log, at, &entry, mate())
    }

    /// The same in another form than that of the log: as a delta against `mate`, or whole.
    fn made(
        &self,
        log: &dyn ObjectLog,
        at: Ordinal,
        entry: &LogEntry,
        mate: Option<Ordinal>,
    ) -> Result<Piece, Error> {
        let mate = mate.filter(|mate| self.offset(*mate).is_some());
        let form = log.made(at, mate, &mut || other_form(log, at, mate))?;
        let head = match form.base {
            Some(base) => self.delta_head(log, base, self.offset(base), form.inflated)?,
            None => pack::whole(entry.kind, entry.size),
        };
        Ok(Piece::new(head, Body::Made(form)))
    }

    /// Starts a delta against an object that is in the pack already, at `offset`, or that the client
    /// has.
    fn delta_head(
        &self,
        log: &dyn ObjectLog,
        base: Ordinal,
        offset: Option<u64>,
        inflated: u64,
    ) -> Result<Vec<u8>, Error> {
        match offset.filter(|_| self.options.ofs_delta) {
            Some(offset) => Ok(pack::ofs_delta(inflated, self.made - offset)),
            None => Ok(pack::ref_delta(inflated, read::shape(log, base)?.oid)),
        }
    }

    /// Where the entry of an object that was sent began.
    fn offset(&self, at: Ordinal) -> Option<u64> {
        self.offsets.get(self.plan.entries.index_of(at)?).copied()
    }
}

/// A delta counts when it saves an eighth: a reader pays more for it than for a whole object.
fn other_form(log: &dyn ObjectLog, at: Ordinal, mate: Option<Ordinal>) -> Result<Made, Error> {
    let (_, bytes) = read::object(log, at)?;
    let mut zlib = Deflater::new();
    let whole = zlib.deflate(&bytes);
    if let Some(base) = mate {
        let (_, old) = read::object(log, base)?;
        let delta = delta::encode(&old, &bytes).unwrap_or_default();
        let deflated = zlib.deflate(&delta);
        if !delta.is_empty() && deflated.len() < whole.len() / 8 * 7 {
            return Ok(Made { base: mate, inflated: delta.len() as u64, deflated });
        }
    }
    Ok(Made { base: None, inflated: bytes.len() as u64, deflated: whole })
}

const FAILED: &str = "the server could not read the repository";

#[cfg(test)]
mod tests {
    use super::*;

    /// The caller moves streams between threads.
    #[test]
    fn streams_can_be_sent() {
        const fn is_send<T: Send>() {}
        is_send::<PackStream>();
    }
}
