//! The Git objects of a tenant are a function of facts: dropped and made anew, they are the same.

use std::collections::BTreeMap;
use std::path::Path;

use colophon::projection::TenantLog;
use colophon_gitbridge::{Limits, ObjectLog as _, Protocol, Tags, UploadPack};
use colophon_model::{BuildRecord, GitKind, LogEntry, Ordinal, TagObject, TenantBranch, TenantUid};
use colophon_store::rows::{GitOid, RefRow, TenantHead, TenantRow};
use colophon_store::{Change, Options, Row, Store};
use serde_json::Value;

use crate::support::process::{colophon, refused, told};
use crate::support::programs::{clone, git, git_in};
use crate::support::{HELLO_LANGFLOW, ORDER_INTAKE, TestServer, TestTenant, small_flow};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Flows with an edge part and with code carriers, new revisions, and files that leave the branch.
fn with_history(server: &TestServer) -> TestTenant {
    let tenant = server.tenant("acme-inc");
    let text = String::from_utf8(ORDER_INTAKE.to_vec()).unwrap();
    let edited = text.replace("#order", "#order-2");
    let bodies = [
        ORDER_INTAKE.to_vec(),
        HELLO_LANGFLOW.to_vec(),
        small_flow("orders", Some(1), "one"),
        with_revision(&edited, 9),
        without_edge(10),
        small_flow("orders", Some(2), "two"),
    ];
    for body in bodies {
        let answer = server.build(&tenant, &body);
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        server.clock.advance(1_000);
    }
    tenant
}

fn with_revision(flow: &str, revision: u64) -> Vec<u8> {
    let mut flow: Value = serde_json::from_str(flow).unwrap();
    flow["revision"] = revision.into();
    serde_json::to_vec(&flow).unwrap()
}

/// The flow `order_intake` without its edge part, whose files leave with it.
fn without_edge(revision: u64) -> Vec<u8> {
    let flow = small_flow("order_intake", Some(revision), "no edge");
    let text = String::from_utf8(flow).unwrap();
    text.replace("native-order_intake", "flw_7f3a9c21").into_bytes()
}

fn uid(store: &Store) -> TenantUid {
    let row = store.view().unwrap().get::<TenantRow>(&"acme-inc".parse().unwrap()).unwrap();
    row.unwrap().uid
}

/// The rows without the forms in which objects are stored: these are today's, not those of the program
/// that wrote them.
fn objects(mut rows: Rows) -> Rows {
    for ((table, _), row) in &mut rows {
        if *table == LogEntry::TABLE.name() {
            let entry = LogEntry::decode(row).unwrap();
            let bare =
                LogEntry { base: None, depth: 0, inflated: 0, deflated: Vec::new(), ..entry };
            *row = bare.encode();
        }
    }
    rows
}

/// Every row of the projection, as it is stored.
type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

fn rows(store: &Store) -> Rows {
    fn add<R: Row>(store: &Store, uid: TenantUid, rows: &mut Rows) {
        let view = store.view().unwrap();
        for row in view.scan::<R>(&uid) {
            let (key, row) = row.unwrap();
            rows.insert((R::TABLE.name(), R::encode_key(&key)), row.encode());
        }
    }
    let (uid, mut rows) = (uid(store), BTreeMap::new());
    add::<LogEntry>(store, uid, &mut rows);
    add::<GitOid>(store, uid, &mut rows);
    add::<TagObject>(store, uid, &mut rows);
    add::<RefRow>(store, uid, &mut rows);
    add::<TenantHead>(store, uid, &mut rows);
    rows
}

/// Deletes every object, tag and ref of the tenant.
fn drop_projection(store: &Store) {
    fn delete<R: Row>(store: &Store, uid: TenantUid, change: &mut Change) {
        let view = store.view().unwrap();
        for row in view.scan::<R>(&uid) {
            change.delete::<R>(&row.unwrap().0);
        }
    }
    let (uid, mut change) = (uid(store), Change::new());
    delete::<LogEntry>(store, uid, &mut change);
    delete::<GitOid>(store, uid, &mut change);
    delete::<TagObject>(store, uid, &mut change);
    delete::<RefRow>(store, uid, &mut change);
    store.commit(change).unwrap();
}

/// Stops the server and keeps its directory.
fn take(mut server: TestServer) -> tempfile::TempDir {
    std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap())
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[test]
fn a_dropped_projection_comes_back_as_it_was() {
    let server = TestServer::start();
    let (tenant, data) = (with_history(&server), server.data());
    let store = &server.app.press.store;
    let before = rows(store);
    let same = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!((number(&same, "replaced"), number(&same, "refs_replaced")), (0, 0), "{same}");
    assert_eq!((number(&same, "builds"), number(&same, "removed")), (6, 0));
    assert_eq!(rows(store), before);

    drop_projection(store);
    let planned = colophon(&data, &["git", "rebuild", "acme-inc", "--dry-run"]);
    assert_eq!(number(&planned, "replaced"), number(&same, "objects"), "{planned}");
    assert!(rows(store).len() < 3, "a dry run writes nothing");
    let rebuilt = told(&data, &["git", "rebuild", "acme-inc"]);
    assert!(rebuilt.starts_with("rebuilt\n"), "{rebuilt}");
    assert_eq!(rows(store), before, "objects, refs, tags and head, byte for byte");

    // The branch goes on from there.
    assert_eq!(server.build(&tenant, &small_flow("orders", Some(3), "three")).status, 201);
    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    assert_eq!(git_in(&dir, &["rev-list", "--count", "HEAD"]).trim(), "8");
    assert!(!dir.join("edge_scripts").exists(), "its flow has no edge part any more");
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}

/// Signatures are facts: whoever has another key, or none of the old one, makes the same commits.
#[test]
fn a_rebuild_needs_no_key() {
    let server = TestServer::start();
    with_history(&server);
    let before = rows(&server.app.press.store);
    drop_projection(&server.app.press.store);
    let data = server.data();
    let dir = take(server);
    std::fs::write(data.join("keys/master.key"), format!("{}\n", "7".repeat(64))).unwrap();
    let rebuilt = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!(rebuilt["moved"], false);
    let store = Store::open(&data, &Options::default()).unwrap();
    assert_eq!(rows(&store), before);
    drop((store, dir));
}

/// A store of version 0.1 has neither planted files nor manifests nor signatures in rows.
#[test]
fn commits_of_the_first_format_are_made_again_unsigned() {
    let dir = tempfile::tempdir().unwrap();
    let archive =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores/format-1.tar.zst");
    let tar = zstd::stream::read::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(tar).unpack(dir.path()).unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&data, &Options::default()).unwrap();
    let before = rows(&store);
    // All but the first commit and what it reaches, which no row of format 1 holds elsewhere.
    let (uid, mut change) = (uid(&store), Change::new());
    let view = store.view().unwrap();
    let entries: Vec<_> = view.scan::<LogEntry>(&uid).map(Result::unwrap).collect();
    let first = entries.iter().position(|(_, e)| e.kind == GitKind::Commit);
    for (key, entry) in &entries[first.unwrap() + 1..] {
        change.delete::<LogEntry>(key).delete::<GitOid>(&(uid, entry.oid));
    }
    drop(view);
    store.commit(change).unwrap();
    drop(store);
    let rebuilt = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!(rebuilt["tip"], "d09d3851d7d44c8c87a28809c2720cafec01869f");
    assert_eq!((number(&rebuilt, "builds"), number(&rebuilt, "objects")), (4, 76));
    assert_eq!(number(&rebuilt, "replaced"), entries.len() as u64 - first.unwrap() as u64 - 1);
    let store = Store::open(&data, &Options::default()).unwrap();
    assert_eq!(objects(rows(&store)), objects(before));
}

/// The commits that clients have are not replaced by others, whatever happened to the facts.
#[test]
fn a_fact_that_changed_is_told_and_nothing_is_written() {
    let server = TestServer::start();
    with_history(&server);
    let (store, data) = (&server.app.press.store, server.data());
    let view = store.view().unwrap();
    let uid = uid(store);
    let third = view.scan::<BuildRecord>(&uid).map(|row| row.unwrap().1).find(|r| r.number == 3);
    let third = third.unwrap();
    let mut changed = third.clone();
    changed.revision = Some(77);
    drop(view);
    let put = |record: &BuildRecord| {
        store.commit({
            let mut change = Change::new();
            change.put(&(uid, third.id), record);
            change
        })
    };
    put(&changed).unwrap();
    drop_projection(store);
    let before = rows(store);
    let text = refused(&data, &["git", "rebuild", "acme-inc"]);
    assert!(text.contains(&format!("build 3 ({}) would become commit", third.id)), "{text}");
    assert!(text.contains(&format!("instead of {}; nothing was changed", third.commit)), "{text}");
    assert_eq!(rows(store), before);
    let answer =
        server.operator("POST", "/v1/maintenance/git/rebuild", r#"{"tenant": "acme-inc"}"#);
    assert!(String::from_utf8_lossy(&answer.bytes).contains("rebuild-differs"));

    put(&third).unwrap();
    colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    let unknown = refused(&data, &["git", "rebuild", "nobody"]);
    assert!(unknown.contains("there is no tenant `nobody`"), "{unknown}");
}

/// A clone under way reads objects by their place in the log.
#[test]
fn rows_that_are_damaged_are_replaced_under_a_clone() {
    let server = TestServer::start();
    with_history(&server);
    let store = &server.app.press.store;
    let (uid, before) = (uid(store), rows(store));
    let door = UploadPack {
        branch: TenantBranch::new("acme-inc".parse().unwrap()),
        agent: "test",
        tags: Tags::All,
        ref_in_want: false,
        limits: Limits::default(),
    };
    let view = store.view().unwrap();
    let tip = view.get::<TenantHead>(&uid).unwrap().unwrap().tip.unwrap();
    let want = format!("want {tip} ofs-delta\n");
    let request = format!("{:04x}{want}00000009done\n", want.len() + 4);
    let log = TenantLog::new(&view, uid);
    let mut pack = door.answer(&log, Protocol::V0, request.as_bytes()).unwrap().pack.unwrap();
    let mut bytes = pack.next(&log).unwrap().unwrap();
    // What is to come is damaged meanwhile, then made anew.
    let mut change = Change::new();
    for at in 1..log.len().unwrap() {
        let key = (uid, Ordinal::new(at));
        let mut entry = view.get::<LogEntry>(&key).unwrap().unwrap();
        *entry.deflated.last_mut().unwrap() ^= 1;
        change.put(&key, &entry);
    }
    drop(view);
    store.commit(change).unwrap();
    let rebuilt = colophon(&server.data(), &["git", "rebuild", "acme-inc"]);
    assert_eq!(rebuilt["moved"], false);
    assert_eq!(number(&rebuilt, "replaced"), number(&rebuilt, "objects") - 1);
    assert_eq!(rows(store), before);
    let view = store.view().unwrap();
    while let Some(piece) = pack.next(&TenantLog::new(&view, uid)).unwrap() {
        bytes.extend(piece);
    }
    let (repo, file) = (server.path("repo"), server.path("streamed.pack"));
    git(&["init", "-q", &repo.display().to_string()]);
    std::fs::write(&file, bytes).unwrap();
    git_in(&repo, &["index-pack", "--strict", &file.display().to_string()]);
}

/// Objects at the wrong places are put right in one go.
#[test]
fn an_order_that_is_wrong_is_replaced_whole() {
    let server = TestServer::start();
    with_history(&server);
    let store = &server.app.press.store;
    let (uid, before) = (uid(store), rows(store));
    let view = store.view().unwrap();
    let get = |at| view.get::<LogEntry>(&(uid, Ordinal::new(at))).unwrap().unwrap();
    let mut change = Change::new();
    for (to, from) in [(0, 1), (1, 0)] {
        let entry = get(from);
        change.put(&(uid, entry.oid), &GitOid { ordinal: Ordinal::new(to) });
        change.put(&(uid, Ordinal::new(to)), &entry);
    }
    let stray = LogEntry { oid: "7".repeat(40).parse().unwrap(), ..get(0) };
    let end = view.get::<TenantHead>(&uid).unwrap().unwrap().next_ordinal;
    change.put(&(uid, stray.oid), &GitOid { ordinal: Ordinal::new(end) });
    change.put(&(uid, Ordinal::new(end)), &stray);
    store.commit(change).unwrap();
    drop(view);
    let rebuilt = colophon(&server.data(), &["git", "rebuild", "acme-inc"]);
    assert_eq!((&rebuilt["moved"], number(&rebuilt, "replaced")), (&true.into(), 2), "{rebuilt}");
    assert_eq!(number(&rebuilt, "removed"), 2);
    assert_eq!(rows(store), before);
}

/// What retention took stays away; when the refs are lost, what is younger comes back.
#[test]
fn purged_tags_stay_away() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let data = server.data();
    assert_eq!(server.build(&tenant, &small_flow("orders", Some(1), "old")).status, 201);
    server.clock.advance(31 * DAY);
    assert_eq!(server.build(&tenant, &small_flow("orders", Some(2), "new")).status, 201);
    assert_eq!(number(&colophon(&data, &["purge"]), "tags"), 1);
    let store = &server.app.press.store;
    let before = rows(store);
    let same = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!((number(&same, "tags"), number(&same, "refs_replaced")), (1, 0));
    assert_eq!(rows(store), before);
    drop_projection(store);
    let again = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!((number(&again, "tags"), number(&again, "refs_replaced")), (1, 2));
    assert_eq!(rows(store), before);
}

/// Builds go on while objects are made anew, and lose nothing.
#[test]
fn builds_go_on_meanwhile() {
    let server = TestServer::with(|config| {
        config.quota.builds_per_day = 100_000.try_into().unwrap();
    });
    let (tenant, data) = (with_history(&server), server.data());
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| {
            for revision in 20..40 {
                let body = small_flow("orders", Some(revision), &format!("text {revision}"));
                assert_eq!(server.build(&tenant, &body).status, 201);
            }
        });
        for _ in 0..3 {
            let done = colophon(&data, &["git", "rebuild", "acme-inc"]);
            assert_eq!((number(&done, "replaced"), number(&done, "removed")), (0, 0), "{done}");
        }
        builder.join().unwrap();
    });
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}
