//! What is refused, how, and that nothing changed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use crate::support::programs::git;
use crate::support::raw::connect;
use crate::support::{Answer, TestServer, TestTenant, small_flow};
use colophon::intake::legacy_signature as webhook_signature;

/// What a client can see of a tenant's state: refs and the manifest.
fn state(server: &TestServer, tenant: &TestTenant) -> (String, Vec<u8>) {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    let refs = git(&["-c", &header, "ls-remote", &server.git_url(tenant)]);
    let manifest = server.get_with(&format!("/v1/t/{}/manifest.json", tenant.slug), &tenant.api);
    (refs, manifest.bytes)
}

/// Every error is problem details with a code and names no secret.
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.code(), code);
    assert_eq!(answer.json()["status"], status);
}

#[test]
fn refused_deliveries_change_nothing() {
    // A quota of two: after all the refusals exactly one build is left, so none of them counted.
    let server = TestServer::with(|c| c.quota.builds_per_day = 2.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let other = server.tenant("other");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "first")).status, 201);
    let before = state(&server, &tenant);
    let body = small_flow("one", None, "second");
    let signature = webhook_signature(&tenant.secret, &body);
    let slug = ("x-tenant-slug", tenant.slug.as_str());

    let answer = server.post("/build", &[("x-ap-signature", &signature)], &body);
    assert_problem(&answer, 400, "missing-tenant");
    let answer = server.post("/build", &[slug], &body);
    assert_problem(&answer, 401, "unauthorized");
    let answer = server.post("/build", &[slug, ("x-ap-signature", "sha256=00")], &body);
    assert_problem(&answer, 401, "unauthorized");
    let wrong = webhook_signature(&other.secret, &body);
    let wrong = server.post("/build", &[slug, ("x-ap-signature", &wrong)], &body);
    assert_problem(&wrong, 401, "unauthorized");
    let unknown = [("x-tenant-slug", "nobody"), ("x-ap-signature", signature.as_str())];
    let unknown = server.post("/build", &unknown, &body);
    assert_eq!(unknown.bytes, wrong.bytes, "an unknown tenant and a wrong signature look the same");
    let bearer = format!("Bearer {}", other.api);
    let answer = server.post("/build", &[slug, ("authorization", &bearer)], &body);
    assert_problem(&answer, 403, "forbidden");
    let bearer = format!("Bearer {}", tenant.git);
    let answer = server.post("/build", &[slug, ("authorization", &bearer)], &body);
    assert_problem(&answer, 401, "unauthorized");
    for malformed in [&b"{"[..], b"", b"[1,", b"{\"a\":1,\"a\":2}", b"\xff"] {
        assert_problem(&server.build(&tenant, malformed), 400, "malformed-json");
    }
    let huge = vec![b' '; server.app.config.limits.body_bytes + 1];
    assert_problem(&server.build(&tenant, &huge), 413, "body-too-large");

    assert_eq!(state(&server, &tenant), before);
    assert_eq!(server.build(&tenant, &body).status, 201, "the refusals did not count");
}

/// Codes in an answer, sorted.
fn codes(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let errors = json["errors"].as_array().unwrap();
    let mut codes: Vec<String> =
        errors.iter().map(|e| e["code"].as_str().unwrap().to_owned()).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// Unknown schema, cycle, dangling edge, plaintext secret: 422, all problems of a flow at once.
#[test]
fn a_bad_flow_is_told_all_its_problems() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let before = state(&server, &tenant);

    let unknown = server.build(&tenant, br#"{"hello": "world"}"#);
    assert_problem(&unknown, 422, "invalid-flow");
    let newer =
        String::from_utf8(small_flow("one", None, "x")).unwrap().replace("\"1.0\"", "\"9.9\"");
    let newer = server.build(&tenant, newer.as_bytes());
    assert_eq!((newer.status, codes(&newer)), (422, vec!["E_SCHEMA_VERSION".to_owned()]));

    let flow = serde_json::json!({
        "schema_version": "1.0", "id": "x", "slug": "bad", "name": "bad",
        "nodes": [
            {"id": "start", "kind": "trigger.manual"},
            {"id": "a", "kind": "data.map", "fields": {"t": "1"}},
            {"id": "b", "kind": "http.request", "method": "GET", "url": "https://example.com/",
             "headers": {"Authorization": "Bearer 0123456789abcdef"}}
        ],
        "edges": [
            {"from": "start", "to": "a"}, {"from": "a", "to": "b"}, {"from": "b", "to": "a"},
            {"from": "b", "to": "nowhere"}
        ]
    });
    let answer = server.build(&tenant, &serde_json::to_vec(&flow).unwrap());
    assert_problem(&answer, 422, "invalid-flow");
    let found = codes(&answer);
    for code in ["E_CYCLE", "E_DANGLING_EDGE", "E_PLAINTEXT_SECRET"] {
        assert!(found.iter().any(|c| c == code), "{code} is missing in {found:?}");
    }
    assert!(answer.json()["errors"].as_array().unwrap().iter().all(|e| e["pointer"].is_string()));
    let text = String::from_utf8_lossy(&answer.bytes);
    assert!(!text.contains("0123456789abcdef"), "the secret is not repeated");

    assert_eq!(state(&server, &tenant), before);
}

#[test]
fn administration_is_the_operators() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let body = br#"{"slug": "new-one"}"#;
    assert_eq!(server.post("/v1/tenants", &[], body).status, 401);
    let bearer = format!("Bearer {}", tenant.api);
    assert_eq!(server.post("/v1/tenants", &[("authorization", &bearer)], body).status, 401);
    let operator = format!("Bearer {}", server.app.press.keys.operator_token().reveal());
    let operator = [("authorization", operator.as_str())];
    assert_eq!(server.post("/v1/tenants", &operator, body).status, 201);
    let again = server.post("/v1/tenants", &operator, body);
    assert_problem(&again, 409, "tenant-exists");
    for bad in [&b"{}"[..], br#"{"slug": "con"}"#, br#"{"slug": "a", "x": 1}"#, b"nonsense"] {
        assert_eq!(server.post("/v1/tenants", &operator, bad).status, 400);
    }
    let tokens = "/v1/tenants/acme-inc/tokens";
    for bad in [&br#"{"kind":"operator","days":1}"#[..], br#"{"kind":"api","days":0}"#] {
        assert_eq!(server.post(tokens, &operator, bad).status, 400);
    }
}

/// What no handler sees is refused in the same form.
#[test]
fn every_refusal_is_problem_details() {
    let server = TestServer::start();
    let unknown = server.get("/nowhere", &[]);
    assert_problem(&unknown, 404, "not-found");
    assert_problem(&server.get("/build", &[]), 405, "method-not-allowed");
    assert_problem(&server.get("/v1/t/%ff/manifest.json", &[]), 404, "not-found");
    assert_problem(&server.get("/git/x.git/info/refs?service=%ff", &[]), 403, "forbidden");
}

/// Whoever has no good credential makes the server keep no body for him: he is refused while he still has all of it
/// to send. Otherwise many who send slowly would fill its memory.
#[test]
fn a_stranger_is_refused_before_his_body_is_read() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "x")).status, 201);
    let wrong = server.tenant("other").api;
    // The tenant's own tokens, of which the server has seen that they are good for something else.
    for (token, path) in [
        (&tenant.edge, "/v1/t/acme-inc/tuf/timestamp.json"),
        (&tenant.api, "/v1/t/acme-inc/builds"),
    ] {
        assert_eq!(server.get_with(path, token).status, 200, "{path}");
    }
    for (wrong, route, status) in [
        (&wrong, "POST /v1/t/acme-inc/edge/report", 401),
        (&wrong, "PUT /v1/t/acme-inc/edge/one/env", 404),
        (&wrong, "POST /v1/tenants", 401),
        (&wrong, "POST /v1/tenants/acme-inc/hooks", 401),
        (&wrong, "PUT /v1/tenants/acme-inc/mirror", 401),
        (&wrong, "PUT /v1/tenants/acme-inc/webhook", 401),
        (&wrong, "POST /v1/maintenance/gc", 401),
        (&wrong, "POST /git/acme-inc.git/git-upload-pack", 401),
        (&tenant.edge, "POST /git/acme-inc.git/git-upload-pack", 401),
        (&tenant.api, "POST /git/acme-inc.git/git-upload-pack", 401),
        (&tenant.api, "POST /v1/t/acme-inc/edge/report", 401),
    ] {
        let mut stream = connect(&server.url);
        let head = format!(
            "{route} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {wrong}\r\n\
             Content-Length: 60000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A body may take 30 s. Whoever waits for it answers 408 then, and nobody waits for that here.
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect(route);
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{route}: {line}");
    }
}
