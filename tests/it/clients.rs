//! Git and TUF clients that are large or rare, against the real server: `make test-clients` builds them and
//! runs this.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use colophon_model::Sha256;
use serde_json::Value;
use support::clients::{Client, exercise};
use support::programs::{cache, must_be_marked_unavailable};
use support::{ORDER_INTAKE, TestServer, TestTenant};

#[test]
fn gix_reads_a_tenant() {
    let program = cache().join("gix/debug/gix-client");
    assert!(program.exists(), "`{}` is missing: run `make test-clients`", program.display());
    let mut client = Client::new(&[&program]);
    // gix sends no password without TLS, but what its settings name.
    client.header = true;
    exercise(&client);
}

#[test]
fn jgit_reads_a_tenant() {
    let jars = cache().join("jgit/usr/share/java");
    if !jars.exists() {
        must_be_marked_unavailable("jgit");
        return;
    }
    let mut client = Client::new(&[Path::new("java"), Path::new("Client")]);
    let mut path = OsString::from(cache().join("jgit/classes"));
    for jar in ["org.eclipse.jgit", "slf4j-api", "slf4j-nop", "javaewah", "jsch"] {
        path.push(":");
        path.push(jars.join(format!("{jar}.jar")));
    }
    client.env.push(("CLASSPATH", path));
    // JGit 4 has no way to ask for a part of the history.
    exercise(&Client { shallow: false, ..client });
}

/// Lets a TUF client update from the server, with what it stored before; what came.
fn update(
    client: &str,
    server: &TestServer,
    tenant: &TestTenant,
    target: &str,
) -> (String, Sha256) {
    let program = cache().join("tuf-clients/debug/tuf-clients");
    assert!(program.exists(), "`{}` is missing: run `make test-clients`", program.display());
    std::fs::write(server.path("root.json"), &tenant.root).unwrap();
    let dir = server.path(client);
    let output = Command::new(program)
        .args([client, &server.url, &tenant.slug, &tenant.edge])
        .arg(server.path("root.json"))
        .arg(&dir)
        .arg(target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
    let version = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (version, Sha256::of(&std::fs::read(Path::new(&dir).join("target")).unwrap()))
}

/// Two clients that were written without us follow a tenant's repository from the pinned root on.
#[test]
fn tough_and_sigstore_tuf_update() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for (revision, expected) in [(1, "1.0.1"), (2, "1.0.2")] {
        let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
        flow["revision"] = revision.into();
        let body = flow.to_string().replace("#order", &format!("#order-{revision}"));
        let edge = server.build(&tenant, body.as_bytes()).json()["outputs"][1]["edge"].clone();
        for client in ["tough", "sigstore"] {
            let target = edge["target"].as_str().unwrap();
            let (version, sha256) = update(client, &server, &tenant, target);
            assert_eq!(version, expected, "{client}");
            assert_eq!(edge["edge_sha256"], sha256.to_string(), "{client}");
        }
    }
}
