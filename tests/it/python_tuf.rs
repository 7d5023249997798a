//! Stock python-tuf updates from the server, from the pinned root to the bundle.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::programs::python;
use crate::support::{ORDER_INTAKE, TestServer, TestTenant};

/// Lets python-tuf update `target` with what it stored before. The first call pins the tenant's root.
pub(crate) fn run(server: &TestServer, tenant: &TestTenant, target: &str) -> Output {
    std::fs::write(server.path("root.json"), &tenant.root).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_tuf.py");
    Command::new(python())
        .arg(script)
        .args([&server.url, &tenant.slug, &tenant.edge])
        .arg(server.path("root.json"))
        .arg(server.path("client"))
        .arg(target)
        .output()
        .unwrap()
}

/// The same, which must succeed: what came.
pub(crate) fn update(server: &TestServer, tenant: &TestTenant, target: &str) -> Value {
    let output = run(server, tenant, target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Delivers a flow whose bundle is different for each `text`; returns what the answer says of it.
pub(crate) fn deliver(
    server: &TestServer,
    tenant: &TestTenant,
    revision: u64,
    text: &str,
) -> Value {
    let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    flow["revision"] = revision.into();
    // The bundle changes only when its scripts do.
    let body = flow.to_string().replace("#order", &format!("#order-{text}"));
    let built = server.build(tenant, body.as_bytes());
    assert_eq!(built.status, 201, "{:#}", built.json());
    built.json()["outputs"][1]["edge"].clone()
}

#[test]
fn python_tuf_refreshes_and_downloads() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for (revision, expected) in [(1, "1.0.1"), (2, "1.0.2")] {
        let edge = deliver(&server, &tenant, revision, expected);
        assert_eq!(edge["version"], expected);
        let told = update(&server, &tenant, edge["target"].as_str().unwrap());
        assert_eq!(told["sha256"], edge["edge_sha256"]);
        assert_eq!(told["version"], expected);
    }
}
