//! Deliveries prove where they are from, in every scheme, with every secret that is good.

use colophon_model::TenantUid;
use serde_json::Value;

use crate::support::sign::{Headers, github, plain, stamped, standard};
use crate::support::{TestServer, small_flow};

const MINUTE: u64 = 60_000;

/// Signs a body in some scheme.
type Sign<'a> = Box<dyn Fn(&[u8]) -> Headers + 'a>;

/// A builder holds one secret, whatever it signs with.
#[test]
fn every_scheme_is_taken_with_the_tenant_s_secret() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (secret, now) = (&tenant.secret, server.seconds());
    let uid: TenantUid = uid(&server);
    let key = server.app.press.keys.webhook_static_key(uid, 1);
    let schemes: [(&str, Sign<'_>); 7] = [
        ("standard", Box::new(|body| standard(secret, "msg_1", now, body))),
        ("stamped", Box::new(|body| stamped(secret, now, body))),
        ("stamped_ms", Box::new(|body| stamped(secret, now * 1000, body))),
        ("plain", Box::new(|body| plain(secret, body))),
        ("github", Box::new(|body| github(secret, "72d3162e", body))),
        ("static", Box::new(|_| vec![("x-api-key", key.clone())])),
        ("token", Box::new(|_| vec![("x-api-key", tenant.api.clone())])),
    ];
    for (name, sign) in schemes {
        let body = small_flow(name, None, "x");
        let answer = server.deliver("acme-inc", &sign(&body), &body);
        assert_eq!(answer.status, 201, "{name}: {:#}", answer.json());
    }
}

fn uid(server: &TestServer) -> TenantUid {
    let view = server.app.press.store.view().unwrap();
    colophon::tenants::find(&view, &"acme-inc".parse().unwrap()).unwrap().uid
}

/// Each refusal reads the same, whatever is wrong, also for a tenant that does not exist.
#[test]
fn a_refusal_does_not_say_why() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other"));
    let body = small_flow("one", None, "x");
    let now = server.seconds();
    let good = standard(&tenant.secret, "msg_1", now, &body);
    let refused: [(&str, Headers); 8] = [
        ("acme-inc", vec![]),
        ("acme-inc", standard(&other.secret, "msg_1", now, &body)),
        ("acme-inc", standard(&tenant.secret, "msg_1", now - 301, &body)),
        ("acme-inc", standard(&tenant.secret, "msg_1", now + 301, &body)),
        ("acme-inc", plain(&other.secret, &body)),
        ("acme-inc", vec![("x-api-key", "whkey_00".to_owned())]),
        ("other", good.clone()),
        ("nobody", good.clone()),
    ];
    let mut told = Vec::new();
    for (slug, headers) in refused {
        let answer = server.deliver(slug, &headers, &body);
        assert_eq!(answer.status, 401, "{slug} {headers:?}");
        told.push(answer.bytes);
    }
    assert!(told.iter().all(|bytes| *bytes == told[0]));
    assert_eq!(server.deliver("acme-inc", &good, &body).status, 201);
}

/// A good weak proof beside a bad strong one is no good.
#[test]
fn a_weaker_scheme_does_not_help() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "x");
    let late = standard(&tenant.secret, "msg_1", server.seconds() - 3600, &body);
    let both = [late, plain(&tenant.secret, &body)].concat();
    assert_eq!(server.deliver("acme-inc", &both, &body).status, 401);
    let token = vec![("authorization", "Bearer clp_api_wrong".to_owned())];
    let both = [token, plain(&tenant.secret, &body)].concat();
    assert_eq!(server.deliver("acme-inc", &both, &body).status, 401);
    assert_eq!(server.deliver("acme-inc", &plain(&tenant.secret, &body), &body).status, 201);
}

fn rotate(server: &TestServer, overlap: &str) -> Value {
    let wanted = format!("{{\"overlap\": \"{overlap}\"}}");
    let made = server.operator("POST", "/v1/tenants/acme-inc/webhook/secrets", &wanted);
    assert_eq!(made.status, 201, "{:#}", made.json());
    made.json()
}

fn states(server: &TestServer) -> Vec<(u64, String)> {
    let told = server.operator("GET", "/v1/tenants/acme-inc/webhook", "").json();
    let secret = |secret: &Value| {
        (secret["generation"].as_u64().unwrap(), secret["state"].as_str().unwrap().to_owned())
    };
    told["secrets"].as_array().unwrap().iter().map(secret).collect()
}

/// A builder gets its new secret while the old one is good, and then the old one ends by itself.
#[test]
fn secrets_overlap_when_they_are_rotated() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(states(&server), [(1, "active".to_owned())]);
    let made = rotate(&server, "1h");
    assert_eq!(states(&server), [(2, "active".to_owned()), (1, "retiring".to_owned())]);
    let new = made["secret"].as_str().unwrap();
    let try_both = |name: &str| {
        [&tenant.secret, new].map(|secret| {
            let body = small_flow(name, None, secret);
            server.deliver("acme-inc", &plain(secret, &body), &body).status
        })
    };
    assert_eq!(try_both("during"), [201, 201]);
    server.clock.advance(60 * MINUTE);
    assert_eq!(try_both("after"), [401, 201]);
    assert_eq!(states(&server), [(2, "active".to_owned()), (1, "retired".to_owned())]);
}

#[test]
fn a_revoked_secret_ends_at_once_and_is_never_made_again() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let second = rotate(&server, "24h");
    let path = "/v1/tenants/acme-inc/webhook/secrets";
    assert_eq!(server.operator("DELETE", &format!("{path}/1"), "").status, 200);
    assert_eq!(server.operator("DELETE", &format!("{path}/1"), "").code(), "no-secret");
    let body = small_flow("one", None, "x");
    assert_eq!(server.deliver("acme-inc", &plain(&tenant.secret, &body), &body).status, 401);
    assert_eq!(server.operator("DELETE", &format!("{path}/2"), "").status, 200);
    let third = rotate(&server, "0s");
    assert_eq!(third["generation"], 3);
    assert_ne!(third["secret"], second["secret"]);
    let secret = third["secret"].as_str().unwrap();
    assert_eq!(server.deliver("acme-inc", &plain(secret, &body), &body).status, 201);
}

#[test]
fn at_most_four_secrets_are_good() {
    let server = TestServer::start();
    server.tenant("acme-inc");
    for _ in 0..3 {
        rotate(&server, "24h");
    }
    let path = "/v1/tenants/acme-inc/webhook/secrets";
    let refused = server.operator("POST", path, "");
    assert_eq!((refused.status, refused.code().as_str()), (409, "too-many-secrets"));
    assert_eq!(server.operator("POST", path, "{\"overlap\": \"91d\"}").code(), "invalid-overlap");
    let token = server.tenant("other").api;
    for path in [path, "/v1/tenants/acme-inc/webhook"] {
        assert_eq!(server.get_with(path.trim_end_matches("/secrets"), &token).status, 401);
    }
}
