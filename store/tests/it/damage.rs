//! Damaged bytes are never served, wherever the damage is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::rows::TenantHead;
use colophon_store::{
    Batch, Change, Error, KeyRange, Kv, MemoryKv, MemorySegments, Options, Order, Store, Table,
    Writes,
};

use crate::support::{blob, noise, uid};

fn is_corrupt(store: &Store, bytes: &[u8]) -> bool {
    let digest = Digest::of(bytes);
    let read = store.view().unwrap().read_blob(uid(1), &digest);
    matches!(read, Err(Error::Corrupt { digest: named }) if named == digest)
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("segments/0000000000000001.seg")
}

/// Every byte of a frame counts: each one flipped gives `Corrupt`, and flipped back the blob is
/// served again.
#[test]
fn any_flipped_byte_of_a_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options { inline_max: 0, ..Options::default() }).unwrap();
    let bytes = b"print('hello')\n".to_vec();
    let mut change = Change::new();
    change.blob(uid(1), blob(&bytes));
    store.lane(uid(1)).submit(change).wait().unwrap();
    let whole = fs::read(segment(dir.path())).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(segment(dir.path()), damaged).unwrap();
        assert!(is_corrupt(&store, &bytes), "byte {at}");
    }
    fs::write(segment(dir.path()), &whole).unwrap();
    assert!(!is_corrupt(&store, &bytes));
}

#[test]
fn a_cut_or_missing_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(1, 9000);
    let open = || Store::open(dir.path(), &Options::default()).unwrap();
    let store = open();
    let mut change = Change::new();
    change.blob(uid(1), blob(&bytes));
    store.lane(uid(1)).submit(change).wait().unwrap();
    drop(store);
    fs::OpenOptions::new().write(true).open(segment(dir.path())).unwrap().set_len(5000).unwrap();
    assert!(is_corrupt(&open(), &bytes));
    fs::remove_file(segment(dir.path())).unwrap();
    assert!(is_corrupt(&open(), &bytes));
}

/// Replaces every row of `table` by what `damage` makes of it.
fn damage_rows(kv: &dyn Kv, table: Table, damage: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let all = KeyRange::prefix(b"");
    let rows = kv.snapshot().unwrap().range(table, &all, Order::Ascending, 100).unwrap();
    assert!(!rows.is_empty());
    let writes: Writes =
        rows.into_iter().map(|(key, value)| ((table, key), damage(value))).collect();
    kv.commit(&[&Batch { checks: Vec::new(), writes }]).unwrap()[0].clone().unwrap();
}

type Damage<'a> = &'a dyn Fn(Vec<u8>) -> Option<Vec<u8>>;

fn flip_last(mut value: Vec<u8>) -> Vec<u8> {
    *value.last_mut().unwrap() ^= 1;
    value
}

#[test]
fn damaged_blob_rows_are_noticed() {
    let cut = |value: Vec<u8>| Some(value[1..].to_vec());
    let damages: [(Table, Damage<'_>); 6] = [
        (Table::Inline, &|value| Some(flip_last(value))),
        (Table::Inline, &cut),
        (Table::Inline, &|_| None),
        (Table::Blob, &|value| Some(flip_last(value))),
        (Table::Blob, &cut),
        (Table::Blob, &|_| None),
    ];
    for (table, damage) in damages {
        let kv = Arc::new(MemoryKv::new());
        let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 4096).unwrap();
        let mut change = Change::new();
        change.blob(uid(1), blob(b"inline"));
        store.lane(uid(1)).submit(change).wait().unwrap();
        damage_rows(&*kv, table, damage);
        assert!(is_corrupt(&store, b"inline"), "{table}");
    }
}

#[test]
fn a_damaged_row_is_an_error_with_its_table() {
    let kv = Arc::new(MemoryKv::new());
    let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 4096).unwrap();
    let mut change = Change::new();
    change.put(&uid(1), &TenantHead::default());
    store.commit(change).unwrap();
    damage_rows(&*kv, Table::TenantHead, |value| Some(flip_last(value)));
    let read = store.view().unwrap().get::<TenantHead>(&uid(1));
    assert!(matches!(read, Err(Error::Row { table: Table::TenantHead, .. })));
    let view = store.view().unwrap();
    let scanned: Vec<_> = view.scan::<TenantHead>(&uid(1)).collect();
    assert!(matches!(scanned.as_slice(), [Err(Error::Row { .. })]));
}
