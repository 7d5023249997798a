//! `colophon mirror`, beside a server and without one.

use serde_json::{Value, json};

use crate::mirror::eager;
use crate::support::process::{ServerProcess, colophon, refused, told};

/// Every command does and says the same with a server and without.
#[test]
fn commands_work_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let mut server = None;
    for _ in 0..2 {
        let unset = refused(&data, &["mirror", "status", "acme-inc"]);
        assert!(unset.contains("tenant `acme-inc` has no mirror"), "{unset}");
        assert_eq!(told(&data, &["mirror", "status"]), "no tenant is mirrored\n");
        assert!(refused(&data, &["mirror", "retry", "acme-inc"]).contains("no mirror"));
        assert!(refused(&data, &["mirror", "clear", "acme-inc"]).contains("no mirror"));
        assert!(refused(&data, &["mirror", "status", "nobody"]).contains("no tenant `nobody`"));

        // Nothing listens there, so it stays as it is set.
        let url = "http://127.0.0.1:9/acme.git";
        let set = [
            "mirror",
            "set",
            "acme-inc",
            url,
            "--credential",
            "env:NO_SUCH",
            "--tags-per-push",
            "5",
        ];
        let made = colophon(&data, &set);
        assert_eq!((&made["url"], &made["credential"]), (&json!(url), &json!("env:NO_SUCH")));
        assert_eq!(
            (&made["username"], &made["tags_per_push"]),
            (&json!("x-access-token"), &json!(5))
        );
        let text = told(&data, &["mirror", "status", "acme-inc"]);
        assert!(text.starts_with(&format!("tenant acme-inc → {url}\n")), "{text}");
        assert!(text.contains("env:NO_SUCH, as x-access-token"), "{text}");
        let list = colophon(&data, &["mirror", "status"]);
        assert_eq!(list["mirrors"].as_array().unwrap().len(), 1);
        assert_eq!(colophon(&data, &["mirror", "retry", "acme-inc"])["slug"], "acme-inc");
        assert_eq!(colophon(&data, &["mirror", "clear", "acme-inc"])["cleared"], true);
        server.get_or_insert_with(|| ServerProcess::start(&data));
    }
    drop(server);
    let report = colophon(&data, &["fsck"]);
    assert_eq!(report["problems"], json!([]), "a cleared mirror leaves nothing");
}

/// All that is wrong is told at once, and changes nothing.
#[test]
fn bad_settings_are_refused_with_every_reason() {
    let server = eager();
    server.tenant("acme-inc");
    let put =
        |body: Value| server.operator("PUT", "/v1/tenants/acme-inc/mirror", &body.to_string());
    let bad = json!({
        "url": "http://gitea.internal/x.git", "credential": "hunter2", "username": "a:b", "tags_per_push": 0,
    });
    let answer = put(bad);
    assert_eq!((answer.status, answer.code()), (400, "invalid-mirror".to_owned()));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    for part in ["https://", "env:NAME", "user name", "tags per push"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert!(!detail.contains("hunter2"), "what may be a secret is not repeated: {detail}");
    let with_password = json!({ "url": "https://x:hunter2@example.com/a.git" });
    let answer = put(with_password);
    assert_eq!(answer.status, 400);
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("hunter2"));
    assert_eq!(put(json!({ "url": "https://example.com/a", "other": 1 })).status, 400);
    let unset = server.operator("GET", "/v1/tenants/acme-inc/mirror", "");
    assert_eq!((unset.status, unset.code()), (404, "no-mirror".to_owned()));
    let unknown =
        server.operator("PUT", "/v1/tenants/nobody/mirror", "{\"url\": \"https://example.com/a\"}");
    assert_eq!(unknown.status, 404);
    for method in ["GET", "DELETE"] {
        assert_eq!(server.operator(method, "/v1/tenants/No/mirror", "").status, 404);
    }
}

/// Whoever reads a repository reads all of it, so no two tenants share one.
#[test]
fn a_repository_is_one_tenants_alone() {
    let server = eager();
    server.tenant("acme-inc");
    server.tenant("beta-co");
    let body = |url: &str| json!({ "url": url }).to_string();
    let set = |slug: &str, url: &str| {
        server.operator("PUT", &format!("/v1/tenants/{slug}/mirror"), &body(url))
    };
    let url = "http://127.0.0.1:9/Shared.git";
    assert_eq!(set("acme-inc", url).status, 200);
    for same in [url, "http://127.0.0.1:9/shared", "http://127.0.0.1:9/shared.git/"] {
        let answer = set("beta-co", same);
        assert_eq!((answer.status, answer.code()), (409, "mirror-taken".to_owned()), "{same}");
    }
    assert_eq!(set("beta-co", "http://127.0.0.1:9/other.git").status, 200);
    assert_eq!(set("acme-inc", url).status, 200, "its own may be set again");
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme-inc/mirror", "").status, 204);
    assert_eq!(set("beta-co", url).status, 200);
}

/// Mirrors are the operator's: a tenant's own tokens are good for nothing here.
#[test]
fn tenants_cannot_reach_mirrors() {
    let server = eager();
    let tenant = server.tenant("acme-inc");
    for token in [&tenant.api, &tenant.git, &tenant.edge] {
        for path in ["/v1/mirrors", "/v1/tenants/acme-inc/mirror"] {
            assert_eq!(server.get_with(path, token).status, 401);
        }
    }
    assert_eq!(server.get("/v1/mirrors", &[]).status, 401);
}
