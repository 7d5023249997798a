//! Checkpoints: signed statements of how long a chain was and what was in it.

use colophon_model::audit::Chain;
use colophon_store::rows::{AuditCheckpoint, AuditHead};
use colophon_store::{Change, CommitError, Error, View, audit};
use colophon_trust::note::Checkpoint;

use crate::pipeline::Press;

/// What checkpoints of a chain call it: the name of the server's key, and the chain.
pub fn origin_of(press: &Press, chain: Chain) -> String {
    format!("{}/audit/{chain}", press.keys.note_key().verifier().name())
}

/// How often a chain is looked at again that has grown while its checkpoint was signed. In its lane that takes somebody who
/// writes beside it.
const ATTEMPTS: usize = 8;

/// Signs a checkpoint of every chain that has grown since its last one. Returns how many.
///
/// # Errors
/// The first that was met; every chain that could be signed for is.
pub fn checkpoint_all(press: &Press) -> Result<u64, Error> {
    let chains = audit::chains(&press.store.view()?)?;
    let mut told = Ok(0);
    for uid in chains {
        match checkpoint(press, Chain::of(uid)) {
            Ok(made) => told = told.map(|sum| sum + u64::from(made)),
            Err(error) => told = told.and(Err(error)),
        }
    }
    told
}

/// Whether there was anything to sign.
fn checkpoint(press: &Press, chain: Chain) -> Result<bool, Error> {
    for _ in 0..ATTEMPTS {
        // Nobody appends to the chain while its lane is held.
        let lane = press.lane(chain.uid());
        let Some(change) = signed(press, chain, &lane.settled()?)? else { return Ok(false) };
        match lane.submit(change).wait() {
            Ok(()) => return Ok(true),
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// The checkpoint of the chain as it is in `view`, unless there is one.
fn signed(press: &Press, chain: Chain, view: &View) -> Result<Option<Change>, Error> {
    // It may have been erased meanwhile.
    let Some(head) = view.get::<AuditHead>(&chain.uid())? else { return Ok(None) };
    let key = (chain.uid(), head.0.seq);
    if view.get::<AuditCheckpoint>(&key)?.is_some() {
        return Ok(None);
    }
    let origin = origin_of(press, chain);
    let signed = Checkpoint { origin, size: head.0.seq, root: head.0.peaks.root() };
    let note = press.keys.note_key().sign(&signed);
    let mut change = Change::new();
    change.expect(&key, None::<&AuditCheckpoint>);
    // A chain that is erased meanwhile must not leave a checkpoint behind.
    change.expect(&chain.uid(), Some(&head));
    change.put(&key, &AuditCheckpoint { at: press.clock.now(), note });
    Ok(Some(change))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use colophon_model::audit::{Act, Action, Actor, Subject};
    use colophon_model::{CodePolicy, TenantUid};
    use colophon_store::{InvalidRow, Row, Table};

    use super::*;
    use crate::app::{Owner, open_press};
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::tenants;

    fn press() -> (Press, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        (open_press(&config, Arc::new(SystemClock), Owner::Command).unwrap(), dir)
    }

    fn act() -> Act {
        Act::done(Actor::system("test"), Action::ServerStart, Subject::new("server", "x"))
    }

    fn length(press: &Press, chain: Chain) -> u64 {
        let head = press.store.view().unwrap().get::<AuditHead>(&chain.uid()).unwrap();
        head.map_or(0, |head| head.0.seq)
    }

    fn signed_up_to(press: &Press, chain: Chain) -> u64 {
        let view = press.store.view().unwrap();
        let newest = view.scan::<AuditCheckpoint>(&chain.uid()).descending().next();
        newest.map_or(0, |row| row.unwrap().0.1)
    }

    /// A chain that grows all the time is the one that needs its checkpoints most.
    #[test]
    fn a_chain_that_grows_meanwhile_is_signed_for() {
        let (press, _dir) = press();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        press.write_down(Chain::System, &[act()]).unwrap();
                    }
                });
            }
            let missed = (0..20).find(|_| {
                let signed = signed_up_to(&press, Chain::System);
                while length(&press, Chain::System) == signed {
                    std::thread::yield_now();
                }
                let least = length(&press, Chain::System);
                checkpoint_all(&press).unwrap();
                signed_up_to(&press, Chain::System) < least
            });
            done.store(true, Ordering::Relaxed);
            assert_eq!(missed, None);
        });
    }

    /// The head of a chain as damage leaves it.
    struct Bad;

    impl Row for Bad {
        const TABLE: Table = Table::AuditHead;
        type Key = TenantUid;

        fn encode(&self) -> Vec<u8> {
            b"?".to_vec()
        }

        fn decode(_: &[u8]) -> Result<Self, InvalidRow> {
            Ok(Self)
        }
    }

    #[test]
    fn a_chain_that_cannot_be_read_keeps_no_other_from_being_signed() {
        let (press, _dir) = press();
        let slug = "acme".parse().unwrap();
        let tenant = tenants::create(&press, &slug, CodePolicy::None).unwrap().tenant;
        let chain = Chain::Tenant(tenant.uid);
        press.write_down(Chain::System, &[act()]).unwrap();
        press.write_down(chain, &[act()]).unwrap();
        let mut change = Change::new();
        for byte in [0x01, 0xfe] {
            change.put(&TenantUid::from_bytes([byte; 16]), &Bad);
        }
        press.store.commit(change).unwrap();
        let told = checkpoint_all(&press);
        assert!(matches!(told, Err(Error::Row { table: Table::AuditHead, .. })), "{told:?}");
        for chain in [Chain::System, chain] {
            assert_eq!(signed_up_to(&press, chain), length(&press, chain));
        }
    }
}
