//! Builds, readers and collection in every order that `shuttle` finds: `make test-interleavings`.
//!
//! The store runs over memory with the locks, channels and threads of `shuttle`, which picks the
//! next thread at every one of their operations. A failure prints the schedule that replays it.

#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without may panic")]

use colophon_model::audit::{Act, Action, Actor, Subject};
use std::sync::Arc;

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{TenantHead, TufFile};
use colophon_store::{
    Change, CommitError, GcOptions, MemoryKv, MemorySegments, PreparedBlob, Segments, Store,
};
use shuttle::thread;

const TENANT: TenantUid = TenantUid::from_bytes([1; 16]);
const BYTES: &[u8] = b"bytes that are named, unnamed and named again";
/// Orders tried by each of the two ways to choose them: evenly at random, and by few preemptions at
/// random places (PCT), which finds rare orders sooner.
const RANDOM: usize = 2_000;
const PCT: usize = 2_000;

fn explore(scenario: fn()) {
    shuttle::check_random(scenario, RANDOM);
    shuttle::check_pct(scenario, PCT, 3);
}

fn file(name: &str) -> (TenantUid, String) {
    (TENANT, name.to_owned())
}

/// A store in which `BYTES` is named by file `old` and lies in a sealed segment, behind bytes that
/// nobody names.
fn store() -> Store {
    let segments = Arc::new(MemorySegments::new());
    let store = Store::over(Arc::new(MemoryKv::new()), segments.clone(), 0).unwrap();
    let mut change = Change::new();
    change.put(&TENANT, &TenantHead::default());
    change.blob(TENANT, PreparedBlob::new(b"never named").unwrap());
    name(&mut change, "old");
    store.commit(change).unwrap();
    segments.seal().unwrap();
    store
}

fn name(change: &mut Change, name: &str) {
    let digest = Digest::of(BYTES);
    change.put(&file(name), &TufFile { digest });
    change.blob(TENANT, PreparedBlob::new(BYTES).unwrap());
}

fn unname(store: &Store, name: &str) {
    let mut change = Change::new();
    change.delete::<TufFile>(&file(name));
    store.commit(change).unwrap();
}

/// Two passes without a grace: what nothing names is gone afterwards.
fn collect(store: &Store) {
    let options = GcOptions {
        grace_millis: 0,
        compact_below: 100,
        ..GcOptions::at(UnixMillis::new(1_800_000_000_000))
    };
    for _ in 0..2 {
        store.gc(&options, &|_| {}).unwrap();
    }
}

/// Names the blob as a build does: without bytes when the store has it, else with them, and again
/// when that was refused.
fn build(store: &Store, file_name: &str) {
    loop {
        let lane = store.lane(TENANT);
        let view = lane.view().unwrap();
        let mut change = Change::new();
        if view.has_blob(TENANT, &Digest::of(BYTES)).unwrap() {
            change.put(&file(file_name), &TufFile { digest: Digest::of(BYTES) });
            change.keep(TENANT, Digest::of(BYTES));
        } else {
            name(&mut change, file_name);
        }
        match lane.submit(change).wait() {
            Ok(()) => return,
            Err(CommitError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn assert_readable(store: &Store) {
    let read = store.view().unwrap().read_blob(TENANT, &Digest::of(BYTES)).unwrap();
    assert_eq!(read.as_deref(), Some(BYTES));
}

/// A dedup hit against a sweep (reference failure 20): whatever the order, a build that was
/// acknowledged has its bytes.
#[test]
fn a_build_keeps_what_a_collection_was_about_to_take() {
    explore(|| {
        let store = store();
        unname(&store, "old");
        let collector = store.clone();
        let collecting = thread::spawn(move || collect(&collector));
        build(&store, "new");
        collecting.join().unwrap();
        assert_readable(&store);
        collect(&store);
        assert_readable(&store);
    });
}

/// As above, by a change that brings the bytes although the store has them.
#[test]
fn bytes_that_are_brought_again_save_their_blob() {
    explore(|| {
        let store = store();
        unname(&store, "old");
        let collector = store.clone();
        let collecting = thread::spawn(move || collect(&collector));
        let mut change = Change::new();
        name(&mut change, "new");
        store.commit(change).unwrap();
        collecting.join().unwrap();
        assert_readable(&store);
    });
}

/// Version `n` of a text that does not pack by itself.
fn version(n: u64) -> Vec<u8> {
    let block = |seed: u64| *Digest::of(&seed.to_be_bytes()).as_bytes();
    (0..20).chain([1000 + n]).flat_map(block).collect()
}

/// Names version `n`, brought as what differs from version `base`; again when that was refused.
fn put_on(store: &Store, tenant: TenantUid, n: u64, base: u64) {
    let (bytes, digest) = (version(n), Digest::of(&version(n)));
    let mut change = Change::new();
    change.put(&(tenant, format!("version {n}")), &TufFile { digest });
    let blob = PreparedBlob::new(&bytes).unwrap();
    let lane = store.lane(tenant);
    let view = lane.view().unwrap();
    let blob = blob.against(&view, tenant, &bytes, || Some(Digest::of(&version(base)))).unwrap();
    drop(view);
    change.blob(tenant, blob);
    lane.submit(change).wait().unwrap();
}

fn take_away(store: &Store, tenant: TenantUid, n: u64) {
    let mut change = Change::new();
    change.delete::<TufFile>(&(tenant, format!("version {n}")));
    store.commit(change).unwrap();
}

fn assert_version(store: &Store, tenant: TenantUid, n: u64) {
    let read = store.view().unwrap().read_blob(tenant, &Digest::of(&version(n))).unwrap();
    assert_eq!(read, Some(version(n)));
}

/// A store where versions 0 and 1 are named, the second resting on the first.
fn versions() -> Store {
    let store = store();
    put_on(&store, TENANT, 0, 9);
    put_on(&store, TENANT, 1, 0);
    let told = store.explain(&Digest::of(&version(1))).unwrap().unwrap();
    assert!(told.rests_on.is_some());
    store
}

/// A build brings what rests on a blob that is being collected, and others read what rested on it before.
#[test]
fn what_rests_on_garbage_outlives_it() {
    explore(|| {
        let store = versions();
        take_away(&store, TENANT, 0);
        let (collector, reader) = (store.clone(), store.clone());
        let collecting = thread::spawn(move || collect(&collector));
        let reading = thread::spawn(move || assert_version(&reader, TENANT, 1));
        put_on(&store, TENANT, 2, 0);
        assert_version(&store, TENANT, 2);
        reading.join().unwrap();
        collecting.join().unwrap();
        collect(&store);
        assert!(store.explain(&Digest::of(&version(0))).unwrap().is_none());
        assert_version(&store, TENANT, 1);
        assert_version(&store, TENANT, 2);
    });
}

/// A base that is brought again while it is collected is there for what rests on it or not at all.
#[test]
fn a_base_that_is_brought_again_is_whole() {
    explore(|| {
        let store = versions();
        take_away(&store, TENANT, 0);
        let collector = store.clone();
        let collecting = thread::spawn(move || collect(&collector));
        put_on(&store, TENANT, 0, 1);
        put_on(&store, TENANT, 2, 0);
        collecting.join().unwrap();
        collect(&store);
        (0..3).for_each(|n| assert_version(&store, TENANT, n));
    });
}

/// Two tenants bring the same version, one as a difference, while the base is collected.
#[test]
fn a_version_of_two_tenants_is_whole_for_both() {
    const OTHER: TenantUid = TenantUid::from_bytes([2; 16]);
    explore(|| {
        let store = versions();
        let mut change = Change::new();
        change.put(&OTHER, &TenantHead::default());
        store.commit(change).unwrap();
        take_away(&store, TENANT, 0);
        let (collector, other) = (store.clone(), store.clone());
        let collecting = thread::spawn(move || collect(&collector));
        let bringing = thread::spawn(move || put_on(&other, OTHER, 2, 9));
        put_on(&store, TENANT, 2, 1);
        bringing.join().unwrap();
        collecting.join().unwrap();
        let told = store.explain(&Digest::of(&version(2))).unwrap().unwrap();
        assert!(told.rests_on.is_none(), "the other tenant does not have it");
        assert_version(&store, TENANT, 2);
        assert_version(&store, OTHER, 2);
    });
}

/// A view reads what it showed while the frames are moved and their segment is removed.
#[test]
fn a_view_reads_through_a_compaction() {
    explore(|| {
        let store = store();
        let reader = store.clone();
        let reading = thread::spawn(move || {
            assert_readable(&reader);
            assert_readable(&reader);
        });
        collect(&store);
        collect(&store);
        reading.join().unwrap();
        assert_readable(&store);
    });
}

/// The last name goes, another comes, and collections run through both.
#[test]
fn a_name_that_moves_is_never_lost_between() {
    explore(|| {
        let store = store();
        let (collector, mover) = (store.clone(), store.clone());
        let collecting = thread::spawn(move || collect(&collector));
        let moving = thread::spawn(move || {
            build(&mover, "new");
            unname(&mover, "old");
        });
        build(&store, "third");
        unname(&store, "third");
        moving.join().unwrap();
        collecting.join().unwrap();
        assert_readable(&store);
    });
}

/// The bytes of a refused change are deleted at once; a change that brings the same bytes at that
/// moment must not rest on them.
#[test]
fn orphans_are_not_deleted_under_a_change_that_brings_them() {
    explore(|| {
        let store = Store::in_memory().unwrap();
        let mut refused = Change::new();
        name(&mut refused, "refused");
        refused.expect(&TENANT, Some(&TenantHead { builds: 9, ..TenantHead::default() }));
        assert!(store.commit(refused).is_err());
        let mut head = Change::new();
        head.put(&TENANT, &TenantHead::default());
        store.commit(head).unwrap();
        let collector = store.clone();
        let collecting = thread::spawn(move || collect(&collector));
        build(&store, "new");
        collecting.join().unwrap();
        assert_readable(&store);
    });
}

/// A view reads what it showed while its blob is unnamed, deleted, and its segment removed.
#[test]
fn a_view_reads_what_it_showed() {
    explore(|| {
        let store = store();
        let reader = store.clone();
        let reading = thread::spawn(move || {
            let view = reader.view().unwrap();
            if view.get::<TufFile>(&file("old")).unwrap().is_some() {
                let read = view.read_blob(TENANT, &Digest::of(BYTES)).unwrap();
                assert_eq!(read.as_deref(), Some(BYTES));
            }
        });
        unname(&store, "old");
        collect(&store);
        collect(&store);
        reading.join().unwrap();
    });
}

/// A lease keeps the blob for views that are taken after it was unnamed and collected.
#[test]
fn a_lease_keeps_what_was_named_when_it_began() {
    explore(|| {
        let store = store();
        let reader = store.clone();
        let reading = thread::spawn(move || {
            let view = reader.view().unwrap();
            let named = view.get::<TufFile>(&file("old")).unwrap().is_some();
            let lease = view.lease();
            drop(view);
            for _ in 0..2 {
                let read = reader.view().unwrap().read_blob(TENANT, &Digest::of(BYTES)).unwrap();
                assert!(!named || read.as_deref() == Some(BYTES));
            }
            drop(lease);
        });
        unname(&store, "old");
        collect(&store);
        reading.join().unwrap();
    });
}

/// Erasing while a build is under way: it is refused, or it was whole before and is erased.
#[test]
fn nothing_survives_an_erasure_by_halves() {
    use colophon_model::{CodePolicy, TenantSlug};
    use colophon_store::rows::{RootsOrigin, SlugOf, TenantRow};

    explore(|| {
        let store = store();
        let slug = TenantSlug::new("gone").unwrap();
        let created = UnixMillis::new(1);
        let (policy, roots) = (CodePolicy::None, RootsOrigin::Server);
        let row = TenantRow {
            uid: TENANT,
            slug: slug.clone(),
            created,
            policy,
            roots,
            suspended: None,
            archived: None,
            held: None,
        };
        let mut change = Change::new();
        change.put(&slug, &row).put(&TENANT, &SlugOf { slug: slug.clone() });
        store.commit(change).unwrap();
        let builder = store.clone();
        let building = thread::spawn(move || {
            let lane = builder.lane(TENANT);
            let head = lane.view().unwrap().get::<TenantHead>(&TENANT).unwrap();
            let Some(head) = head else { return };
            let mut change = Change::new();
            name(&mut change, "racing");
            change.expect(&TENANT, Some(&head)).put(&TENANT, &head);
            let _ = lane.submit(change).wait();
        });
        let subject = Subject::new("tenant", "x");
        let act = Act::done(Actor::system("test"), Action::TenantErase, subject);
        store.erase(&slug, &act, created, &|_| {}).unwrap();
        building.join().unwrap();
        let view = store.view().unwrap();
        assert!(view.get::<TufFile>(&file("racing")).unwrap().is_none());
        assert!(!view.has_blob(TENANT, &Digest::of(BYTES)).unwrap());
    });
}
