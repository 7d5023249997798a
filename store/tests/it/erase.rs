//! Erasing a tenant leaves nothing of it, and nothing else is touched.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{BuildNumber, TenantHead, TenantRow};
use colophon_store::{CommitError, Error, FsckOptions, Options, Pace, Progress, Store, Table};

use crate::sim::SimDisk;
use crate::support::{blob, erasure, noise};
use crate::world::Tenant;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

fn silent(_: Progress) {}

fn open(dir: &Path) -> Store {
    Store::open(dir, &Options { segment_max: 20_000, ..Options::default() }).unwrap()
}

fn assert_sound(store: &Store) {
    let options = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    let report = store.fsck(&options, None, &silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

/// Content of a build: a text, as most are, and with `large`, one for a segment.
fn content(tenant: u8, build: u64, large: bool) -> Vec<u8> {
    let text = format!("# build {build} of tenant {tenant}\nprint('secret {tenant}')\n").repeat(8);
    let noise = if large { noise(u64::from(tenant) * 100 + build, 6000) } else { Vec::new() };
    [text.into_bytes(), noise].concat()
}

/// Everything that may betray the tenant: its names in all forms, and its blobs as they lie on disk.
fn traces(tenant: &Tenant, contents: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let uid = tenant.uid;
    let mut traces = vec![
        tenant.slug.as_str().as_bytes().to_vec(),
        uid.as_bytes().to_vec(),
        uid.to_string().into_bytes(),
        tenant.words("").into_bytes(),
    ];
    for content in contents {
        let frame = blob(content);
        traces.push(Digest::of(content).as_bytes().to_vec());
        // Any 16 bytes from the middle of what compression made of it.
        let payload = frame.frame().payload();
        let middle = payload.len() / 2;
        traces.push(payload[middle..(middle + 16).min(payload.len())].to_vec());
    }
    traces
}

/// The files of a directory tree that hold one of the traces.
fn found_in(dir: &Path, traces: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(found_in(&entry.path(), traces));
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        for (n, trace) in traces.iter().enumerate() {
            if bytes.windows(trace.len()).any(|window| window == trace) {
                found.push(format!("{}: trace {n}", entry.path().display()));
            }
        }
    }
    found
}

/// Not a byte of the tenant is left in the directory: not in rows, free pages, segments or their
/// dead parts; and the other tenant has all that it had, shared bytes included.
#[test]
fn no_byte_of_an_erased_tenant_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (gone, stays) = (Tenant::create(&store, 1, NOW), Tenant::create(&store, 2, NOW));
    let contents: Vec<_> = (0..6).map(|n| content(1, n, n % 2 == 0)).collect();
    for (n, content_1) in (0..).zip(&contents) {
        gone.build(&store, content_1, NOW);
        stays.build(&store, &content(2, n, n % 2 == 0), NOW);
        stays.build(&store, b"bytes that both have", NOW);
        gone.build(&store, b"bytes that both have", NOW);
    }
    let traces = traces(&gone, &contents);
    assert!(found_in(dir.path(), &traces).len() >= traces.len(), "each trace can be found");

    let erased = store.erase(&gone.slug, &erasure(), NOW, &silent).unwrap().unwrap();
    assert!(erased.rows > 50 && erased.blobs > 30 && erased.segments > 2, "{erased:?}");
    assert_eq!(found_in(dir.path(), &traces), Vec::<String>::new());
    assert_sound(&store);
    let view = store.view().unwrap();
    assert!(view.get::<TenantRow>(&gone.slug).unwrap().is_none());
    for n in 0..6 {
        let bytes = content(2, n, n % 2 == 0);
        let read = view.read_blob(stays.uid, &Digest::of(&bytes)).unwrap();
        assert_eq!(read, Some(bytes));
        assert!(
            view.read_blob(gone.uid, &Digest::of(&content(1, n, n % 2 == 0))).unwrap().is_none()
        );
    }
    assert!(view.has_blob(stays.uid, &Digest::of(b"bytes that both have")).unwrap());
    drop(view);
    drop(store);
    assert_eq!(found_in(dir.path(), &traces), Vec::<String>::new());
    let store = open(dir.path());
    stays.build(&store, b"life goes on", NOW);
    assert_sound(&store);
}

#[test]
fn an_erased_name_is_never_given_again() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    assert!(!store.is_retired(&tenant.slug).unwrap());
    assert!(store.erase(&tenant.slug, &erasure(), NOW, &silent).unwrap().is_some());
    assert!(store.is_retired(&tenant.slug).unwrap());
    assert!(
        store.erase(&tenant.slug, &erasure(), NOW, &silent).unwrap().is_none(),
        "there is no such tenant"
    );
}

/// A build that was prepared before the erasure must not bring a part of the tenant back.
#[test]
fn a_build_under_way_is_refused() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    tenant.build(&store, b"before", NOW);
    let old = store.view().unwrap().get::<TenantHead>(&tenant.uid).unwrap().unwrap();
    let (mut change, mut head) = (colophon_store::Change::new(), old.clone());
    tenant.put_build(&mut change, &mut head, b"under way", NOW);
    change.expect(&tenant.uid, Some(&old)).put(&tenant.uid, &head);
    store.erase(&tenant.slug, &erasure(), NOW, &silent).unwrap();
    let refused = store.lane(tenant.uid).submit(change).wait();
    assert!(matches!(&refused, Err(CommitError::Conflict(c)) if c.table == Table::TenantHead));
    assert!(!store.view().unwrap().has_blob(tenant.uid, &Digest::of(b"under way")).unwrap());
}

/// Erasures that were interrupted at any step are finished later, to the same end.
#[test]
fn an_interrupted_erasure_is_finished_after_opening_again() {
    let stages =
        ["erasing rows", "erasing names", "deleting", "rewriting segments", "rewriting metadata"];
    for stage in stages {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (gone, stays) = (Tenant::create(&store, 1, NOW), Tenant::create(&store, 2, NOW));
        let contents: Vec<_> = (0..3).map(|n| content(1, n, true)).collect();
        for content in &contents {
            gone.build(&store, content, NOW);
        }
        stays.build(&store, &content(2, 0, true), NOW);
        let traces = traces(&gone, &contents);
        let interrupt = |progress: Progress| assert_ne!(progress.stage, stage, "interrupted");
        let erasing = || store.erase(&gone.slug, &erasure(), NOW, &interrupt);
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(erasing));
        assert!(stopped.is_err(), "{stage}");
        drop(store);

        let store = open(dir.path());
        assert!(store.view().unwrap().get::<TenantRow>(&gone.slug).unwrap().is_none());
        assert!(store.is_retired(&gone.slug).unwrap());
        assert_eq!(store.resume_erasures(&silent).unwrap(), 1, "{stage}");
        assert_eq!(store.resume_erasures(&silent).unwrap(), 0);
        assert_eq!(found_in(dir.path(), &traces), Vec::<String>::new(), "{stage}");
        assert_sound(&store);
        assert!(store.view().unwrap().get::<TenantRow>(&stays.slug).unwrap().is_some());
    }
}

/// The disk does not give what the end of an erasure moves: nothing is said to be done, and the rows of the tenants that
/// wait behind it go all the same. Once it gives it, both end.
#[test]
fn an_erasure_that_cannot_end_keeps_no_other_from_going_on() {
    let disk = SimDisk::new();
    let options = Options { segment_max: 20_000, ..Options::default() };
    let open = || Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let store = open();
    let tenants: Vec<_> = (1..4).map(|n| Tenant::create(&store, n, NOW)).collect();
    for n in 0..3 {
        for (of, tenant) in (1..).zip(&tenants) {
            tenant.build(&store, &content(of, n, true), NOW);
        }
    }
    let gone = &tenants[..2];
    for (at, tenant) in (1..).map(|n| NOW.plus(n)).zip(gone) {
        let cut = |progress: Progress| assert_ne!(progress.stage, "erasing rows", "interrupted");
        let erasing = || store.erase(&tenant.slug, &erasure(), at, &cut);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(erasing)).is_err());
    }
    drop(store);
    let store = open();
    assert_eq!(store.open_erasures().unwrap(), [NOW.plus(1), NOW.plus(2)]);
    let builds = |tenant: &Tenant| store.view().unwrap().scan::<BuildNumber>(&tenant.uid).count();
    assert!(gone.iter().all(|tenant| builds(tenant) > 0));

    disk.set_unreadable(true);
    let told = store.resume_erasures(&silent);
    assert!(matches!(told, Err(Error::Unreadable { .. })), "{told:?}");
    assert_eq!(gone.iter().map(builds).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(store.open_erasures().unwrap(), [NOW.plus(1), NOW.plus(2)], "none is done");
    disk.set_unreadable(false);
    assert_eq!(store.resume_erasures(&silent).unwrap(), 2);
    assert_eq!(store.open_erasures().unwrap(), []);
    assert_eq!(builds(&tenants[2]), 3);
    assert_sound(&store);
}

/// A reader that holds a segment delays the end of an erasure, and nothing else.
#[test]
fn readers_are_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tenant = Tenant::create(&store, 1, NOW);
    let bytes = content(1, 0, true);
    tenant.build(&store, &bytes, NOW);
    let view = store.view().unwrap();
    let (erasing, slug) = (store.clone(), tenant.slug.clone());
    let (at_readers, reached) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let report = |progress: Progress| {
            if progress.stage == "rewriting segments" {
                at_readers.send(()).unwrap();
            }
        };
        erasing.erase(&slug, &erasure(), NOW, &report)
    });
    reached.recv().unwrap();
    let read = view.read_blob(tenant.uid, &Digest::of(&bytes)).unwrap();
    assert_eq!(read, Some(bytes), "the view still shows what it showed");
    drop(view);
    assert!(matches!(thread.join().unwrap(), Ok(Some(_))));
}

/// A stranger's uid in the middle of a key is not the tenant's.
#[test]
fn only_the_tenants_own_rows_go() {
    let store = Store::in_memory().unwrap();
    let tenants: Vec<_> = (1..5).map(|n| Tenant::create(&store, n, NOW)).collect();
    for tenant in &tenants {
        tenant.build(&store, b"the same for all", NOW);
    }
    store.erase(&tenants[1].slug, &erasure(), NOW, &silent).unwrap();
    assert_sound(&store);
    let has = |uid: TenantUid| {
        store.view().unwrap().has_blob(uid, &Digest::of(b"the same for all")).unwrap()
    };
    let left: Vec<bool> = tenants.iter().map(|tenant| has(tenant.uid)).collect();
    assert_eq!(left, [true, false, true, true]);
    assert!(!matches!(store.erase(&tenants[0].slug, &erasure(), NOW, &silent), Err(Error::Busy)));
}
