//! A flow that is delivered again and again is answered from memory. What is remembered must not outlast what it
//! was learnt from: the flow's head, the secret, the tenant.

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, TestTenant, langflow_export, small_flow};

const SLUG: &str = "acme-inc";

/// Builds a flow and delivers it until its answer comes from memory: the first no-op is looked up, the second
/// one is remembered.
fn settled(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> Answer {
    assert_eq!(server.build(tenant, body).status, 201);
    let answers = [(); 3].map(|()| server.build(tenant, body));
    let outcomes =
        answers.each_ref().map(|answer| (answer.status, answer.json()["outcome"].clone()));
    assert_eq!(outcomes, [(); 3].map(|()| (200, "noop".into())));
    let [first, .., last] = answers;
    let without = |answer: &Answer| {
        let mut told = answer.json();
        told["timing_ms"].take();
        told
    };
    assert_eq!(without(&first), without(&last), "memory says what the store says");
    last
}

#[test]
fn the_next_build_of_a_flow_ends_what_is_remembered_of_the_last() {
    let server = TestServer::start();
    let tenant = server.tenant(SLUG);
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    settled(&server, &tenant, &a);
    assert_eq!(server.build(&tenant, &b).status, 201);
    assert_eq!(server.build(&tenant, &a).status, 409, "A is not current any more");
    assert_eq!(server.build(&tenant, &b).status, 200);
}

#[test]
fn a_deletion_ends_what_is_remembered() {
    let server = TestServer::start();
    let tenant = server.tenant(SLUG);
    let body = small_flow("one", None, "a");
    settled(&server, &tenant, &body);
    assert_eq!(server.operator("DELETE", "/v1/t/acme-inc/flows/one", "").status, 200);
    let again = server.build(&tenant, &body);
    assert_eq!((again.status, again.code().as_str()), (409, "flow-deleted"));
}

#[test]
fn a_secret_that_is_revoked_or_a_tenant_that_rests_is_not_remembered() {
    let server = TestServer::start();
    let tenant = server.tenant(SLUG);
    let body = small_flow("one", None, "a");
    settled(&server, &tenant, &body);
    let step =
        |step: &str| server.operator("POST", &format!("/v1/tenants/{SLUG}/{step}"), "").status;
    for (rest, back, status) in [("suspend", "resume", 403), ("archive", "restore", 409)] {
        assert_eq!(step(rest), 200);
        assert_eq!(server.build(&tenant, &body).status, status, "{rest}");
        assert_eq!(step(back), 200);
        assert_eq!(server.build(&tenant, &body).status, 200, "{back}");
        assert_eq!(server.build(&tenant, &body).status, 200, "remembered again");
    }
    let path = format!("/v1/tenants/{SLUG}/webhook/secrets/1");
    assert_eq!(server.operator("DELETE", &path, "").status, 200);
    assert_eq!(server.build(&tenant, &body).status, 401);
}

/// Another tenant that delivers the same bytes, or the wrong proof for them, finds nothing out.
#[test]
fn what_is_remembered_is_one_tenants() {
    let server = TestServer::start();
    let (tenant, mut other) = (server.tenant(SLUG), server.tenant("globex"));
    let body = small_flow("one", None, "a");
    settled(&server, &tenant, &body);
    let own = std::mem::replace(&mut other.slug, tenant.slug.clone());
    assert_eq!(server.build(&other, &body).status, 401, "the wrong secret");
    other.slug = own;
    assert_eq!(server.build(&other, &body).status, 201, "its first build");
}

/// A node that was moved leads to the build that is remembered. What is no such export is read, and the next build
/// ends it.
#[test]
fn an_export_that_is_drawn_elsewhere_is_remembered_and_no_other() {
    let server = TestServer::start();
    let tenant = server.tenant(SLUG);
    let (body, _) = langflow_export();
    let flow: Value = serde_json::from_slice(&body).unwrap();
    let at = |x: Value| {
        let mut flow = flow.clone();
        flow["data"]["nodes"][0]["position"]["x"] = x;
        flow.to_string()
    };
    settled(&server, &tenant, at(json!(0)).as_bytes());
    for x in [json!(1), json!(-2.5), json!(1e-7), json!(null)] {
        let moved = server.build(&tenant, at(x).as_bytes());
        assert_eq!((moved.status, moved.json()["outcome"].clone()), (200, "noop".into()));
    }
    let secret = json!(format!("sk-{}", "a1".repeat(20)));
    assert_eq!(server.build(&tenant, at(secret).as_bytes()).status, 422, "a text is looked at");
    let odd = at(json!(4711));
    for bad in ["04711", "1e999"] {
        let bad = odd.replacen("4711", bad, 1);
        assert_eq!(server.build(&tenant, bad.as_bytes()).status, 400, "this is no JSON of ours");
    }
    let mut other = flow.clone();
    other["description"] = "another".into();
    assert_eq!(server.build(&tenant, other.to_string().as_bytes()).status, 201);
    let old = server.build(&tenant, at(json!(3)).as_bytes());
    assert_eq!(old.status, 409, "it is not current any more: {:#}", old.json());
}
