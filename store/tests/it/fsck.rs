//! A check finds every kind of damage, says where it is, and repairs what it can.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use colophon_model::{Digest, Oid, TenantUid, UnixMillis};
use colophon_store::rows::{
    BuildNumber, BundleAlias, Document, FlowClaim, FlowHead, GitOid, MirrorTag, Planted,
    QuotaStamp, RefRow, SlugOf, TenantHead, TufFile,
};
use colophon_store::{
    Batch, Change, FsckOptions, FsckReport, Heal, Kv, MemoryKv, MemorySegments, Options, Pace,
    Progress, Store, Table, View,
};

use crate::support::{blob, controlled, noise, uid};
use crate::world::{Built, Tenant};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const CHECK: FsckOptions = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
const REPAIR: FsckOptions = FsckOptions { repair: true, ..CHECK };

fn silent(_: Progress) {}

fn fsck(store: &Store) -> FsckReport {
    store.fsck(&CHECK, None, &silent).unwrap()
}

fn codes(report: &FsckReport) -> Vec<String> {
    let mut codes: Vec<String> = report.problems.iter().map(|p| p.code.to_string()).collect();
    codes.dedup();
    codes
}

/// A store in memory with one tenant, and its rows from below.
fn sound() -> (Store, Arc<MemoryKv>, Tenant, Built) {
    let kv = Arc::new(MemoryKv::new());
    let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 4096).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    tenant.build(&store, b"first", NOW);
    let built = tenant.build(&store, b"second", NOW);
    (store, kv, tenant, built)
}

#[test]
fn a_sound_store_is_clean_and_everything_was_looked_at() {
    let (store, ..) = sound();
    let report = fsck(&store);
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.tenants, report.blobs), (1, 20), "{report:?}");
    assert!(report.rows > 60 && report.bytes > 200, "{report:?}");
}

/// Each broken agreement between rows has a code of its own.
#[test]
fn rows_that_disagree_are_told_apart() {
    type Break = fn(&mut Change, TenantUid, &Built);
    let breaks: [(&str, Break); 14] = [
        ("E_TENANT_NAME", |change, uid, _| {
            change.delete::<SlugOf>(&uid);
        }),
        ("E_TENANT_HEAD", |change, uid, _| {
            change.delete::<TenantHead>(&uid);
        }),
        ("E_BUILD_NUMBER", |change, uid, _| {
            change.delete::<BuildNumber>(&(uid, 1));
        }),
        ("E_BUILD_COUNT", |change, uid, _| {
            change.delete::<BuildNumber>(&(uid, 2));
        }),
        ("E_BUILD_RECORD", |change, uid, built| {
            change.delete::<colophon_model::BuildRecord>(&(uid, built.id));
            change.delete::<FlowHead>(&(uid, "intake".parse().unwrap()));
        }),
        ("E_FLOW_CLAIM", |change, uid, _| {
            let source = colophon_model::FlowSource::Builder;
            let native = colophon_model::NativeFlowId::new("native-intake").unwrap();
            change.delete::<FlowClaim>(&(uid, source, native));
        }),
        ("E_GIT_OID", |change, uid, _| {
            let ordinal = colophon_model::Ordinal::new(7);
            change.put(&(uid, Oid::from_bytes([9; 20])), &GitOid { ordinal });
        }),
        ("E_REF", |change, uid, _| {
            let oid = Oid::from_bytes([9; 20]);
            change.put(&(uid, "refs/heads/other".to_owned()), &RefRow { oid, peeled: None });
        }),
        ("E_QUOTA", |change, uid, _| {
            change.delete::<QuotaStamp>(&(uid, colophon_model::Target::Edge, 1));
        }),
        ("E_TUF", |change, uid, _| {
            change.delete::<TufFile>(&(uid, "timestamp.json".to_owned()));
        }),
        ("E_MIRROR", |change, uid, _| {
            change.put(&(uid, "x".to_owned()), &MirrorTag { oid: Oid::from_bytes([9; 20]) });
        }),
        ("E_TREE", |change, uid, built| {
            let alias = alias(built.file, built.provenance);
            change.put(&(uid, built.sha256), &alias);
        }),
        ("E_BLOB_MISSING", |change, uid, built| {
            let alias = alias(built.tree, Digest::of(b"no such provenance"));
            change.put(&(uid, built.sha256), &alias);
        }),
        ("E_BLOB_MISSING", |change, uid, _| {
            let planted = Planted { digest: Digest::of(b"never stored") };
            change.put(&(uid, "other".to_owned()), &planted);
        }),
    ];
    for (code, break_it) in breaks {
        let (store, _, tenant, built) = sound();
        let mut change = Change::new();
        break_it(&mut change, tenant.uid, &built);
        store.commit(change).unwrap();
        let report = fsck(&store);
        assert_eq!(codes(&report), [code], "{:?}", report.problems);
        assert!(!report.is_clean());
    }
}

fn alias(tree: Digest, provenance: Digest) -> BundleAlias {
    BundleAlias {
        tree,
        render: String::new(),
        length: 6,
        name: String::new(),
        documents: [(Document::Provenance, provenance)].into(),
    }
}

fn write(kv: &MemoryKv, table: Table, key: &[u8], value: Option<&[u8]>) {
    let mut batch = Batch::default();
    batch.writes.insert((table, key.to_vec()), value.map(<[u8]>::to_vec));
    kv.commit(&[&batch]).unwrap()[0].clone().unwrap();
}

#[test]
fn rows_that_do_not_decode_are_told_by_table_and_key() {
    for table in Table::ALL {
        let (store, kv, ..) = sound();
        write(&kv, *table, b"\xff\xffjunk", Some(b"{"));
        let report = fsck(&store);
        let problem = &report.problems[0];
        assert_eq!(problem.code, "E_ROW");
        assert_eq!(problem.place, format!("{table} ffff6a756e6b"));
    }
}

/// Bytes that no blob names are a leak; a repair gives them back.
#[test]
fn leaks_are_found_and_dropped() {
    let (store, kv, ..) = sound();
    write(&kv, Table::Blob, Digest::of(b"first").as_bytes(), None);
    let report = store.fsck(&REPAIR, None, &silent).unwrap();
    assert!(codes(&report).contains(&"E_LEAK".to_owned()), "{:?}", report.problems);
    assert!(codes(&report).contains(&"E_BLOB_DAMAGED".to_owned()), "{:?}", report.problems);
    assert_eq!(report.repaired, 1);
    assert_eq!(codes(&fsck(&store)), ["E_BLOB_DAMAGED"]);
}

/// Two blobs that claim the same bytes: one of them is wrong.
#[test]
fn claims_to_the_same_bytes_are_found() {
    let kv = Arc::new(MemoryKv::new());
    let store = Store::over(kv.clone(), Arc::new(MemorySegments::new()), 0).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    let built = tenant.build(&store, b"first", NOW);
    let row = kv.snapshot().unwrap().get(Table::Blob, built.file.as_bytes()).unwrap().unwrap();
    write(&kv, Table::Blob, built.body.as_bytes(), Some(&row));
    let report = fsck(&store);
    assert_eq!(codes(&report), ["E_OVERLAP", "E_BLOB_DAMAGED"]);
}

/// A sentence over a blob that the tenant does not have.
#[test]
fn stray_sentences_are_lifted() {
    let (store, kv, tenant, built) = sound();
    let key = [Digest::of(b"x").as_bytes().as_slice(), tenant.uid.as_bytes()].concat();
    write(&kv, Table::Condemned, &key, Some(&[0; 8]));
    assert_eq!(codes(&fsck(&store)), ["E_SENTENCE"]);
    assert!(store.fsck(&REPAIR, None, &silent).unwrap().is_clean());
    assert!(fsck(&store).is_clean());
    assert!(store.view().unwrap().has_blob(tenant.uid, &built.file).unwrap());
}

fn on_disk(dir: &Path) -> (Store, Tenant, Built) {
    let store = Store::open(dir, &Options::default()).unwrap();
    let tenant = Tenant::create(&store, 1, NOW);
    let built = tenant.build(&store, &noise(1, 6000), NOW);
    (store, tenant, built)
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("segments/0000000000000001.seg")
}

/// A quick check notices lost bytes, a full one wrong bytes too.
#[test]
fn damage_in_segments_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = on_disk(dir.path());
    let quick = FsckOptions { read_blobs: false, ..CHECK };
    let whole = fs::read(segment(dir.path())).unwrap();
    let mut flipped = whole.clone();
    flipped[200] ^= 1;
    fs::write(segment(dir.path()), flipped).unwrap();
    assert!(store.fsck(&quick, None, &silent).unwrap().is_clean());
    let report = fsck(&store);
    assert_eq!(codes(&report), ["E_BLOB_DAMAGED"]);

    // What is whole after all leaves quarantine by a repair.
    fs::write(segment(dir.path()), whole).unwrap();
    assert!(!fsck(&store).is_clean(), "it is still in quarantine");
    let repaired = store.fsck(&REPAIR, None, &silent).unwrap();
    assert_eq!((repaired.healed, repaired.is_clean()), (1, true));
    assert!(fsck(&store).is_clean());
}

#[test]
fn a_quick_check_notices_a_segment_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = on_disk(dir.path());
    drop(store);
    fs::remove_file(segment(dir.path())).unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let quick = FsckOptions { read_blobs: false, ..CHECK };
    let report = store.fsck(&quick, None, &silent).unwrap();
    assert_eq!(codes(&report), ["E_BLOB_DAMAGED"]);
    assert_eq!(report.total_problems, 3, "the file, the script and the zip");
}

/// Knows the bytes of some blobs, and one wrong answer.
struct Elsewhere(Vec<Vec<u8>>);

impl Heal for Elsewhere {
    fn bytes(&self, _: &View, _: TenantUid, digest: &Digest) -> Option<Vec<u8>> {
        let known = self.0.iter().find(|bytes| Digest::of(bytes) == *digest);
        Some(known.cloned().unwrap_or_else(|| b"wrong".to_vec()))
    }
}

/// Damaged blobs are healed from where else their bytes are, if these are the right ones.
#[test]
fn a_repair_heals_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tenant, built) = on_disk(dir.path());
    fs::write(segment(dir.path()), b"").unwrap();
    let heal = Elsewhere(vec![noise(1, 6000)]);
    let report = store.fsck(&REPAIR, Some(&heal), &silent).unwrap();
    assert_eq!((report.healed, report.total_problems, report.repaired), (1, 3, 1));
    let view = store.view().unwrap();
    assert_eq!(view.read_blob(tenant.uid, &built.file).unwrap(), Some(noise(1, 6000)));
    assert!(view.read_blob(tenant.uid, &built.script).is_err());
}

/// A scrub goes round in parts and finds what a full check finds.
#[test]
fn scrubbing_reads_everything_a_part_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tenant, built) = on_disk(dir.path());
    for n in 0..600_u64 {
        tenant.build(&store, &n.to_be_bytes(), NOW);
    }
    let mut flipped = fs::read(segment(dir.path())).unwrap();
    flipped[200] ^= 1;
    fs::write(segment(dir.path()), flipped).unwrap();
    let (mut after, mut parts, mut blobs, mut damaged) = (None, 0, 0, Vec::new());
    loop {
        let part = store.scrub(after, 1000).unwrap();
        (parts, blobs) = (parts + 1, blobs + part.blobs);
        damaged.extend(part.damaged);
        match part.next {
            None => break,
            next => after = next,
        }
    }
    assert_eq!(blobs, fsck(&store).blobs);
    assert!(parts > 3 && damaged.len() == 1, "{parts} parts, {damaged:?}");
    assert!(built.lasting().contains(&damaged[0]) || built.provenance == damaged[0]);
    assert!(!store.view().unwrap().has_blob(tenant.uid, &damaged[0]).unwrap());
}

/// A blob that the disk does not give now is neither damaged nor what ends a scrub: it is named, and what lies behind it
/// is read.
#[test]
fn a_scrub_names_what_it_cannot_read_and_goes_on() {
    let (store, _, segments) = controlled();
    let mut change = Change::new();
    for n in 0..600_u64 {
        let bytes = if n % 100 == 0 { noise(n, 9000) } else { n.to_be_bytes().to_vec() };
        change.blob(uid(1), blob(&bytes));
    }
    store.commit(change).unwrap();
    let round = || {
        let (mut next, mut blobs, mut unread) = (None, 0, BTreeSet::new());
        loop {
            let part = store.scrub(next, 1_000_000).unwrap();
            assert!(part.damaged.is_empty(), "{part:?}");
            blobs += part.blobs;
            unread.extend(part.unread.into_iter().map(|unread| unread.blob));
            next = part.next;
            if next.is_none() {
                return (blobs, unread);
            }
        }
    };
    segments.unread.store(true, Ordering::SeqCst);
    let large: BTreeSet<_> =
        (0..6).map(|n| Digest::of(&noise(n * 100, 9000)).to_string()).collect();
    assert_eq!(round(), (594, large));
    segments.unread.store(false, Ordering::SeqCst);
    assert_eq!(round(), (600, BTreeSet::new()));
}

#[test]
fn an_explanation_names_everything_that_keeps_a_blob() {
    let (store, _, tenant, built) = sound();
    let told = store.explain(&built.file).unwrap().unwrap();
    assert_eq!((told.size, told.damaged), (6, false));
    assert_eq!(told.tenants.len(), 1);
    assert_eq!(told.tenants[0].slug.as_ref(), Some(&tenant.slug));
    assert_eq!(told.tenants[0].reasons, [format!("app/flow.py of build {}", built.id)]);
    let reasons = |digest: &Digest| {
        let told = store.explain(digest).unwrap().unwrap();
        told.tenants[0].reasons.join(", ")
    };
    let of = |what: &str| format!("{what} of build {}", built.id);
    let both = |what: &str| format!("{}, {what} of bundle {}", of(what), built.sha256);
    assert_eq!(reasons(&built.script), both("main.py"));
    assert_eq!(reasons(&built.tree), both("a list of files"));
    assert_eq!(reasons(&built.manifest), of("manifest.json"));
    assert_eq!(reasons(&built.provenance), format!("provenance of bundle {}", built.sha256));
    assert!(reasons(&built.body).contains("the flow as received"));
    assert!(reasons(&built.body).contains("current build of flow intake"));
    assert!(store.explain(&Digest::of(b"unknown")).unwrap().is_none());
}
