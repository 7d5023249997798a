//! What each action does to the store, and to the model of it.

use std::collections::BTreeSet;

use colophon_model::{Digest, TenantUid};
use colophon_store::rows::TufFile;
use colophon_store::{
    Change, CommitError, Disk, FsckOptions, FsckReport, GcOptions, GcReport, Pace, PreparedBlob,
    Progress, PurgeOptions,
};
use proptest::sample::Index;

use super::aside::{self, Single};
use super::contents::Content;
use super::damage::Heals;
use super::model::{Client, Collected, DAY, State};
use super::outcome::{Came, Done, Kind, assert_whole};
use super::run::{Held, Run, SEGMENT};
use super::seen::{Place, RawInline, Seen};
use super::steps::Action;
use crate::support::{blob, erasure, uid as uid_of};
use crate::world::Tenant;

/// After these nothing is left but what is named, and all of it is sound.
pub(super) const LAST: [Action; 4] =
    [Action::LetGo, Action::Resume, Action::CollectAll, Action::Check];

/// What one block of the disk holds, in bytes.
const BLOCK: u64 = 4096;

fn silent(_: Progress) {}

fn name_of(n: u8) -> String {
    format!("name-{n}")
}

impl Done {
    /// Nothing changed.
    fn look(run: &Run) -> Self {
        Self::by(Kind::Look, Came::Through, vec![run.model.state.clone(); 2])
    }

    fn by(kind: Kind, came: Came, stages: Vec<State>) -> Self {
        Self { kind, came, stages, puts: Vec::new() }
    }
}

impl Run {
    pub(super) fn act(&mut self, action: Action) -> Done {
        match action {
            Action::Name { slot, name, content, base, keep } => {
                self.of(slot, |run, uid| run.name(uid, name, (content, base), keep))
            }
            Action::Keep { slot, name, content } => {
                self.of(slot, |run, uid| run.keep_blindly(uid, name, content))
            }
            Action::Unname { slot, name } => self.of(slot, |run, uid| run.unname(uid, name)),
            Action::Refuse { slot, content } => self.of(slot, |run, uid| run.refuse(uid, content)),
            Action::Tell { slot, n } => self.of(slot, |run, uid| run.tell(uid, n)),
            Action::Toggle { slot, single } => {
                self.of(slot, |run, uid| run.toggle(uid, Single::ALL[single]))
            }
            Action::Build { slot, content } => self.of(slot, |run, uid| run.build(uid, content)),
            Action::Get { slot, pick } => self.of(slot, |run, uid| run.get(uid, pick)),
            Action::Purge { slot, days } => self.of(slot, |run, uid| run.purge(uid, days)),
            Action::Erase { slot } => self.of(slot, Self::erase),
            Action::Collect { grace, below } => self.collect(if grace { DAY } else { 0 }, below, 1),
            Action::CollectAll => self.collect_all(),
            Action::Resume => self.resume(),
            Action::Check => self.check(),
            other => {
                self.do_beside(other);
                Done::look(self)
            }
        }
    }

    /// Things that are done to the disk or to readers.
    fn do_beside(&mut self, action: Action) {
        match action {
            Action::Fill { blocks } => {
                self.disk.set_capacity(Some(self.disk.used() + blocks * BLOCK));
                self.is_tight = true;
            }
            Action::MakeRoom => self.make_room(),
            Action::Damage { pick, at } => self.harm(pick, at),
            Action::Hold => {
                let view = self.store().view().unwrap();
                self.held = Some(Held { view, state: self.model.state.clone() });
            }
            Action::LetGo => self.let_go(),
            _ => self.restart(self.disk.clone()),
        }
    }

    /// Does something for the tenant in `slot`, or makes it.
    fn of(&mut self, slot: usize, act: impl FnOnce(&mut Self, TenantUid) -> Done) -> Done {
        match self.slots[slot] {
            Some(uid) => act(self, uid),
            None => self.create(slot),
        }
    }

    fn create(&mut self, slot: usize) -> Done {
        let tenant = Tenant::new(self.next);
        self.next += 1;
        let after = self.model.created(&tenant);
        let puts = self.puts([Digest::of(&tenant.readme()), Digest::of(&tenant.root().1)]);
        let result = self.store().commit(tenant.creation(self.model.now));
        self.slots[slot] = Some(tenant.uid);
        self.model.clients.insert(tenant.uid, Client { tenant, made: Vec::new() });
        self.wrote(&result, after, puts)
    }

    fn name(&mut self, uid: TenantUid, name: u8, (content, base): (u8, u8), keep: bool) -> Done {
        let (name, content, base) = (name_of(name), Content::get(content), Content::get(base));
        let after = self.model.named(uid, &name, content.digest);
        let view = self.store().view().unwrap();
        let is_there = view.has_blob(uid, &content.digest).unwrap();
        self.check_has(uid, &content.digest, is_there);
        let mut change = Change::new();
        change.put(&(uid, name), &TufFile { digest: content.digest });
        let mut puts = Vec::new();
        if keep && is_there {
            change.keep(uid, content.digest);
        } else {
            let new = (content.digest, content.bytes.as_slice());
            // It reads the base, and may find damage.
            let prepared = PreparedBlob::version_of(&view, uid, new, || Some(base.digest));
            puts = self.puts([content.digest]);
            change.blob(uid, prepared.unwrap());
        }
        drop(view);
        let result = self.store().lane(uid).submit(change).wait();
        self.wrote(&result, after, puts)
    }

    /// Names what the tenant may not have, and is refused then.
    fn keep_blindly(&mut self, uid: TenantUid, name: u8, content: u8) -> Done {
        let (name, digest) = (name_of(name), Content::get(content).digest);
        let mut change = Change::new();
        change.put(&(uid, name.clone()), &TufFile { digest }).keep(uid, digest);
        let result = self.store().lane(uid).submit(change).wait();
        if self.model.state.has(uid, &digest) {
            return self.wrote(&result, self.model.named(uid, &name, digest), Vec::new());
        }
        match result {
            Err(CommitError::Conflict(_)) => Done::look(self),
            Ok(()) => panic!("{uid} keeps {digest}, which it does not have"),
            other => self.wrote(&other, self.model.state.clone(), Vec::new()),
        }
    }

    fn unname(&mut self, uid: TenantUid, name: u8) -> Done {
        let mut change = Change::new();
        change.delete::<TufFile>(&(uid, name_of(name)));
        let result = self.store().lane(uid).submit(change).wait();
        self.wrote(&result, self.model.unnamed(uid, &name_of(name)), Vec::new())
    }

    fn refuse(&mut self, uid: TenantUid, n: u8) -> Done {
        let content = Content::get(n);
        let after = self.model.refused(uid, n, content.digest);
        let mut change = Change::new();
        let tenant = &self.model.clients[&uid].tenant;
        aside::put_refused(&mut change, tenant, self.model.now, n, content.digest);
        change.blob(uid, blob(&content.bytes));
        let puts = self.puts([content.digest]);
        let result = self.store().lane(uid).submit(change).wait();
        self.wrote(&result, after, puts)
    }

    fn tell(&mut self, uid: TenantUid, n: u8) -> Done {
        let mut change = Change::new();
        aside::put_told(&mut change, &self.model.clients[&uid].tenant, self.model.now, n);
        let result = self.store().lane(uid).submit(change).wait();
        self.wrote(&result, self.model.told(uid, n), Vec::new())
    }

    fn toggle(&mut self, uid: TenantUid, single: Single) -> Done {
        let mut change = Change::new();
        let aside = &self.model.state.tenants[&uid].aside;
        let is_there = aside.singles.contains(&single);
        if is_there && single == Single::Endpoint {
            aside::delete_sends(&mut change, uid, aside);
        }
        aside::put_single(&mut change, &self.model.clients[&uid].tenant, single, is_there);
        let result = self.store().lane(uid).submit(change).wait();
        self.wrote(&result, self.model.toggled(uid, single), Vec::new())
    }

    fn build(&mut self, uid: TenantUid, content: u8) -> Done {
        let (model, content) = (&self.model, Content::get(content));
        let (tenant, stamp) = (&model.clients[&uid].tenant, model.next_stamp(uid));
        let lane = self.store().lane(uid);
        let (change, built) = tenant.prepare(&lane.view().unwrap(), &content.bytes, model.now);
        let after = model.built(uid, &built);
        let files = tenant.metadata(after.tenants[&uid].builds).map(|(_, file)| Digest::of(&file));
        let puts = self.puts(built.lasting().into_iter().chain([built.provenance]).chain(files));
        let result = lane.submit(change).wait();
        self.model.clients.get_mut(&uid).unwrap().made.push((built, stamp));
        self.wrote(&result, after, puts)
    }

    /// What a change came to.
    fn wrote(
        &self,
        result: &Result<(), CommitError>,
        after: State,
        puts: Vec<(Digest, Heals)>,
    ) -> Done {
        let stages = vec![self.model.state.clone(), after];
        Done { puts, ..Done::by(Kind::Change, self.came(result), stages) }
    }

    /// What bringing these blobs does to those of them that are damaged.
    fn puts(&self, digests: impl IntoIterator<Item = Digest>) -> Vec<(Digest, Heals)> {
        let view = self.store().view().unwrap();
        let is_good = |digest: &Digest| Some(view.has_blob(self.owner(digest)?, digest).unwrap());
        let damaged = digests.into_iter().filter(|digest| self.damage.is(digest));
        damaged
            .map(|digest| (digest, self.damage.heals(&digest, is_good(&digest), &self.rests)))
            .collect()
    }

    /// The store offers to do without the bytes of what the tenant has, unless it knows better.
    fn check_has(&self, uid: TenantUid, digest: &Digest, answer: bool) {
        let has = self.model.state.has(uid, digest);
        assert!(!answer || has, "{uid} does not have {digest}");
        if has && !self.damage.is(digest) {
            assert!(answer, "{uid} has {digest}");
        }
    }

    fn get(&mut self, uid: TenantUid, pick: Index) -> Done {
        let contents = Content::all().iter().map(|content| content.digest);
        let digests: Vec<Digest> = contents.chain(self.model.state.blobs_of(uid)).collect();
        let digest = pick.get(&digests);
        let view = self.store().view().unwrap();
        if !self.model.state.has(uid, digest) {
            assert_eq!(view.read_blob(uid, digest).unwrap(), None, "{uid} reads {digest}");
        } else if self.damage.is(digest) {
            assert!(view.read_blob(uid, digest).is_err(), "damage is served");
            assert!(!view.has_blob(uid, digest).unwrap(), "it is known");
            self.damage.report(digest);
        } else {
            assert_whole(&view, uid, digest);
        }
        let stranger = uid_of(250);
        assert_eq!(view.read_blob(stranger, digest).unwrap(), None);
        drop(view);
        Done::look(self)
    }

    fn purge(&mut self, uid: TenantUid, days: u64) -> Done {
        let options = PurgeOptions {
            now: self.model.now,
            keep_millis: days * DAY,
            quota_window_millis: DAY,
            claim_millis: DAY,
            delivery_millis: DAY,
            body_millis: DAY,
            origin_millis: 7 * DAY,
            event_millis: DAY,
            dry_run: false,
        };
        let (after, expected) = self.model.purged(uid, days * DAY, DAY);
        let stages = vec![self.model.state.clone(), after];
        let answer = self.answer(self.store().purge(uid, &options));
        assert!(answer.is_none_or(|report| report == expected), "{answer:?}, not {expected:?}");
        let kind = if expected.total() > 0 { Kind::Change } else { Kind::Look };
        Done::by(kind, came(answer.as_ref()), stages)
    }

    /// Collects some times.
    fn collect(&mut self, grace_millis: u64, compact_below: u32, times: usize) -> Done {
        let now = self.model.now;
        let options = GcOptions { grace_millis, compact_below, ..GcOptions::at(now) };
        let mute = self.mute();
        let stages = vec![self.model.state.clone()];
        let mut done = Done::by(Kind::Collection, Came::Through, stages);
        for _ in 0..times {
            let before = done.stages.last().unwrap();
            let is_read = self.held.is_some();
            let (after, expected) = self.model.collected(before, grace_millis, &mute, is_read);
            done.stages.push(after);
            match self.answer(self.store().gc(&options, &silent)) {
                None => done.came = Came::Somewhere,
                Some(report) if done.came == Came::Through => {
                    assert_eq!(collected(&report), expected);
                }
                Some(_) => {}
            }
        }
        done
    }

    /// Tenants whose names are not all known, because a list of files is damaged.
    fn mute(&self) -> BTreeSet<TenantUid> {
        let is_mute =
            |client: &Client| client.made.iter().any(|(built, _)| self.damage.is(&built.tree));
        let clients = self.model.clients.iter();
        clients.filter(|(_, client)| is_mute(client)).map(|(uid, _)| *uid).collect()
    }

    /// Nothing is left but what is named, and not much more space is taken than that takes.
    fn collect_all(&mut self) -> Done {
        self.let_go();
        let done = self.collect(0, 50, 2);
        if done.came == Came::Through {
            let mute = self.mute();
            let seen = self.look();
            let members = seen.state.members.keys().filter(|(_, uid)| !mute.contains(uid));
            let mut named = self.model.named_members(&seen.state);
            named.retain(|(_, uid)| !mute.contains(uid));
            assert!(members.eq(named.iter()), "something is left that nothing names");
            let files = self.disk.files().into_iter();
            let segments = files.filter(|(name, _)| name.starts_with("segments/"));
            let taken: u64 = segments.map(|(_, bytes)| bytes.len() as u64).sum();
            let live = seen.live_bytes();
            assert!(taken <= 2 * live + 2 * SEGMENT, "{taken} bytes for {live}");
        }
        done
    }

    fn erase(&mut self, uid: TenantUid) -> Done {
        self.let_go();
        let slug = self.model.clients[&uid].tenant.slug.clone();
        let stages = vec![self.model.state.clone(), self.model.erased(uid)];
        let answer = self.answer(self.store().erase(&slug, &erasure(), self.model.now, &silent));
        if let Some(answer) = &answer {
            assert!(answer.is_some() && self.store().is_retired(&slug).unwrap());
        }
        Done::by(Kind::Erasure(uid), came(answer.as_ref()), stages)
    }

    fn resume(&mut self) -> Done {
        self.let_go();
        let answer = self.answer(self.store().resume_erasures(&silent));
        let kind = Kind::Resumption { any: answer.is_some_and(|finished| finished > 0) };
        Done { kind, came: came(answer.as_ref()), ..Done::look(self) }
    }

    fn check(&mut self) -> Done {
        let repair = self.damage.leaks;
        let options = FsckOptions { read_blobs: true, repair, pace: Pace::FULL };
        let answer = self.answer(self.store().fsck(&options, None, &silent));
        if let Some(report) = &answer {
            self.judge(report);
        }
        let kind = Kind::Check { repairs: repair };
        Done { kind, came: came(answer.as_ref()), ..Done::look(self) }
    }

    /// A check finds all the damage that there is, and nothing else.
    fn judge(&mut self, report: &FsckReport) {
        let damaged = self.damage.all();
        let found: BTreeSet<String> = of_code(report, "E_BLOB_DAMAGED");
        let expected = damaged.iter().map(|digest| format!("blob {digest}")).collect();
        assert_eq!(found, expected, "{:?}", report.problems);
        assert_eq!(of_code(report, "E_TREE").len(), self.mute().len());
        let known = ["E_BLOB_DAMAGED", "E_TREE", "E_LEAK", "E_REST"];
        let other = report.problems.iter().find(|p| !known.contains(&p.code.as_ref()));
        assert!(other.is_none(), "{other:?}");
        let left_over = of_code(report, "E_LEAK").len() + of_code(report, "E_REST").len();
        assert!(self.damage.leaks || left_over == 0, "{:?}", report.problems);
        assert!(report.is_clean() || !damaged.is_empty());
        for digest in &damaged {
            self.damage.report(digest);
        }
    }

    /// Flips a byte of a blob that is whole.
    fn harm(&mut self, pick: Index, at: Index) {
        self.make_room();
        self.disk.stop_failing();
        let seen = Seen::look(self.store());
        let whole: Vec<(&Digest, &Place)> =
            seen.places.iter().filter(|(digest, _)| !self.damage.is(digest)).collect();
        if whole.is_empty() {
            return;
        }
        let (digest, place) = *pick.get(&whole);
        let is_done = match *place {
            Place::Inline(number) => self.harm_row(number, at),
            Place::Segment { generation, offset, length } => {
                let name = format!("segments/{generation:016x}.seg");
                self.harm_file(&name, offset + at.index(length as usize) as u64);
                true
            }
        };
        if is_done {
            let harmed = self.harmed_above(*digest, &seen.rests);
            self.damage.harm(*digest, harmed);
            self.disk.forget(); // it is as it is: no crash comes before it
        }
    }

    fn harm_row(&self, number: u64, at: Index) -> bool {
        let mut row = self.store().view().unwrap().get::<RawInline>(&number).unwrap().unwrap();
        let at = at.index(row.0.len());
        row.0[at] ^= 0xff;
        let mut change = Change::new();
        change.put(&number, &row);
        let result = self.store().commit(change);
        self.came(&result) == Came::Through
    }

    fn harm_file(&self, name: &str, at: u64) {
        let (file, mut byte) = (self.disk.open(name).unwrap(), [0]);
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 0xff]).unwrap();
        file.sync().unwrap();
    }

    /// Whoever still reads has read all that was there.
    fn let_go(&mut self) {
        if let Some(Held { view, state }) = self.held.take() {
            for (digest, uid) in state.members.keys() {
                if !self.damage.ever(digest) {
                    assert_whole(&view, *uid, digest);
                }
            }
        }
    }
}

/// Work of many steps that was not answered may have done some of them.
fn came<T>(answer: Option<&T>) -> Came {
    if answer.is_some() { Came::Through } else { Came::Somewhere }
}

/// Places of the problems of one kind.
pub(super) fn of_code(report: &FsckReport, code: &str) -> BTreeSet<String> {
    let problems = report.problems.iter().filter(|problem| problem.code == code);
    problems.map(|problem| problem.place.clone()).collect()
}

fn collected(report: &GcReport) -> Collected {
    assert_eq!((report.missing, report.unreadable_segments), (0, 0));
    Collected {
        condemned: report.condemned,
        resurrected: report.resurrected,
        waiting: report.waiting,
        released: report.released,
        deferred: report.deferred,
        held_tenants: report.held_tenants,
    }
}
