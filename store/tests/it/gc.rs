//! Garbage collection: what something names stays, what nothing names goes, and its space with it.

use std::cell::Cell;
use std::fs;

use colophon_model::{Digest, UnixMillis};
use colophon_store::rows::{TenantHead, TufFile};
use colophon_store::{
    Change, CommitError, Durability, GcOptions, GcReport, Options, Progress, PurgeOptions, Store,
    Table,
};

use crate::support::{blob, noise, uid};
use crate::world::{Built, Tenant};

const HOUR: u64 = 60 * 60 * 1000;

fn at(hour: u64) -> UnixMillis {
    UnixMillis::new(1_800_000_000_000 + hour * HOUR)
}

fn silent(_: Progress) {}

fn gc(store: &Store, hour: u64) -> GcReport {
    store.gc(&GcOptions::at(at(hour)), &silent).unwrap()
}

/// Without a grace, everything that nothing names goes in the second pass.
fn gc_at_once(store: &Store, hour: u64) -> GcReport {
    let options = GcOptions { grace_millis: 0, ..GcOptions::at(at(hour)) };
    store.gc(&options, &silent).unwrap();
    store.gc(&options, &silent).unwrap()
}

/// A row that names a blob, and the blob.
fn name(tenant: u8, file: &str, bytes: &[u8]) -> Change {
    let mut change = Change::new();
    change.put(&uid(tenant), &TenantHead::default());
    change.put(&(uid(tenant), file.to_owned()), &TufFile { digest: Digest::of(bytes) });
    change.blob(uid(tenant), blob(bytes));
    change
}

fn unname(tenant: u8, file: &str) -> Change {
    let mut change = Change::new();
    change.delete::<TufFile>(&(uid(tenant), file.to_owned()));
    change
}

fn has(store: &Store, tenant: u8, bytes: &[u8]) -> bool {
    let read = store.view().unwrap().read_blob(uid(tenant), &Digest::of(bytes)).unwrap();
    read.inspect(|read| assert_eq!(read, bytes)).is_some()
}

/// Each way in which a row names a blob keeps it, through any number of collections, also after all
/// that is kept for a time is gone.
#[test]
fn whatever_a_row_names_is_kept() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, at(0));
    let builds: Vec<Built> =
        (0..3).map(|n| tenant.build(&store, format!("content {n}").as_bytes(), at(n))).collect();
    gc_at_once(&store, 100);
    let view = store.view().unwrap();
    for built in &builds {
        for digest in built.lasting().iter().chain([&built.provenance]) {
            assert!(view.read_blob(tenant.uid, digest).unwrap().is_some(), "{built:?}");
        }
    }
    drop(view);

    let options = PurgeOptions {
        now: at(1000),
        keep_millis: 24 * HOUR,
        quota_window_millis: 24 * HOUR,
        claim_millis: 24 * HOUR,
        delivery_millis: 24 * HOUR,
        body_millis: 24 * HOUR,
        origin_millis: 24 * HOUR,
        event_millis: u64::MAX,
        dry_run: false,
    };
    store.purge(tenant.uid, &options).unwrap();
    gc_at_once(&store, 1000);
    let view = store.view().unwrap();
    for built in &builds {
        let current = built == builds.last().unwrap();
        assert_eq!(
            view.has_blob(tenant.uid, &built.provenance).unwrap(),
            current,
            "its provenance"
        );
        for digest in built.lasting() {
            assert!(view.read_blob(tenant.uid, &digest).unwrap().is_some(), "{built:?}");
        }
    }
}

/// A tenant made by format 1 has no rows for planted files and manifests: its Git log names them.
#[test]
fn tenants_of_format_1_keep_what_their_git_log_names() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, at(0));
    let built = tenant.build(&store, b"named by the log", at(0));
    let mut change = Change::new();
    change.delete::<colophon_store::rows::Planted>(&(tenant.uid, "README.md".to_owned()));
    change.delete::<colophon_model::BuildRecord>(&(tenant.uid, built.id));
    change.delete::<colophon_store::rows::BundleAlias>(&(tenant.uid, built.sha256));
    store.commit(change).unwrap();
    gc_at_once(&store, 1);
    assert!(store.view().unwrap().has_blob(tenant.uid, &built.file).unwrap());
    assert!(!store.view().unwrap().has_blob(tenant.uid, &built.script).unwrap());
}

#[test]
fn what_nothing_names_is_condemned_first_and_deleted_after_the_grace() {
    let store = Store::in_memory().unwrap();
    store.commit(name(1, "a", b"gone soon")).unwrap();
    store.commit(unname(1, "a")).unwrap();
    assert_eq!(gc(&store, 0).condemned, 1);
    assert!(has(&store, 1, b"gone soon"), "the condemned are still read");
    let early = gc(&store, 23);
    assert_eq!((early.condemned, early.waiting, early.released), (0, 1, 0));
    let due = gc(&store, 24);
    assert_eq!((due.released, due.deleted, due.waiting), (1, 1, 0));
    assert!(!has(&store, 1, b"gone soon"));
    let nothing = gc(&store, 48);
    assert_eq!((nothing.blobs, nothing.reached, nothing.released), (0, 0, 0));
}

/// What was deleted from the metadata comes back to the file system once most of a large file is
/// free, and every row stays.
#[test]
fn sparse_metadata_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::Fast,
        inline_max: 1 << 20,
        inline_per_group: 1 << 20,
        ..Options::default()
    };
    let store = Store::open(dir.path(), &options).unwrap();
    for n in 0..90_u64 {
        store.commit(name(1, &n.to_string(), &noise(n, 1_000_000))).unwrap();
    }
    (1..90_u64).for_each(|n| store.commit(unname(1, &n.to_string())).unwrap());
    let options = GcOptions { grace_millis: 0, ..GcOptions::at(at(1)) };
    assert!(!store.gc(&options, &silent).unwrap().metadata_rewritten, "nothing is deleted yet");
    let report = store.gc(&options, &silent).unwrap();
    assert!(report.metadata_rewritten, "{report:?}");
    let (total, live) = (report.metadata_bytes, report.metadata_live_bytes);
    assert!(total > 90_000_000 && live < 4_000_000, "{report:?}");
    assert!(!dir.path().join("meta.1.redb").exists());
    assert!(fs::metadata(dir.path().join("meta.2.redb")).unwrap().len() < 16 << 20);
    assert!(has(&store, 1, &noise(0, 1_000_000)) && !has(&store, 1, &noise(1, 1_000_000)));
    assert!(!store.gc(&options, &silent).unwrap().metadata_rewritten);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let store = Store::in_memory().unwrap();
    store.commit(name(1, "a", b"x")).unwrap();
    store.commit(unname(1, "a")).unwrap();
    let dry = GcOptions { dry_run: true, ..GcOptions::at(at(0)) };
    for _ in 0..2 {
        let report = store.gc(&dry, &silent).unwrap();
        assert_eq!((report.dry_run, report.condemned), (true, 1));
    }
    gc(&store, 0);
    let dry = GcOptions { dry_run: true, ..GcOptions::at(at(24)) };
    assert_eq!(store.gc(&dry, &silent).unwrap().released, 1);
    assert!(has(&store, 1, b"x"));
}

/// Naming a condemned blob again, with its bytes or without, lifts the sentence in the same
/// transaction, whatever the collection has seen.
#[test]
fn naming_a_condemned_blob_again_saves_it() {
    for with_bytes in [true, false] {
        let store = Store::in_memory().unwrap();
        store.commit(name(1, "a", b"again")).unwrap();
        store.commit(unname(1, "a")).unwrap();
        gc(&store, 0);
        let mut change = Change::new();
        let digest = Digest::of(b"again");
        change.put(&(uid(1), "b".to_owned()), &TufFile { digest });
        if with_bytes {
            change.blob(uid(1), blob(b"again"));
        } else {
            assert!(store.view().unwrap().has_blob(uid(1), &digest).unwrap());
            change.keep(uid(1), digest);
        }
        store.commit(change).unwrap();
        let report = gc(&store, 100);
        assert_eq!((report.released, report.condemned, report.reached), (0, 0, 1));
        assert!(has(&store, 1, b"again"));
    }
}

/// A change that names a blob which was collected in between is refused, so that it never rests on
/// bytes that are gone; with its bytes it goes through.
#[test]
fn naming_a_collected_blob_is_refused() {
    let store = Store::in_memory().unwrap();
    store.commit(name(1, "a", b"late")).unwrap();
    let mut change = Change::new();
    change.put(&(uid(1), "b".to_owned()), &TufFile { digest: Digest::of(b"late") });
    change.keep(uid(1), Digest::of(b"late"));
    store.commit(unname(1, "a")).unwrap();
    gc_at_once(&store, 1);
    let refused = store.commit(change);
    assert!(matches!(&refused, Err(CommitError::Conflict(c)) if c.table == Table::Member));
    store.commit(name(1, "b", b"late")).unwrap();
    assert!(has(&store, 1, b"late"));
}

/// Another tenant's name for the same bytes keeps the bytes, not the membership.
#[test]
fn tenants_do_not_keep_blobs_for_each_other() {
    let store = Store::in_memory().unwrap();
    store.commit(name(1, "a", b"shared")).unwrap();
    store.commit(name(2, "a", b"shared")).unwrap();
    store.commit(unname(1, "a")).unwrap();
    let report = gc_at_once(&store, 1);
    assert_eq!((report.released, report.deleted), (1, 0));
    assert!(!has(&store, 1, b"shared"));
    assert!(has(&store, 2, b"shared"));
}

/// The bytes of a change that met a conflict belong to nobody.
#[test]
fn bytes_of_refused_changes_go_at_once() {
    let store = Store::in_memory().unwrap();
    let mut change = name(1, "a", b"refused");
    change.expect(&uid(1), Some(&TenantHead { builds: 9, ..TenantHead::default() }));
    assert!(store.commit(change).is_err());
    assert_eq!(gc(&store, 0).deleted, 1);
    assert_eq!(gc(&store, 0).blobs, 0);
}

/// A clock that was ahead, or steps back, makes nothing go early and lets nothing stay for ever.
#[test]
fn a_jumping_clock_does_no_harm() {
    let store = Store::in_memory().unwrap();
    store.commit(name(1, "a", b"x")).unwrap();
    store.commit(name(1, "b", b"y")).unwrap();
    store.commit(unname(1, "a")).unwrap();
    gc(&store, 1_000_000);
    let back = gc(&store, 0);
    assert_eq!((back.condemned, back.released), (1, 0), "the sentence begins anew");
    assert_eq!(gc(&store, 24).released, 1);
    assert!(!has(&store, 1, b"x") && has(&store, 1, b"y"));
}

/// Nothing of a tenant is judged while it is not known what its rows name.
#[test]
fn a_damaged_list_of_files_holds_its_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { inline_max: 0, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let tenant = Tenant::create(&store, 1, at(0));
    let built = tenant.build(&store, b"content", at(0));
    store.commit(unname(1, "timestamp.json")).unwrap();
    let place = store.explain(&built.tree).unwrap().unwrap().place;
    let offset: usize = place.rsplit(' ').next().unwrap().parse().unwrap();
    let segment = dir.path().join("segments/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[offset + 50] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let report = gc_at_once(&store, 1);
    assert_eq!((report.held_tenants, report.condemned, report.released), (1, 0, 0));
    assert!(store.view().unwrap().has_blob(tenant.uid, &built.script).unwrap());
}

/// A membership whose tenant is not known is not garbage but a riddle.
#[test]
fn blobs_of_unknown_tenants_are_left_alone() {
    let store = Store::in_memory().unwrap();
    let mut change = Change::new();
    change.blob(uid(1), blob(b"whose?"));
    store.commit(change).unwrap();
    assert_eq!(gc_at_once(&store, 1).held_tenants, 1);
    assert!(has(&store, 1, b"whose?"));
}

/// What a lease began with is readable until it ends, also for views that are taken later.
#[test]
fn a_lease_keeps_blobs_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let bytes = noise(1, 9000);
    store.commit(name(1, "a", &bytes)).unwrap();
    let view = store.view().unwrap();
    store.commit(unname(1, "a")).unwrap();
    let lease = view.lease();
    drop(view);
    let held = gc_at_once(&store, 1);
    assert_eq!((held.released, held.deferred), (0, 1));
    assert!(has(&store, 1, &bytes));
    drop(lease);
    assert_eq!(gc_at_once(&store, 1).deferred, 0);
    assert!(!has(&store, 1, &bytes));
}

/// A view reads what it showed, although the frames were moved and their file given up.
#[test]
fn a_view_reads_through_a_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_max: 30_000, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    for n in 0..4 {
        store.commit(name(1, &n.to_string(), &noise(n, 9000))).unwrap();
    }
    (0..3).for_each(|n: u64| store.commit(unname(1, &n.to_string())).unwrap());
    gc_at_once(&store, 1);
    store.commit(name(1, "last", &noise(9, 31_000))).unwrap(); // seals the first segment
    store.commit(name(1, "more", &noise(10, 9000))).unwrap();
    let view = store.view().unwrap();
    let first = dir.path().join("segments/0000000000000001.seg");
    let report = gc(&store, 2);
    assert_eq!((report.compacted_segments, report.retired_segments), (1, 1));
    assert!(first.exists(), "a reader may still want it");
    assert!(view.read_blob(uid(1), &Digest::of(&noise(3, 9000))).unwrap().is_some());
    drop(view);
    assert_eq!(gc(&store, 2).retired_segments, 0);
    assert!(!first.exists());
    assert!(has(&store, 1, &noise(3, 9000)));
}

fn disk_bytes(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir.join("segments")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// Churn: ten times the live data is written and unnamed, and the segments stay within half of it
/// above what lives.
#[test]
fn space_comes_back_under_churn() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_max: 20_000, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let live = 20 * 9057;
    for round in 0..10_u64 {
        for n in 0..20 {
            let bytes = noise(round * 100 + n, 9000);
            store.commit(name(1, &n.to_string(), &bytes)).unwrap();
        }
        gc_at_once(&store, round);
    }
    let bytes = disk_bytes(dir.path());
    assert!(bytes <= live * 3 / 2 + 20_000, "{bytes} bytes for {live} live ones");
    (0..20).for_each(|n| assert!(has(&store, 1, &noise(900 + n, 9000))));
}

/// A budget ends a pass of compaction early, and the next one goes on.
#[test]
fn compaction_keeps_to_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_max: 20_000, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    for n in 0..20_u64 {
        store.commit(name(1, &n.to_string(), &noise(n, 9000))).unwrap();
    }
    (0..20_u64).filter(|n| n % 3 > 0).for_each(|n| {
        store.commit(unname(1, &n.to_string())).unwrap();
    });
    let options = GcOptions { grace_millis: 0, budget_bytes: 10_000, ..GcOptions::at(at(1)) };
    store.gc(&options, &silent).unwrap();
    let mut rounds = 0;
    while store.gc(&options, &silent).unwrap().compacted_segments > 0 {
        rounds += 1;
    }
    assert!(rounds > 2, "{rounds} rounds");
    (0..20_u64).filter(|n| n % 3 == 0).for_each(|n| assert!(has(&store, 1, &noise(n, 9000))));
}

#[test]
fn two_maintenance_jobs_do_not_run_at_once() {
    let store = Store::in_memory().unwrap();
    let refused = Cell::new(false);
    let inner = store.clone();
    let report = |_| refused.set(inner.gc(&GcOptions::at(at(0)), &silent).is_err());
    store.gc(&GcOptions::at(at(0)), &report).unwrap();
    assert!(refused.get());
    gc(&store, 0);
}
