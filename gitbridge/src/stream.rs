//! A pack on its way to a client, piece by piece.

use colophon_model::{GitKind, LogEntry, Ordinal};

use crate::protocol::PackOptions;
use crate::select::Plan;
use crate::zlib::Deflater;
use crate::{Error, Made, ObjectLog, delta, pack, pkt, read};

/// How pack bytes are wrapped for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Packets of up to 65,520 bytes, marked with the number of a band.
    SideBand64k,
    /// The same with packets of up to 1,000 bytes.
    SideBand,
    /// Nothing around the pack.
    Raw,
}

/// Marks pack data in a side band.
const BAND_DATA: u8 = 1;
/// Marks an error that ends the answer.
const BAND_ERROR: u8 = 3;

impl Framing {
    /// The most pack bytes in one piece.
    const fn payload(self) -> usize {
        match self {
            Self::SideBand64k | Self::Raw => pkt::MAX_PACKET - 5,
            Self::SideBand => 1_000 - 5,
        }
    }

    fn wrap(self, band: u8, bytes: &[u8], out: &mut Vec<u8>) {
        if self == Self::Raw {
            out.extend_from_slice(bytes);
        } else {
            pkt::put_parts(out, &[&[band], bytes]);
        }
    }
}

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
    tags_sent: usize,
    /// Bytes of the pack made so far.
    made: u64,
    hasher: Option<sha1dc::Hasher>,
    pending: Vec<u8>,
    /// How much of `pending` has been handed out.
    taken: usize,
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
        let mut stream = Self {
            offsets: Vec::with_capacity(plan.entries.len()),
            plan,
            options,
            framing,
            tags_sent: 0,
            made: 0,
            hasher: Some(sha1dc::Hasher::new()),
            pending: Vec::new(),
            taken: 0,
            closed: false,
        };
        stream.push(&[&pack::header(objects)]);
        Ok(stream)
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

    /// The same, put behind what is in `out`. False after the last piece.
    pub fn next_into(&mut self, log: &dyn ObjectLog, out: &mut Vec<u8>) -> Result<bool, Error> {
        while self.pending.len() - self.taken < self.framing.payload() && self.hasher.is_some() {
            self.make(log)?;
        }
        Ok(self.take(out))
    }

    /// The last bytes to send when [`Self::next`] has failed: an error on the third band. Empty
    /// without bands, where only cutting the connection tells the client.
    pub fn failure(&self, error: &Error) -> Vec<u8> {
        match self.framing {
            Framing::Raw => Vec::new(),
            Framing::SideBand64k | Framing::SideBand => {
                let text = if error.is_clients() { error.to_string() } else { FAILED.to_owned() };
                let mut out = Vec::new();
                self.framing.wrap(BAND_ERROR, text.as_bytes(), &mut out);
                out
            }
        }
    }

    fn take(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = &self.pending[self.taken..];
        let length = rest.len().min(self.framing.payload());
        if length > 0 {
            self.framing.wrap(BAND_DATA, &rest[..length], out);
            self.taken += length;
            return true;
        }
        let ends = !self.closed && self.framing != Framing::Raw;
        self.closed = true;
        if ends {
            out.extend_from_slice(pkt::FLUSH);
        }
        ends
    }

    /// Makes one entry, one tag or the trailer.
    fn make(&mut self, log: &dyn ObjectLog) -> Result<(), Error> {
        if let Some(at) = self.plan.entries.get(self.offsets.len()) {
            let (head, body) = self.entry(log, at)?;
            self.offsets.push(self.made);
            self.push(&[&head, &body]);
        } else if let Some(tag) = self.plan.tags.get(self.tags_sent) {
            let tag = tag.clone();
            self.tags_sent += 1;
            self.push(&[&pack::whole(GitKind::Tag, tag.size), &tag.deflated]);
        } else if let Some(hasher) = self.hasher.take() {
            // Only a checksum here: objects were screened for collisions when they were appended.
            let digest = hasher.finalize().unwrap_or_else(|collision| collision.digest());
            self.push(&[digest.as_bytes()]);
        }
        Ok(())
    }

    /// The entry of the object at `at`: as it stands in the log when the client can resolve that.
    fn entry(&self, log: &dyn ObjectLog, at: Ordinal) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let entry = read::entry(log, at)?;
        let LogEntry { kind, size, inflated, .. } = entry;
        let Some(base) = entry.base else {
            return match self.plan.mates.get(&at) {
                Some(mate) => self.made(log, at, &entry, Some(*mate)),
                None => Ok((pack::whole(kind, size), entry.deflated)),
            };
        };
        if self.offset(base).is_some() || self.options.thin && self.plan.is_had(base, kind) {
            return Ok((self.delta_head(log, base, inflated)?, entry.deflated));
        }
        self.made(log, at, &entry, self.plan.mates.get(&at).copied())
    }

    /// The same in another form than that of the log: as a delta against `mate`, or whole.
    fn made(
        &self,
        log: &dyn ObjectLog,
        at: Ordinal,
        entry: &LogEntry,
        mate: Option<Ordinal>,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let mate = mate.filter(|mate| self.offset(*mate).is_some());
        let form = log.made(at, mate, &mut || other_form(log, at, mate))?;
        let head = match form.base {
            Some(base) => self.delta_head(log, base, form.inflated)?,
            None => pack::whole(entry.kind, entry.size),
        };
        Ok((head, form.deflated.clone()))
    }

    /// Starts a delta against an object that is in the pack already, or that the client has.
    fn delta_head(
        &self,
        log: &dyn ObjectLog,
        base: Ordinal,
        inflated: u64,
    ) -> Result<Vec<u8>, Error> {
        match self.offset(base).filter(|_| self.options.ofs_delta) {
            Some(offset) => Ok(pack::ofs_delta(inflated, self.made - offset)),
            None => Ok(pack::ref_delta(inflated, read::shape(log, base)?.oid)),
        }
    }

    /// Where the entry of an object that was sent began.
    fn offset(&self, at: Ordinal) -> Option<u64> {
        self.offsets.get(self.plan.entries.index_of(at)?).copied()
    }

    fn push(&mut self, parts: &[&[u8]]) {
        // What was handed out goes first; less than one piece is left to move.
        self.pending.drain(..self.taken);
        self.taken = 0;
        for part in parts {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(part);
            }
            self.pending.extend_from_slice(part);
            self.made += part.len() as u64;
        }
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

    #[test]
    fn pieces_fit_their_band() {
        for (framing, size) in [(Framing::SideBand64k, 65_520), (Framing::SideBand, 1_000)] {
            let mut piece = Vec::new();
            framing.wrap(BAND_DATA, &vec![0; framing.payload()], &mut piece);
            assert_eq!(piece.len(), size);
            assert_eq!(&piece[..5], format!("{size:04x}\u{1}").as_bytes());
        }
    }
}
