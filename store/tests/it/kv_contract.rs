//! One contract for every implementation of `Kv`, as fixed cases and against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use colophon_store::{
    Batch, Check, Durability, KeyRange, Kv, MemoryKv, Order, OsDisk, RedbKv, Table,
};
use proptest::prelude::*;

use crate::sim::SimDisk;

const CACHE: usize = 1 << 20;

/// Every implementation, empty.
fn implementations() -> Vec<(&'static str, Box<dyn Kv>)> {
    let redb =
        |durability| Box::new(RedbKv::open(Arc::new(SimDisk::new()), durability, CACHE).unwrap());
    vec![
        ("memory", Box::new(MemoryKv::new())),
        ("redb, full", redb(Durability::Full)),
        ("redb, fast", redb(Durability::Fast)),
    ]
}

fn batch(checks: Vec<Check>, writes: &[(&str, Option<&str>)]) -> Batch {
    let write = |(key, value): &(&str, Option<&str>)| {
        ((Table::Ref, key.as_bytes().to_vec()), value.map(|v| v.as_bytes().to_vec()))
    };
    Batch { checks, writes: writes.iter().map(write).collect() }
}

fn absent(key: &str) -> Check {
    Check::Absent { table: Table::Ref, key: key.into() }
}

fn equals(key: &str, value: &str) -> Check {
    Check::Equals { table: Table::Ref, key: key.into(), value: value.into() }
}

fn prefix_empty(prefix: &str) -> Check {
    Check::PrefixEmpty { table: Table::Ref, prefix: prefix.into() }
}

fn value(kv: &dyn Kv, key: &str) -> Option<String> {
    let value = kv.snapshot().unwrap().get(Table::Ref, key.as_bytes()).unwrap();
    value.map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn later_batches_see_earlier_ones_and_a_conflict_leaves_the_others() {
    for (name, kv) in implementations() {
        let batches = [
            batch(vec![absent("a")], &[("a", Some("1"))]),
            batch(vec![equals("a", "0")], &[("a", Some("lost")), ("b", Some("lost"))]),
            batch(vec![equals("a", "1"), absent("b")], &[("a", Some("2"))]),
            batch(vec![prefix_empty("a")], &[("c", Some("lost"))]),
            batch(vec![equals("a", "2")], &[("a", None)]),
            batch(vec![prefix_empty("a"), absent("a")], &[("d", Some(""))]),
        ];
        let results = kv.commit(&batches.iter().collect::<Vec<_>>()).unwrap();
        let held: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(held, [true, false, true, false, true, true], "{name}");
        let conflict = results[1].clone().unwrap_err();
        assert_eq!((conflict.table, conflict.key), (Table::Ref, b"a".to_vec()), "{name}");
        for lost in ["a", "b", "c"] {
            assert_eq!(value(&*kv, lost), None, "{name}");
        }
        assert_eq!(value(&*kv, "d").as_deref(), Some(""), "{name}: empty is not absent");
    }
}

#[test]
fn a_snapshot_does_not_move() {
    for (name, kv) in implementations() {
        kv.commit(&[&batch(vec![], &[("a", Some("1")), ("b", Some("1"))])]).unwrap();
        let before = kv.snapshot().unwrap();
        kv.commit(&[&batch(vec![], &[("a", Some("2")), ("b", None), ("c", Some("2"))])]).unwrap();
        let all = KeyRange::prefix(b"");
        let rows = before.range(Table::Ref, &all, Order::Ascending, 10).unwrap();
        assert_eq!(
            rows,
            [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"1".to_vec())],
            "{name}"
        );
        assert_eq!(before.get(Table::Ref, b"c").unwrap(), None, "{name}");
        assert_eq!(value(&*kv, "a").as_deref(), Some("2"), "{name}");
    }
}

#[test]
fn an_empty_range_has_no_rows_and_tables_are_apart() {
    for (name, kv) in implementations() {
        kv.commit(&[&batch(vec![], &[("a", Some("1"))])]).unwrap();
        let snapshot = kv.snapshot().unwrap();
        let backwards = KeyRange { start: b"b".to_vec(), end: Some(b"a".to_vec()) };
        for order in [Order::Ascending, Order::Descending] {
            assert!(snapshot.range(Table::Ref, &backwards, order, 9).unwrap().is_empty(), "{name}");
        }
        for table in Table::ALL.iter().filter(|table| **table != Table::Ref) {
            assert_eq!(snapshot.get(*table, b"a").unwrap(), None, "{name}");
        }
    }
}

#[test]
fn a_file_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(OsDisk::open(dir.path(), "").unwrap());
        RedbKv::open(disk, Durability::Full, CACHE).unwrap()
    };
    open().commit(&[&batch(vec![], &[("a", Some("1"))])]).unwrap();
    assert_eq!(value(&open(), "a").as_deref(), Some("1"));
}

/// Rows in new storage are the same rows, and whoever still reads the old ones can.
#[test]
fn rewriting_changes_no_row_and_no_snapshot() {
    for (name, kv) in implementations() {
        kv.commit(&[&batch(vec![], &[("a", Some("1")), ("b", Some("1"))])]).unwrap();
        kv.commit(&[&batch(vec![], &[("b", None)])]).unwrap();
        let before = kv.snapshot().unwrap();
        kv.rewrite().unwrap();
        assert_eq!(value(&*kv, "a").as_deref(), Some("1"), "{name}");
        assert_eq!(value(&*kv, "b"), None, "{name}");
        kv.commit(&[&batch(vec![equals("a", "1")], &[("a", Some("2"))])]).unwrap()[0]
            .clone()
            .unwrap();
        kv.rewrite().unwrap();
        assert_eq!(value(&*kv, "a").as_deref(), Some("2"), "{name}");
        assert_eq!(before.get(Table::Ref, b"a").unwrap().as_deref(), Some(&b"1"[..]), "{name}");
    }
}

/// A rewrite leaves one file behind, without a byte of what was deleted, and the next handle opens
/// that one.
#[test]
fn a_rewritten_file_holds_nothing_that_was_deleted() {
    let disk = SimDisk::new();
    let open = || RedbKv::open(Arc::new(disk.clone()), Durability::Full, CACHE).unwrap();
    let holds = |text: &str| {
        let has = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        disk.files().values().any(has)
    };
    let kv = open();
    kv.commit(&[&batch(vec![], &[("a", Some("what was deleted")), ("b", Some("what stays"))])])
        .unwrap();
    kv.commit(&[&batch(vec![], &[("a", None)])]).unwrap();
    assert!(holds("what was deleted"), "redb leaves it in a free page");
    kv.rewrite().unwrap();
    drop(kv);
    let names: Vec<String> = disk.files().into_keys().collect();
    assert_eq!(names, ["CURRENT", "meta.2.redb"]);
    assert!(!holds("what was deleted") && holds("what stays"));
    assert_eq!(value(&open(), "b").as_deref(), Some("what stays"));
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn model_commit(model: &mut Model, batch: &Batch) -> bool {
    let holds = |check: &Check| match check {
        Check::Absent { table, key } => !model.contains_key(&(*table, key.clone())),
        Check::Equals { table, key, value } => model.get(&(*table, key.clone())) == Some(value),
        Check::PrefixEmpty { table, prefix } => {
            !model.keys().any(|(t, key)| t == table && key.starts_with(prefix))
        }
    };
    let held = batch.checks.iter().all(holds);
    for (place, value) in batch.writes.iter().filter(|_| held) {
        match value {
            Some(value) => model.insert(place.clone(), value.clone()),
            None => model.remove(place),
        };
    }
    held
}

fn tables() -> impl Strategy<Value = Table> {
    prop_oneof![Just(Table::Ref), Just(Table::GitLog)]
}

/// Few and short keys, so that checks, overwrites and prefixes meet.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(7), Just(255)], 0..3)
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..2, 0..2)
}

fn checks() -> impl Strategy<Value = Check> {
    prop_oneof![
        (tables(), keys()).prop_map(|(table, key)| Check::Absent { table, key }),
        (tables(), keys(), values()).prop_map(|(table, key, value)| Check::Equals {
            table,
            key,
            value
        }),
        (tables(), keys()).prop_map(|(table, prefix)| Check::PrefixEmpty { table, prefix }),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let writes =
        proptest::collection::btree_map((tables(), keys()), proptest::option::of(values()), 0..5);
    let batch = (proptest::collection::vec(checks(), 0..2), writes)
        .prop_map(|(checks, writes)| Batch { checks, writes });
    proptest::collection::vec(batch, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is committed and asked, every implementation answers as a plain map does.
    #[test]
    fn every_implementation_is_a_map(
        groups in proptest::collection::vec(batches(), 1..6),
        prefix in keys(),
        from in keys(),
        limit in 0..6_usize,
    ) {
        for (name, kv) in implementations() {
            let mut model = Model::new();
            for group in &groups {
                let results = kv.commit(&group.iter().collect::<Vec<_>>()).unwrap();
                let held: Vec<bool> = results.iter().map(Result::is_ok).collect();
                let expected: Vec<bool> =
                    group.iter().map(|batch| model_commit(&mut model, batch)).collect();
                prop_assert_eq!(held, expected, "{}", name);
            }
            let snapshot = kv.snapshot().unwrap();
            for order in [Order::Ascending, Order::Descending] {
                let range = KeyRange::prefix(&prefix).starting_at(&from, order);
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|((table, key), _)| *table == Table::Ref && range.contains(key))
                    .map(|((_, key), value)| (key.clone(), value.clone()))
                    .collect();
                if order == Order::Descending {
                    expected.reverse();
                }
                expected.truncate(limit);
                let rows = snapshot.range(Table::Ref, &range, order, limit).unwrap();
                prop_assert_eq!(rows, expected, "{}", name);
            }
            for ((table, key), value) in &model {
                let read = snapshot.get(*table, key).unwrap();
                prop_assert_eq!(read.as_ref(), Some(value));
            }
        }
    }
}
