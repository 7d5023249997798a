//! What is known of a mirror, in the store. Every change rests on the mirror being set as it was when
//! the attempt began: one that was set anew, taken away or erased meanwhile gets no late word.

use std::collections::BTreeMap;

use colophon_gitbridge::{Advertisement, Command, Mirror, Step};
use colophon_model::{Oid, TenantBranch, TenantUid};
use colophon_store::rows::{Effect, MirrorRow, MirrorState, MirrorTag, OutboxRow, TenantRow};
use colophon_store::{Change, CommitError, Store, View};

use super::fault::{Consequence, Fault};
use super::state::{self, Outcome, Timing};
use crate::http::chain;
use crate::projection::TenantLog;

/// The rows of one tenant's mirror.
pub(super) struct Ledger<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a TenantRow,
    pub(super) mirror: &'a MirrorRow,
}

/// Our refs beside the remote's, in one snapshot.
pub(super) struct Look {
    pub(super) step: Step,
    /// What was asked for up to this snapshot.
    waiting: Option<OutboxRow>,
    /// The commit of ours at the remote.
    pub(super) tip: Option<Oid>,
    /// Tags of ours at the remote that have no row.
    unmarked: Vec<(String, Oid)>,
    /// Tags with a row that are not at the remote.
    gone: Vec<String>,
}

impl Ledger<'_> {
    const fn uid(&self) -> TenantUid {
        self.tenant.uid
    }

    /// Compares the tenant's refs with those of the remote.
    pub(super) fn look(&self, seen: &Advertisement) -> Result<Look, Fault> {
        let view = self.store.view().map_err(local)?;
        self.check(&view)?;
        let branch = TenantBranch::new(self.tenant.slug.clone());
        let pushed = self.marks(&view)?;
        let mirror = Mirror {
            branch: &branch,
            pushed: &pushed,
            tags_per_push: self.mirror.tags_per_push as usize,
            agent: concat!("colophon/", env!("CARGO_PKG_VERSION")),
        };
        let log = TenantLog::new(&view, self.uid());
        let step = mirror.step(&log, seen).map_err(local)?;
        let ours = mirror.ours(&log, seen).map_err(local)?;
        let diverged = matches!(&step, Step::Diverged(found) if found.name == branch.full_name());
        Ok(Look {
            step,
            waiting: view.get::<OutboxRow>(&(self.uid(), Effect::Push)).map_err(local)?,
            tip: seen.get(&branch.full_name()).filter(|_| !diverged),
            gone: pushed.keys().filter(|name| !ours.contains_key(*name)).cloned().collect(),
            unmarked: ours.into_iter().filter(|(name, _)| !pushed.contains_key(name)).collect(),
        })
    }

    /// The mirror must still be the one that the attempt is about.
    fn check(&self, view: &View) -> Result<(), Fault> {
        let now = view.get::<MirrorRow>(&self.uid()).map_err(local)?;
        if now.as_ref() == Some(self.mirror) { Ok(()) } else { Err(Fault::Obsolete) }
    }

    fn marks(&self, view: &View) -> Result<BTreeMap<String, Oid>, Fault> {
        let rows = view.scan::<MirrorTag>(&self.uid());
        rows.map(|row| row.map(|((_, name), mark)| (name, mark.oid)).map_err(local)).collect()
    }

    /// Remembers the tags that a push is about to make: if its answer is lost and they are purged
    /// before it is tried again, they can still be deleted at the remote.
    pub(super) fn intend(&self, commands: &[Command]) -> Result<(), Fault> {
        let mut change = self.change();
        for Command { name, new, .. } in commands {
            if let Some(oid) = new.filter(|_| name.starts_with("refs/tags/")) {
                change.put(&(self.uid(), name.clone()), &MirrorTag { oid });
            }
        }
        self.submit(change).map_err(|error| match error {
            CommitError::Conflict(_) => Fault::Obsolete,
            other => local(other),
        })
    }

    /// Records what came of an attempt, with what was seen at its end.
    pub(super) fn record(
        &self,
        outcome: &Outcome,
        look: Option<&Look>,
        timing: Timing,
    ) -> Result<Option<MirrorState>, Fault> {
        if matches!(outcome, Outcome::Failed(Consequence::Forget, _)) {
            return Ok(None);
        }
        loop {
            let view = self.store.lane(self.uid()).settled().map_err(local)?;
            self.check(&view)?;
            let old = view.get::<MirrorState>(&self.uid()).map_err(local)?;
            let before = old.clone().unwrap_or(state::fresh(timing.now));
            let new = state::after(before, outcome, look.and_then(|look| look.tip), timing);
            let mut change = self.change();
            change.expect(&self.uid(), old.as_ref()).put(&self.uid(), &new);
            if let (Some(look), Outcome::Settled | Outcome::Progress) = (look, outcome) {
                self.mark(&mut change, look);
            }
            if let (Some(look), Outcome::Settled) = (look, outcome) {
                self.settle(&mut change, &view, look)?;
            }
            match self.submit(change) {
                Ok(()) => return Ok(Some(new)),
                Err(CommitError::Conflict(_)) => {} // something was asked for in between
                Err(error) => return Err(local(error)),
            }
        }
    }

    fn mark(&self, change: &mut Change, look: &Look) {
        for (name, oid) in &look.unmarked {
            change.put(&(self.uid(), name.clone()), &MirrorTag { oid: *oid });
        }
        for name in &look.gone {
            change.delete::<MirrorTag>(&(self.uid(), name.clone()));
        }
    }

    /// Takes the request off the outbox, unless there was another after the look.
    fn settle(&self, change: &mut Change, view: &View, look: &Look) -> Result<(), Fault> {
        let key = (self.uid(), Effect::Push);
        let now = view.get::<OutboxRow>(&key).map_err(local)?;
        if now.is_some() && now == look.waiting {
            change.expect(&key, now.as_ref()).delete::<OutboxRow>(&key);
        }
        Ok(())
    }

    fn change(&self) -> Change {
        let mut change = Change::new();
        change.use_reserve().expect(&self.uid(), Some(self.mirror));
        change
    }

    fn submit(&self, change: Change) -> Result<(), CommitError> {
        self.store.lane(self.uid()).submit(change).wait()
    }
}

fn local(error: impl std::error::Error) -> Fault {
    Fault::Local(format!("the store could not be used: {}", chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{CodePolicy, TenantSlug, UnixMillis};
    use colophon_store::outbox;
    use colophon_store::rows::RootsOrigin;

    const NOW: UnixMillis = UnixMillis::new(1_000_000);
    const TIMING: Timing = Timing { now: NOW, pace: 0, chance: 0 };
    const KEY: (TenantUid, Effect) = (TenantUid::from_bytes([1; 16]), Effect::Push);

    fn tenant() -> TenantRow {
        let slug = TenantSlug::new("acme-inc").unwrap();
        let (policy, roots) = (CodePolicy::None, RootsOrigin::Server);
        TenantRow {
            uid: KEY.0,
            slug,
            created: NOW,
            policy,
            roots,
            suspended: None,
            archived: None,
            held: None,
        }
    }

    fn mirror(url: &str) -> MirrorRow {
        MirrorRow {
            url: url.to_owned(),
            username: "x".to_owned(),
            credential: None,
            tags_per_push: 3,
            set: NOW,
        }
    }

    fn empty() -> Advertisement {
        let line = format!("{} capabilities^{{}}\0", "0".repeat(40));
        let body = format!("001f# service=git-receive-pack\n0000{:04x}{line}0000", line.len() + 4);
        Advertisement::parse(body.as_bytes()).unwrap()
    }

    fn ask(store: &Store) {
        let mut change = Change::new();
        let view = store.view().unwrap();
        outbox::refs_changed(&mut change, &view, KEY.0, NOW).unwrap();
        store.commit(change).unwrap();
    }

    fn set(store: &Store, mirror: &MirrorRow) {
        let mut change = Change::new();
        change.put(&KEY.0, mirror);
        store.commit(change).unwrap();
    }

    /// A build that came after the look is not taken for done.
    #[test]
    fn what_is_asked_for_meanwhile_stays_asked_for() {
        let store = Store::in_memory().unwrap();
        let (tenant, mirror) = (tenant(), mirror("https://a/b"));
        set(&store, &mirror);
        let ledger = Ledger { store: &store, tenant: &tenant, mirror: &mirror };
        let waiting = || store.view().unwrap().get::<OutboxRow>(&KEY).unwrap();
        ask(&store);
        let look = ledger.look(&empty()).unwrap();
        ask(&store);
        ledger.record(&Outcome::Settled, Some(&look), TIMING).unwrap();
        assert_eq!(waiting(), Some(OutboxRow { since: NOW, changes: 2 }));
        let look = ledger.look(&empty()).unwrap();
        ledger.record(&Outcome::Settled, Some(&look), TIMING).unwrap();
        assert_eq!(waiting(), None);
    }

    /// A late word about a mirror that was set anew, or taken away, is not written down.
    #[test]
    fn a_mirror_that_changed_gets_no_late_word() {
        let store = Store::in_memory().unwrap();
        let (tenant, old) = (tenant(), mirror("https://a/old"));
        set(&store, &old);
        let ledger = Ledger { store: &store, tenant: &tenant, mirror: &old };
        let look = ledger.look(&empty()).unwrap();
        set(&store, &mirror("https://a/new"));
        assert!(matches!(ledger.look(&empty()), Err(Fault::Obsolete)));
        let late = ledger.record(&Outcome::Settled, Some(&look), TIMING);
        assert!(matches!(late, Err(Fault::Obsolete)));
        let name = "refs/tags/x".to_owned();
        let commands = [Command { name, old: None, new: Some(Oid::from_bytes([1; 20])) }];
        assert!(matches!(ledger.intend(&commands), Err(Fault::Obsolete)));
        let view = store.view().unwrap();
        assert!(view.get::<MirrorState>(&KEY.0).unwrap().is_none());
        assert_eq!(view.scan::<MirrorTag>(&KEY.0).count(), 0);
    }

    /// The tags of a push are known before it is sent: a push that got no answer may have made them.
    #[test]
    fn tags_are_noted_before_they_are_pushed_and_dropped_when_they_are_not_there() {
        let store = Store::in_memory().unwrap();
        let (tenant, mirror) = (tenant(), mirror("https://a/b"));
        set(&store, &mirror);
        let ledger = Ledger { store: &store, tenant: &tenant, mirror: &mirror };
        let marks = || store.view().unwrap().scan::<MirrorTag>(&KEY.0).count();
        let command = |name: &str| Command {
            name: name.to_owned(),
            old: None,
            new: Some(Oid::from_bytes([1; 20])),
        };
        ledger.intend(&[command("refs/heads/x"), command("refs/tags/x")]).unwrap();
        assert_eq!(marks(), 1);
        let look = ledger.look(&empty()).unwrap();
        let failed = Outcome::Failed(Consequence::Retry(None), String::new());
        ledger.record(&failed, Some(&look), TIMING).unwrap();
        assert_eq!(marks(), 1, "nothing is known yet");
        ledger.record(&Outcome::Settled, Some(&look), TIMING).unwrap();
        assert_eq!(marks(), 0);
    }
}
