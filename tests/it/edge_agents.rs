//! What agents report, and what the tenant and the operator see of it.

use serde_json::{Value, json};

use crate::support::process::colophon;
use crate::support::{Answer, TestServer, TestTenant};

fn report(device: u64) -> Value {
    json!({"device": format!("{device:032x}"), "name": "till-1", "version": "0.1.0", "os": "linux",
        "arch": "x86_64", "flows": [{"flow": "order", "seq": 1, "tree": "0".repeat(64),
        "state": "active", "since": 1_000}], "error": null, "of a newer agent": 1})
}

fn send(server: &TestServer, tenant: &TestTenant, token: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/t/{}/edge/report", tenant.slug);
    server.post(&path, &[("authorization", &bearer)], body.to_string().as_bytes())
}

fn agents(server: &TestServer, tenant: &TestTenant) -> Vec<Value> {
    let answer = server.get_with(&format!("/v1/t/{}/edge/agents", tenant.slug), &tenant.api);
    assert_eq!(answer.status, 200);
    answer.json()["agents"].as_array().unwrap().clone()
}

#[test]
fn a_device_has_one_row_with_the_servers_time() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    assert_eq!(send(&server, &tenant, &tenant.edge, &report(1)).status, 204);
    server.clock.advance(90_000);
    assert_eq!(send(&server, &tenant, &tenant.edge, &report(2)).status, 204);
    let mut again = report(1);
    again["error"] = "cannot\nconnect".into();
    assert_eq!(send(&server, &tenant, &tenant.edge, &again).status, 204);
    server.clock.advance(5_000);
    let list = agents(&server, &tenant);
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|agent| agent["silent"] == 5 && agent["outdated"] == false));
    let first = list.iter().find(|agent| agent["device"] == report(1)["device"]).unwrap();
    assert_eq!(first["error"], "cannot connect");
    assert_eq!(first["flows"][0]["since"], "1970-01-01T00:00:01Z");
    assert_eq!(first["flows"][0]["current"], Value::Null, "there is no such bundle");

    // The operator sees the same.
    let seen = server.operator("GET", "/v1/t/acme/edge/agents", "");
    assert_eq!(seen.json()["agents"], json!(list));
}

#[test]
fn reports_are_bounded_and_checked() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let mut bad = report(1);
    bad["device"] = "../x".into();
    assert_eq!(send(&server, &tenant, &tenant.edge, &bad).code(), "invalid-report");
    let mut bad = report(1);
    (bad["name"], bad["os"]) = ("n".repeat(101).into(), "a\nb".into());
    let answer = send(&server, &tenant, &tenant.edge, &bad);
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-report"));
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(text.contains("`name`") && text.contains("`os`"), "all at once: {text}");
    let mut bad = report(1);
    bad["flows"] = vec![bad["flows"][0].clone(); 257].into();
    assert_eq!(send(&server, &tenant, &tenant.edge, &bad).status, 400);
    bad["error"] = "x".repeat(70_000).into();
    assert_eq!(send(&server, &tenant, &tenant.edge, &bad).status, 413);
    assert!(agents(&server, &tenant).is_empty());
}

/// Reports need the edge scope, lists the read scope, and neither is anybody else's.
#[test]
fn reports_and_lists_are_the_tenants_own() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme"), server.tenant("other"));
    assert_eq!(send(&server, &tenant, &tenant.git, &report(1)).status, 401);
    assert_eq!(send(&server, &tenant, "nonsense", &report(1)).status, 401);
    assert_eq!(send(&server, &tenant, &other.edge, &report(1)).status, 404);
    let path = "/v1/t/acme/edge/agents";
    assert_eq!(server.get_with(path, &other.api).status, 404);
    assert_eq!(server.get_with(path, &tenant.git).status, 401);
    assert_eq!(server.get(path, &[]).status, 401);
    send(&server, &tenant, &tenant.edge, &report(1));
    assert!(agents(&server, &other).is_empty());
}

/// Who is silent is found on the command line.
#[test]
fn the_command_line_lists_who_is_silent() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    send(&server, &tenant, &tenant.edge, &report(1));
    server.clock.advance(3 * 24 * 60 * 60 * 1000);
    send(&server, &tenant, &tenant.edge, &report(2));
    let list = |more: &[&str]| {
        let list = colophon(&server.data(), &[&["edge", "agents", "acme"], more].concat());
        list["agents"].as_array().unwrap().len()
    };
    assert_eq!((list(&[]), list(&["--stale", "1d"]), list(&["--stale", "4d"])), (2, 1, 0));
}
