//! Steps, one after the other, each with its end and a look at what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use colophon_model::{Digest, TenantUid};
use colophon_store::{CommitError, Durability, Error, Options, Store, View, Watermarks};
use proptest::sample::Index;

use super::act::LAST;
use super::damage::{Damage, Rests};
use super::model::{Model, State};
use super::outcome::{Came, Done, assert_same};
use super::seen::Place;
use super::steps::{Crash, End, SLOTS, Step};
use crate::sim::crashes::crashed_by_chance;
use crate::sim::{EIO, Op, SimDisk};

/// Segments are sealed at this size.
pub(super) const SEGMENT: u64 = 24 << 10;
const MARKS: Watermarks = Watermarks { low: 64 << 10, high: 96 << 10, reserve: 32 << 10 };

/// A store, the disk below it, and what it should hold.
pub(super) struct Run {
    options: Options,
    pub(super) disk: SimDisk,
    /// None only while it is opened again.
    store: Option<Store>,
    pub(super) model: Model,
    pub(super) damage: Damage,
    /// Whether the disk may be full.
    pub(super) is_tight: bool,
    /// Whether an operation of the disk may fail.
    may_fail: bool,
    /// Whether the store was opened by the last action or after it.
    pub(super) is_new: bool,
    pub(super) slots: [Option<TenantUid>; SLOTS],
    /// Number of the next tenant. All have three digits, so that no name is the beginning of another.
    pub(super) next: u8,
    pub(super) held: Option<Held>,
    /// Texts of tenants that were erased. Those of tenants that are not dying any more are nowhere.
    pub(super) erased: BTreeMap<TenantUid, Vec<Vec<u8>>>,
    /// Every place that a blob was seen at.
    pub(super) given: BTreeMap<Place, Digest>,
    /// What rested on what, and how blobs were encoded, when that was last looked at.
    pub(super) rests: Rests,
    pub(super) codecs: BTreeMap<Digest, u8>,
}

/// What was readable once and must stay so.
pub(super) struct Held {
    pub(super) view: View,
    pub(super) state: State,
}

impl Run {
    pub(super) fn new(durability: Durability, marks: bool) -> Self {
        let options = Options {
            durability,
            cache_bytes: 256 << 10,
            segment_max: SEGMENT,
            watermarks: if marks { MARKS } else { Watermarks::default() },
            ..Options::default()
        };
        let disk = SimDisk::new();
        Self {
            store: Some(Store::open_on(Arc::new(disk.clone()), &options).unwrap()),
            options,
            disk,
            model: Model::new(),
            damage: Damage::default(),
            is_tight: false,
            may_fail: false,
            is_new: false,
            slots: [None; SLOTS],
            next: 101,
            held: None,
            erased: BTreeMap::new(),
            given: BTreeMap::new(),
            rests: Rests::new(),
            codecs: BTreeMap::new(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.model.tick(step.hours);
        self.disk.forget();
        if let End::Failed(nth) = step.end {
            self.fail(nth);
        }
        let done = self.act(step.action);
        self.disk.stop_failing();
        self.end(step.end, done);
        self.may_fail = false;
    }

    /// Whatever happened, all is well in the end.
    pub(super) fn finish(mut self) {
        self.make_room();
        for action in LAST {
            let done = self.act(action);
            self.conclude(&done);
        }
        self.restart(crashed_by_chance(&self.disk, self.disk.operations(), 0));
        let seen = self.look();
        assert_same(&self.model.state, &seen.state);
        self.read_all();
        self.find_nothing(self.erased_texts());
    }

    /// Lets the `nth` operation from now on fail, unless it is a sync of names: no system goes on
    /// after that (see `failing.rs`).
    fn fail(&mut self, nth: usize) {
        self.may_fail = true;
        let mut left = nth;
        self.disk.fail_when(move |op| {
            left = left.saturating_sub(usize::from(!matches!(op, Op::SyncDir { .. })));
            (left == 0 && !matches!(op, Op::SyncDir { .. })).then(|| {
                left = usize::MAX;
                EIO
            })
        });
    }

    fn end(&mut self, end: End, done: Done) {
        let (first, last) = self.disk.moments().into_inner();
        let moment = |index: Index| first + index.index(last - first + 1);
        let (at, disk) = match end {
            End::Well | End::Failed(_) => return self.conclude(&done),
            End::Killed(index) => (moment(index), self.disk.killed(moment(index))),
            End::Crashed(crash) => (moment(crash.at), self.crash(&crash)),
            End::CrashedTwice(first, second) => {
                let disk = self.crash(&first);
                drop(Store::open_on(Arc::new(disk.clone()), &self.options));
                let at = second.at.index(disk.operations() + 1);
                (moment(first.at), crashed_by_chance(&disk, at, second.seed))
            }
        };
        let came = if at == last { done.came } else { Came::Somewhere };
        self.interrupt(&Done { came, ..done }, disk);
    }

    fn crash(&self, crash: &Crash) -> SimDisk {
        let (first, last) = self.disk.moments().into_inner();
        crashed_by_chance(&self.disk, first + crash.at.index(last - first + 1), crash.seed)
    }

    /// The store is gone, and `disk` is what is left.
    fn interrupt(&mut self, done: &Done, disk: SimDisk) {
        self.note(done);
        disk.set_capacity(self.disk.capacity());
        self.restart(disk);
        self.resolve(done);
        self.read_all();
    }

    /// Looks at what came of an action. A store that stopped is opened again.
    fn conclude(&mut self, done: &Done) {
        if let Err(error) = self.store().health() {
            assert!(self.is_troubled(), "{error:?}");
            return self.interrupt(done, self.disk.clone());
        }
        self.note(done);
        self.resolve(done);
    }

    /// Opens the store on `disk`, and makes room when it needs that.
    pub(super) fn restart(&mut self, disk: SimDisk) {
        self.held = None;
        self.store = None;
        self.disk = disk;
        let store = self.open().unwrap_or_else(|error| {
            assert!(self.is_troubled(), "{error:?}");
            self.make_room();
            self.open().unwrap()
        });
        self.store = Some(store);
        self.is_new = true;
    }

    fn open(&self) -> Result<Store, Error> {
        Store::open_on(Arc::new(self.disk.clone()), &self.options)
    }

    /// Another store that holds the same.
    pub(super) fn copy(&self) -> Store {
        let disk = self.disk.killed(self.disk.operations());
        disk.set_capacity(None);
        Store::open_on(Arc::new(disk), &self.options).unwrap()
    }

    pub(super) fn make_room(&mut self) {
        self.disk.set_capacity(None);
        self.is_tight = false;
    }

    /// Whether the disk may refuse something.
    fn is_troubled(&self) -> bool {
        self.is_tight || self.may_fail
    }

    /// How far a change came.
    pub(super) fn came(&self, result: &Result<(), CommitError>) -> Came {
        match result {
            Ok(()) => Came::Through,
            Err(CommitError::Full { .. }) if self.is_troubled() => Came::Nowhere,
            Err(CommitError::Stopped(_)) if self.is_troubled() => Came::Somewhere,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// What maintenance answered, if it came through.
    pub(super) fn answer<T>(&self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(self.is_troubled(), "{error:?}");
                None
            }
        }
    }
}
