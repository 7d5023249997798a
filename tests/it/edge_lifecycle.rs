//! Edge repositories over their life: signed anew, given new keys, rolled back, archived.

use std::time::{Duration, Instant};

use colophon::clock::Clock as _;
use colophon::maintenance::{Job as _, Resign, Site};
use colophon::tokens::{TokenKind, create_token};
use colophon::units::Span;
use colophon_store::Change;
use colophon_store::rows::{TenantHead, TenantRow, TufFile};
use serde_json::Value;

use crate::python_tuf::{deliver, run, update};
use crate::support::process::{colophon, refused, told};
use crate::support::programs::{clone, git_in};
use crate::support::{TestServer, TestTenant};

const DAY: u64 = 24 * 60 * 60 * 1000;
const TARGET: &str = "acme-inc.order_intake.python.zip";

/// The `signed` part of a metadata file.
fn signed(server: &TestServer, tenant: &TestTenant, name: &str) -> Value {
    let view = server.app.press.store.view().unwrap();
    let uid = view.get::<TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid;
    let file = view.get::<TufFile>(&(uid, name.to_owned())).unwrap().expect(name);
    let bytes = view.read_blob(uid, &file.digest).unwrap().expect(name);
    serde_json::from_slice::<Value>(&bytes).unwrap()["signed"].take()
}

/// Versions of timestamp, snapshot and targets, as the files name each other.
fn versions(server: &TestServer, tenant: &TestTenant) -> [u64; 3] {
    let timestamp = signed(server, tenant, "timestamp.json");
    let snapshot = timestamp["meta"]["snapshot.json"]["version"].as_u64().unwrap();
    let file = signed(server, tenant, &format!("{snapshot}.snapshot.json"));
    let targets = file["meta"]["targets.json"]["version"].as_u64().unwrap();
    [timestamp["version"].as_u64().unwrap(), snapshot, targets]
}

fn counts(report: &Value) -> [u64; 4] {
    ["roots", "targets", "snapshots", "timestamps"].map(|what| report[what].as_u64().unwrap())
}

/// Only what is due is signed; the old files of a year are purged and the current ones stay.
#[test]
fn metadata_is_signed_anew_long_before_it_ends() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    deliver(&server, &tenant, 1, "a");
    assert_eq!(versions(&server, &tenant), [2, 2, 2]);
    let nothing = colophon(&data, &["edge", "resign"]);
    let said = told(&data, &["edge", "resign"]);
    assert!(said.starts_with("looked at 1 tenant: signed 0 roots, 0 targets files"), "{said}");
    assert_eq!((counts(&nothing), &nothing["tenants"]), ([0, 0, 0, 0], &1.into()));

    server.clock.advance(DAY);
    assert_eq!(counts(&colophon(&data, &["edge", "resign", "acme-inc"])), [0, 0, 0, 1]);
    assert_eq!(versions(&server, &tenant), [3, 2, 2]);
    server.clock.advance(14 * DAY);
    assert_eq!(counts(&colophon(&data, &["edge", "resign"])), [0, 0, 1, 1]);
    assert_eq!(versions(&server, &tenant), [4, 3, 2]);
    server.clock.advance(31 * DAY);
    assert_eq!(counts(&colophon(&data, &["edge", "resign"])), [0, 1, 1, 1]);
    assert_eq!(versions(&server, &tenant), [5, 4, 3]);
    assert_eq!(counts(&colophon(&data, &["edge", "resign"])), [0; 4], "one look, one signature");

    for _ in 0..30 {
        server.clock.advance(16 * DAY);
        colophon(&data, &["edge", "resign"]);
    }
    assert!(signed(&server, &tenant, "2.root.json")["version"] == 2, "renewed by itself");
    let purged = colophon(&data, &["purge"]);
    assert!(purged["tuf_files"].as_u64().unwrap() > 10, "{purged}");
    versions(&server, &tenant);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    let status = &colophon(&data, &["edge", "status"])[0];
    assert_eq!((&status["roots"], &status["archived"]), (&"server".into(), &false.into()));
    assert!(told(&data, &["edge", "status", "acme-inc"]).contains("made on this server"));
    assert!(refused(&data, &["edge", "resign", "nobody"]).contains("no tenant `nobody`"));
}

/// Nobody has to ask: a running server looks by itself.
#[test]
fn a_running_server_signs_anew() {
    let server = TestServer::with(|config| config.maintenance.resign_every = Span::seconds(1));
    let tenant = server.tenant("acme-inc");
    server.clock.advance(DAY);
    let start = Instant::now();
    while versions(&server, &tenant) != [2, 1, 1] {
        assert!(start.elapsed() < Duration::from_mins(3), "nothing was signed");
        std::thread::yield_now();
    }
}

/// A head that was written before the facts were kept: everything is signed once, and then known.
#[test]
fn an_old_tenant_is_signed_for_at_once() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    deliver(&server, &tenant, 1, "a");
    let press = &server.app.press;
    let slug = tenant.slug.parse().unwrap();
    let uid = press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap().uid;
    let lane = press.store.lane(uid);
    let head = lane.view().unwrap().get::<TenantHead>(&uid).unwrap().unwrap();
    let mut change = Change::new();
    change.put::<TenantHead>(&uid, &TenantHead { edge: None, ..head });
    lane.submit(change).wait().unwrap();

    let site = Site { press, config: &server.app.config };
    let report = Resign::default().run(site, &|_| {}).unwrap();
    assert_eq!((report.roots, report.targets), (0, 1));
    assert_eq!(versions(&server, &tenant), [3, 3, 3]);
    assert_eq!(update(&server, &tenant, TARGET)["version"], "1.0.1");
}

/// Each role gets a new key, snapshot with timestamp, and a client that pinned the first root follows.
#[test]
fn clients_follow_new_keys() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    deliver(&server, &tenant, 1, "a");
    deliver(&server, &tenant, 2, "b");
    update(&server, &tenant, TARGET);
    for (role, root) in [("timestamp", 2), ("snapshot", 3), ("targets", 4)] {
        let old = signed(&server, &tenant, &format!("{}.root.json", root - 1));
        let status = colophon(&data, &["edge", "rotate", "acme-inc", "--role", role]);
        assert_eq!(
            (&status["root"]["version"], &status[role]["key_generation"]),
            (&root.into(), &1.into())
        );
        let new = signed(&server, &tenant, &format!("{root}.root.json"));
        for other in ["root", "timestamp", "snapshot", "targets"] {
            let same = old["roles"][other] == new["roles"][other];
            let with = (role, other) == ("snapshot", "timestamp");
            assert_eq!(same, other != role && !with, "{role}: {other}");
        }
        assert_eq!(update(&server, &tenant, TARGET)["version"], "1.0.2");
    }
    // After the key of targets, agents do not go back below what was current.
    let [.., targets] = versions(&server, &tenant);
    let file = signed(&server, &tenant, &format!("{targets}.targets.json"));
    assert_eq!(file["targets"][TARGET]["custom"]["colophon"]["min_seq"], 2);
    assert_eq!(deliver(&server, &tenant, 3, "c")["version"], "1.0.3");
    let [.., targets] = versions(&server, &tenant);
    let file = signed(&server, &tenant, &format!("{targets}.targets.json"));
    assert_eq!(file["targets"][TARGET]["custom"]["colophon"]["min_seq"], 2, "a build keeps it");
    assert_eq!(update(&server, &tenant, TARGET)["version"], "1.0.3");
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}

/// Agents see a higher number with the old files; the branch keeps the flow's files, its history says
/// what was done, and a rebuild makes the same history.
#[test]
fn a_bundle_is_rolled_back_under_a_higher_number() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let first = deliver(&server, &tenant, 1, "a");
    let second = deliver(&server, &tenant, 2, "b");
    assert_eq!(update(&server, &tenant, TARGET)["sha256"], second["edge_sha256"]);
    let done = colophon(&data, &["edge", "rollback", "acme-inc", "order_intake"]);
    assert_eq!((&done["to"], &done["seq"]), (&1.into(), &3.into()));
    let told_of = update(&server, &tenant, TARGET);
    assert_eq!((&told_of["sha256"], &told_of["version"]), (&first["edge_sha256"], &"1.0.3".into()));

    let folder = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &folder);
    let clone = folder;
    assert_eq!(git_in(&clone, &["rev-parse", "HEAD"]).trim(), done["commit"]);
    let changed = git_in(&clone, &["diff", "--name-only", "HEAD~1"]);
    assert_eq!(changed.trim(), "manifest.json");
    let subject = git_in(&clone, &["log", "-1", "--format=%s"]);
    assert_eq!(subject.trim(), "revert(flow): edge bundle of order_intake");
    colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);

    // Forward again, to a number of choice, and nowhere that was not.
    let done = colophon(&data, &["edge", "rollback", "acme-inc", "order_intake", "--to", "2"]);
    assert_eq!((&done["to"], &done["seq"]), (&2.into(), &4.into()));
    assert_eq!(update(&server, &tenant, TARGET)["sha256"], second["edge_sha256"]);
    let again = refused(&data, &["edge", "rollback", "acme-inc", "order_intake", "--to", "9"]);
    assert!(again.contains("no bundle 9"), "{again}");
    let again = refused(&data, &["edge", "rollback", "acme-inc", "nothing"]);
    assert!(!again.is_empty());
    assert_eq!(deliver(&server, &tenant, 3, "c")["version"], "1.0.5");
}

/// The tombstone is signed; builds go on behind it, and are published when it is lifted.
#[test]
fn an_archived_tenant_has_no_targets_until_it_is_restored() {
    let server = TestServer::start();
    let (data, mut tenant) = (server.data(), server.tenant("acme-inc"));
    deliver(&server, &tenant, 1, "a");
    update(&server, &tenant, TARGET);
    let status = colophon(&data, &["edge", "archive", "acme-inc"]);
    assert_eq!(status["archived"], true);
    let archived = versions(&server, &tenant);
    let file = signed(&server, &tenant, &format!("{}.targets.json", archived[2]));
    assert_eq!(
        (&file["x-colophon-status"], &file["targets"]),
        (&"archived".into(), &serde_json::json!({}))
    );
    let gone = run(&server, &tenant, TARGET);
    assert!(!gone.status.success(), "python-tuf finds the target no more");

    let edge = deliver(&server, &tenant, 2, "b");
    assert_eq!(versions(&server, &tenant), archived, "a build signs nothing meanwhile");
    colophon(&data, &["edge", "archive", "acme-inc"]);
    assert_eq!(versions(&server, &tenant), archived, "it is archived already");
    server.clock.advance(46 * DAY);
    assert_eq!(counts(&colophon(&data, &["edge", "resign"])), [0, 1, 1, 1]);
    let [.., targets] = versions(&server, &tenant);
    let file = signed(&server, &tenant, &format!("{targets}.targets.json"));
    assert_eq!(file["x-colophon-status"], "archived", "and stays so when it is signed anew");

    assert_eq!(colophon(&data, &["edge", "restore", "acme-inc"])["archived"], false);
    let (store, now) = (&server.app.press.store, server.clock.now());
    let slug = tenant.slug.parse().unwrap();
    let token = create_token(store, &slug, TokenKind::Edge, "later", 30, now).unwrap();
    tenant.edge = token.token.reveal().to_owned();
    let came = update(&server, &tenant, TARGET);
    assert_eq!((&came["sha256"], &came["version"]), (&edge["edge_sha256"], &"1.0.2".into()));
}
