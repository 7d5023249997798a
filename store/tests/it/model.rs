//! The whole store against a plain map: builds with blobs, some of them stale, some not waited for,
//! and the directory opened again in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use colophon_model::Digest;
use colophon_store::rows::TenantHead;
use colophon_store::{CommitError, Durability, Options, Store, Ticket};
use proptest::prelude::*;

use crate::support::{blob, build, head, noise, uid};

const TENANTS: u8 = 3;
const CONTENTS: u8 = 10;

#[derive(Debug, Clone)]
enum Op {
    /// A build of a tenant with some contents; a stale one rests on a head that never was.
    Build { tenant: u8, stale: bool, contents: Vec<u8>, wait: bool },
    /// Everything is waited for, and the directory is opened again.
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let contents = proptest::collection::vec(0..CONTENTS, 0..4);
    let build = (0..TENANTS, proptest::bool::weighted(0.2), contents, any::<bool>())
        .prop_map(|(tenant, stale, contents, wait)| Op::Build { tenant, stale, contents, wait });
    proptest::collection::vec(prop_oneof![8 => build, 1 => Just(Op::Reopen)], 1..30)
}

/// Odd contents are small, even ones go to segments.
fn bytes(content: u8) -> Vec<u8> {
    if content % 2 == 1 { vec![content; 50] } else { noise(content.into(), 5000) }
}

#[derive(Default)]
struct Model {
    builds: BTreeMap<u8, u64>,
    blobs: BTreeSet<(u8, u8)>,
}

struct Run {
    store: Store,
    model: Model,
    /// Tickets with whether their change must be refused.
    waiting: Vec<(Ticket, bool)>,
}

impl Run {
    fn on(store: Store) -> Self {
        Self { store, model: Model::default(), waiting: Vec::new() }
    }

    fn build(&mut self, tenant: u8, stale: bool, contents: &[u8], wait: bool) {
        let lane = self.store.lane(uid(tenant));
        let view = lane.view().unwrap();
        self.check_tenant(&view, tenant);
        let mut old = head(&view, uid(tenant));
        if stale {
            old = Some(TenantHead { builds: 1000, ..TenantHead::default() });
        }
        let (mut change, _) = build(uid(tenant), old.as_ref());
        for content in contents {
            change.blob(uid(tenant), blob(&bytes(*content)));
        }
        let ticket = lane.submit(change);
        self.waiting.push((ticket, stale));
        // A stale change is pending like any other until it is answered, so wait for it.
        if wait || stale {
            self.settle();
        }
        if !stale {
            *self.model.builds.entry(tenant).or_default() += 1;
            self.model.blobs.extend(contents.iter().map(|content| (tenant, *content)));
        }
    }

    fn settle(&mut self) {
        for (ticket, refused) in self.waiting.drain(..) {
            let result = ticket.wait();
            assert_eq!(matches!(result, Err(CommitError::Conflict(_))), refused, "{result:?}");
            assert!(refused || result.is_ok());
        }
    }

    fn check_tenant(&self, view: &colophon_store::View, tenant: u8) {
        let builds = head(view, uid(tenant)).map(|head| head.builds);
        assert_eq!(builds, self.model.builds.get(&tenant).copied());
        for content in 0..CONTENTS {
            let bytes = bytes(content);
            let read = view.read_blob(uid(tenant), &Digest::of(&bytes)).unwrap();
            let there = self.model.blobs.contains(&(tenant, content));
            assert_eq!(read, there.then_some(bytes));
        }
    }

    fn check_all(&mut self) {
        self.settle();
        let view = self.store.view().unwrap();
        (0..TENANTS).for_each(|tenant| self.check_tenant(&view, tenant));
    }
}

fn play(ops: &[Op], store: Store, reopen: impl Fn(Store) -> Store) {
    let mut run = Run::on(store);
    for op in ops {
        match op {
            Op::Build { tenant, stale, contents, wait } => {
                run.build(*tenant, *stale, contents, *wait);
            }
            Op::Reopen => {
                run.settle();
                run.store = reopen(run.store);
            }
        }
    }
    run.check_all();
}

fn open(dir: &Path) -> Store {
    let options = Options {
        durability: Durability::Fast,
        cache_bytes: 1 << 20,
        segment_max: 16 << 10,
        ..Options::default()
    };
    Store::open(dir, &options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_on_disk_is_a_map(ops in ops()) {
        let dir = tempfile::tempdir().unwrap();
        play(&ops, open(dir.path()), |store| {
            drop(store);
            open(dir.path())
        });
    }

    #[test]
    fn a_store_in_memory_is_a_map(ops in ops()) {
        play(&ops, Store::in_memory().unwrap(), |store| store);
    }
}
