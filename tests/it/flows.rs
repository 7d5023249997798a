//! Deleting a flow, and flows that come back.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::process::{colophon, refused, told};
use crate::support::programs::{clone, git_in, program, python};
use crate::support::{
    Answer, HELLO_LANGFLOW, ORDER_INTAKE, TestServer, TestTenant, agent, read, small_flow,
};

fn delete(server: &TestServer, slug: &str, flow: &str, token: &str) -> Answer {
    let url = format!("{}/v1/t/{slug}/flows/{flow}", server.url);
    let bearer = format!("Bearer {token}");
    read(agent().delete(url).header("authorization", bearer).call().unwrap())
}

fn built(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> Value {
    let answer = server.build(tenant, body);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    server.clock.advance(1_000);
    answer.json()
}

fn names(server: &TestServer, tenant: &TestTenant) -> Vec<String> {
    let list = server.get_with(&format!("/v1/t/{}/flows", tenant.slug), &tenant.api).json();
    let flows = list["flows"].as_array().unwrap().iter();
    flows.map(|flow| flow["flow"].as_str().unwrap().to_owned()).collect()
}

/// The LangFlow export as another flow: the same component, another name.
fn second_langflow() -> Vec<u8> {
    let mut flow: Value = serde_json::from_slice(HELLO_LANGFLOW).unwrap();
    flow["name"] = "Second hello".into();
    flow["id"] = "6f9619ff-8b86-d011-b42d-00c04fc964ff".into();
    serde_json::to_vec(&flow).unwrap()
}

fn edge_fetch(server: &TestServer, tenant: &TestTenant, args: &[&str]) -> Option<i32> {
    let output = Command::new(program("edge-fetch"))
        .args(args)
        .env("EDGE_FETCH_DIR", server.path("agent"))
        .env("EDGE_FETCH_TOKEN", &tenant.edge)
        .output()
        .unwrap();
    output.status.code()
}

/// Whether stock python-tuf finds a target.
fn tuf_finds(server: &TestServer, tenant: &TestTenant, target: &str) -> bool {
    std::fs::write(server.path("root.json"), &tenant.root).unwrap();
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_tuf.py"))
        .args([&server.url, &tenant.slug, &tenant.edge])
        .arg(server.path("root.json"))
        .arg(server.path("client"))
        .arg(target)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let missing = stderr.contains("'NoneType'"); // `get_targetinfo` gave none
    assert!(output.status.success() || missing, "{stderr}");
    output.status.success()
}

/// Files leave the branch, what another flow has stays; the bundle leaves the edge repository;
/// history stays, and all of it can be made anew.
#[test]
fn a_deleted_flow_leaves_branch_and_edge_and_no_one_elses_files() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let hello = built(&server, &tenant, HELLO_LANGFLOW)["flow"].as_str().unwrap().to_owned();
    built(&server, &tenant, &second_langflow());
    let orders = built(&server, &tenant, ORDER_INTAKE);
    let target = orders["outputs"][1]["edge"]["target"].as_str().unwrap();
    assert!(tuf_finds(&server, &tenant, target));
    let root = server.path("root.json").display().to_string();
    let enroll = ["enroll", "--url", &server.url, "--tenant", &tenant.slug, "--root", &root];
    assert_eq!(edge_fetch(&server, &tenant, &enroll), Some(0));
    assert_eq!(edge_fetch(&server, &tenant, &["check"]), Some(10), "an update waits");

    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    let component = git_in(&dir, &["ls-files", "app/components"]);
    assert!(!component.is_empty());

    let gone = delete(&server, "acme-inc", &hello, &tenant.api);
    assert_eq!(gone.status, 200, "{:#}", gone.json());
    assert_eq!(delete(&server, "acme-inc", "order_intake", &tenant.api).status, 200);
    git_in(&dir, &["pull", "--quiet", "--ff-only"]);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    let files = git_in(&dir, &["ls-files"]);
    assert!(!files.contains(&format!("flow_{hello}.py")) && !files.contains("order_intake"));
    assert!(files.contains("flow_second_hello.py"));
    assert_eq!(git_in(&dir, &["ls-files", "app/components"]), component, "still used");
    assert!(!dir.join("edge_scripts").exists());
    let commit = gone.json()["commit"].as_str().unwrap().to_owned();
    let message = git_in(&dir, &["log", "-1", "--format=%B", &commit]);
    assert!(
        message.starts_with(&format!("chore(flow): delete {hello}\n\nBuild-Id: ")),
        "{message}"
    );
    git_in(&dir, &["show", &format!("{commit}^:app/flows/acme_inc/flow_{hello}.py")]);
    let manifest: Value =
        serde_json::from_str(&git_in(&dir, &["show", "HEAD:manifest.json"])).unwrap();
    assert_eq!(manifest["flows"].as_object().unwrap().len(), 1);
    assert_eq!(names(&server, &tenant), ["second_hello"]);

    assert!(!tuf_finds(&server, &tenant, target));
    assert_eq!(edge_fetch(&server, &tenant, &["check"]), Some(0), "nothing waits any more");
    let edge = format!("/v1/t/{}/edge/order_intake/manifest.json", tenant.slug);
    assert_eq!(server.get_with(&edge, &tenant.edge).status, 404);
    assert_eq!(delete(&server, "acme-inc", &hello, &tenant.api).status, 404, "it is gone");
    everything_holds(&server, &dir);
}

/// Nothing wrong with the store; the Git objects follow from the records, deletions among them.
fn everything_holds(server: &TestServer, clone: &Path) {
    let tip = git_in(clone, &["rev-parse", "HEAD"]).trim().to_owned();
    let fsck = colophon(&server.data(), &["fsck"]);
    assert_eq!(fsck["total_problems"], 0, "{fsck:#}");
    let rebuilt = colophon(&server.data(), &["git", "rebuild", "acme-inc"]);
    assert_eq!(rebuilt["tip"], tip.as_str());
    assert_eq!(rebuilt["replaced"], 0, "{rebuilt:#}");
}

/// A replay must not bring a flow back; its builder can, under its old name and no one else's.
#[test]
fn a_flow_comes_back_by_new_content_only_and_its_name_is_kept_for_it() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let plain = small_flow("plain", None, "a");
    built(&server, &tenant, &plain);
    let counted = small_flow("counted", Some(7), "a");
    built(&server, &tenant, &counted);
    let orders = built(&server, &tenant, ORDER_INTAKE);
    assert_eq!(orders["outputs"][1]["edge"]["version"], "1.0.1");
    for flow in ["plain", "counted", "order_intake"] {
        assert_eq!(delete(&server, "acme-inc", flow, &tenant.api).status, 200);
    }
    for (body, why) in [
        (plain.clone(), "content that was built"),
        (counted.clone(), "the last revision"),
        (small_flow("counted", Some(3), "b"), "an older revision"),
    ] {
        let answer = server.build(&tenant, &body);
        assert_eq!((answer.status, answer.code().as_str()), (409, "flow-deleted"), "{why}");
    }
    let stranger = String::from_utf8(small_flow("plain", None, "c")).unwrap();
    let stranger = stranger.replace("native-plain", "another");
    let named = built(&server, &tenant, stranger.as_bytes())["flow"].as_str().unwrap().to_owned();
    assert!(named.starts_with("plain_"), "{named}");

    assert_eq!(built(&server, &tenant, &small_flow("plain", None, "b"))["flow"], "plain");
    assert_eq!(built(&server, &tenant, &small_flow("counted", Some(8), "a"))["flow"], "counted");
    let mut again: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    again["revision"] = 1_000.into();
    let orders = built(&server, &tenant, &serde_json::to_vec(&again).unwrap());
    assert_eq!(orders["outputs"][1]["edge"]["version"], "1.0.2", "agents never go back");
    assert_eq!(names(&server, &tenant), ["counted", "order_intake", "plain", named.as_str()]);
    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    everything_holds(&server, &dir);
}

/// Nobody but the tenant and the operator; a flow of another tenant is like one that is not there.
#[test]
fn a_flow_is_its_tenants_to_delete() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("globex"));
    built(&server, &tenant, &small_flow("one", None, "a"));
    for token in [&other.api, &tenant.git, &tenant.edge] {
        let answer = delete(&server, "acme-inc", "one", token);
        assert!(matches!(answer.status, 401 | 404), "{}", answer.status);
    }
    assert_eq!(delete(&server, "globex", "one", &other.api).status, 404);
    assert_eq!(delete(&server, "acme-inc", "../one", &tenant.api).status, 404);
    assert_eq!(names(&server, &tenant), ["one"]);
    let path = "/v1/t/acme-inc/flows/one";
    assert_eq!(server.operator("DELETE", path, "").status, 200);
    assert_eq!(server.operator("DELETE", "/v1/t/nobody/flows/one", "").status, 404);
    assert!(names(&server, &tenant).is_empty());
}

/// Deleting is free: a tenant whose quota is used up can still take a flow away.
#[test]
fn a_deletion_needs_no_quota() {
    let server = TestServer::with(|config| {
        config.quota.builds_per_day = std::num::NonZeroU64::new(1).unwrap();
    });
    let tenant = server.tenant("acme-inc");
    built(&server, &tenant, &small_flow("one", None, "a"));
    assert_eq!(server.build(&tenant, &small_flow("two", None, "a")).status, 429);
    assert_eq!(delete(&server, "acme-inc", "one", &tenant.api).status, 200);
    assert_eq!(server.build(&tenant, &small_flow("two", None, "a")).status, 429, "as before");
}

/// The command line does the same through a server and without one.
#[test]
fn flows_are_listed_and_deleted_from_the_command_line() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for flow in ["one", "two", "three"] {
        built(&server, &tenant, &small_flow(flow, Some(3), "a"));
    }
    let data = server.data();
    let deleted = colophon(&data, &["flow", "delete", "acme-inc", "one"]);
    assert_eq!(deleted["flow"], "one");
    assert_eq!(names(&server, &tenant), ["three", "two"]);
    let mut server = server;
    let dir = std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap());
    drop(server);
    let text = told(&data, &["flow", "delete", "acme-inc", "two"]);
    assert!(text.starts_with("deleted two at commit "), "{text}");
    assert_eq!(told(&data, &["flow", "list", "acme-inc"]), "three  three  revision 3\n");
    let unknown = refused(&data, &["flow", "delete", "acme-inc", "two"]);
    assert!(unknown.contains("there is no flow `two`"), "{unknown}");
    drop(dir);
}
