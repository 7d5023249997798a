//! Deliveries that would take a flow back, and flows that want the same name.

use std::collections::BTreeSet;

use colophon_model::{FlowId, FlowSource, NativeFlowId};
use serde_json::Value;

use crate::support::{TestServer, small_flow};

/// Going back without a revision is taken for a replay; a revision must rise.
#[test]
fn stale_deliveries_are_refused() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (old, new) = (small_flow("one", None, "old"), small_flow("one", None, "new"));
    assert_eq!(server.build(&tenant, &old).status, 201);
    assert_eq!(server.build(&tenant, &new).status, 201);
    let replay = server.build(&tenant, &old);
    assert_eq!((replay.status, replay.code().as_str()), (409, "seen-before"));

    assert_eq!(server.build(&tenant, &small_flow("two", Some(5), "a")).status, 201);
    for (revision, status) in [(5, 409), (4, 409), (6, 201)] {
        let answer = server.build(&tenant, &small_flow("two", Some(revision), "b"));
        assert_eq!(answer.status, status, "revision {revision}");
    }
    let same = server.build(&tenant, &small_flow("two", Some(6), "b"));
    assert_eq!(same.status, 200, "a no-op is no matter of order");
}

/// A build without a revision does not open the door to older ones.
#[test]
fn revisions_never_fall() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in [1, 3, 5] {
        let body = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
    }
    assert_eq!(server.build(&tenant, &small_flow("one", None, "by hand")).status, 201);
    let late = server.build(&tenant, &small_flow("one", Some(3), "text 3"));
    assert_eq!((late.status, late.code().as_str()), (409, "stale-revision"));
    assert_eq!(server.build(&tenant, &small_flow("one", Some(6), "text 6")).status, 201);
}

/// What was built is remembered by its plan: other bytes with the same plan are the same replay.
#[test]
fn a_moved_node_does_not_make_an_old_flow_new() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let old = small_flow("one", None, "old");
    let mut moved: Value = serde_json::from_slice(&old).unwrap();
    moved["nodes"][0]["position"] = serde_json::json!({"x": 1, "y": 2});
    let moved = serde_json::to_vec(&moved).unwrap();
    assert_eq!(server.build(&tenant, &old).status, 201);
    assert_eq!(server.build(&tenant, &moved).status, 200);
    assert_eq!(server.build(&tenant, &small_flow("one", None, "new")).status, 201);
    for replay in [&old, &moved] {
        assert_eq!(server.build(&tenant, replay).status, 409);
    }
}

/// A Builder flow with a native id of its own.
fn flow(native: &str, slug: &str) -> Vec<u8> {
    let mut flow: Value = serde_json::from_slice(&small_flow(slug, None, native)).unwrap();
    flow["id"] = native.into();
    serde_json::to_vec(&flow).unwrap()
}

/// No flow is built under the id of another, also when someone took the id it would get.
#[test]
fn flows_never_share_an_id() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let victim = NativeFlowId::new("victim").unwrap();
    let hashed = FlowId::new("one").unwrap().disambiguated(FlowSource::Builder, &victim, 0);
    let mut ids = BTreeSet::new();
    for (native, slug) in [("first", "one"), ("squatter", hashed.as_str()), ("victim", "one")] {
        let built = server.build(&tenant, &flow(native, slug));
        assert_eq!(built.status, 201, "{:#}", built.json());
        assert!(ids.insert(built.json()["flow"].as_str().unwrap().to_owned()), "{ids:?}");
    }
    let again = server.build(&tenant, &flow("squatter", hashed.as_str()));
    assert_eq!(again.status, 200, "nobody touched it");
}

/// Flows that want one name at the same time all get one of their own.
#[test]
fn racing_first_builds_get_names_of_their_own() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let build = |n: usize| {
            let (server, tenant) = (&server, &tenant);
            scope.spawn(move || {
                let built = server.build(tenant, &flow(&format!("native-{n}"), "one"));
                assert_eq!(built.status, 201, "{:#}", built.json());
                built.json()["flow"].as_str().unwrap().to_owned()
            })
        };
        let threads: Vec<_> = (0..16).map(build).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 16);
}
