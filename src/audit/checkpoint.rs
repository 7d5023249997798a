//! Checkpoints: signed statements of how long a chain was and what was in it.

use colophon_model::audit::Chain;
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{AuditCheckpoint, AuditHead};
use colophon_store::{Change, CommitError, Error};
use colophon_trust::note::Checkpoint;

use crate::pipeline::Press;

/// Why no checkpoint was made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store cannot be read.
    #[error("the store could not be read")]
    Store(#[from] Error),
    /// The store has not taken it.
    #[error("the checkpoint was not stored")]
    Commit(#[from] CommitError),
}

/// What checkpoints of a chain call it: the name of the server's key, and the chain.
pub fn origin_of(press: &Press, chain: Chain) -> String {
    format!("{}/audit/{chain}", press.keys.note_key().verifier().name())
}

/// Signs a checkpoint of every chain that has grown since its last one. Returns how many.
///
/// # Errors
/// [`CheckpointError`]; checkpoints of chains before the one that failed stand.
pub fn checkpoint_all(press: &Press) -> Result<u64, CheckpointError> {
    let heads: Vec<(TenantUid, AuditHead)> =
        press.store.view()?.scan::<AuditHead>(&()).collect::<Result<_, _>>()?;
    let mut made = 0;
    for (uid, head) in heads {
        made += u64::from(checkpoint(press, Chain::of(uid), &head, press.clock.now())?);
    }
    Ok(made)
}

/// Whether there was anything to sign.
fn checkpoint(
    press: &Press,
    chain: Chain,
    head: &AuditHead,
    now: UnixMillis,
) -> Result<bool, CheckpointError> {
    let key = (chain.uid(), head.0.seq);
    if press.store.view()?.get::<AuditCheckpoint>(&key)?.is_some() {
        return Ok(false);
    }
    let origin = origin_of(press, chain);
    let signed = Checkpoint { origin, size: head.0.seq, root: head.0.peaks.root() };
    let note = press.keys.note_key().sign(&signed);
    let mut change = Change::new();
    // A chain that is erased meanwhile must not leave a checkpoint behind.
    change.expect(&(chain.uid(), head.0.seq), None::<&AuditCheckpoint>);
    change.put(&key, &AuditCheckpoint { at: now, note });
    let lane = press.store.lane(chain.uid());
    if lane.view()?.get::<AuditHead>(&chain.uid())?.is_none() {
        return Ok(false);
    }
    match lane.submit(change).wait() {
        Ok(()) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
