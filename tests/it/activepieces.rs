//! A flow of ActivePieces, through the whole service.

use serde_json::{Value, json};

use crate::support::process::colophon;
use crate::support::programs::{clone, git_in};
use crate::support::{Answer, TestServer, TestTenant};

const ORDERS: &[u8] = include_bytes!("../fixtures/flows/activepieces_orders.json");

/// The template's flow as a version of a flow, last changed at `updated`.
fn version(updated: &str) -> Value {
    let mut template: Value = serde_json::from_slice(ORDERS).unwrap();
    let mut version = template["template"].take();
    version["flowId"] = json!("f1");
    version["updated"] = json!(updated);
    version
}

fn send(server: &TestServer, tenant: &TestTenant, flow: &Value) -> Answer {
    server.build(tenant, flow.to_string().as_bytes())
}

/// Built and cloned; the same flow in another wrapping is no new build, an older version is refused,
/// and what stands compiles to itself.
#[test]
fn a_flow_is_built_cloned_and_compiled_again() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let first = version("2024-05-01T10:00:00.000Z");
    let built = send(&server, &tenant, &first);
    assert_eq!(built.status, 201, "{:#}", built.json());
    let mut shown = first.clone();
    shown["trigger"]["settings"]["sampleData"] = json!({"lastTestDate": "now"});
    assert_eq!(send(&server, &tenant, &shown).status, 200);
    let mut older = version("2024-04-01T10:00:00.000Z");
    older["displayName"] = json!("Older");
    assert_eq!(send(&server, &tenant, &older).status, 409);
    let mut newer = version("2024-06-01T10:00:00.000Z");
    newer["displayName"] = json!("Newer");
    assert_eq!(send(&server, &tenant, &newer).status, 201);
    newer["trigger"]["nextAction"]["settings"]["actionName"] = json!("send_pigeon");
    let refused = send(&server, &tenant, &newer);
    assert_eq!(refused.status, 422, "{:#}", refused.json());
    assert!(refused.json().to_string().contains("E_AP_PIECE_UNSUPPORTED"));

    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    let files = git_in(&dir, &["ls-files", "app/components", "app/flows", "app/runners"]);
    let scripts = files.lines().filter(|path| path.starts_with("app/components/")).count();
    assert_eq!(scripts, 1, "{files}");
    assert!(files.contains("app/flows/acme_inc/flow_order_digest.py"), "{files}");

    let mut server = server;
    let kept = std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap());
    drop(server);
    let report = colophon(&kept.path().join("data"), &["rebuild", "--all"]);
    assert_eq!((&report["flows"], &report["unchanged"]), (&json!(1), &json!(1)), "{report:#}");
}
