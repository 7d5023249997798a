//! Blobs that rest on others: nobody who reads them notices, and what is rested on stays as long as that.

use std::sync::Arc;

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{SlugOf, TenantHead, TufFile};
use colophon_store::{
    Batch, Change, Disk, Error, Explanation, FsckOptions, FsckReport, GcOptions, GcReport, Kv,
    Location, MemoryKv, MemorySegments, Options, Pace, PreparedBlob, Progress, Segments, Store,
    Table, View, restore,
};

use crate::sim::crashes::{ALL, Seen, crashes};
use crate::sim::{EIO, Op, SimDisk};
use crate::support::{blob, controlled, erasure, noise, uid};
use crate::world::Tenant;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
/// Blobs that rest on one another at most: the deepest has so many below it.
const DEEPEST: u64 = 8;

fn silent(_: Progress) {}

/// Version `n` of a text of about `len` bytes that does not pack by itself.
fn version(n: u64, len: usize) -> Vec<u8> {
    [noise(1, len / 2), noise(1000 + n, 32), noise(2, len / 2)].concat()
}

/// Versions that go to a segment, and such as stay in the metadata.
const SIZES: [usize; 2] = [9000, 600];

fn against(view: &View, tenant: TenantUid, bytes: &[u8], base: &[u8]) -> PreparedBlob {
    let new = (Digest::of(bytes), bytes);
    PreparedBlob::version_of(view, tenant, new, || Some(Digest::of(base))).unwrap()
}

fn named(tenant: u8, bytes: &[u8], blob: PreparedBlob) -> Change {
    let (uid, digest) = (uid(tenant), Digest::of(bytes));
    let mut change = Change::new();
    change.put(&uid, &TenantHead::default());
    change.put(&(uid, digest.to_string()), &TufFile { digest }).blob(uid, blob);
    change
}

/// Names `bytes` for the tenant, brought as what differs from `base`.
fn put_on(store: &Store, tenant: u8, bytes: &[u8], base: &[u8]) {
    let blob = against(&store.view().unwrap(), uid(tenant), bytes, base);
    store.commit(named(tenant, bytes, blob)).unwrap();
}

fn put(store: &Store, tenant: u8, bytes: &[u8]) {
    store.commit(named(tenant, bytes, blob(bytes))).unwrap();
}

fn unname(store: &Store, tenant: u8, bytes: &[u8]) {
    let mut change = Change::new();
    change.delete::<TufFile>(&(uid(tenant), Digest::of(bytes).to_string()));
    store.commit(change).unwrap();
}

fn explain(store: &Store, bytes: &[u8]) -> Option<Explanation> {
    store.explain(&Digest::of(bytes)).unwrap()
}

fn rests_on(store: &Store, bytes: &[u8]) -> Option<Digest> {
    explain(store, bytes).unwrap().rests_on
}

fn reads(store: &Store, tenant: u8, bytes: &[u8]) -> bool {
    let read = store.view().unwrap().read_blob(uid(tenant), &Digest::of(bytes));
    match read {
        Ok(read) => read.inspect(|read| assert_eq!(read, bytes)).is_some(),
        Err(Error::Corrupt { digest }) if digest == Digest::of(bytes) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Two passes without a grace: what nothing names is gone afterwards, if it can go.
fn collect(store: &Store) -> GcReport {
    let options = GcOptions { grace_millis: 0, compact_below: 100, ..GcOptions::at(NOW) };
    store.gc(&options, &silent).unwrap();
    store.gc(&options, &silent).unwrap()
}

fn check(store: &Store, repair: bool) -> FsckReport {
    let options = FsckOptions { read_blobs: true, repair, pace: Pace::FULL };
    store.fsck(&options, None, &silent).unwrap()
}

fn assert_clean(store: &Store) {
    let report = check(store, false);
    assert!(report.is_clean(), "{:?}", report.problems);
}

fn on(disk: &SimDisk) -> Store {
    let options = Options { segment_max: 20_000, ..Options::default() };
    Store::open_on(Arc::new(disk.clone()), &options).unwrap()
}

/// A store with the first `count` versions of tenant 1, each brought as what differs from the one before.
fn chain(disk: &SimDisk, count: u64, len: usize) -> Store {
    let store = on(disk);
    put(&store, 1, &version(0, len));
    for n in 1..count {
        put_on(&store, 1, &version(n, len), &version(n - 1, len));
    }
    store
}

#[test]
fn a_version_takes_what_differs_and_reads_as_what_it_is() {
    for len in SIZES {
        let disk = SimDisk::new();
        let store = chain(&disk, 20, len);
        for n in 0..20 {
            let told = explain(&store, &version(n, len)).unwrap();
            let below = n % (DEEPEST + 1);
            assert_eq!(u64::from(told.depth), below, "a chain that is long begins anew");
            let base = (below > 0).then(|| Digest::of(&version(n - 1, len)));
            assert_eq!(told.rests_on, base);
            assert_eq!(told.base_of, u64::from(below < DEEPEST && n < 19));
            assert_eq!(below > 0, told.stored.unwrap() < 200, "{told:?}");
        }
        let report = store.gc(&GcOptions { dry_run: true, ..GcOptions::at(NOW) }, &silent).unwrap();
        assert_eq!((report.blobs, report.deltas), (20, 17));
        assert_eq!(report.blob_bytes, (0..20).map(|n| version(n, len).len() as u64).sum::<u64>());
        assert!(report.stored_bytes < 4 * len as u64 + 20 * 200, "{report:?}");
        drop(store);
        let store = on(&disk);
        assert!((0..20).all(|n| reads(&store, 1, &version(n, len))));
        assert_clean(&store);
    }
}

/// What a base is to its blob shows in its size and in the time of a read, so it is a blob of the tenant's own.
#[test]
fn only_what_the_tenant_has_is_a_base() {
    let store = Store::in_memory().unwrap();
    let (old, new) = (version(0, 9000), version(1, 9000));
    put(&store, 1, &old);
    put_on(&store, 2, &new, &old);
    assert_eq!(rests_on(&store, &new), None, "of another tenant");
    put_on(&store, 1, &version(2, 9000), &version(3, 9000));
    assert_eq!(rests_on(&store, &version(2, 9000)), None, "of nobody");
    // What was prepared for one tenant is of no use to another.
    let prepared = against(&store.view().unwrap(), uid(1), &version(4, 9000), &old);
    store.commit(named(3, &version(4, 9000), prepared)).unwrap();
    assert_eq!(rests_on(&store, &version(4, 9000)), None);
    assert!(reads(&store, 2, &new) && reads(&store, 3, &version(4, 9000)));
}

/// A tenant that brings what another has stored as a difference does not learn so by the time of a read.
#[test]
fn what_two_tenants_have_rests_on_what_both_have() {
    for len in SIZES {
        let store = chain(&SimDisk::new(), 2, len);
        let (old, new) = (version(0, len), version(1, len));
        assert!(rests_on(&store, &new).is_some());
        put(&store, 2, &old);
        put(&store, 2, &new);
        assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)), "both have the base");
        put(&store, 1, &new);
        assert!(rests_on(&store, &new).is_some(), "it was the tenant's before");
        put(&store, 3, &new);
        assert_eq!(rests_on(&store, &new), None, "one has it not");
        assert!((1..=3).all(|tenant| reads(&store, tenant, &new)));
        // In one group.
        let (a, b) = (version(7, len), version(8, len));
        put(&store, 1, &a);
        let prepared = against(&store.view().unwrap(), uid(1), &b, &a);
        let mut change = named(1, &b, prepared);
        change.put(&(uid(2), "b".to_owned()), &TufFile { digest: Digest::of(&b) });
        change.blob(uid(2), blob(&b));
        store.commit(change).unwrap();
        assert_eq!(rests_on(&store, &b), None);
        assert_clean(&store);
    }
}

/// A lane's next build rests on blobs that are not durable yet; when those are refused, it stands by itself.
#[test]
fn a_base_may_be_on_its_way() {
    let (old, new) = (version(0, 9000), version(1, 9000));
    for is_refused in [false, true] {
        let (store, kv, _) = controlled();
        kv.shut();
        let mut first = named(1, &old, blob(&old));
        if is_refused {
            first.expect(&uid(1), Some(&SlugOf { slug: "never-so".parse().unwrap() }));
        }
        let first = store.lane(uid(1)).submit(first);
        let lane = store.lane(uid(1));
        let prepared = against(&lane.view().unwrap(), uid(1), &new, &old);
        let second = lane.submit(named(1, &new, prepared));
        kv.open();
        assert_eq!(first.wait().is_err(), is_refused);
        second.wait().unwrap();
        assert!(reads(&store, 1, &new));
        assert_eq!(reads(&store, 1, &old), !is_refused);
        assert!(is_refused || rests_on(&store, &new) == Some(Digest::of(&old)));
        collect(&store);
        assert_eq!(explain(&store, &old).is_none(), is_refused, "garbage goes, rested on or not");
        assert!(reads(&store, 1, &new));
        assert_clean(&store);
    }
}

/// The base is collected between the preparation and the commit.
#[test]
fn a_base_that_went_meanwhile_is_done_without() {
    let store = chain(&SimDisk::new(), 1, 9000);
    let (old, new) = (version(0, 9000), version(1, 9000));
    let prepared = against(&store.view().unwrap(), uid(1), &new, &old);
    unname(&store, 1, &old);
    collect(&store);
    assert!(explain(&store, &old).is_none());
    store.commit(named(1, &new, prepared)).unwrap();
    assert_eq!(rests_on(&store, &new), None);
    assert!(reads(&store, 1, &new));
}

#[test]
fn what_rests_on_garbage_stands_by_itself_before_it_goes() {
    for len in SIZES {
        let store = chain(&SimDisk::new(), 6, len);
        let view = store.view().unwrap();
        // The middle of the chain: what was below it stays, what was above it stays.
        for n in 1..=3 {
            unname(&store, 1, &version(n, len));
        }
        let options = GcOptions { grace_millis: 0, ..GcOptions::at(NOW) };
        assert_eq!(store.gc(&options, &silent).unwrap().detached, 0);
        let report = store.gc(&options, &silent).unwrap();
        assert_eq!((report.released, report.deleted), (0, 0), "a reader is there: {report:?}");
        assert!((0..6).all(|n| view.read_blob(uid(1), &Digest::of(&version(n, len))).is_ok()));
        drop(view);
        let report = store.gc(&options, &silent).unwrap();
        assert_eq!((report.deleted, report.detached), (3, 1), "{report:?}");
        assert!((1..=3).all(|n| explain(&store, &version(n, len)).is_none()));
        assert_eq!(rests_on(&store, &version(4, len)), None);
        assert_eq!(rests_on(&store, &version(5, len)), Some(Digest::of(&version(4, len))));
        assert_eq!(explain(&store, &version(0, len)).unwrap().base_of, 0);
        assert!([0, 4, 5].iter().all(|n| reads(&store, 1, &version(*n, len))));
        assert_clean(&store);
        // The rest goes as a whole, and nothing is encoded for it.
        for n in [0, 4, 5] {
            unname(&store, 1, &version(n, len));
        }
        let report = collect(&store);
        assert_eq!((report.deleted, report.detached), (3, 0), "{report:?}");
    }
}

/// A base that two tenants had goes once, and what rests on it is written once.
#[test]
fn a_base_of_two_tenants_leaves_nothing_behind() {
    for len in SIZES {
        let disk = SimDisk::new();
        let store = chain(&disk, 2, len);
        let (old, new) = (version(0, len), version(1, len));
        put(&store, 2, &old);
        assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)));
        unname(&store, 1, &old);
        unname(&store, 2, &old);
        let report = collect(&store);
        assert_eq!((report.released, report.deleted), (2, 1));
        assert_eq!(rests_on(&store, &new), None);
        assert!(reads(&store, 1, &new));
        assert_clean(&store);
    }
}

/// On a full disk a base stays, and goes later.
#[test]
fn a_base_stays_while_there_is_no_room_to_do_without() {
    let disk = SimDisk::new();
    let store = chain(&disk, 2, 60_000);
    let (old, new) = (version(0, 60_000), version(1, 60_000));
    unname(&store, 1, &old);
    let options = GcOptions { grace_millis: 0, compact_below: 0, ..GcOptions::at(NOW) };
    store.gc(&options, &silent).unwrap();
    disk.set_capacity(Some(disk.used() + 40_000));
    let report = store.gc(&options, &silent).unwrap();
    assert_eq!((report.deleted, report.detached), (0, 0), "{report:?}");
    assert!(reads(&store, 1, &new));
    disk.set_capacity(None);
    assert_eq!(store.gc(&options, &silent).unwrap().deleted, 1);
    assert!(reads(&store, 1, &new));
    assert_clean(&store);
}

/// The base is only the erased tenant's, what rests on it is another's too.
#[test]
fn an_erased_base_leaves_no_byte_and_takes_nothing_along() {
    for (len, is_damaged) in SIZES.into_iter().flat_map(|len| [(len, false), (len, true)]) {
        let disk = SimDisk::new();
        let store = on(&disk);
        let (gone, stays) = (Tenant::create(&store, 1, NOW), Tenant::create(&store, 2, NOW));
        let (old, new) = (version(0, len), version(1, len));
        let name = |tenant: &Tenant, bytes: &[u8], blob: PreparedBlob| {
            let digest = Digest::of(bytes);
            let mut change = Change::new();
            change.put(&(tenant.uid, digest.to_string()), &TufFile { digest });
            change.blob(tenant.uid, blob);
            store.commit(change).unwrap();
        };
        name(&gone, &old, blob(&old));
        name(&stays, &old, blob(&old));
        name(&gone, &new, against(&store.view().unwrap(), gone.uid, &new, &old));
        name(&stays, &new, blob(&new));
        assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)));
        let mut change = Change::new();
        change.delete::<TufFile>(&(stays.uid, Digest::of(&old).to_string()));
        store.commit(change).unwrap();
        collect(&store);
        assert_eq!(explain(&store, &old).unwrap().tenants.len(), 1);
        assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)), "it is somebody's still");
        if is_damaged {
            harm(&store, &disk, &new);
        }
        store.erase(&gone.slug, &erasure(), NOW, &silent).unwrap().unwrap();
        assert!(explain(&store, &old).is_none());
        let traces = [Digest::of(&old).as_bytes().to_vec(), noise(1000, 32)];
        for (name, bytes) in disk.files() {
            let is_in = |trace: &&Vec<u8>| bytes.windows(32).any(|window| window == **trace);
            let found = traces.iter().position(|trace| is_in(&trace));
            assert_eq!(found, None, "left in {name}, {len} {is_damaged}");
        }
        let read = |store: &Store| store.view().unwrap().read_blob(stays.uid, &Digest::of(&new));
        if is_damaged {
            assert!(matches!(read(&store), Err(Error::Corrupt { .. })));
            assert_eq!(check(&store, false).total_problems, 1);
            assert!(!store.view().unwrap().has_blob(stays.uid, &Digest::of(&new)).unwrap());
            name(&stays, &new, blob(&new));
        }
        assert_eq!(read(&store).unwrap(), Some(new));
        drop(store);
        assert_clean(&on(&disk));
    }
}

/// What a damaged blob rests on cannot be told from it, and the row that says so is found all the same.
#[test]
fn an_erased_blob_leaves_no_row_although_its_base_cannot_be_told() {
    let disk = SimDisk::new();
    let store = on(&disk);
    let (gone, stays) = (Tenant::create(&store, 1, NOW), Tenant::create(&store, 2, NOW));
    let (old, new) = (version(0, 600), version(1, 600));
    let name = |tenant: &Tenant, bytes: &[u8], blob: PreparedBlob| {
        let digest = Digest::of(bytes);
        let mut change = Change::new();
        change.put(&(tenant.uid, digest.to_string()), &TufFile { digest });
        change.blob(tenant.uid, blob);
        store.commit(change).unwrap();
    };
    name(&gone, &old, blob(&old));
    name(&stays, &old, blob(&old));
    name(&gone, &new, against(&store.view().unwrap(), gone.uid, &new, &old));
    assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)));
    let row = store.view().unwrap().get::<RawBlob>(&Digest::of(&new)).unwrap().unwrap().0;
    assert_eq!(row[5], 0, "beside the metadata");
    let number = u64::from_be_bytes(row[6..14].try_into().unwrap());
    let mut payload = store.view().unwrap().get::<RawInline>(&number).unwrap().unwrap();
    payload.0[0] ^= 1; // of the base's name
    let mut change = Change::new();
    change.put(&number, &payload);
    store.commit(change).unwrap();
    store.erase(&gone.slug, &erasure(), NOW, &silent).unwrap().unwrap();
    for (name, bytes) in disk.files() {
        let is_left = bytes.windows(32).any(|window| window == Digest::of(&new).as_bytes());
        assert!(!is_left, "left in {name}");
    }
    assert_clean(&store);
}

/// Flips a byte of the blob, as it lies on the disk.
fn harm(store: &Store, disk: &SimDisk, bytes: &[u8]) {
    let digest = Digest::of(bytes);
    let row = store.view().unwrap().get::<RawBlob>(&digest).unwrap().unwrap().0;
    let number = |at: usize| u64::from_be_bytes(row[at..at + 8].try_into().unwrap());
    if row[5] == 0 {
        let mut payload = store.view().unwrap().get::<RawInline>(&number(6)).unwrap().unwrap();
        let last = payload.0.len() - 1;
        payload.0[last] ^= 1;
        let mut change = Change::new();
        change.put(&number(6), &payload);
        store.commit(change).unwrap();
    } else {
        let file = disk.open(&format!("segments/{:016x}.seg", number(6))).unwrap();
        let (at, mut byte) = (number(14) + 50, [0]);
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
        file.sync().unwrap();
    }
}

macro_rules! raw_row {
    ($row:ident, $table:ident, $key:ty) => {
        struct $row(Vec<u8>);

        impl colophon_store::Row for $row {
            const TABLE: Table = Table::$table;
            type Key = $key;

            fn encode(&self) -> Vec<u8> {
                self.0.clone()
            }

            fn decode(bytes: &[u8]) -> Result<Self, colophon_store::InvalidRow> {
                Ok(Self(bytes.to_vec()))
            }
        }
    };
}

raw_row!(RawBlob, Blob, Digest);
raw_row!(RawInline, Inline, u64);
raw_row!(RawRests, Rests, (Digest, Digest));

/// A damaged base damages what rests on it; a put of the base heals all of them at once.
#[test]
fn a_base_is_healed_with_all_that_rests_on_it() {
    for len in SIZES {
        for is_read_first in [0, 3] {
            let disk = SimDisk::new();
            let store = chain(&disk, 4, len);
            harm(&store, &disk, &version(0, len));
            // Whichever is read, the base is found out, and all that rests on it.
            assert!(!reads(&store, 1, &version(is_read_first, len)));
            store.commit(Change::new()).unwrap();
            let wanted = |n: u64| {
                let digest = Digest::of(&version(n, len));
                !store.view().unwrap().has_blob(uid(1), &digest).unwrap()
            };
            assert!((0..4).all(wanted), "all are known to be damaged");
            let report = check(&store, false);
            let damaged = report.problems.iter().filter(|p| p.code == "E_BLOB_DAMAGED").count();
            assert_eq!((damaged, report.total_problems), (4, 4), "{:?}", report.problems);
            put(&store, 1, &version(0, len));
            assert!((0..4).all(|n| !wanted(n) && reads(&store, 1, &version(n, len))));
            assert!(check(&store, true).total_problems <= 1, "at most the old payload, dropped");
            drop(store);
            let store = on(&disk);
            assert_clean(&store);
            assert_eq!(rests_on(&store, &version(1, len)), Some(Digest::of(&version(0, len))));
        }
    }
}

/// What is damaged itself is healed by itself, and stands by itself then.
#[test]
fn a_damaged_version_leaves_its_base_alone() {
    for len in SIZES {
        let disk = SimDisk::new();
        let store = chain(&disk, 4, len);
        harm(&store, &disk, &version(1, len));
        assert!(reads(&store, 1, &version(0, len)));
        assert!((1..4).all(|n| !reads(&store, 1, &version(n, len))));
        // It is no base for what comes.
        put_on(&store, 1, &version(9, len), &version(3, len));
        assert_eq!(rests_on(&store, &version(9, len)), None);
        put(&store, 1, &version(2, len));
        assert!(!reads(&store, 1, &version(1, len)));
        assert!((2..4).all(|n| reads(&store, 1, &version(n, len))));
        put_on(&store, 1, &version(1, len), &version(0, len));
        assert_eq!(rests_on(&store, &version(1, len)), None, "what is healed begins anew");
        assert!((0..4).all(|n| reads(&store, 1, &version(n, len))));
        check(&store, true);
        assert_clean(&store);
    }
}

/// A base is kept for what cannot be read now, since the bytes may come back.
#[test]
fn a_base_stays_for_what_is_damaged() {
    let disk = SimDisk::new();
    let store = chain(&disk, 2, 9000);
    let (old, new) = (version(0, 9000), version(1, 9000));
    harm(&store, &disk, &new);
    unname(&store, 1, &old);
    collect(&store);
    assert!(explain(&store, &old).is_some_and(|old| old.tenants.is_empty()));
    put(&store, 1, &new);
    assert!(reads(&store, 1, &new));
    check(&store, true);
    collect(&store);
    assert!(explain(&store, &old).is_none());
    assert_clean(&store);
}

/// Garbage that is damaged, so that it does not even say what it rests on, goes with that.
#[test]
fn damaged_garbage_takes_its_base_along() {
    let disk = SimDisk::new();
    let store = on(&disk);
    // What differs is long enough for a segment.
    let (old, new) = (noise(1, 9000), [noise(1, 9000), noise(2, 6000)].concat());
    put(&store, 1, &old);
    put_on(&store, 1, &new, &old);
    assert!(explain(&store, &new).unwrap().place.starts_with("segment"));
    assert_eq!(rests_on(&store, &new), Some(Digest::of(&old)));
    harm(&store, &disk, &new);
    unname(&store, 1, &old);
    unname(&store, 1, &new);
    assert_eq!(collect(&store).deleted, 2);
    assert_clean(&store);
}

/// Whatever rows and frames say, a read ends, with the blob or with an error.
#[test]
fn chains_that_cannot_be_are_errors() {
    let (kv, segments) = (Arc::new(MemoryKv::new()), Arc::new(MemorySegments::new()));
    let store = Store::over(kv.clone(), segments, 64 << 10).unwrap();
    let versions: Vec<Vec<u8>> = (0..4).map(|n| version(n, 600)).collect();
    put(&store, 1, &versions[0]);
    for n in 1..4 {
        put_on(&store, 1, &versions[n], &versions[n - 1]);
    }
    let row = |n: usize| {
        let view = store.view().unwrap();
        view.get::<RawBlob>(&Digest::of(&versions[n])).unwrap().unwrap().0
    };
    let set = |n: usize, row: Option<Vec<u8>>| {
        let key = Digest::of(&versions[n]).as_bytes().to_vec();
        let writes = [((Table::Blob, key), row)].into();
        kv.commit(&[&Batch { checks: Vec::new(), writes }]).unwrap()[0].clone().unwrap();
    };
    let rows: Vec<Vec<u8>> = (0..4).map(row).collect();
    let codec = |n: usize, codec: u8| Some([&[codec], &rows[n][1..]].concat());
    // (Whose row, what it says, which of the versions can still be read.)
    let cases: [(usize, Option<Vec<u8>>, [bool; 4]); 8] = [
        (0, Some(rows[3].clone()), [false; 4]), // a circle: the first is where the last is
        (0, Some(rows[1].clone()), [false; 4]),
        (1, codec(1, 17), [true, true, false, false]), // as deep as the one above it
        (1, codec(1, 23), [true, true, false, false]), // deeper, up to the deepest that there is
        (1, codec(1, 24), [true, false, false, false]), // no codec
        (1, codec(1, 0), [true, false, false, false]), // by itself, it says
        (0, codec(0, 16), [false; 4]),                 // on another, it says
        (1, None, [true, false, false, false]),
    ];
    for (n, row, readable) in cases {
        set(n, row.clone());
        for (at, bytes) in versions.iter().enumerate() {
            assert_eq!(reads(&store, 1, bytes), readable[at], "{at} while {n} is {row:?}");
        }
        set(n, Some(rows[n].clone()));
        assert!(versions.iter().all(|bytes| reads(&store, 1, bytes)));
    }
}

/// A length that is too long for a base, in a row that is damaged, is not decoded.
#[test]
fn what_is_too_long_is_no_base() {
    let kv = Arc::new(MemoryKv::new());
    let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 64 << 10).unwrap();
    let (old, new) = (version(0, 600), version(1, 600));
    put(&store, 1, &old);
    put_on(&store, 1, &new, &old);
    let mut row = store.view().unwrap().get::<RawBlob>(&Digest::of(&old)).unwrap().unwrap().0;
    row[1..5].copy_from_slice(&(200_u32 << 20).to_be_bytes());
    let writes = [((Table::Blob, Digest::of(&old).as_bytes().to_vec()), Some(row))].into();
    kv.commit(&[&Batch { checks: Vec::new(), writes }]).unwrap()[0].clone().unwrap();
    assert!(!reads(&store, 1, &new));
}

/// Rows that say what rests on what are compared with the blobs, and made right.
#[test]
fn rows_that_say_otherwise_are_found_and_repaired() {
    let store = chain(&SimDisk::new(), 3, 9000);
    let digest = |n: u64| Digest::of(&version(n, 9000));
    let mut change = Change::new();
    change.put(&(digest(2), digest(0)), &RawRests(Vec::new())); // it does not
    change.put(&(digest(0), digest(7)), &RawRests(Vec::new())); // there is no such blob
    change.delete::<RawRests>(&(digest(0), digest(1))); // it does
    store.commit(change).unwrap();
    let report = check(&store, false);
    assert_eq!((report.total_problems, report.repaired), (3, 0), "{:?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.code == "E_REST"));
    let report = check(&store, true);
    assert_eq!((report.total_problems, report.repaired), (3, 3));
    assert_clean(&store);
    (0..2).for_each(|n| unname(&store, 1, &version(n, 9000)));
    assert_eq!(collect(&store).deleted, 2);
    assert!(reads(&store, 1, &version(2, 9000)));
}

/// A row that is left over does not keep a blob for ever.
#[test]
fn a_stray_row_keeps_nothing() {
    let store = chain(&SimDisk::new(), 1, 9000);
    let old = Digest::of(&version(0, 9000));
    let mut change = Change::new();
    change.put(&(old, Digest::of(b"of nobody")), &RawRests(Vec::new()));
    store.commit(change).unwrap();
    unname(&store, 1, &version(0, 9000));
    assert_eq!(collect(&store).deleted, 1);
    assert_clean(&store);
}

#[test]
fn a_backup_is_whole_and_so_is_what_is_moved() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SimDisk::new());
    let store = chain(&disk, 12, 9000);
    put(&store, 1, &noise(5, 15_000));
    put(&store, 1, &noise(6, 15_000));
    unname(&store, 1, &noise(5, 15_000));
    assert!(collect(&store).compacted_segments > 0);
    assert!((0..12).all(|n| reads(&store, 1, &version(n, 9000))));
    assert!(rests_on(&store, &version(1, 9000)).is_some(), "moved as it is");
    store.backup(&dir.path().join("backup"), &silent).unwrap();
    let to = dir.path().join("restored");
    let report = restore(&dir.path().join("backup"), &to, &silent).unwrap();
    assert!(report.check.is_clean(), "{:?}", report.check.problems);
    let store = Store::open(&to, &Options::default()).unwrap();
    assert!((0..12).all(|n| reads(&store, 1, &version(n, 9000))));
}

/// A crash at any operation of the collections that take a base from under what rests on it: it can be read,
/// and the next collection ends what was begun.
#[test]
fn a_crash_while_a_base_goes_loses_nothing() {
    let (old, new) = (version(0, 9000), version(2, 9000));
    let disk = SimDisk::new();
    let store = chain(&disk, 3, 9000);
    (0..2).for_each(|n| unname(&store, 1, &version(n, 9000)));
    disk.forget();
    assert_eq!(collect(&store).deleted, 2);
    drop(store);
    let mut seen = Seen::new();
    crashes(
        &disk,
        &ALL,
        &mut seen,
        |_| 0,
        |after, _| {
            let store = on(after);
            assert!(reads(&store, 1, &new));
            collect(&store);
            assert!(explain(&store, &old).is_none() && reads(&store, 1, &new));
            assert_clean(&store);
        },
    );
    assert!(seen.len() > 30, "only {} crashes were tried", seen.len());
}

/// Each operation of the disk fails once while a base goes.
#[test]
fn a_fault_while_a_base_goes_loses_nothing() {
    for nth in 1.. {
        let disk = SimDisk::new();
        let store = chain(&disk, 2, 9000);
        unname(&store, 1, &version(0, 9000));
        let mut left = nth;
        // No system goes on after a sync of names that failed.
        disk.fail_when(move |op| {
            let counts = !matches!(op, Op::SyncDir { .. });
            left -= i32::from(counts);
            (left == 0 && counts).then_some(EIO)
        });
        let options = GcOptions { grace_millis: 0, ..GcOptions::at(NOW) };
        let came_through = (0..2).all(|_| store.gc(&options, &silent).is_ok());
        disk.stop_failing();
        drop(store);
        let store = on(&disk);
        assert!(reads(&store, 1, &version(1, 9000)));
        collect(&store);
        assert!(explain(&store, &version(0, 9000)).is_none());
        assert_clean(&store);
        if came_through {
            assert!(nth > 5, "only {nth} faults were tried");
            return;
        }
    }
}

/// A place in a segment is read as a frame, whose codec counts; a row that says another is no way around.
#[test]
fn the_frame_decides_not_the_row() {
    let segments = Arc::new(MemorySegments::new());
    let store = Store::over(Arc::new(MemoryKv::new()), segments.clone(), 0).unwrap();
    let (old, new) = (version(0, 9000), version(1, 9000));
    put(&store, 1, &old);
    put_on(&store, 1, &new, &old);
    let row = store.view().unwrap().get::<RawBlob>(&Digest::of(&new)).unwrap().unwrap().0;
    let number = |at: usize| u64::from_be_bytes(row[at..at + 8].try_into().unwrap());
    let length = u32::from_be_bytes(row[22..26].try_into().unwrap());
    let at = Location { segment: number(6), offset: number(14), length };
    let frame = segments.read(&at).unwrap();
    assert_eq!((frame[4], row[0]), (16, 16), "the first depth");
    assert_eq!(frame[45..77], *Digest::of(&old).as_bytes(), "the payload begins with the base");
}
