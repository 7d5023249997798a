//! What came of an action, and whether it could.

use std::collections::BTreeSet;

use colophon_model::{Digest, TenantUid};
use colophon_store::{FsckOptions, Pace, Store, View};

use super::act::of_code;
use super::contents::Content;
use super::damage::{Heals, Rests, above};
use super::model::State;
use super::run::Run;
use super::seen::Seen;
use super::traces::Traces;
use crate::sim::Fate;

/// How far an action came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It was answered.
    Through,
    /// It was refused, and changed nothing.
    Nowhere,
    /// It was interrupted.
    Somewhere,
}

/// What an action is, as far as it matters afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It changes no row that is looked at.
    Look,
    /// One transaction.
    Change,
    /// A transaction for each membership.
    Collection,
    /// A tenant goes, and then its bytes.
    Erasure(TenantUid),
    /// The end of all erasures, if there were any.
    Resumption { any: bool },
    /// A check, and a repair.
    Check { repairs: bool },
}

impl Kind {
    /// Whether what is known of damage is recorded with it.
    fn records(self) -> bool {
        matches!(self, Self::Change | Self::Erasure(_) | Self::Check { .. })
    }

    /// Whether no byte of a blob that nobody has is left afterwards.
    fn scrubs(self) -> bool {
        matches!(self, Self::Erasure(_) | Self::Resumption { any: true })
    }

    /// Whether no row of one is.
    fn sweeps(self) -> bool {
        self == Self::Collection || self.scrubs()
    }
}

/// What an action did.
pub(super) struct Done {
    pub(super) kind: Kind,
    pub(super) came: Came,
    /// The states that it goes through, from what was to what will be.
    pub(super) stages: Vec<State>,
    /// The damaged blobs that it brings.
    pub(super) puts: Vec<(Digest, Heals)>,
}

impl Done {
    fn is_through(&self) -> bool {
        self.came == Came::Through
    }

    fn first(&self) -> &State {
        &self.stages[0]
    }

    fn last(&self) -> &State {
        &self.stages[self.stages.len() - 1]
    }

    /// Checks that a store may be in the state `seen`.
    fn check(&self, seen: &State) {
        match self.came {
            Came::Nowhere => assert_same(self.first(), seen),
            Came::Somewhere if self.kind == Kind::Collection => assert_between(&self.stages, seen),
            Came::Somewhere if seen == self.first() => {}
            Came::Somewhere | Came::Through => assert_same(self.last(), seen),
        }
    }

    /// Whether it happened as a whole, as far as can be told from the state `seen`.
    fn happened(&self, seen: &State) -> bool {
        self.is_through() || self.first() != self.last() && seen == self.last()
    }
}

impl Run {
    /// What must be known of damage once an action is answered, whatever happens next.
    pub(super) fn note(&mut self, done: &Done) {
        if done.is_through() && done.kind.records() {
            self.damage.record();
        }
        if done.is_through() && done.kind == (Kind::Check { repairs: true }) {
            self.damage.leaks = !self.damage.all().is_empty();
        }
    }

    /// Learns what came of an action, and checks that it could.
    pub(super) fn resolve(&mut self, done: &Done) {
        match done.kind {
            Kind::Erasure(uid) => self.resolve_erasure(uid, done),
            Kind::Resumption { .. } if done.is_through() => self.model.dying.clear(),
            _ => {}
        }
        let seen = self.look();
        done.check(&seen.state);
        self.adopt(&seen);
        self.resolve_puts(done, done.happened(&seen.state));
        if std::mem::take(&mut self.is_new) {
            self.damage.forget_reports(&seen.quarantine);
        }
        if done.is_through() && done.kind.sweeps() {
            // While a tenant is erased, nothing is kept for what is damaged. Without room, what rests on
            // garbage cannot be stored by itself.
            let kept = if done.kind.scrubs() {
                BTreeSet::new()
            } else {
                seen.kept_for(|digest| self.is_tight || self.damage.is(digest))
            };
            let mut left = seen.places.keys().filter(|digest| !kept.contains(digest));
            let owned = seen.owned();
            let stray = left.find(|digest| !owned.contains(digest));
            assert_eq!(stray, None, "a blob that nobody has, {:?}: {:?}", done.kind, seen.rests);
        }
        if done.is_through() && done.kind.scrubs() {
            self.find_nothing(self.erased_texts().chain(unowned_bytes(&seen)));
        }
    }

    /// An erasure has begun once its tenant cannot be found, and then it is to be finished.
    fn resolve_erasure(&mut self, uid: TenantUid, done: &Done) {
        let is_there = Seen::look(self.store()).state.tenants.contains_key(&uid);
        assert!(!is_there || !done.is_through(), "an erased tenant is there");
        if !is_there {
            self.erased.insert(uid, self.model.clients[&uid].texts());
        }
        if !is_there && !done.is_through() {
            self.model.dying.insert(uid, BTreeSet::new());
        }
    }

    /// What the store holds. Only tenants and those that are being erased have anything.
    pub(super) fn look(&mut self) -> Seen {
        let seen = Seen::look(self.store());
        for uid in seen.others.keys() {
            assert!(self.model.dying.contains_key(uid), "rows of nobody: {uid}");
        }
        for (uid, blobs) in &mut self.model.dying {
            *blobs = seen.others.get(uid).cloned().unwrap_or_default();
        }
        seen
    }

    fn adopt(&mut self, seen: &Seen) {
        self.model.adopt(seen.state.clone());
        for slot in &mut self.slots {
            *slot = slot.filter(|uid| seen.state.tenants.contains_key(uid));
        }
        seen.check_rests(self.damage.leaks);
        self.learn_of_rests(seen);
        self.damage.keep(|digest| seen.places.contains_key(digest));
        self.damage.settle(&seen.rests);
        (self.rests, self.codecs) = (seen.rests.clone(), seen.codecs.clone());
        for (digest, place) in &seen.places {
            let first = self.given.entry(*place).or_insert(*digest);
            assert_eq!(first, digest, "{place:?} is given twice");
        }
    }

    /// A damaged blob that rests on nothing any more was brought by somebody, or is given up.
    fn learn_of_rests(&mut self, seen: &Seen) {
        let rested = self.codecs.iter().filter(|(_, codec)| **codec >= 16);
        for (blob, _) in rested.filter(|(blob, _)| seen.codecs.get(blob).is_some_and(|c| *c < 16)) {
            if seen.quarantine.contains(blob) {
                let harmed = self.harmed_above(*blob, &seen.rests);
                self.damage.harm(*blob, harmed);
            } else {
                self.damage.heal(blob);
            }
        }
    }

    /// Damaged blobs that were brought are whole now, if the store had to know.
    fn resolve_puts(&mut self, done: &Done, happened: bool) {
        for (digest, heals) in &done.puts {
            if !self.damage.is(digest) || *heals == Heals::No {
                continue;
            }
            let Some(uid) = self.owner(digest) else { continue };
            if self.store().view().unwrap().read_blob(uid, digest).is_ok() {
                self.damage.heal(digest);
                self.damage.settle(&self.rests);
            } else {
                assert!(!happened || *heals == Heals::Maybe, "{digest} is not healed");
                self.damage.report(digest);
            }
        }
    }

    /// Of what rests on a damaged blob, that which needs the bytes that are wrong. A copy of the store tells, so
    /// that this one does not learn of it.
    pub(super) fn harmed_above(&self, digest: Digest, rests: &Rests) -> BTreeSet<Digest> {
        let mut above = above(digest, rests);
        if above.is_empty() {
            return above;
        }
        let store = self.copy();
        let view = store.view().unwrap();
        let damaged = damaged_in(&store);
        above.retain(|blob| {
            let is_damaged = damaged.contains(&format!("blob {blob}"));
            let read = self.owner(blob).map(|uid| view.read_blob(uid, blob));
            assert!(read.is_none_or(|read| read.is_err() == is_damaged), "{blob}");
            is_damaged
        });
        above
    }

    /// Somebody who has the blob.
    pub(super) fn owner(&self, digest: &Digest) -> Option<TenantUid> {
        let mut members = self.model.state.members.keys();
        members.find(|(blob, _)| blob == digest).map(|(_, uid)| *uid)
    }

    /// Whatever a tenant has is whole. Damaged blobs are not asked for, which would tell the store.
    pub(super) fn read_all(&self) {
        let view = self.store().view().unwrap();
        for (digest, uid) in self.model.state.members.keys() {
            if !self.damage.is(digest) {
                assert_whole(&view, *uid, digest);
            }
        }
    }

    pub(super) fn erased_texts(&self) -> impl Iterator<Item = Vec<u8>> {
        let erased = self.erased.iter().filter(|(uid, _)| !self.model.dying.contains_key(uid));
        erased.flat_map(|(_, texts)| texts.clone())
    }

    /// None of the texts is in any file, and the next crash does not bring one back.
    pub(super) fn find_nothing(&self, texts: impl Iterator<Item = Vec<u8>>) {
        let traces = Traces::new(texts);
        let after = self.disk.crashed(self.disk.operations(), |_, _| Fate::Lost);
        for disk in [&self.disk, &after] {
            for (name, bytes) in disk.files() {
                let found = traces.find(&bytes).map(String::from_utf8_lossy);
                assert_eq!(found, None, "left in `{name}`");
            }
        }
    }
}

/// What a check finds to be damaged.
fn damaged_in(store: &Store) -> BTreeSet<String> {
    let options = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    of_code(&store.fsck(&options, None, &|_| {}).unwrap(), "E_BLOB_DAMAGED")
}

/// What contents that nobody has look like on disk.
fn unowned_bytes(seen: &Seen) -> impl Iterator<Item = Vec<u8>> {
    let owned = seen.owned();
    let unowned = Content::all().iter().filter(move |content| !owned.contains(&content.digest));
    unowned.flat_map(|content| [content.digest.as_bytes().to_vec(), content.trace.clone()])
}

pub(super) fn assert_whole(view: &View, uid: TenantUid, digest: &Digest) {
    let bytes = view.read_blob(uid, digest).unwrap();
    assert_eq!(bytes.map(|bytes| Digest::of(&bytes)), Some(*digest), "for {uid}");
}

pub(super) fn assert_same(expected: &State, seen: &State) {
    assert!(expected == seen, "expected / seen: {:#?}", expected.differences(seen));
}

/// Each membership is as it is in one of the stages.
fn assert_between(stages: &[State], seen: &State) {
    assert!(stages.iter().any(|stage| stage.tenants == seen.tenants));
    let keys = stages.iter().chain([seen]).flat_map(|state| state.members.keys());
    for key in keys.collect::<BTreeSet<_>>() {
        let is = seen.members.get(key);
        assert!(stages.iter().any(|stage| stage.members.get(key) == is), "{key:?}: {is:?}");
    }
}
