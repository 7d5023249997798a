//! Eras: whoever remembers what a view showed learns when it may not stand any longer.

use std::sync::Arc;

use colophon_model::{CodePolicy, Digest, Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{BundleTree, RootsOrigin, SlugOf, TenantHead, TenantRow, TokenRow};
use colophon_store::{Change, Disk as _, GcOptions, Options, Store};

use crate::sim::SimDisk;
use crate::support::{blob, build, controlled, erasure, noise, uid};

fn token(tenant: TenantUid) -> TokenRow {
    TokenRow {
        id: "x".to_owned(),
        tenant,
        scopes: vec!["read".to_owned()],
        label: String::new(),
        created: UnixMillis::new(0),
        expires: UnixMillis::new(1),
        kind: None,
        target: None,
        successor: None,
    }
}

fn tenant() -> TenantRow {
    TenantRow {
        uid: uid(1),
        slug: "acme-inc".parse().unwrap(),
        created: UnixMillis::new(0),
        policy: CodePolicy::default(),
        roots: RootsOrigin::Server,
        suspended: None,
        archived: None,
        held: None,
    }
}

/// Whether a commit of `change` ends the era, as who asks after the answer sees it.
fn ends(store: &Store, make: impl FnOnce(&mut Change) -> &mut Change) -> bool {
    let (before, mut change) = (store.era(), Change::new());
    make(&mut change);
    store.commit(change).unwrap();
    store.era() != before
}

/// Builds bring blobs, bundles and heads all the time, and nobody who remembers must look again.
#[test]
fn what_only_adds_ends_nothing() {
    let store = Store::in_memory().unwrap();
    let tree = (uid(1), Digest::of(b"tree"));
    let (first, head) = build(uid(1), None);
    assert!(!ends(&store, |change| {
        *change = first;
        change.blob(uid(1), blob(b"a")).put(&tree, &BundleTree)
    }));
    assert!(!ends(&store, |change| {
        *change = build(uid(1), Some(&head)).0;
        change
    }));
    assert!(!ends(&store, |change| change.delete::<TenantHead>(&uid(1))));
}

#[test]
fn what_takes_something_away_ends_the_era() {
    let store = Store::in_memory().unwrap();
    let (secret, tree) = (Sha256::of(b"token"), (uid(1), Digest::of(b"tree")));
    let slug = tenant().slug;
    assert!(ends(&store, |change| change.put(&secret, &token(uid(1)))));
    assert!(ends(&store, |change| change.put(&secret, &token(uid(2)))), "another's now");
    assert!(ends(&store, |change| change.delete::<TokenRow>(&secret)));
    assert!(ends(&store, |change| change.put(&slug, &tenant())), "or its policy changes");
    assert!(ends(&store, |change| change.put(&uid(1), &SlugOf { slug: slug.clone() })));
    assert!(!ends(&store, |change| change.put(&tree, &BundleTree)));
    assert!(ends(&store, |change| change.delete::<BundleTree>(&tree)));
    assert!(ends(&store, |change| change.delete::<TenantRow>(&slug)));
}

/// A collection takes names of blobs away in transactions of its own, and an erasure all of a tenant.
#[test]
fn collection_and_erasure_end_the_era() {
    let store = Store::in_memory().unwrap();
    let mut change = Change::new();
    change.put(&tenant().slug, &tenant()).put(&uid(1), &SlugOf { slug: tenant().slug });
    store.commit(std::mem::take(change.blob(uid(1), blob(b"garbage")))).unwrap();
    let gc = |days: u64| {
        let now = UnixMillis::new(days * 24 * 60 * 60 * 1000);
        store.gc(&GcOptions::at(now), &|_| ()).unwrap()
    };
    let before = store.era();
    gc(100);
    assert_eq!(store.era(), before, "condemned, and still the tenant's");
    assert_eq!(gc(200).released, 1);
    assert_ne!(store.era(), before);
    let before = store.era();
    store.erase(&tenant().slug, &erasure(), UnixMillis::new(0), &|_| ()).unwrap().unwrap();
    assert_ne!(store.era(), before);
}

/// What a reader finds damaged is put into quarantine by the next commit, whatever that is about.
#[test]
fn quarantine_ends_the_era() {
    let disk = SimDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &Options::default()).unwrap();
    let (bytes, digest) = (noise(1, 9000), Digest::of(&noise(1, 9000)));
    store.commit(std::mem::take(Change::new().blob(uid(1), blob(&bytes)))).unwrap();
    let (file, mut byte) = (disk.open("segments/0000000000000001.seg").unwrap(), [0]);
    file.read_at(100, &mut byte).unwrap();
    file.write_at(100, &[byte[0] ^ 1]).unwrap();
    assert!(store.view().unwrap().read_blob(uid(1), &digest).is_err());
    assert!(ends(&store, |change| change.blob(uid(2), blob(b"unrelated"))));
}

/// The number of a view is not above what it shows, and that of a commit is there before its answer: so
/// nothing that was read before an answer is taken for what was read after it.
#[test]
fn a_view_is_of_the_era_that_it_began_in() {
    let (store, kv, _) = controlled();
    let before = store.view().unwrap();
    assert_eq!(before.era(), Some(store.era()));
    let racing = store.clone();
    kv.after_next_snapshot(move || {
        let mut change = Change::new();
        change.put(&Sha256::of(b"token"), &token(uid(1)));
        racing.commit(change).unwrap();
    });
    let racing = store.view().unwrap();
    assert_eq!(racing.get::<TokenRow>(&Sha256::of(b"token")).unwrap(), None);
    assert_ne!(racing.era(), Some(store.era()), "it shows the state before");
    assert_eq!(store.view().unwrap().era(), Some(store.era()));
}

/// Changes on their way may be refused, so nothing that they show may be remembered.
#[test]
fn a_view_over_pending_changes_is_of_no_era() {
    let (store, kv, _) = controlled();
    kv.shut();
    let ticket = store.lane(uid(1)).submit(build(uid(1), None).0);
    assert_eq!(store.lane(uid(1)).view().unwrap().era(), None);
    kv.open();
    ticket.wait().unwrap();
    assert!(store.lane(uid(1)).view().unwrap().era().is_some());
}
