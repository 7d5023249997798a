//! Damaged bytes are taken again from whoever brings them next, and never served in between.

use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::{
    Batch, Change, CommitError, Disk, Durability, Error, KeyRange, Kv, Options, Order, RedbKv,
    Store, Table,
};

use crate::sim::SimDisk;
use crate::support::{blob, noise, uid};

const SEGMENT: &str = "segments/0000000000000001.seg";

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), &Options::default()).unwrap()
}

fn put(store: &Store, tenant: u8, bytes: &[u8]) {
    let mut change = Change::new();
    change.blob(uid(tenant), blob(bytes));
    store.commit(change).unwrap();
}

fn has(store: &Store, tenant: u8, bytes: &[u8]) -> bool {
    store.view().unwrap().has_blob(uid(tenant), &Digest::of(bytes)).unwrap()
}

fn is_corrupt(store: &Store, tenant: u8, bytes: &[u8]) -> bool {
    let read = store.view().unwrap().read_blob(uid(tenant), &Digest::of(bytes));
    matches!(read, Err(Error::Corrupt { digest }) if digest == Digest::of(bytes))
}

fn is_whole(store: &Store, tenant: u8, bytes: &[u8]) -> bool {
    let read = store.view().unwrap().read_blob(uid(tenant), &Digest::of(bytes));
    read.is_ok_and(|read| read.as_deref() == Some(bytes)) && has(store, tenant, bytes)
}

/// The first blob of every store here, inline or in a segment.
fn small() -> Vec<u8> {
    b"print('hello')\n".to_vec()
}

fn large() -> Vec<u8> {
    noise(1, 9000)
}

/// The blobs that lie next to the first.
fn neighbours() -> [Vec<u8>; 2] {
    [b"print('next')\n".to_vec(), noise(2, 9000)]
}

fn rows(disk: &SimDisk) -> RedbKv {
    RedbKv::open(Arc::new(disk.clone()), Durability::Full, 1 << 20).unwrap()
}

/// What is to be left of a row.
type HarmRow = fn(&[u8]) -> Option<Vec<u8>>;

fn harm_row(disk: &SimDisk, table: Table, key: &[u8], harm: HarmRow) {
    let kv = rows(disk);
    let value = kv.snapshot().unwrap().get(table, key).unwrap().unwrap();
    let writes = [((table, key.to_vec()), harm(&value))].into();
    kv.commit(&[&Batch { checks: Vec::new(), writes }]).unwrap()[0].clone().unwrap();
}

const FLIP_LAST: HarmRow = |value| {
    let (last, rest) = value.split_last()?;
    Some([rest, &[last ^ 1]].concat())
};
const CUT: HarmRow = |value| Some(value[1..].to_vec());
const GONE: HarmRow = |_| None;

fn harm_inline(disk: &SimDisk, harm: HarmRow) {
    harm_row(disk, Table::Inline, &0_u64.to_be_bytes(), harm);
}

fn harm_place(disk: &SimDisk, bytes: &[u8], harm: HarmRow) {
    harm_row(disk, Table::Blob, Digest::of(bytes).as_bytes(), harm);
}

fn flip_segment(disk: &SimDisk) {
    let (file, mut byte) = (disk.open(SEGMENT).unwrap(), [0]);
    file.read_at(100, &mut byte).unwrap();
    file.write_at(100, &[byte[0] ^ 0x10]).unwrap();
    file.sync().unwrap();
}

fn cut_segment(disk: &SimDisk, len: u64) {
    disk.open(SEGMENT).unwrap().set_len(len).unwrap();
}

/// One way to harm a blob: which one, how, and whether the blobs next to it are spared.
type Harm = (&'static str, fn() -> Vec<u8>, fn(&SimDisk), bool);

const HARMS: [Harm; 12] = [
    ("an inline row with a flipped bit", small, |disk| harm_inline(disk, FLIP_LAST), true),
    ("an inline row that is cut", small, |disk| harm_inline(disk, CUT), true),
    ("no inline row", small, |disk| harm_inline(disk, GONE), true),
    ("a row that names another's bytes", small, |disk| harm_place(disk, &small(), FLIP_LAST), true),
    ("a row that does not parse", small, |disk| harm_place(disk, &small(), CUT), true),
    ("no row", small, |disk| harm_place(disk, &small(), GONE), true),
    ("no row of a large blob", large, |disk| harm_place(disk, &large(), GONE), true),
    ("a row with a wrong length", large, |disk| harm_place(disk, &large(), FLIP_LAST), true),
    ("a segment with a flipped bit", large, flip_segment, true),
    ("a segment that is cut", large, |disk| cut_segment(disk, 5000), false),
    ("an empty segment", large, |disk| cut_segment(disk, 0), false),
    ("no segment", large, |disk| disk.remove(SEGMENT).unwrap(), false),
];

/// A closed store with a blob of tenants 1 and 2, and its neighbours.
fn stored(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(&store, 1, bytes);
    put(&store, 2, bytes);
    for bytes in neighbours() {
        put(&store, 1, &bytes);
    }
    drop(store);
    disk
}

fn quarantined(disk: &SimDisk) -> usize {
    let (kv, all) = (rows(disk), KeyRange::prefix(b""));
    kv.snapshot().unwrap().range(Table::Quarantine, &all, Order::Ascending, 100).unwrap().len()
}

/// One tenant's read finds the damage, all are told that the blob is wanted, a third brings it, and
/// all have it again, also after opening the store again.
#[test]
fn what_a_read_found_damaged_is_healed_by_the_next_put() {
    for (harm, bytes, damage, spares) in HARMS {
        let (bytes, disk) = (bytes(), stored(&bytes()));
        damage(&disk);
        let store = open(&disk);
        assert!(is_corrupt(&store, 2, &bytes), "{harm}");
        assert!(!has(&store, 1, &bytes) && !has(&store, 2, &bytes), "{harm}");
        put(&store, 3, &bytes);
        let check = |store: &Store| {
            assert!((1..=3).all(|tenant| is_whole(store, tenant, &bytes)), "{harm}");
            let whole = neighbours().iter().all(|bytes| !spares || is_whole(store, 1, bytes));
            assert!(whole, "{harm} took a neighbour along");
        };
        check(&store);
        drop(store);
        assert_eq!(quarantined(&disk), 0, "{harm}");
        let store = open(&disk);
        check(&store);
        for bytes in neighbours() {
            assert!(
                spares || is_corrupt(&store, 1, &bytes) || is_whole(&store, 1, &bytes),
                "{harm}"
            );
            put(&store, 1, &bytes);
            assert!(is_whole(&store, 1, &bytes), "{harm}");
        }
    }
}

/// What was found is remembered, so that nobody relies on the bytes before they are read again.
#[test]
fn damage_is_remembered_until_it_is_healed() {
    for (harm, bytes, damage, _) in HARMS {
        let (bytes, disk) = (bytes(), stored(&bytes()));
        damage(&disk);
        let store = open(&disk);
        assert!(has(&store, 1, &bytes), "{harm}: nobody has looked yet");
        assert!(is_corrupt(&store, 1, &bytes), "{harm}");
        store.commit(Change::new()).unwrap();
        drop(store);
        assert_eq!(quarantined(&disk), 1, "{harm}");
        let store = open(&disk);
        assert!(!has(&store, 1, &bytes) && !has(&store, 2, &bytes), "{harm}");
        assert!(is_corrupt(&store, 1, &bytes), "{harm}");
        put(&store, 2, &bytes);
        assert!(is_whole(&store, 1, &bytes), "{harm}");
    }
}

/// A reader of an old state may find damage that is healed by now. The writer looks for itself.
#[test]
fn old_damage_does_not_count() {
    let (bytes, disk) = (small(), stored(&small()));
    harm_inline(&disk, FLIP_LAST);
    let store = open(&disk);
    assert!(is_corrupt(&store, 1, &bytes));
    let old = store.view().unwrap();
    put(&store, 2, &bytes);
    assert!(is_whole(&store, 1, &bytes));
    assert!(matches!(old.read_blob(uid(1), &Digest::of(&bytes)), Err(Error::Corrupt { .. })));
    store.commit(Change::new()).unwrap();
    assert!(is_whole(&store, 1, &bytes));
    drop((old, store));
    assert_eq!(quarantined(&disk), 0);
}

/// The same bytes twice in the group that heals, and a second heal of the same blob.
#[test]
fn a_blob_is_healed_as_often_as_it_is_damaged() {
    let (bytes, disk) = (large(), stored(&large()));
    for _ in 0..3 {
        harm_place(&disk, &bytes, GONE);
        let store = open(&disk);
        assert!(is_corrupt(&store, 1, &bytes));
        let mut change = Change::new();
        change.blob(uid(1), blob(&bytes)).blob(uid(4), blob(&bytes));
        store.commit(change).unwrap();
        assert!(is_whole(&store, 1, &bytes) && is_whole(&store, 4, &bytes));
    }
}

/// Whoever may not read a blob neither learns that it is damaged nor reports it.
#[test]
fn damage_is_no_news_to_strangers() {
    let (bytes, disk) = (large(), stored(&large()));
    flip_segment(&disk);
    let store = open(&disk);
    let read = store.view().unwrap().read_blob(uid(9), &Digest::of(&bytes)).unwrap();
    assert_eq!(read, None);
    assert!(has(&store, 1, &bytes), "nobody found anything");
}

/// A sector that cannot be read is damage: it is not served, and the bytes are taken anew. The rest
/// of the store goes on.
#[test]
fn bytes_that_the_disk_cannot_read_are_healed() {
    let (bytes, disk) = (large(), stored(&large()));
    let store = open(&disk);
    disk.set_unreadable(true);
    assert!(is_corrupt(&store, 1, &bytes));
    put(&store, 3, b"something else");
    assert!(!has(&store, 1, &bytes));
    disk.set_unreadable(false);
    put(&store, 2, &bytes);
    assert!(is_whole(&store, 1, &bytes));
}

/// A group that does not fit on the disk records nothing, and forgets nothing either.
#[test]
fn damage_that_was_found_on_a_full_disk_is_not_forgotten() {
    for (bytes, refused) in [(large(), noise(3, 90_000)), (large(), large())] {
        let disk = stored(&bytes);
        flip_segment(&disk);
        let store = open(&disk);
        assert!(is_corrupt(&store, 1, &bytes));
        disk.set_capacity(Some(disk.used()));
        let mut change = Change::new();
        change.blob(uid(3), blob(&refused));
        assert!(matches!(store.commit(change), Err(CommitError::Full { .. })));
        assert!(!has(&store, 1, &bytes));
        disk.set_capacity(None);
        store.commit(Change::new()).unwrap();
        drop(store);
        assert_eq!(quarantined(&disk), 1);
        let store = open(&disk);
        put(&store, 3, &bytes);
        assert!(is_whole(&store, 1, &bytes));
    }
}
