//! Going back to an earlier build of a flow, because somebody says so.

use serde_json::{Value, json};

use crate::support::process::colophon;
use crate::support::programs::{clone, git_in};
use crate::support::sign::standard;
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, small_flow};

fn revert(server: &TestServer, tenant: &TestTenant, flow: &str, to: &Value) -> Answer {
    let bearer = format!("Bearer {}", tenant.api);
    let path = format!("/v1/t/{}/flows/{flow}/rollback", tenant.slug);
    server.post(&path, &[("authorization", &bearer)], to.to_string().as_bytes())
}

fn outputs(server: &TestServer, tenant: &TestTenant, build: &Value) -> Value {
    let path = format!("/v1/builds/{}", build.as_str().unwrap());
    let mut outputs = server.get_with(&path, &tenant.api).json()["outputs"].take();
    for output in outputs.as_array_mut().unwrap() {
        // A bundle gets a new number, since agents never go back; its files are the same.
        output.as_object_mut().unwrap().remove("edge");
    }
    outputs
}

/// The flow has the outputs of the earlier build, in a commit of its own, and the quota is not asked.
#[test]
fn a_flow_goes_back_to_the_outputs_of_an_earlier_build() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 3.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let built: Vec<Value> = ["a", "b", "c"]
        .map(|text| server.build(&tenant, &small_flow("one", None, text)).json()["id"].take())
        .to_vec();
    let back = revert(&server, &tenant, "one", &json!({}));
    assert_eq!(back.status, 201, "{:#}", back.json());
    let back = back.json();
    assert_eq!((&back["to"], &back["flow"]), (&built[1], &"one".into()));
    assert_eq!(outputs(&server, &tenant, &back["build"]), outputs(&server, &tenant, &built[1]));
    let further = revert(&server, &tenant, "one", &json!({"to": built[0]})).json();
    assert_eq!(outputs(&server, &tenant, &further["build"]), outputs(&server, &tenant, &built[0]));

    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    let subjects =
        git_in(&dir, &["log", "--format=%s %(trailers:key=Reverted-To,valueonly,separator=)"]);
    let first = format!("revert(flow): an earlier build of one {}", built[0].as_str().unwrap());
    assert_eq!(subjects.lines().next(), Some(first.as_str()), "{subjects}");
    git_in(&dir, &["fsck", "--strict", "--full"]);
    let changed = git_in(&dir, &["diff", "--name-only", "HEAD~4", "HEAD"]);
    assert_eq!(changed.lines().collect::<Vec<_>>(), ["manifest.json"], "as it was after the first");
}

/// Neither what was gone back from nor a captured no-op of it undoes the way back when it is sent again, in
/// any order of tokens; who means it sends it anew.
#[test]
fn a_replay_does_not_undo_a_way_back() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    assert_eq!(server.deliver_standard(&tenant, "msg_1", &a).status, 201);
    server.clock.advance(1000);
    let captured = standard(&tenant.secret, "msg_2", server.seconds(), &b);
    assert_eq!(server.deliver("acme-inc", &captured, &b).status, 201);
    server.clock.advance(1000);
    let unchanged = standard(&tenant.secret, "msg_3", server.seconds(), &b);
    assert_eq!(server.deliver("acme-inc", &unchanged, &b).status, 200);
    server.clock.advance(1000);
    let back = revert(&server, &tenant, "one", &json!({})).json();
    assert_eq!(server.deliver("acme-inc", &captured, &b).status, 200, "known by its id");
    assert_eq!(server.deliver("acme-inc", &unchanged, &b).code(), "stale-delivery");
    assert_eq!(server.build(&tenant, &b).code(), "seen-before");
    let standing = server.get_with("/v1/t/acme-inc/flows", &tenant.api).json();
    assert_eq!(standing["flows"][0]["build"], back["build"]);
    server.clock.advance(1000);
    assert_eq!(server.deliver_standard(&tenant, "msg_4", &b).status, 201);
}

/// Revisions never fall: after a way back the next one must be above all that were built.
#[test]
fn revisions_go_on_after_a_way_back() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in [1, 2] {
        let body = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
    }
    assert_eq!(revert(&server, &tenant, "one", &json!({})).status, 201);
    assert_eq!(
        server.build(&tenant, &small_flow("one", Some(2), "text 2")).code(),
        "stale-revision"
    );
    assert_eq!(server.build(&tenant, &small_flow("one", Some(3), "text 2")).status, 201);
}

#[test]
fn there_must_be_something_to_go_back_to() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other"));
    let one = server.build(&tenant, &small_flow("one", None, "a")).json();
    let two = server.build(&tenant, &small_flow("two", None, "a")).json();
    let foreign = server.build(&other, &small_flow("one", None, "b")).json();
    let refused = |to: Value| {
        let answer = revert(&server, &tenant, "one", &to);
        (answer.status, answer.code())
    };
    let no_build = (409, "no-build".to_owned());
    assert_eq!(refused(json!({})), no_build);
    for id in [&one["id"], &two["id"], &foreign["id"], &json!("0".repeat(32))] {
        assert_eq!(refused(json!({"to": id})), no_build);
    }
    assert_eq!(refused(json!({"to": 1})), (400, "invalid-request".to_owned()));
    assert_eq!(revert(&server, &tenant, "three", &json!({})).status, 404);
    assert_eq!(revert(&server, &other, "two", &json!({})).status, 404);
    let bearer = format!("Bearer {}", other.api);
    let path = "/v1/t/acme-inc/flows/one/rollback";
    assert_eq!(server.post(path, &[("authorization", &bearer)], b"").status, 404);
    assert_eq!(
        server.post(path, &[("authorization", &format!("Bearer {}", tenant.git))], b"").status,
        401
    );
}

/// A flow with an edge part: agents get the older files under a new number; and what was done by the command
/// line can be made anew from the records, to the same commits.
#[test]
fn a_way_back_is_a_fact_like_any_build() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let first = server.build(&tenant, ORDER_INTAKE).json();
    let mut changed: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    changed["name"] = json!("Orders, changed");
    if let Some(revision) = changed["revision"].as_u64() {
        changed["revision"] = json!(revision + 1);
    }
    let second = server.build(&tenant, changed.to_string().as_bytes());
    assert_eq!(second.status, 201, "{:#}", second.json());
    let flow = first["flow"].as_str().unwrap();
    let data = server.data();
    let done = colophon(&data, &["flow", "rollback", "acme-inc", flow]);
    assert_eq!(done["to"], first["id"], "{done:#}");
    let rebuilt = colophon(&data, &["git", "rebuild", "acme-inc"]);
    assert_eq!(
        (&rebuilt["replaced"], &rebuilt["moved"]),
        (&json!(0), &json!(false)),
        "{rebuilt:#}"
    );
    let path = format!("/v1/builds/{}", done["build"].as_str().unwrap());
    let back = server.get_with(&path, &tenant.api).json();
    let edge = |build: &Value| build["outputs"][1]["edge"]["edge_sha256"].clone();
    assert_eq!(edge(&back), edge(&first));
    let check = colophon(&data, &["fsck"]);
    assert_eq!(check["total_problems"], 0, "{check:#}");
}
