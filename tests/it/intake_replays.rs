//! Replay is a rollback attack: what was delivered before and is sent again brings nothing old back, and
//! one delivery makes one build, however often and by how many hands it is sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::sign::{Headers, github, plain, stamped, standard};
use crate::support::{Answer, TestServer, TestTenant, small_flow};

const SECOND: u64 = 1000;
const DAY: u64 = 24 * 60 * 60 * SECOND;

/// The build that stands for the tenant's only flow.
fn head(server: &TestServer, tenant: &TestTenant) -> String {
    let path = format!("/v1/t/{}/flows", tenant.slug);
    let told = server.get_with(&path, &tenant.api).json();
    told["flows"][0]["build"].as_str().unwrap_or_default().to_owned()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn replayed(answer: &Answer) -> bool {
    let told = answer.header("idempotency-replayed") == "true";
    assert_eq!(told, answer.json()["outcome"] == "replayed");
    told
}

/// Builds A and then B, and sends A's very request again: B stands.
fn replay_of(
    name: &str,
    sign: impl Fn(&TestServer, &TestTenant, &str, &[u8]) -> Headers,
) -> (Answer, String) {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    let first = sign(&server, &tenant, "id-a", &a);
    let built = server.deliver("acme-inc", &first, &a);
    assert_eq!(built.status, 201, "{name}: {:#}", built.json());
    server.clock.advance(SECOND);
    let second = sign(&server, &tenant, "id-b", &b);
    assert_eq!(server.deliver("acme-inc", &second, &b).status, 201, "{name}");
    let standing = head(&server, &tenant);
    let replay = server.deliver("acme-inc", &first, &a);
    assert_eq!(head(&server, &tenant), standing, "{name}: A came back");
    server.clock.advance(8 * DAY);
    let purge = server.operator("POST", "/v1/maintenance/purge", "");
    assert_eq!(purge.status, 200);
    let late = server.deliver("acme-inc", &first, &a);
    assert!([401, 409].contains(&late.status), "{name}: {}", late.status);
    assert_eq!(head(&server, &tenant), standing, "{name}: A came back when its id was forgotten");
    (replay, id(&built))
}

#[test]
fn a_then_b_then_a_again_leaves_b_in_every_scheme() {
    let (told, built) =
        replay_of("standard", |s, t, id, body| standard(&t.secret, id, s.seconds(), body));
    assert!(told.status == 200 && replayed(&told) && id(&told) == built);
    let (told, _) = replay_of("stamped", |s, t, _, body| stamped(&t.secret, s.seconds(), body));
    assert_eq!((told.status, told.code().as_str()), (409, "stale-delivery"));
    let (told, _) = replay_of("plain", |_, t, _, body| plain(&t.secret, body));
    assert_eq!((told.status, told.code().as_str()), (409, "seen-before"));
    let (told, built) = replay_of("github", |_, t, id, body| github(&t.secret, id, body));
    assert!(told.status == 200 && replayed(&told) && id(&told) == built);
    let (told, _) = replay_of("token", |_, t, _, _| vec![("x-api-key", t.api.clone())]);
    assert_eq!((told.status, told.code().as_str()), (409, "seen-before"));
    let (told, built) = replay_of("keyed", |_, t, id, _| {
        vec![("x-api-key", t.api.clone()), ("idempotency-key", format!("\"{id}\""))]
    });
    assert!(told.status == 200 && replayed(&told) && id(&told) == built);
}

/// GitHub does not sign its id, so another one does not make an old body new.
#[test]
fn an_id_that_is_not_signed_does_not_open_the_door() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for text in ["a", "b"] {
        let body = small_flow("one", None, text);
        let headers = github(&tenant.secret, text, &body);
        assert_eq!(server.deliver("acme-inc", &headers, &body).status, 201);
    }
    let old = small_flow("one", None, "a");
    let again = server.deliver("acme-inc", &github(&tenant.secret, "c", &old), &old);
    assert_eq!((again.status, again.code().as_str()), (409, "seen-before"));
}

/// With a time that is signed, content that comes back is no replay: somebody put it last.
#[test]
fn a_later_delivery_may_bring_old_content() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for (n, text) in ["a", "b", "a"].into_iter().enumerate() {
        let body = small_flow("one", None, text);
        let built = server.deliver_standard(&tenant, &format!("msg_{n}"), &body);
        assert_eq!(built.status, 201, "{:#}", built.json());
        server.clock.advance(SECOND);
    }
}

/// Deliveries are taken in the order in which they were signed, whichever comes first.
#[test]
fn a_delivery_that_was_overtaken_is_stale() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let now = server.seconds();
    let at = |id: &str, seconds: u64, text: &str| {
        let body = small_flow("one", None, text);
        server.deliver("acme-inc", &standard(&tenant.secret, id, seconds, &body), &body)
    };
    assert_eq!(at("msg_1", now, "second").status, 201);
    for (name, seconds) in [("msg_2", now - 1), ("msg_3", now)] {
        let late = at(name, seconds, "first");
        assert_eq!((late.status, late.code().as_str()), (409, "stale-delivery"), "{name}");
    }
    assert_eq!(at("msg_3", now + 1, "third").status, 201, "a refusal has not used up the id");
}

/// A no-op leaves nothing behind that would know it again; going back and deleting move the time on, so
/// that a captured no-op does not undo them.
#[test]
fn a_captured_no_op_does_not_bring_a_deleted_flow_back() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "a");
    assert_eq!(server.deliver_standard(&tenant, "msg_1", &body).status, 201);
    server.clock.advance(SECOND);
    let captured = standard(&tenant.secret, "msg_2", server.seconds(), &body);
    assert_eq!(server.deliver("acme-inc", &captured, &body).status, 200);
    server.clock.advance(SECOND);
    assert_eq!(server.operator("DELETE", "/v1/t/acme-inc/flows/one", "").status, 200);
    let again = server.deliver("acme-inc", &captured, &body);
    assert_eq!((again.status, again.code().as_str()), (409, "flow-deleted"));
    server.clock.advance(SECOND);
    assert_eq!(server.deliver_standard(&tenant, "msg_3", &body).status, 201);
}

/// A time that was signed before an unsigned delivery came does not go over it.
#[test]
fn schemes_are_ordered_among_each_other() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    assert_eq!(server.build(&tenant, &a).status, 201);
    server.clock.advance(SECOND);
    let captured = standard(&tenant.secret, "msg_1", server.seconds(), &a);
    server.clock.advance(SECOND);
    assert_eq!(server.build(&tenant, &b).status, 201);
    let late = server.deliver("acme-inc", &captured, &a);
    assert_eq!((late.status, late.code().as_str()), (409, "stale-delivery"));
}

#[test]
fn an_id_stands_for_one_content() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("two", None, "b"));
    let key =
        |name: &str| vec![("x-api-key", tenant.api.clone()), ("idempotency-key", name.to_owned())];
    assert_eq!(server.deliver("acme-inc", &key("k1"), &a).status, 201);
    let other = server.deliver("acme-inc", &key("k1"), &b);
    assert_eq!((other.status, other.code().as_str()), (422, "delivery-id-reused"));
    assert_eq!(server.deliver("acme-inc", &key("k2"), &b).status, 201);
    assert_eq!(server.deliver_standard(&tenant, "k1", &b).status, 200, "kinds of ids are apart");
    let bad = server.deliver("acme-inc", &key("two words"), &a);
    assert_eq!((bad.status, bad.code().as_str()), (400, "invalid-delivery-id"));
    let other = server.tenant("other");
    let key = vec![("x-api-key", other.api.clone()), ("idempotency-key", "k1".to_owned())];
    assert_eq!(server.deliver("other", &key, &b).status, 201, "an id is one tenant's");
}

/// An attempt that fails leaves its id free, so that the sender's next one can succeed.
#[test]
fn a_failed_attempt_does_not_use_up_its_id() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 1.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.deliver_standard(&tenant, "msg_1", b"{}").status, 422);
    let body = small_flow("one", None, "a");
    assert_eq!(server.deliver_standard(&tenant, "msg_1", &body).status, 201);
    let body = small_flow("two", None, "b");
    assert_eq!(server.deliver_standard(&tenant, "msg_2", &body).status, 429);
    server.clock.advance(DAY + 1);
    assert_eq!(server.deliver_standard(&tenant, "msg_2", &body).status, 201);
}

/// Many threads send one delivery; there is one build, and who is not told of it is told to wait.
#[test]
fn racing_attempts_at_one_delivery_make_one_build() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "a");
    let headers = standard(&tenant.secret, "msg_1", server.seconds(), &body);
    let built = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let answer = server.deliver("acme-inc", &headers, &body);
                match answer.status {
                    201 => drop(built.fetch_add(1, Ordering::SeqCst)),
                    200 => assert!(replayed(&answer)),
                    409 => {
                        assert_eq!(answer.code(), "delivery-in-flight");
                        assert_eq!(answer.header("retry-after"), "1");
                    }
                    other => panic!("{other}: {:#}", answer.json()),
                }
            });
        }
    });
    assert_eq!(built.into_inner(), 1);
    assert!(replayed(&server.deliver("acme-inc", &headers, &body)));
}

/// A tenant whose builder goes back and forth without saying so can allow it.
#[test]
fn a_tenant_may_allow_repeats() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    assert_eq!(server.build(&tenant, &a).status, 201);
    assert_eq!(server.build(&tenant, &b).status, 201);
    assert_eq!(server.build(&tenant, &a).status, 409);
    let set = server.operator("PUT", "/v1/tenants/acme-inc/webhook", "{\"repeats\": true}");
    assert_eq!(set.json()["repeats"], true);
    assert_eq!(server.build(&tenant, &a).status, 201);
    assert_eq!(server.operator("DELETE", "/v1/t/acme-inc/flows/one", "").status, 200);
    assert_eq!(server.build(&tenant, &a).code(), "flow-deleted", "a deletion stands");
}
