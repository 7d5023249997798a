//! Answers to deliveries beyond what became of them: the quota's headers, senders that do not wait, and dry
//! runs.

use serde_json::{Value, json};

use crate::support::sign::{plain, standard};
use crate::support::upstream::until;
use crate::support::{Answer, TestServer, TestTenant, small_flow};

const HOUR: u64 = 60 * 60 * 1000;

/// What is left, and when there is more, as the draft writes it; a no-op is free and says nothing.
#[test]
fn answers_say_what_is_left_of_the_quota() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 2.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let build = |text: &str| server.build(&tenant, &small_flow("one", None, text));
    let first = build("a");
    let policy = "\"builds-cloud\";q=2;w=86400, \"builds-edge\";q=2;w=86400";
    assert_eq!(first.header("ratelimit-policy"), policy);
    assert_eq!(first.header("ratelimit"), "\"builds-cloud\";r=1;t=86400, \"builds-edge\";r=2");
    server.clock.advance(HOUR);
    assert_eq!(build("a").header("ratelimit"), "", "a no-op");
    assert_eq!(build("b").header("ratelimit"), "\"builds-cloud\";r=0;t=82800, \"builds-edge\";r=2");
    let refused = build("c");
    assert_eq!((refused.status, refused.header("retry-after")), (429, "82800"));
    assert_eq!(refused.header("ratelimit"), "\"builds-cloud\";r=0;t=82800, \"builds-edge\";r=2");
    server.clock.advance(23 * HOUR);
    assert_eq!(build("c").header("ratelimit"), "\"builds-cloud\";r=0;t=3600, \"builds-edge\";r=2");
}

fn wait(server: &TestServer, tenant: &TestTenant, seconds: &str, body: &[u8]) -> Answer {
    let mut headers = plain(&tenant.secret, body);
    headers.push(("prefer", format!("wait={seconds}")));
    server.deliver(&tenant.slug, &headers, body)
}

/// Who waits no longer is told where to look, and the build is made all the same.
#[test]
fn a_sender_that_does_not_wait_is_told_where_to_look() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "a");
    let taken = wait(&server, &tenant, "0", &body);
    assert_eq!((taken.status, &taken.json()["outcome"]), (202, &"running".into()));
    assert_eq!((taken.header("retry-after"), taken.header("preference-applied")), ("1", "wait=0"));
    let mut told = Value::Null;
    until("the build", || {
        told = server.get_with(taken.header("location"), &tenant.api).json();
        told["outcome"] != "running"
    });
    assert_eq!((&told["outcome"], &told["delivery"]), (&"built".into(), &taken.json()["delivery"]));
    let build = format!("/v1/builds/{}", told["build"].as_str().unwrap());
    assert_eq!(server.get_with(&build, &tenant.api).status, 200);
    let patient = wait(&server, &tenant, "600", &body);
    assert_eq!((patient.status, patient.header("preference-applied")), (200, "wait=600"));
}

/// Nothing is said to whoever has proven nothing, however short the wait.
#[test]
fn a_short_wait_does_not_hide_a_refusal() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other"));
    let body = small_flow("one", None, "a");
    let mut wrong = plain(&other.secret, &body);
    wrong.push(("prefer", "wait=0".to_owned()));
    for slug in ["acme-inc", "nobody"] {
        assert_eq!(server.deliver(slug, &wrong, &body).status, 401, "{slug}");
    }
    assert_eq!(server.get_with("/v1/t/acme-inc/flows", &tenant.api).json()["flows"], json!([]));
}

fn dry(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> Answer {
    let mut headers = plain(&tenant.secret, body);
    headers.push(("x-tenant-slug", tenant.slug.clone()));
    server.send("/v1/builds?dry_run=1", &headers, body)
}

fn changes(answer: &Answer) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let file = |file: &Value| (word(&file["change"]), word(&file["path"]));
    answer.json()["files"].as_array().unwrap().iter().map(file).collect()
}

/// A dry run says what would change, writes nothing, and uses nothing of the quota, which refuses it as it would
/// the delivery.
#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 2.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    let first = dry(&server, &tenant, &a);
    assert_eq!(
        (first.status, &first.json()["outcome"]),
        (200, &"built".into()),
        "{:#}",
        first.json()
    );
    assert_eq!(first.json()["dry_run"], true);
    let added = changes(&first);
    assert!(!added.is_empty() && added.iter().all(|(change, _)| change == "added"), "{added:?}");
    assert_eq!(server.get_with("/v1/t/acme-inc/flows", &tenant.api).json()["flows"], json!([]));
    let log = server.get_with("/v1/t/acme-inc/deliveries", &tenant.api).json();
    assert_eq!(log["deliveries"], json!([]));

    let built = server.build(&tenant, &a);
    assert_eq!((built.status, &built.json()["key"]), (201, &first.json()["key"]));
    assert_eq!(dry(&server, &tenant, &a).json()["outcome"], "noop");
    let second = dry(&server, &tenant, &b);
    assert_eq!(second.status, 200);
    let changed = changes(&second);
    assert!(changed.iter().all(|(change, _)| change == "changed"), "{changed:?}");
    assert!(changed.len() < added.len(), "what stays is not told: {changed:?}");
    assert_eq!(server.build(&tenant, &b).status, 201);
    let c = small_flow("one", None, "c");
    let (refused, real) = (dry(&server, &tenant, &c), server.build(&tenant, &c));
    assert_eq!((refused.status, &refused.bytes), (429, &real.bytes), "the quota is used up");
}

/// Compiling and gates cost what they cost a build: nobody has them without end by building nothing.
#[test]
fn dry_runs_have_a_bound_of_their_own() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 3.try_into().unwrap());
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other"));
    let body = small_flow("one", None, "a");
    for _ in 0..3 {
        assert_eq!(dry(&server, &tenant, &body).status, 200);
        server.clock.advance(HOUR);
    }
    let refused = dry(&server, &tenant, &body);
    assert_eq!((refused.status, refused.code().as_str()), (429, "quota-exceeded"));
    assert_eq!(refused.header("retry-after"), (21 * 60 * 60).to_string());
    assert_eq!(dry(&server, &other, &body).status, 200);
    assert_eq!(server.build(&tenant, &body).status, 201, "builds have their own");
    assert_eq!(dry(&server, &tenant, &body).json()["outcome"], "noop", "nothing is compiled");
    server.clock.advance(21 * HOUR);
    assert_eq!(dry(&server, &tenant, &small_flow("one", None, "b")).status, 200);
}

/// What would be refused is refused in the same words.
#[test]
fn a_dry_run_is_refused_as_the_delivery_would_be() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for text in ["a", "b"] {
        assert_eq!(server.build(&tenant, &small_flow("one", None, text)).status, 201);
    }
    let old = small_flow("one", None, "a");
    for body in [&b"{}"[..], b"{", &old] {
        let (dry, real) = (dry(&server, &tenant, body), server.build(&tenant, body));
        assert_eq!((dry.status, &dry.bytes), (real.status, &real.bytes));
    }
    let headers = standard(&tenant.secret, "msg_1", server.seconds() - 3600, &old);
    let mut headers: Vec<_> = headers;
    headers.push(("x-tenant-slug", "acme-inc".to_owned()));
    assert_eq!(server.send("/build?dry_run=1", &headers, &old).status, 401);
    let token = vec![("x-api-key", tenant.api.clone()), ("x-tenant-slug", "acme-inc".to_owned())];
    assert_eq!(server.send("/build?dry_run=maybe", &token, &old).code(), "invalid-query");
}
