//! The life of a tenant: created in one go, listed, suspended, archived, and back.

use colophon::clock::Clock as _;
use colophon::pipeline::{BuildError, Delivery};
use colophon::tenants::{self, Step};
use colophon_model::TenantSlug;
use colophon_store::rows::TenantRow;
use serde_json::{Value, json};

use crate::support::process::{ServerProcess, colophon, refused, told};
use crate::support::programs::{clone, git_in};
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, agent, read, small_flow};

/// A step of the tenant's life, as the operator takes it.
fn step(server: &TestServer, step: &str) -> Value {
    let answer = server.operator("POST", &format!("/v1/tenants/acme/{step}"), "");
    assert_eq!(answer.status, 200, "{step}: {:#}", answer.json());
    answer.json()
}

fn post_with(server: &TestServer, path: &str, token: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    server.post(path, &[("authorization", &bearer), ("x-tenant-slug", "acme")], body)
}

/// One request with each credential that the tenant has.
fn uses(server: &TestServer, tenant: &TestTenant, signed_url: &str) -> Vec<(&'static str, Answer)> {
    let refs = "/git/acme.git/info/refs?service=git-upload-pack";
    vec![
        ("webhook", server.build(tenant, ORDER_INTAKE)),
        ("api", post_with(server, "/build", &tenant.api, ORDER_INTAKE)),
        ("read", server.get_with("/v1/t/acme/manifest.json", &tenant.api)),
        ("git", server.get_with(refs, &tenant.git)),
        ("branch", server.get_with("/branches/tenant/acme", &tenant.git)),
        ("edge", server.get_with("/v1/t/acme/tuf/timestamp.json", &tenant.edge)),
        ("edge branch", server.get_with("/branches/tenant/acme", &tenant.edge)),
        ("signed URL", server.get(signed_url, &[])),
    ]
}

fn signed_url(build: &Answer) -> String {
    let build = build.json();
    let edge = build["outputs"].as_array().unwrap().iter().find_map(|out| out.get("edge")).unwrap();
    edge["edge_url"].as_str().unwrap().to_owned()
}

fn expect(answers: Vec<(&'static str, Answer)>, status: u16, code: &str) {
    for (what, answer) in answers {
        let told = (answer.status, answer.code());
        assert_eq!(told, (status, code.to_owned()), "{what}");
    }
}

/// Whoever holds a good credential of a suspended tenant is told so, everybody else what they are
/// always told; afterwards all is as before.
#[test]
fn a_suspended_tenant_is_refused_everywhere_and_loses_nothing() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let url = signed_url(&server.build(&tenant, ORDER_INTAKE));
    let shown = step(&server, "suspend");
    let now = server.clock.now().rfc3339_seconds();
    assert_eq!((&shown["state"], &shown["suspended"]), (&json!("suspended"), &json!(now)));
    expect(uses(&server, &tenant, &url), 403, "tenant-suspended");
    let forged = TestTenant { secret: "whsec_wrong".to_owned(), ..server.tenant("other") };
    let forged = TestTenant { slug: "acme".to_owned(), ..forged };
    let answer = server.build(&forged, ORDER_INTAKE);
    assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "tells nothing");
    let challenge = server.get_with("/git/acme.git/info/refs?service=git-upload-pack", &tenant.git);
    assert_eq!(challenge.header("www-authenticate"), "", "Git must not ask for another password");

    server.clock.advance(1000);
    let again = step(&server, "suspend");
    assert_eq!(again["suspended"], shown["suspended"], "since when stays");
    assert_eq!(step(&server, "resume")["state"], "active");
    for (what, answer) in uses(&server, &tenant, &url) {
        assert_eq!(answer.status, 200, "{what}");
    }
}

/// The operator too changes nothing of a suspended tenant, but reads it and can take its tokens back.
#[test]
fn the_operator_reads_a_suspended_tenant_and_changes_nothing() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    server.build(&tenant, ORDER_INTAKE);
    step(&server, "suspend");
    assert_eq!(server.operator("GET", "/v1/t/acme/flows", "").status, 200);
    let deleted = server.operator("DELETE", "/v1/t/acme/flows/order_intake", "");
    assert_eq!((deleted.status, deleted.code().as_str()), (403, "tenant-suspended"));
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme/tokens", "").status, 200);
    step(&server, "resume");
    assert_eq!(server.get_with("/v1/t/acme/manifest.json", &tenant.api).status, 401);
}

/// What is archived is read and cloned as before, and nobody changes it.
#[test]
fn an_archived_tenant_is_read_only() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let built = server.build(&tenant, ORDER_INTAKE);
    let url = signed_url(&built);
    assert_eq!(step(&server, "archive")["state"], "archived");

    let archived = |answer: &Answer, what: &str| {
        let told = (answer.status, answer.code());
        assert_eq!(told, (409, "tenant-archived".to_owned()), "{what}");
    };
    archived(&server.build(&tenant, &small_flow("new", None, "new")), "a new flow");
    archived(&server.build(&tenant, ORDER_INTAKE), "even what stands");
    let flow = format!("{}/v1/t/acme/flows/order_intake", server.url);
    let env = format!("{}/v1/t/acme/edge/order_intake/env", server.url);
    for token in [tenant.api.as_str(), server.app.press.keys.operator_token().reveal()] {
        let bearer = format!("Bearer {token}");
        for url in [&flow, &env] {
            let deleted = agent().delete(url).header("authorization", &bearer).call().unwrap();
            archived(&read(deleted), url);
        }
    }
    let rollback = r#"{"tenant":"acme","flow":"order_intake"}"#;
    let answer = server.operator("POST", "/v1/maintenance/edge/rollback", rollback);
    assert!(String::from_utf8_lossy(&answer.bytes).contains("tenant-archived"));
    let again = server.operator("POST", "/v1/maintenance/rebuild", "{}");
    let told = String::from_utf8_lossy(&again.bytes).into_owned();
    assert!(told.contains("\"tenants\":0"), "compiling again passes it over: {told}");

    let reads = uses(&server, &tenant, &url);
    for (what, answer) in reads.into_iter().filter(|(what, _)| !["webhook", "api"].contains(what)) {
        assert_eq!(answer.status, 200, "{what}");
    }
    let to = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &to);
    let tip = git_in(&to, &["rev-parse", "HEAD"]);
    assert_eq!(tip.trim(), built.json()["commit"], "the branch has not moved");
    let report = json!({"device": "0".repeat(32), "name": "till", "version": "1", "os": "linux",
        "arch": "x86_64", "flows": []});
    let report =
        post_with(&server, "/v1/t/acme/edge/report", &tenant.edge, report.to_string().as_bytes());
    assert_eq!(report.status, 204, "agents go on");

    assert_eq!(step(&server, "restore")["state"], "active");
    assert_eq!(server.build(&tenant, &small_flow("new", None, "new")).status, 201);
}

/// A delivery that came through the door before the tenant was suspended finds out in the lane.
#[test]
fn a_build_that_is_under_way_sees_that_its_tenant_was_suspended() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let (press, slug) = (&server.app.press, "acme".parse::<TenantSlug>().unwrap());
    let active = press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap();
    let delivery = |text: &str| {
        Delivery::new(active.clone(), small_flow("one", None, text), press.clock.now())
    };
    press.run(delivery("before")).unwrap();
    std::thread::scope(|scope| {
        // The lane is kept from it until the tenant is suspended.
        let lane = press.store.lane(active.uid);
        let build = scope.spawn(|| press.run(delivery("meanwhile")));
        let mut change = colophon_store::Change::new();
        let at = Some(press.clock.now());
        change.put(&slug, &TenantRow { suspended: at, ..active.clone() });
        lane.submit(change).wait().unwrap();
        assert!(matches!(build.join().unwrap(), Err(BuildError::Suspended)));
    });
    assert!(matches!(press.run(delivery("before")), Err(BuildError::Suspended)), "a no-op too");
    tenants::step(press, &slug, Step::Resume).unwrap();
    tenants::step(press, &slug, Step::Archive).unwrap();
    assert!(matches!(press.run(delivery("later")), Err(BuildError::Archived)));
    tenants::step(press, &slug, Step::Restore).unwrap();
    press.run(delivery("later")).unwrap();
    assert_eq!(server.get_with("/v1/t/acme/manifest.json", &tenant.api).status, 200);
}

/// While a tenant is suspended nothing of it is purged; it can be erased.
#[test]
fn a_suspended_tenant_keeps_its_tags_and_can_be_erased() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    server.build(&tenant, &small_flow("one", None, "first"));
    server.clock.advance(3_600_000);
    server.build(&tenant, &small_flow("one", None, "second"));
    server.clock.advance(3_600_000);
    let purge = || {
        let body = r#"{"older_than":"30m","dry_run":true}"#;
        let answer = server.operator("POST", "/v1/maintenance/purge", body);
        let last = String::from_utf8(answer.bytes).unwrap();
        let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
        last["result"]["tags"].as_u64().unwrap()
    };
    step(&server, "suspend");
    assert_eq!(purge(), 0);
    step(&server, "resume");
    assert!(purge() > 0);
    step(&server, "suspend");
    step(&server, "archive");
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme?confirm=acme", "").status, 200);
    assert_eq!(server.operator("GET", "/v1/tenants/acme", "").status, 404);
    assert_eq!(server.operator("POST", "/v1/tenants/acme/resume", "").status, 404);
}

/// A list goes from page to page, and one tenant is shown without its secrets.
#[test]
fn tenants_are_listed_by_pages_and_shown() {
    let server = TestServer::start();
    for slug in ["delta", "alpha", "charlie", "bravo"] {
        server.tenant(slug);
    }
    let page = |query: &str| server.operator("GET", &format!("/v1/tenants{query}"), "").json();
    let slugs = |page: &Value| -> Vec<String> {
        let tenants = page["tenants"].as_array().unwrap().iter();
        tenants.map(|one| one["slug"].as_str().unwrap().to_owned()).collect()
    };
    let all = page("");
    assert_eq!(slugs(&all), ["alpha", "bravo", "charlie", "delta"]);
    assert!(all.get("next").is_none(), "the last page");
    let first = page("?limit=3");
    assert_eq!(slugs(&first), ["alpha", "bravo", "charlie"]);
    let cursor = first["next"].as_str().unwrap();
    assert_eq!(slugs(&page(&format!("?limit=3&cursor={cursor}"))), ["delta"]);
    assert!(page("?limit=4").get("next").is_none(), "nothing comes after");
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?cursor=A%20B", "?page=2"] {
        let answer = server.operator("GET", &format!("/v1/tenants{query}"), "");
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-query"), "{query}");
    }

    let tenant = server.tenant("acme");
    let built = server.build(&tenant, ORDER_INTAKE).json();
    let shown = server.operator("GET", "/v1/tenants/acme", "").json();
    assert_eq!(shown["commit"], built["commit"]);
    assert_eq!(
        (&shown["builds"], &shown["flows"], &shown["tokens"]),
        (&json!(1), &json!(1), &json!(3))
    );
    assert_eq!(shown["quota"][0], json!({"target": "cloud", "used": 1, "limit": 100}));
    assert_eq!(shown["git_url"], server.git_url(&tenant));
    assert!(!shown.to_string().contains("whsec_"));
    server.clock.advance(24 * 60 * 60 * 1000);
    let later = server.operator("GET", "/v1/tenants/acme", "").json();
    assert_eq!(later["quota"][0]["used"], 0, "the window has passed");
}

/// Only the operator lists, shows or changes tenants; a tenant learns nothing, of itself or others.
#[test]
fn only_the_operator_manages_tenants() {
    let server = TestServer::start();
    let thief = server.tenant("thief");
    server.tenant("acme");
    for token in [&thief.api, &thief.git, &thief.edge] {
        for slug in ["acme", "thief", "nobody"] {
            for step in ["suspend", "resume", "archive", "restore"] {
                let answer = post_with(&server, &format!("/v1/tenants/{slug}/{step}"), token, b"");
                assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"));
            }
            assert_eq!(server.get_with(&format!("/v1/tenants/{slug}"), token).status, 401);
        }
        assert_eq!(server.get_with("/v1/tenants", token).status, 401);
    }
    assert_eq!(server.operator("GET", "/v1/tenants/acme", "").json()["state"], "active");
}

/// One command makes all that a tenant's people need, and the others work with and without a server.
#[test]
fn the_command_line_manages_tenants() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = colophon(&data, &["tenant", "create", "early", "--token", "git,edge,api"]);
    let kinds: Vec<_> =
        made["tokens"].as_array().unwrap().iter().map(|t| t["kind"].clone()).collect();
    assert_eq!(kinds, ["git", "edge", "api"]);
    for with_server in [false, true] {
        let server = with_server.then(|| ServerProcess::start(&data));
        let slug = if with_server { "beside" } else { "alone" };
        let text = told(&data, &["tenant", "create", slug, "--token", "api"]);
        assert!(
            text.contains("webhook secret  whsec_") && text.contains("token api       clp_api_"),
            "{text}"
        );
        for (step, state) in [
            ("suspend", "suspended"),
            ("resume", "active"),
            ("archive", "archived"),
            ("restore", "active"),
        ] {
            assert_eq!(colophon(&data, &["tenant", step, slug])["state"], state);
        }
        let shown = told(&data, &["tenant", "show", slug]);
        assert!(
            shown.contains("state        active") && shown.contains("tokens       1"),
            "{shown}"
        );
        assert!(!shown.contains("whsec_") && !shown.contains("clp_"), "{shown}");
        assert!(told(&data, &["tenant", "list"]).contains("early"));
        assert!(refused(&data, &["tenant", "show", "nobody"]).contains("there is no"));
        if let Some(server) = &server {
            let token = made["tokens"][0]["token"].as_str().unwrap();
            let to = dir.path().join("clone");
            clone(&format!("{}/git/early.git", server.url), token, &to);
            for path in ["README.md", ".github/workflows/ci.yml", "compose/docker-compose.yml"] {
                assert!(to.join(path).exists(), "{path}");
            }
        }
    }
}
