//! Knowing a hash grants nothing: what belongs to another tenant looks like what does not exist.

use crate::support::programs::git_output;
use crate::support::{Answer, ORDER_INTAKE, TestServer};

fn same(foreign: &Answer, absent: &Answer) {
    assert_eq!(foreign.status, absent.status);
    assert_eq!(foreign.bytes, absent.bytes);
    assert_eq!(foreign.status, 404);
}

#[test]
fn foreign_and_absent_look_the_same_over_http() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let built = server.build(&victim, ORDER_INTAKE).json();
    let id = built["id"].as_str().unwrap();
    let digest = built["outputs"][0]["files"][0]["digest"].as_str().unwrap();
    let edge = &built["outputs"][1]["edge"];
    let bundle =
        format!("{}.{}", edge["edge_sha256"].as_str().unwrap(), edge["target"].as_str().unwrap());
    let zeros = "0".repeat(64);

    let get = |path: &str, token: &str| server.get_with(path, token);
    same(
        &get(&format!("/v1/builds/{id}"), &thief.api),
        &get(&format!("/v1/builds/{}", &zeros[..32]), &thief.api),
    );
    for slug in ["thief", "victim", "nobody"] {
        let absent = get(&format!("/v1/t/{slug}/blob/{zeros}"), &thief.api);
        same(&get(&format!("/v1/t/{slug}/blob/{digest}"), &thief.api), &absent);
        let absent = get(&format!("/v1/t/{slug}/targets/{zeros}.x.zip"), &thief.edge);
        same(&get(&format!("/v1/t/{slug}/targets/{bundle}"), &thief.edge), &absent);
    }
    for slug in ["victim", "nobody"] {
        for path in ["tuf/timestamp.json", "tuf/1.root.json", "edge/order_intake/manifest.json"] {
            assert_eq!(get(&format!("/v1/t/{slug}/{path}"), &thief.edge).status, 404, "{path}");
        }
    }
    assert_eq!(get(&format!("/v1/t/victim/blob/{digest}"), &victim.api).status, 200);
}

#[test]
fn a_token_does_what_its_scope_says_and_ends() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let built = server.build(&tenant, ORDER_INTAKE).json();
    let path = format!("/v1/builds/{}", built["id"].as_str().unwrap());
    assert_eq!(server.get(&path, &[]).status, 401);
    for wrong in [&tenant.git, &tenant.edge] {
        assert_eq!(server.get_with(&path, wrong).status, 401);
    }
    assert_eq!(server.get_with("/v1/t/acme-inc/tuf/timestamp.json", &tenant.git).status, 401);
    assert_eq!(server.get_with(&path, &tenant.api).status, 200);
    server.clock.advance(31 * 24 * 60 * 60 * 1000);
    assert_eq!(server.get_with(&path, &tenant.api).status, 401, "a month later");
}

/// Stock git with another tenant's token, without one, and pushing.
#[test]
fn git_sees_its_own_tenant_only() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let built = server.build(&victim, ORDER_INTAKE).json();
    let commit = built["commit"].as_str().unwrap();
    let header = |token: &str| format!("http.extraHeader=Authorization: Bearer {token}");

    let mut told = Vec::new();
    for slug in ["victim", "nobody"] {
        let url = format!("{}/git/{slug}.git", server.url);
        let output = git_output(&["-c", &header(&thief.git), "ls-remote", &url]);
        assert!(!output.status.success());
        told.push(String::from_utf8_lossy(&output.stderr).replace(slug, "*"));
    }
    assert_eq!(told[0], told[1], "foreign and absent read the same");
    let anonymous = git_output(&["ls-remote", &server.git_url(&victim)]);
    assert!(!anonymous.status.success());

    // A commit of the victim, asked of the thief's own repository by its id.
    let dir = server.path("thief");
    crate::support::programs::clone(&server.git_url(&thief), &thief.git, &dir);
    let folder = dir.display().to_string();
    let zeros = "1".repeat(40);
    let ask = |oid: &str| {
        let output = git_output(&["-C", &folder, "fetch", "origin", oid]);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).replace(oid, "*")
    };
    assert_eq!(ask(commit), ask(&zeros));

    let push = git_output(&["-C", &folder, "push", "origin", "HEAD:refs/heads/x"]);
    assert!(!push.status.success(), "the facade is read-only");
}
