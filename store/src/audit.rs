//! The audit log: every act is written down in the transaction that does it.
//!
//! Lines of one chain are bound to each other, so whoever appends expects the chain's head as it was read
//! and replaces it. Acts of a tenant therefore go through its lane, where the view has the head that is
//! not durable yet; those of the system go through the lane of its uid.

use std::io;

use colophon_model::audit::{Act, Chain};
use colophon_model::{TenantUid, UnixMillis};

use crate::row::Row as _;
use crate::rows::{AuditHead, AuditLine, AuditOrigin};
use crate::sync::Arc;
use crate::{Change, CommitError, Error, KeyRange, Store, Table, View};

/// How often a change is prepared anew because other acts of its chain came first. In its lane that takes
/// somebody who writes beside it.
const ATTEMPTS: usize = 64;
/// Most rows that one transaction deletes.
const FORGET_AT_ONCE: u64 = 1024;

/// Adds to `change` that `acts` were done, in this order. `view` is what the change rests on.
///
/// Of two changes that append to one chain, the second fails with a conflict in [`Table::AuditHead`], unless
/// its view had the first.
///
/// # Errors
/// When the chain's head cannot be read.
pub fn append(
    change: &mut Change,
    view: &View,
    chain: Chain,
    acts: &[Act],
    now: UnixMillis,
) -> Result<(), Error> {
    if acts.is_empty() {
        return Ok(());
    }
    let uid = chain.uid();
    let before = view.get::<AuditHead>(&uid)?;
    let mut head = before.clone().unwrap_or_default().0;
    for act in acts {
        let (line, after) = head.append(chain, act, now);
        let key = (uid, after.seq);
        // A line is never written over, whatever the head says.
        change.expect::<AuditLine>(&key, None).put(&key, &AuditLine(line));
        if let Some(origin) = &act.origin {
            change.put(&key, &AuditOrigin { at: after.time, origin: origin.clone() });
        }
        head = after;
    }
    change.expect(&uid, before.as_ref()).put(&uid, &AuditHead(head));
    Ok(())
}

/// Commits `change` with `acts` written down in `chain`, in the chain's lane: acts of the same moment stand one
/// after the other.
///
/// # Errors
/// As [`Store::commit`]; a conflict is one of the change's own. [`CommitError::Stopped`] also when the chain
/// cannot be read.
pub fn commit(
    store: &Store,
    chain: Chain,
    change: &Change,
    acts: &[Act],
    now: UnixMillis,
) -> Result<(), CommitError> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        let lane = store.lane(chain.uid());
        let mut whole = change.clone();
        let view = lane.view().map_err(unreadable)?;
        append(&mut whole, &view, chain, acts, now).map_err(unreadable)?;
        match lane.submit(whole).wait() {
            Err(CommitError::Conflict(at))
                if is_only_order(at.table) && attempts.next().is_some() => {}
            done => return done,
        }
    }
}

/// Whose chains there are, whatever state they are in.
///
/// # Errors
/// When the store cannot be read.
pub fn chains(view: &View) -> Result<Vec<TenantUid>, Error> {
    let mut chains = Vec::new();
    let scanned = view.snapshot().visit(AuditHead::TABLE, &KeyRange::prefix(b""), &mut |key, _| {
        chains.extend(AuditHead::decode_key(key));
        true
    });
    scanned.map_err(Error::Read)?;
    Ok(chains)
}

/// A chain that cannot be read cannot be written either.
pub fn unreadable(error: Error) -> CommitError {
    match error {
        Error::Commit(error) => error,
        other => CommitError::Stopped(Arc::new(io::Error::other(other))),
    }
}

/// Forgets where acts of `chain` came from that were written down `keep_millis` ago or longer. The lines stay as
/// they are, and so do the commitments in them: the chain verifies as before. Returns how many were forgotten,
/// or would be in a `dry_run`.
///
/// # Errors
/// When the store cannot be read or has stopped.
pub fn forget_origins(
    store: &Store,
    chain: Chain,
    (now, keep_millis): (UnixMillis, u64),
    dry_run: bool,
) -> Result<u64, Error> {
    let mut forgotten = 0;
    loop {
        let lane = store.lane(chain.uid());
        let view = lane.settled()?;
        let mut change = Change::new();
        let mut found = 0;
        // Times of a chain never go back, so the first that is young ends the search.
        for row in view.scan::<AuditOrigin>(&chain.uid()) {
            let (key, kept) = row?;
            if kept.at.plus(keep_millis) > now || (found == FORGET_AT_ONCE && !dry_run) {
                break;
            }
            change.delete::<AuditOrigin>(&key);
            found += 1;
        }
        if found == 0 || dry_run {
            return Ok(forgotten + found);
        }
        change.use_reserve();
        lane.submit(change).wait()?;
        forgotten += found;
    }
}

/// Whether a conflict in `table` means no more than that another act came first.
pub const fn is_only_order(table: Table) -> bool {
    matches!(table, Table::AuditHead | Table::AuditLine)
}
