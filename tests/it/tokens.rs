//! Tokens of tenants over HTTP and on the command line: what they allow, how they end, who may see them.

use colophon::clock::Clock as _;
use colophon::tokens::{TokenKind, create_token};
use colophon_model::TenantSlug;
use colophon_store::Change;
use colophon_store::rows::{TokenRow, TokenUsed};
use serde_json::{Value, json};

use crate::support::process::{ServerProcess, colophon, refused, told};
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, agent, read, small_flow};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

/// Asks as the operator, and wants `status`.
fn operator(server: &TestServer, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.operator(method, path, &text);
    let said = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert_eq!(answer.status, status, "{method} {path}: {said}");
    if answer.bytes.is_empty() { Value::Null } else { answer.json() }
}

fn create(server: &TestServer, tenant: &TestTenant, wanted: &Value) -> Value {
    operator(server, "POST", &format!("/v1/tenants/{}/tokens", tenant.slug), wanted, 201)
}

fn text(made: &Value, member: &str) -> String {
    made[member].as_str().unwrap_or_else(|| panic!("{member} in {made}")).to_owned()
}

/// Delivers with a token.
fn deliver(server: &TestServer, tenant: &TestTenant, token: &str, flow: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    server.post("/build", &[("authorization", &bearer), ("x-tenant-slug", &tenant.slug)], flow)
}

/// Whether the token is good for reading the tenant's manifest.
fn reads(server: &TestServer, tenant: &TestTenant, token: &str) -> bool {
    let status = server.get_with(&format!("/v1/t/{}/manifest.json", tenant.slug), token).status;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

/// A narrowed token does what it names and nothing else of its kind.
#[test]
fn scopes_narrow_a_kind() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let poster = create(&server, &tenant, &json!({"kind": "api", "scopes": ["build"], "days": 1}));
    assert_eq!(poster["scopes"], json!(["build"]));
    let poster = text(&poster, "token");
    let built = deliver(&server, &tenant, &poster, ORDER_INTAKE);
    assert_eq!(built.status, 201);
    assert!(!reads(&server, &tenant, &poster), "it may build only");
    let reader = create(&server, &tenant, &json!({"kind": "api", "scopes": ["read"], "days": 1}));
    let reader = text(&reader, "token");
    assert!(reads(&server, &tenant, &reader));
    assert_eq!(deliver(&server, &tenant, &reader, ORDER_INTAKE).status, 401);
    for (wanted, code) in [
        (json!({"kind": "api", "scopes": []}), "invalid-scopes"),
        (json!({"kind": "api", "scopes": ["git"]}), "invalid-scopes"),
        (json!({"kind": "api", "scopes": ["everything"]}), "invalid-request"),
        (json!({"kind": "git", "target": "cloud"}), "invalid-target"),
        (json!({"kind": "operator"}), "invalid-request"),
        (json!({"kind": "git", "label": "a\nb"}), "invalid-label"),
        (json!({"kind": "git", "days": 0}), "invalid-days"),
        (json!({"kind": "git", "days": 367}), "invalid-days"),
    ] {
        let refused = operator(&server, "POST", "/v1/tenants/acme/tokens", &wanted, 400);
        assert_eq!(refused["code"], code, "{wanted}");
    }
}

/// An auditor sees what happened, and neither what flows hold nor how to change anything.
#[test]
fn an_auditor_reads_records_alone() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let build = server.build(&tenant, ORDER_INTAKE).json();
    let auditor = text(&create(&server, &tenant, &json!({"kind": "auditor"})), "token");
    assert!(auditor.starts_with("clp_auditor_"), "{auditor}");
    assert!(reads(&server, &tenant, &auditor));
    let get = |path: &str| server.get_with(path, &auditor).status;
    assert_eq!(get(&format!("/v1/builds/{}", text(&build, "id"))), 200);
    assert_eq!(get("/v1/t/acme/flows"), 200);
    assert_eq!(get("/v1/t/acme/edge/agents"), 200);
    let file = text(&build["outputs"][0]["files"][0], "digest");
    let blob = format!("/v1/t/acme/blob/{file}");
    assert_eq!(server.get_with(&blob, &tenant.api).status, 200);
    assert_eq!(get(&blob), 401, "no blobs");
    assert_eq!(get("/v1/t/acme/tuf/timestamp.json"), 401);
    assert_eq!(get("/git/acme.git/info/refs?service=git-upload-pack"), 401);
    assert_eq!(deliver(&server, &tenant, &auditor, ORDER_INTAKE).status, 401);
    let flow = text(&build, "flow");
    let url = format!("{}/v1/t/acme/flows/{flow}", server.url);
    let bearer = format!("Bearer {auditor}");
    let deleted = read(agent().delete(url).header("authorization", bearer).call().unwrap());
    assert_eq!(deleted.status, 401);
}

/// A token for one target builds nothing for the other, not even what is there already.
#[test]
fn a_token_may_be_limited_to_a_target() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let limited = |target: &str| {
        let made = create(&server, &tenant, &json!({"kind": "api", "target": target}));
        assert_eq!(made["target"], target);
        text(&made, "token")
    };
    let (cloud, edge) = (limited("cloud"), limited("edge"));
    let flow = small_flow("one", None, "for the cloud");
    assert_eq!(deliver(&server, &tenant, &edge, &flow).code(), "target-not-allowed");
    assert_eq!(deliver(&server, &tenant, &cloud, &flow).status, 201);
    let again = deliver(&server, &tenant, &edge, &flow);
    assert_eq!((again.status, again.code().as_str()), (403, "target-not-allowed"));
    let both = deliver(&server, &tenant, &cloud, ORDER_INTAKE);
    assert_eq!((both.status, both.code().as_str()), (403, "target-not-allowed"));
    let url = format!("{}/v1/t/acme/flows/one", server.url);
    let delete = |token: &str| {
        let request = agent().delete(&url).header("authorization", format!("Bearer {token}"));
        read(request.call().unwrap()).status
    };
    assert_eq!(delete(&cloud), 403, "it delivers and does no more");
    assert_eq!(delete(&tenant.api), 200);
}

/// The moment so many milliseconds after the server's now, as answers tell it.
fn after(server: &TestServer, millis: u64) -> String {
    server.clock.now().plus(millis).rfc3339_seconds()
}

/// Who rotates has both tokens for a while, then the new one alone; its grants and life are the same.
#[test]
fn a_token_is_rotated_with_an_overlap() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let wanted = json!({"kind": "api", "scopes": ["records"], "days": 10, "label": "ci"});
    let old = create(&server, &tenant, &wanted);
    server.clock.advance(24 * HOUR);
    let path = format!("/v1/tenants/acme/tokens/{}", text(&old, "id"));
    let rotate = format!("{path}/rotate");
    let new = operator(&server, "POST", &rotate, &json!({"overlap": "2h"}), 201);
    for member in ["kind", "scopes", "label"] {
        assert_eq!(new[member], old[member]);
    }
    assert_eq!(text(&old, "expires"), after(&server, 9 * DAY));
    assert_eq!(
        text(&new, "expires"),
        after(&server, 10 * DAY),
        "as long a life as the old one had"
    );
    let shown = operator(&server, "GET", &path, &Value::Null, 200);
    assert_eq!((&shown["state"], &shown["successor"]), (&json!("retiring"), &new["id"]));
    assert_eq!(text(&shown, "expires"), after(&server, 2 * HOUR));
    let again = operator(&server, "POST", &rotate, &Value::Null, 409);
    assert_eq!(again["code"], "token-replaced");
    let (old, new_token) = (text(&old, "token"), text(&new, "token"));
    server.clock.advance(2 * HOUR - 1);
    assert!(reads(&server, &tenant, &old) && reads(&server, &tenant, &new_token));
    server.clock.advance(1);
    assert!(!reads(&server, &tenant, &old), "its time is over");
    assert!(reads(&server, &tenant, &new_token));

    let new = format!("/v1/tenants/acme/tokens/{}", text(&new, "id"));
    let long = operator(&server, "POST", &format!("{new}/rotate"), &json!({"overlap": "31d"}), 400);
    assert_eq!(long["code"], "invalid-overlap");
    let newest =
        operator(&server, "POST", &format!("{new}/rotate"), &json!({"overlap": "0s"}), 201);
    assert!(!reads(&server, &tenant, &new_token), "without an overlap it ends at once");
    let newest = format!("/v1/tenants/acme/tokens/{}", text(&newest, "id"));
    server.clock.advance(20 * 24 * HOUR);
    let ended = operator(&server, "POST", &format!("{newest}/rotate"), &Value::Null, 409);
    assert_eq!(ended["code"], "token-ended");
}

/// A token that was taken back is unknown from the next request on, and its row is gone.
#[test]
fn tokens_are_revoked_one_by_one_and_all_at_once() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme"), server.tenant("globex"));
    let made = create(&server, &tenant, &json!({"kind": "api"}));
    let (path, token) =
        (format!("/v1/tenants/acme/tokens/{}", text(&made, "id")), text(&made, "token"));
    assert!(reads(&server, &tenant, &token));
    operator(&server, "DELETE", &path, &Value::Null, 204);
    assert!(!reads(&server, &tenant, &token));
    operator(&server, "DELETE", &path, &Value::Null, 404);
    operator(&server, "GET", &path, &Value::Null, 404);
    let all = operator(&server, "DELETE", "/v1/tenants/acme/tokens", &Value::Null, 200);
    assert_eq!(all["revoked"], 3, "those of the set-up");
    assert!(!reads(&server, &tenant, &tenant.api));
    assert!(reads(&server, &other, &other.api), "another tenant's go on");
    let none = operator(&server, "GET", "/v1/tenants/acme/tokens", &Value::Null, 200);
    assert_eq!(none["tokens"], json!([]));
}

/// Ids of another tenant are ids that are not there, to the byte; and only the operator asks.
#[test]
fn tokens_of_another_tenant_are_not_there() {
    let server = TestServer::start();
    let (thief, victim) = (server.tenant("thief"), server.tenant("victim"));
    let made = create(&server, &victim, &json!({"kind": "api"}));
    let id = text(&made, "id");
    for (method, end) in [("GET", ""), ("DELETE", ""), ("POST", "/rotate")] {
        let ask = |id: &str| {
            let path = format!("/v1/tenants/thief/tokens/{id}{end}");
            let answer = server.operator(method, &path, "");
            (answer.status, answer.bytes)
        };
        let foreign = ask(&id);
        assert_eq!(foreign.0, 404);
        for unknown in ["0123456789ab", "short", "zzzzzzzzzzzz", &id[..10], &format!("{id}00")] {
            assert_eq!(ask(unknown), foreign, "{method} {unknown}");
        }
    }
    assert!(reads(&server, &victim, &text(&made, "token")));
    let listed = operator(&server, "GET", "/v1/tenants/thief/tokens", &Value::Null, 200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(&id));

    let paths = [String::new(), format!("/{id}"), format!("/{id}/rotate")];
    for slug in ["thief", "victim", "nobody"] {
        for end in &paths {
            for token in [&thief.api, &thief.git, &thief.edge, &victim.api] {
                let url = format!("{}/v1/tenants/{slug}/tokens{end}", server.url);
                let bearer = format!("Bearer {token}");
                let asked = [
                    agent().get(&url).header("authorization", &bearer).call(),
                    agent().delete(&url).header("authorization", &bearer).call(),
                    agent().post(&url).header("authorization", &bearer).send("{\"kind\":\"api\"}"),
                ];
                for answer in asked.into_iter().map(|answer| read(answer.unwrap())) {
                    let told = (answer.status, answer.code());
                    assert!(told.0 == 401 || told.0 == 405, "{url}: {told:?}");
                }
            }
        }
    }
}

/// A token in a URL would stand in logs, so none is read from there.
#[test]
fn tokens_in_query_strings_are_never_read() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    for name in ["access_token", "token", "api_key", "authorization", "private_token"] {
        for path in ["/v1/t/acme/manifest.json", "/v1/t/acme/flows"] {
            let answer = server.get(&format!("{path}?{name}={}", tenant.api), &[]);
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{name}");
        }
    }
}

/// The most that the configuration allows holds for tokens that are made and those that are rotated.
#[test]
fn the_configuration_bounds_a_tokens_life() {
    let server = TestServer::with(|config| config.tokens.longest_days = 30);
    let tenant = server.tenant("acme");
    let made = create(&server, &tenant, &json!({"kind": "git"}));
    assert_eq!(text(&made, "expires"), after(&server, 30 * DAY), "the default gives way");
    let long = operator(
        &server,
        "POST",
        "/v1/tenants/acme/tokens",
        &json!({"kind": "git", "days": 31}),
        400,
    );
    assert_eq!(long["code"], "invalid-days");
    let slug: TenantSlug = "acme".parse().unwrap();
    let (store, now) = (&server.app.press.store, server.app.press.clock.now());
    let early = create_token(store, &slug, TokenKind::Git, "before", 300, now).unwrap();
    let rotate = format!("/v1/tenants/acme/tokens/{}/rotate", early.view.id);
    let new = operator(&server, "POST", &rotate, &Value::Null, 201);
    assert_eq!(text(&new, "expires"), after(&server, 30 * DAY));
}

/// The last use is shown at once, written without anybody waiting for it, kept over a restart, and
/// erased with the tenant.
#[test]
fn the_last_use_of_a_token_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let at = |config: &mut colophon::config::Config| config.data = dir.path().join("data");
    let server = TestServer::with(at);
    let tenant = server.tenant("acme");
    let used = |server: &TestServer| {
        let listed = operator(server, "GET", "/v1/tenants/acme/tokens", &Value::Null, 200);
        let tokens = listed["tokens"].as_array().unwrap().clone();
        let of = |kind: &str| {
            let one = tokens.iter().find(|one| one["kind"] == kind).unwrap();
            one["last_used"].as_str().map(str::to_owned)
        };
        (of("api"), of("git"))
    };
    assert_eq!(used(&server), (None, None));
    assert!(reads(&server, &tenant, &tenant.api));
    assert_eq!(server.get_with("/v1/t/acme/manifest.json", &tenant.git).status, 401);
    let first = Some(after(&server, 0));
    assert_eq!(used(&server), (first.clone(), None), "a refused use is none");
    server.clock.advance(HOUR / 2);
    assert!(reads(&server, &tenant, &tenant.api));
    assert_eq!(used(&server), (first.clone(), None), "to an hour");
    drop(server);

    let server = TestServer::with(at);
    assert_eq!(used(&server), (first, None), "written when the server stopped");
    let rows = || server.app.press.store.view().unwrap().scan::<TokenUsed>(&()).count();
    assert_eq!(rows(), 1);
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme?confirm=acme", "").status, 200);
    assert_eq!(rows(), 0);
}

/// What was stored before there were kinds goes on working, and is shown as what it was.
#[test]
fn tokens_of_before_there_were_kinds_still_work() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    let store = &server.app.press.store;
    let rows: Vec<_> =
        store.view().unwrap().scan::<TokenRow>(&()).collect::<Result<_, _>>().unwrap();
    let mut change = Change::new();
    for (key, row) in rows {
        change.put(&key, &TokenRow { kind: None, ..row });
    }
    store.commit(change).unwrap();
    assert!(reads(&server, &tenant, &tenant.api));
    assert_eq!(deliver(&server, &tenant, &tenant.api, ORDER_INTAKE).status, 201);
    let listed = operator(&server, "GET", "/v1/tenants/acme/tokens", &Value::Null, 200);
    let mut kinds: Vec<_> =
        listed["tokens"].as_array().unwrap().iter().map(|one| text(one, "kind")).collect();
    kinds.sort();
    assert_eq!(kinds, ["api", "edge", "git"]);
}

/// What ended long ago makes room for new tokens.
#[test]
fn ended_tokens_are_forgotten_after_a_while() {
    let server = TestServer::start();
    let tenant = server.tenant("acme");
    create(&server, &tenant, &json!({"kind": "git", "days": 1}));
    let count = || {
        let listed = operator(&server, "GET", "/v1/tenants/acme/tokens", &Value::Null, 200);
        listed["tokens"].as_array().unwrap().len()
    };
    server.clock.advance(2 * 24 * HOUR);
    create(&server, &tenant, &json!({"kind": "git", "days": 300}));
    assert_eq!(count(), 5, "one of them has ended and is still listed");
    server.clock.advance(31 * 24 * HOUR);
    create(&server, &tenant, &json!({"kind": "git", "days": 300}));
    assert_eq!(count(), 5, "that one is gone");
}

/// The same commands work beside a server and without one.
#[test]
fn the_command_line_manages_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    colophon(&data, &["tenant", "create", "acme"]);
    for server in [false, true] {
        let server = server.then(|| ServerProcess::start(&data));
        let args = ["token", "create", "acme", "--kind", "api", "--scopes", "build,records"];
        let made = colophon(&data, &[&args[..], &["--label", "ci"]].concat());
        assert_eq!(made["scopes"], json!(["build", "records"]));
        let id = text(&made, "id");
        let shown = colophon(&data, &["token", "show", "acme", &id]);
        assert_eq!((&shown["label"], &shown["state"]), (&json!("ci"), &json!("active")));
        assert!(shown.get("token").is_none());
        let new = colophon(&data, &["token", "rotate", "acme", &id, "--overlap", "1h"]);
        let listed = told(&data, &["token", "list", "acme"]);
        assert!(listed.contains(&id) && listed.contains("retiring"), "{listed}");
        assert!(!listed.contains("clp_"), "no token is shown again: {listed}");
        let revoked = colophon(&data, &["token", "revoke", "acme", &text(&new, "id")]);
        assert_eq!(revoked["revoked"], 1);
        assert!(refused(&data, &["token", "show", "acme", "0123456789ab"]).contains("no such"));
        let all = colophon(&data, &["token", "revoke", "acme", "--all"]);
        assert_eq!(all["revoked"], 1);
        assert_eq!(told(&data, &["token", "list", "acme"]), "acme has no tokens\n");
        drop(server);
    }
}
