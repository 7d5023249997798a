//! What is kept for a time goes when that is over, and nothing else does.

use colophon_model::{BuildId, BuildRecord, Digest, TagObject, UnixMillis};
use colophon_store::rows::{
    BundleAlias, DeliveryBody, DeliveryClaim, DeliveryKey, DeliveryRow, Effect, MirrorRow,
    OutboxRow, QuotaStamp, RefRow, TufFile,
};
use colophon_store::{Change, FsckOptions, Pace, PreparedBlob, PurgeOptions, PurgeReport, Store};

use crate::world::Tenant;

const DAY: u64 = 24 * 60 * 60 * 1000;

fn day(n: u64) -> UnixMillis {
    UnixMillis::new(1_800_000_000_000 + n * DAY)
}

fn options(today: u64) -> PurgeOptions {
    PurgeOptions {
        now: day(today),
        keep_millis: 30 * DAY,
        quota_window_millis: DAY,
        claim_millis: 7 * DAY,
        delivery_millis: 30 * DAY,
        body_millis: 7 * DAY,
        origin_millis: 7 * DAY,
        event_millis: u64::MAX,
        dry_run: false,
    }
}

/// A tenant with a build a day.
fn forty_days(store: &Store) -> Tenant {
    let tenant = Tenant::create(store, 1, day(0));
    for n in 0..40 {
        tenant.build(store, format!("build {n}").as_bytes(), day(n));
    }
    tenant
}

fn count<R: colophon_store::Row>(store: &Store, tenant: &Tenant) -> usize {
    store.view().unwrap().scan::<R>(&tenant.uid).count()
}

#[test]
fn expired_tags_go_and_the_branch_and_the_records_stay() {
    let store = Store::in_memory().unwrap();
    let tenant = forty_days(&store);
    let report = store.purge(tenant.uid, &options(39)).unwrap();
    // Days 0 to 9 are thirty days back; the bundle of day 39 is the flow's current one.
    let expected = PurgeReport {
        tags: 10,
        bundles: 10,
        tuf_files: 23,
        quota_stamps: 38,
        ..PurgeReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(count::<RefRow>(&store, &tenant), 31, "thirty tags and the branch");
    assert_eq!(count::<TagObject>(&store, &tenant), 30);
    assert_eq!(count::<BundleAlias>(&store, &tenant), 30);
    assert_eq!(count::<BuildRecord>(&store, &tenant), 40);
    assert_eq!(count::<QuotaStamp>(&store, &tenant), 2);
    let check = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    let check = store.fsck(&check, None, &|_| {}).unwrap();
    assert!(check.is_clean(), "{:?}", check.problems);
    assert_eq!(store.purge(tenant.uid, &options(39)).unwrap(), PurgeReport::default());
}

/// A tag that goes here must go at the upstream too, so the purge that deletes it asks for a push.
#[test]
fn a_purge_of_tags_calls_for_a_push() {
    let store = Store::in_memory().unwrap();
    let tenant = forty_days(&store);
    let waiting = || store.view().unwrap().get::<OutboxRow>(&(tenant.uid, Effect::Push)).unwrap();
    store.purge(tenant.uid, &options(35)).unwrap();
    assert_eq!(waiting(), None, "there is no upstream");
    let mut change = Change::new();
    let mirror = MirrorRow {
        url: "https://example.com/acme.git".to_owned(),
        username: "x".to_owned(),
        credential: None,
        tags_per_push: 3,
        set: day(0),
    };
    change.put(&tenant.uid, &mirror);
    store.commit(change).unwrap();
    store.purge(tenant.uid, &PurgeOptions { dry_run: true, ..options(39) }).unwrap();
    store.purge(tenant.uid, &options(35)).unwrap();
    assert_eq!(waiting(), None, "nothing was deleted");
    store.purge(tenant.uid, &options(38)).unwrap();
    store.purge(tenant.uid, &options(39)).unwrap();
    assert_eq!(waiting(), Some(OutboxRow { since: day(38), changes: 2 }));
}

#[test]
fn the_current_bundle_stays_however_old() {
    let store = Store::in_memory().unwrap();
    let tenant = forty_days(&store);
    store.purge(tenant.uid, &options(1000)).unwrap();
    assert_eq!(count::<BundleAlias>(&store, &tenant), 1);
    assert_eq!(count::<TagObject>(&store, &tenant), 0);
    tenant.build(&store, b"after a long time", day(1001));
}

/// Roots, the newest versions and `timestamp.json` are what agents may still ask for.
#[test]
fn agents_find_what_they_may_ask_for() {
    let store = Store::in_memory().unwrap();
    let tenant = forty_days(&store);
    store.purge(tenant.uid, &options(1000)).unwrap();
    let names: Vec<String> =
        store.view().unwrap().scan::<TufFile>(&tenant.uid).map(|row| row.unwrap().0.1).collect();
    assert!(names.contains(&"1.root.json".to_owned()));
    assert!(names.contains(&"timestamp.json".to_owned()));
    for version in 24..=40 {
        assert!(names.contains(&format!("{version}.snapshot.json")), "{version}");
    }
    assert_eq!(names.len(), 19);
}

#[test]
fn a_dry_run_says_the_same_and_deletes_nothing() {
    let store = Store::in_memory().unwrap();
    let tenant = forty_days(&store);
    let dry = PurgeOptions { dry_run: true, ..options(39) };
    let told = store.purge(tenant.uid, &dry).unwrap();
    assert_eq!(store.purge(tenant.uid, &dry).unwrap(), told);
    assert_eq!(store.purge(tenant.uid, &options(39)).unwrap(), told);
}

/// More than one transaction's worth.
#[test]
fn long_histories_are_purged_in_parts() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, day(0));
    for n in 0..600 {
        tenant.build(&store, b"same", day(n / 100));
    }
    let report = store.purge(tenant.uid, &options(100)).unwrap();
    assert_eq!((report.tags, report.quota_stamps), (600, 600));
    assert_eq!(count::<TagObject>(&store, &tenant), 0);
}

#[test]
fn a_tenant_that_is_not_there_has_nothing_to_purge() {
    let store = Store::in_memory().unwrap();
    let report = store.purge(crate::support::uid(9), &options(0)).unwrap();
    assert_eq!(report, PurgeReport::default());
}

/// The name of a delivery can be given to another one once it is over, and not before.
#[test]
fn claims_end_after_their_time() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, day(0));
    let mut change = Change::new();
    for n in 0..3_u64 {
        let body = Digest::of(b"body");
        let claim = DeliveryClaim { body, build: BuildId::from_bytes([1; 16]), at: day(n) };
        change.put(&(tenant.uid, Digest::of(&n.to_be_bytes())), &claim);
    }
    store.commit(change).unwrap();
    assert_eq!(store.purge(tenant.uid, &options(8)).unwrap().claims, 2);
    assert_eq!(count::<DeliveryClaim>(&store, &tenant), 1);
}

fn delivery(at: UnixMillis) -> DeliveryRow {
    DeliveryRow {
        at,
        by: "standard".to_owned(),
        secret: Some(1),
        from: None,
        id: None,
        signed: None,
        replay_of: None,
        body: Digest::of(b"refused"),
        size: 7,
        outcome: "refused".to_owned(),
        status: 422,
        code: Some("invalid-flow".to_owned()),
        flow: None,
        build: None,
        micros: 1,
    }
}

/// The log of deliveries ends after its time, and the bodies of what was refused before that; until then
/// they are no garbage.
#[test]
fn deliveries_and_their_bodies_end_after_their_time() {
    let store = Store::in_memory().unwrap();
    let tenant = Tenant::create(&store, 1, day(0));
    let mut change = Change::new();
    for n in [0, 10, 20] {
        let key = (tenant.uid, DeliveryKey::new(day(n), [0; 10]));
        let body = PreparedBlob::new(b"refused").unwrap();
        change.put(&key, &delivery(day(n)));
        change.put(&key, &DeliveryBody { digest: body.digest(), size: 7 });
        change.blob(tenant.uid, body);
    }
    store.commit(change).unwrap();
    let names = store.explain(&Digest::of(b"refused")).unwrap().unwrap().tenants;
    assert_eq!(names[0].reasons.len(), 3, "{names:?}");
    let report = store.purge(tenant.uid, &options(20)).unwrap();
    assert_eq!((report.deliveries, report.refused_bodies), (0, 2));
    let report = store.purge(tenant.uid, &options(41)).unwrap();
    assert_eq!((report.deliveries, report.refused_bodies), (2, 1));
    assert_eq!(count::<DeliveryRow>(&store, &tenant), 1);
}
