//! Stock python-tuf updates from the server, from the pinned root to the bundle.

use std::process::Command;

use crate::support::programs::python;
use crate::support::{ORDER_INTAKE, TestServer};

#[test]
fn python_tuf_refreshes_and_downloads() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    std::fs::write(server.path("root.json"), &tenant.root).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_tuf.py");
    for (name, expected) in [("Orders", "1.0.1"), ("Orders of the day", "1.0.2")] {
        let mut flow: serde_json::Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
        flow["revision"] = (expected.len() + name.len()).into();
        // The bundle changes only when its scripts do.
        let text = serde_json::to_string(&flow)
            .unwrap()
            .replace("#order", &format!("#order-{}", name.len()));
        let built = server.build(&tenant, text.as_bytes());
        assert_eq!(built.status, 201, "{:#}", built.json());
        let edge = built.json()["outputs"][1]["edge"].clone();
        assert_eq!(edge["version"], expected);
        let output = Command::new(python())
            .arg(script)
            .args([&server.url, &tenant.slug, &tenant.edge])
            .arg(server.path("root.json"))
            .arg(server.path("client"))
            .arg(edge["target"].as_str().unwrap())
            .output()
            .unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stderr}");
        let told: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(told["sha256"], edge["edge_sha256"]);
        assert_eq!(told["version"], expected);
    }
}
