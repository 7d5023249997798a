//! Bytes are shared below, visible per tenant above.

use std::sync::Arc;

use colophon_model::Digest;
use colophon_store::{
    Change, KeyRange, Kv, MemoryKv, MemorySegments, Order, Segments, Store, Table,
};

use crate::support::{blob, noise, uid};

fn rows(kv: &dyn Kv, table: Table) -> usize {
    let all = KeyRange::prefix(b"");
    kv.snapshot().unwrap().range(table, &all, Order::Ascending, usize::MAX).unwrap().len()
}

/// The same bytes in one group, in the next group and of another tenant are written once.
#[test]
fn blobs_are_stored_once_and_seen_by_their_tenants_only() {
    let (kv, segments) = (Arc::new(MemoryKv::new()), Arc::new(MemorySegments::new()));
    let store = Store::over(kv.clone(), segments.clone(), 4096).unwrap();
    let contents = [b"small".to_vec(), noise(1, 9000)];
    for tenant in [1, 1, 2] {
        let mut change = Change::new();
        for bytes in contents.iter().chain(&contents) {
            change.blob(uid(tenant), blob(bytes));
        }
        store.lane(uid(tenant)).submit(change).wait().unwrap();
    }
    assert_eq!(rows(&*kv, Table::Blob), 2);
    assert_eq!(rows(&*kv, Table::Inline), 1);
    assert_eq!(rows(&*kv, Table::Member), 4);
    let only = colophon_store::Location { segment: 1, offset: 0, length: 9049 };
    assert!(segments.read(&only).is_ok());
    assert!(segments.read(&colophon_store::Location { length: 9050, ..only }).is_err());

    let view = store.view().unwrap();
    for bytes in contents {
        let digest = Digest::of(&bytes);
        assert_eq!(view.read_blob(uid(2), &digest).unwrap(), Some(bytes));
        assert!(!view.has_blob(uid(3), &digest).unwrap());
        assert_eq!(view.read_blob(uid(3), &digest).unwrap(), None);
    }
}

/// The bytes of a refused change may stay behind, but nobody can read them, and the next put of
/// the same bytes uses them.
#[test]
fn a_refused_change_lets_nobody_read_its_blobs() {
    let kv = Arc::new(MemoryKv::new());
    let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 4096).unwrap();
    let digest = Digest::of(b"refused");
    let change = |expects_tenant: bool| {
        let mut change = Change::new();
        if expects_tenant {
            change.expect(&uid(1), Some(&colophon_store::rows::TenantHead::default()));
        }
        change.blob(uid(1), blob(b"refused"));
        change
    };
    assert!(store.lane(uid(1)).submit(change(true)).wait().is_err());
    assert_eq!(store.view().unwrap().read_blob(uid(1), &digest).unwrap(), None);
    store.lane(uid(1)).submit(change(false)).wait().unwrap();
    assert!(store.view().unwrap().read_blob(uid(1), &digest).unwrap().is_some());
    assert_eq!(rows(&*kv, Table::Inline), 1);
}
