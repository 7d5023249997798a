//! Whole objects out of the log: delta chains resolved.

use std::sync::Arc;

use colophon_model::{GitKind, LogEntry, Oid, Ordinal};

use crate::object::Object;
use crate::{Error, Held, ObjectLog, Shape, delta, zlib};

/// Longest delta chain: what a reader of the newest version of a file pays at most. Longer than Git's
/// own 50, because a chain here goes one way only, from old to new, and cannot branch (decision 7).
pub(crate) const MAX_DEPTH: u8 = 64;

pub(crate) fn entry(log: &dyn ObjectLog, at: Ordinal) -> Result<Held, Error> {
    log.held(at).map_err(Error::Read)?.ok_or(Error::damaged(at, "there is none"))
}

pub(crate) fn shape(log: &dyn ObjectLog, at: Ordinal) -> Result<Shape, Error> {
    log.shape(at).map_err(Error::Read)?.ok_or(Error::damaged(at, "there is none"))
}

/// Where an object stands that a ref or another object says is there.
pub(crate) fn locate(log: &dyn ObjectLog, oid: Oid) -> Result<Ordinal, Error> {
    log.ordinal(&oid).map_err(Error::Read)?.ok_or(Error::Missing(oid))
}

/// The kind and bytes of the object at `at`, its delta chain resolved. Reads at most 51 entries.
pub fn object(log: &dyn ObjectLog, at: Ordinal) -> Result<(GitKind, Vec<u8>), Error> {
    let top = entry(log, at)?;
    let kind = top.kind;
    let mut deltas = Vec::new();
    let (mut here, mut current) = (at, top);
    while let Some(base) = current.base {
        // While a log is made anew, an old chain may rest on a new one.
        if base >= here || deltas.len() >= 2 * usize::from(MAX_DEPTH) {
            return Err(Error::damaged(here, "its delta chain does not end"));
        }
        let next = entry(log, base)?;
        deltas.push((here, current));
        (here, current) = (base, next);
    }
    let mut bytes = payload(here, &current)?;
    for (here, entry) in deltas.iter().rev() {
        bytes = delta::apply(&bytes, &payload(*here, entry)?, entry.size)
            .ok_or(Error::damaged(*here, "its delta does not fit its base"))?;
    }
    Ok((kind, bytes))
}

/// The object `oid` at `at` for a commit that rests on it: from memory where the log has it there, and for the
/// next one kept there. What is kept is compared with its id before, since damage would stay otherwise.
pub(crate) fn base(
    log: &dyn ObjectLog,
    (oid, at): (Oid, Ordinal),
) -> Result<(GitKind, Arc<[u8]>), Error> {
    if let Some(recent) = log.recent(&oid) {
        return Ok(recent);
    }
    let (kind, bytes) = object(log, at)?;
    if Object::id(kind, &bytes)? != oid {
        return Err(Error::damaged(at, "its bytes are not those of its id"));
    }
    log.keep_recent(oid, kind, &bytes);
    Ok((kind, bytes.into()))
}

/// The bytes of an object that must be a tree, for a commit that rests on it.
pub(crate) fn base_tree(log: &dyn ObjectLog, at: (Oid, Ordinal)) -> Result<Arc<[u8]>, Error> {
    match base(log, at)? {
        (GitKind::Tree, bytes) => Ok(bytes),
        _ => Err(Error::damaged(at.1, "it is not a tree")),
    }
}

/// The bytes of an object that must be a tree.
pub(crate) fn tree(log: &dyn ObjectLog, oid: Oid) -> Result<Vec<u8>, Error> {
    let at = locate(log, oid)?;
    match object(log, at)? {
        (GitKind::Tree, bytes) => Ok(bytes),
        _ => Err(Error::damaged(at, "it is not a tree")),
    }
}

fn payload(at: Ordinal, entry: &LogEntry) -> Result<Vec<u8>, Error> {
    zlib::inflate(&entry.deflated, entry.inflated)
        .ok_or(Error::damaged(at, "its bytes are not what was recorded"))
}
