//! Checkpoints: signed statements of how long a chain was and what was in it.

use colophon_model::audit::Chain;
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{AuditCheckpoint, AuditHead};
use colophon_store::{Change, CommitError, Error};
use colophon_trust::note::Checkpoint;

use crate::pipeline::Press;

/// What checkpoints of a chain call it: the name of the server's key, and the chain.
pub fn origin_of(press: &Press, chain: Chain) -> String {
    format!("{}/audit/{chain}", press.keys.note_key().verifier().name())
}

/// Signs a checkpoint of every chain that has grown since its last one. Returns how many.
///
/// # Errors
/// When the store fails; checkpoints of chains before the one that failed stand.
pub fn checkpoint_all(press: &Press) -> Result<u64, Error> {
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
) -> Result<bool, Error> {
    let key = (chain.uid(), head.0.seq);
    if press.store.view()?.get::<AuditCheckpoint>(&key)?.is_some() {
        return Ok(false);
    }
    let origin = origin_of(press, chain);
    let signed = Checkpoint { origin, size: head.0.seq, root: head.0.peaks.root() };
    let note = press.keys.note_key().sign(&signed);
    let mut change = Change::new();
    change.expect(&key, None::<&AuditCheckpoint>);
    // A chain that is erased meanwhile must not leave a checkpoint behind.
    change.expect(&chain.uid(), Some(head));
    change.put(&key, &AuditCheckpoint { at: now, note });
    match press.lane(chain.uid()).submit(change).wait() {
        Ok(()) => Ok(true),
        // It has grown meanwhile: the next time.
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
