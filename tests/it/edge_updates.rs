//! The real agent on the real server over a tenant's life.

use std::process::Command;

use serde_json::Value;

use crate::support::process::colophon;
use crate::support::programs::program;
use crate::support::{TestServer, TestTenant};
use crate::transfer::flow;

/// An agent's folder beside a server.
struct Machine<'a> {
    server: &'a TestServer,
    tenant: &'a TestTenant,
}

impl<'a> Machine<'a> {
    fn enrolled(server: &'a TestServer, tenant: &'a TestTenant) -> Self {
        let root = server.path("root.json");
        std::fs::write(&root, &tenant.root).unwrap();
        let machine = Self { server, tenant };
        let root = root.display().to_string();
        let url = &server.url;
        machine.run(0, &["enroll", "--url", url, "--tenant", &tenant.slug, "--root", &root]);
        machine
    }

    /// Runs with `--json`; the lines that it printed.
    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> Vec<Value> {
        let mut command = Command::new(program("edge-fetch"));
        command.args(args).args(["--json", "--no-report"]).env("NO_PROXY", "*");
        command.env("EDGE_FETCH_DIR", self.server.path("agent"));
        let output = command.env("EDGE_FETCH_TOKEN", &self.tenant.edge).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Archived by the operator: the agent takes everything away and says so; restored: it comes back
/// by itself.
#[test]
fn an_archived_tenant_leaves_the_machine_and_comes_back() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let machine = Machine::enrolled(&server, &tenant);
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    let before = machine.run(0, &["apply"]);
    colophon(&data, &["edge", "archive", "acme-inc"]);
    assert_eq!(machine.run(4, &["check"])[0]["archived"], true);
    let gone = machine.run(4, &["apply"]);
    assert_eq!(gone[0]["removed"], serde_json::json!(["bot"]));
    assert!(!server.path("agent").join("flows/bot").exists());
    let status = machine.run(0, &["status"]);
    assert_eq!((status.len(), &status[0]["archived"]), (1, &true.into()));

    colophon(&data, &["edge", "restore", "acme-inc"]);
    let after = machine.run(0, &["apply"]);
    assert_eq!(after[0]["generation"], before[0]["generation"]);
    assert!(std::path::Path::new(after[0]["path"].as_str().unwrap()).is_dir());
}
