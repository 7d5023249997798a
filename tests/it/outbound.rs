//! Webhooks that the server sends: what is told, to whom, and how it is signed.

use std::process::Command;

use colophon::config::Config;
use colophon_store::rows::{Effect, EventRow, OutboxRow, SendRow, TenantRow};
use serde_json::{Value, json};

use crate::console::Visitor;
use crate::support::collector::Received;
use crate::support::gates::command;
use crate::support::programs::{cache, must_be_marked_unavailable};
use crate::support::receiver::{Receiver, Reply};
use crate::support::upstream::until;
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, sign, small_flow};

/// A server that may send to this machine, and a tenant of it.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) tenant: TestTenant,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::with(|config| {
            may_send_here(config);
            change(config);
        });
        let tenant = server.tenant("acme-inc");
        Self { server, tenant }
    }

    /// Asks as the tenant itself, below its URL.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        ask(&self.server, &self.tenant, method, path, body)
    }

    /// An endpoint of the tenant for these events: its id and secret.
    pub(crate) fn endpoint(&self, url: &str, events: &[&str]) -> (String, String) {
        endpoint(&self.server, &self.tenant, url, events)
    }

    pub(crate) fn build(&self, slug: &str, text: &str) -> Answer {
        self.server.build(&self.tenant, &small_flow(slug, None, text))
    }

    /// Waits until nothing is to be sent any more.
    pub(crate) fn settled(&self) {
        until("everything is sent", || self.waiting() == 0);
    }

    /// How much is to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.server.app.press.store.view().unwrap().scan::<SendRow>(&()).count()
    }

    /// Has an event of another tenant sent twice: the worker has then looked at what is due since.
    pub(crate) fn worker_looks(&self) {
        let receiver = Receiver::start();
        let path = "/v1/tenants/other";
        if self.server.operator("GET", path, "").status == 404 {
            self.server.tenant("other");
        }
        let url = "/v1/t/other/endpoints";
        let body = json!({ "url": receiver.url }).to_string();
        let made = self.server.operator("POST", url, &body).json();
        let test = format!("{url}/{}/test", made["id"].as_str().unwrap());
        for _ in 0..2 {
            assert_eq!(self.server.operator("POST", &test, "").status, 202);
            receiver.take(1);
        }
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.ask("GET", &format!("endpoints/{id}"), &Value::Null).json()
    }

    /// Attempts at an endpoint, the first one first.
    pub(crate) fn attempts(&self, id: &str) -> Vec<Value> {
        let list = self.ask("GET", &format!("endpoints/{id}/attempts"), &Value::Null).json();
        list["attempts"].as_array().unwrap().iter().rev().cloned().collect()
    }
}

/// Endpoints may be on this machine.
pub(crate) fn may_send_here(config: &mut Config) {
    config.outbound.allow = vec!["127.0.0.0/8".parse().unwrap()];
    config.outbound.plain_http = true;
}

pub(crate) fn ask(
    server: &TestServer,
    tenant: &TestTenant,
    method: &str,
    path: &str,
    body: &Value,
) -> Answer {
    let url = format!("{}/v1/t/{}/{path}", server.url, tenant.slug);
    let bearer = format!("Bearer {}", tenant.api);
    let agent = crate::support::agent();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = match method {
        "POST" => agent.post(url).header("authorization", bearer).send(body),
        "PUT" => agent.put(url).header("authorization", bearer).send(body),
        "DELETE" => agent.delete(url).header("authorization", bearer).call(),
        _ => agent.get(url).header("authorization", bearer).call(),
    };
    crate::support::read(answer.unwrap())
}

pub(crate) fn endpoint(
    server: &TestServer,
    tenant: &TestTenant,
    url: &str,
    events: &[&str],
) -> (String, String) {
    let wanted = json!({ "url": url, "events": events });
    let made = ask(server, tenant, "POST", "endpoints", &wanted);
    assert_eq!(made.status, 201, "{}", made.json());
    let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

pub(crate) fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

const ALL: &[&str] = &["build.succeeded", "build.failed", "build.noop"];

/// What is sent names everything that a runner or a launcher needs, and the signature is over just that.
#[test]
fn a_build_is_told_with_what_is_where_and_signed() {
    let (world, receiver) = (World::new(), Receiver::start());
    let (id, secret) = world.endpoint(&receiver.url, ALL);
    let built = world.server.build(&world.tenant, ORDER_INTAKE).json();
    let told = receiver.take(1).remove(0);
    assert_eq!(told.line, "POST /hooks HTTP/1.1\r\n");
    assert_eq!(told.headers["content-type"], "application/json");
    let seconds = world.server.seconds();
    for (name, value) in sign::standard(&secret, &told.headers["webhook-id"], seconds, &told.body) {
        assert_eq!(told.headers[name], value, "{name}");
    }
    let said = body(&told);
    assert_eq!(said["type"], "build.succeeded");
    let data = &said["data"];
    for name in ["flow", "name", "commit", "branch", "key", "tags"] {
        assert_eq!(data[name], built[name], "{name}");
    }
    assert_eq!((&data["build"], &data["tenant"]), (&built["id"], &json!("acme-inc")));
    assert_eq!((&data["kind"], &data["outcome"]), (&json!("delivery"), &json!("built")));
    let (edge, whole) = (&data["outputs"][1]["edge"], &built["outputs"][1]["edge"]);
    for name in ["version", "edge_sha256", "length", "target"] {
        assert_eq!(edge[name], whole[name], "{name}");
    }
    // Both URLs are good with a token of the receiver's own.
    let get = |url: &Value, token: &str| world.server.get_with(url.as_str().unwrap(), token);
    let manifest = get(&edge["manifest_url"], &world.tenant.edge);
    assert_eq!(text_of(&manifest.json()["tree"]), format!("blake3:{}", text_of(&edge["tree"])));
    assert_eq!(get(&data["url"], &world.tenant.api).json()["id"], built["id"]);
    let text = String::from_utf8_lossy(&told.body);
    assert!(!text.contains("sig=") && !text.contains("expires"), "no URL that ends: {text}");

    world.settled();
    let attempts = world.attempts(&id);
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["outcome"], "delivered");
    assert_eq!(attempts[0]["event"], told.headers["webhook-id"]);
    let uid = world.server.app.press.store.view().unwrap();
    let row: TenantRow = uid.get(&"acme-inc".parse().unwrap()).unwrap().unwrap();
    until("the outbox is empty", || {
        let view = world.server.app.press.store.view().unwrap();
        view.get::<OutboxRow>(&(row.uid, Effect::Notify)).unwrap().is_none()
    });
}

/// An endpoint that wants to know of no-ops gets them, and a tenant without one pays nothing.
#[test]
fn a_noop_is_told_to_those_who_asked() {
    let (world, receiver) = (World::new(), Receiver::start());
    world.endpoint(&receiver.url, &["build.succeeded"]);
    assert_eq!(world.build("one", "x").status, 201);
    let first = receiver.take(1).remove(0);
    let events = || world.server.app.press.store.view().unwrap().scan::<EventRow>(&()).count();
    let before = events();
    assert_eq!(world.build("one", "x").status, 200);
    assert_eq!(events(), before, "nothing is written of what nobody wants to know");

    let other = Receiver::start();
    world.endpoint(&other.url, &["build.noop"]);
    assert_eq!(world.build("one", "x").status, 200);
    let noop = body(&other.take(1).remove(0));
    assert_eq!((&noop["type"], &noop["data"]["outcome"]), (&json!("build.noop"), &json!("noop")));
    assert_eq!(noop["data"]["build"], body(&first)["data"]["build"]);
    world.settled();
    assert_eq!(receiver.count(), 0);
}

/// Both kinds of failure: a gate's, in the transaction of its record, and the compiler's, of which there is
/// none.
#[test]
fn what_was_refused_is_told() {
    let world = World::with(|config| config.gates.command = vec![command("no", &["/bin/false"])]);
    let receiver = Receiver::start();
    world.endpoint(&receiver.url, &["build.failed"]);
    let refused = world.build("one", "x");
    assert_eq!(refused.code(), "gate-failed");
    let told = body(&receiver.take(1)[0]);
    let data = &told["data"];
    assert_eq!((&told["type"], &data["outcome"]), (&json!("build.failed"), &json!("failed")));
    assert_eq!(data["gates"], json!([{ "name": "no", "status": "failed" }]));
    let builds = world.ask("GET", "builds", &Value::Null).json();
    assert_eq!(data["build"], builds["builds"][0]["id"]);

    let broken = world.server.build(&world.tenant, br#"{"schema_version": "1.0"}"#);
    assert_eq!(broken.status, 422);
    let told = body(&receiver.take(1)[0]);
    assert_eq!(told["data"]["code"], "invalid-flow");
    assert_eq!(told["data"]["errors"][0]["code"], broken.json()["errors"][0]["code"]);
}

/// A deletion, a rollback and a rebuild are builds; `kind` says so.
#[test]
fn a_deletion_is_told() {
    let (world, receiver) = (World::new(), Receiver::start());
    world.build("one", "x");
    world.endpoint(&receiver.url, &["build.succeeded"]);
    assert_eq!(world.ask("DELETE", "flows/one", &Value::Null).status, 200);
    let told = body(&receiver.take(1)[0]);
    assert_eq!((&told["data"]["kind"], &told["data"]["flow"]), (&json!("deletion"), &json!("one")));
    assert_eq!(told["data"]["outputs"], json!([]));
}

/// While a new secret is carried to the receiver, both sign; one that is revoked does not any more.
#[test]
fn a_secret_is_rotated_without_a_delivery_that_cannot_be_verified() {
    let (world, receiver) = (World::new(), Receiver::start());
    let (id, first) = world.endpoint(&receiver.url, ALL);
    let secrets = format!("endpoints/{id}/secrets");
    let made = world.ask("POST", &secrets, &json!({ "overlap": "1h" })).json();
    let second = made["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let test = || {
        world.server.clock.advance(1_000);
        let answer = world.ask("POST", &format!("endpoints/{id}/test"), &Value::Null);
        assert_eq!(answer.status, 202);
        receiver.take(1).remove(0)
    };
    let of = |told: &Received, secret: &str| {
        let id = &told.headers["webhook-id"];
        let seconds = told.headers["webhook-timestamp"].parse().unwrap();
        sign::standard(secret, id, seconds, &told.body).pop().unwrap().1
    };
    let both = test();
    let (new, old) = (of(&both, &second), of(&both, &first));
    assert_eq!(both.headers["webhook-signature"], format!("{new} {old}"));
    verified_by_the_official_library(&both, &[&first, &second]);

    let only = world.ask("DELETE", &format!("{secrets}/2"), &Value::Null);
    assert_eq!(only.json()["secrets"][0]["state"], "revoked");
    let refused = world.ask("DELETE", &format!("{secrets}/1"), &Value::Null);
    assert_eq!(refused.code(), "invalid-endpoint", "something must sign");
    let told = test();
    assert_eq!(told.headers["webhook-signature"], of(&told, &first));
    world.ask("POST", &secrets, &json!({ "overlap": "1h" }));
    world.server.clock.advance(3_600_000);
    assert!(!test().headers["webhook-signature"].contains(' '), "the overlap is over");
}

/// The library of Standard Webhooks takes what is sent, with each secret that is good, and nothing that was
/// changed on its way. What it signs itself is what this server signs.
fn verified_by_the_official_library(told: &Received, secrets: &[&str]) {
    let python = cache().join("webhooks/bin/python");
    if !python.exists() {
        return must_be_marked_unavailable("webhooks");
    }
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value =
        names.iter().map(|name| ((*name).to_owned(), json!(told.headers[*name]))).collect();
    let input = json!({
        "headers": headers, "secrets": secrets, "body": String::from_utf8_lossy(&told.body),
    });
    let script = r#"
import json, sys, datetime
from standardwebhooks import Webhook, WebhookVerificationError
it = json.loads(sys.argv[1])
headers, body = it["headers"], it["body"]
at = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.timezone.utc)
for secret in it["secrets"]:
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    signed = Webhook(secret).sign(headers["webhook-id"], at, body)
    assert signed in headers["webhook-signature"].split(" "), signed
    for bad in ({"webhook-id": "other"}, {"webhook-timestamp": str(int(at.timestamp()) + 1)}):
        try:
            Webhook(secret).verify(body, {**headers, **bad})
        except WebhookVerificationError:
            continue
        sys.exit("it takes what was changed")
try:
    Webhook(it["secrets"][0]).verify(body + " ", headers)
    sys.exit("it takes another body")
except WebhookVerificationError:
    pass
# The vector that the libraries of Standard Webhooks are published with.
secret, name, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}'
at = datetime.datetime.fromtimestamp(1614265330, datetime.timezone.utc)
assert Webhook(secret).sign(name, at, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"#;
    let output = Command::new(python).args(["-c", script, &input.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An endpoint is a thing of its tenant, with a version; what is wrong with one is told all at once, and
/// changes nothing.
#[test]
fn endpoints_are_set_listed_and_taken_away() {
    let (world, receiver) = (World::new(), Receiver::start());
    let bad = json!({ "url": "ftp://x/", "events": ["build.sucked"], "label": "a\nb" });
    let refused = world.ask("POST", "endpoints", &bad);
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-endpoint"));
    for word in ["https://", "build.sucked", "one line"] {
        assert!(refused.json()["detail"].as_str().unwrap().contains(word), "{word}");
    }
    let (id, _) = world.endpoint(&receiver.url, ALL);
    let path = format!("endpoints/{id}");
    let shown = world.ask("GET", &path, &Value::Null);
    assert_eq!(shown.header("etag"), "\"1\"");
    assert!(shown.json().get("secret").is_none(), "it is told once");
    let changed = json!({ "url": receiver.url, "events": ["build.failed"], "label": "runner" });
    let url = format!("{}/v1/t/acme-inc/{path}", world.server.url);
    let put = |version: &str| {
        let request = crate::support::agent().put(&url).header("if-match", version);
        let request = request.header("authorization", format!("Bearer {}", world.tenant.api));
        crate::support::read(request.send(changed.to_string()).unwrap())
    };
    assert_eq!(put("\"7\"").status, 412);
    assert_eq!(put("\"1\"").json()["events"], json!(["build.failed"]));
    assert_eq!(world.show(&id)["label"], "runner");
    let list = world.ask("GET", "endpoints", &Value::Null).json();
    assert_eq!(list["endpoints"].as_array().unwrap().len(), 1);

    for _ in 1..16 {
        world.endpoint(&receiver.url, ALL);
    }
    let wanted = json!({ "url": receiver.url });
    assert_eq!(world.ask("POST", "endpoints", &wanted).code(), "too-many-endpoints");
    assert_eq!(world.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(world.ask("GET", &path, &Value::Null).code(), "no-endpoint");
    let said =
        world.server.operator("GET", "/v1/t/acme-inc/audit?limit=100", "").json().to_string();
    for word in ["endpoint.create", "endpoint.change", "endpoint.delete"] {
        assert!(said.contains(word), "{word} is in the audit log");
    }
}

/// Another flow's events do not come to an endpoint that is for one flow.
#[test]
fn an_endpoint_may_be_for_one_flow() {
    let (world, receiver) = (World::new(), Receiver::start());
    let wanted = json!({ "url": receiver.url, "flow": "two" });
    assert_eq!(world.ask("POST", "endpoints", &wanted).status, 201);
    world.build("one", "x");
    world.build("two", "x");
    assert_eq!(body(&receiver.take(1)[0])["data"]["flow"], "two");
    world.settled();
    assert_eq!(receiver.count(), 0);
}

/// What is recorded of an event can be read, and sent again: with the same id and the same bytes.
#[test]
fn events_are_listed_and_replayed() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Status(400, "")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    let since = world.show(&id)["created"].as_str().unwrap().to_owned();
    world.build("one", "x");
    let first = receiver.take(1).remove(0);
    let list = || world.ask("GET", "events?type=build.succeeded&flow=one", &Value::Null).json();
    let name = list()["events"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(name, first.headers["webhook-id"]);
    let event = || world.ask("GET", &format!("events/{name}"), &Value::Null).json();
    assert_eq!(event()["payload"], body(&first));
    until("the attempt is written down", || event()["attempts"].as_array().unwrap().len() == 1);
    assert_eq!(event()["waiting"], json!([id]));

    let replay = format!("endpoints/{id}/replay");
    // Names of attempts sort by time, and by chance within a millisecond.
    world.server.clock.advance(1_000);
    let again = world.ask("POST", &replay, &json!({ "event": name }));
    assert_eq!((again.status, &again.json()["queued"]), (202, &json!(1)));
    let second = receiver.take(1).remove(0);
    assert_eq!(second.headers["webhook-id"], name);
    assert_eq!(second.body, first.body);
    world.settled();
    world.build("two", "x");
    receiver.take(1);
    world.settled();
    let all = world.ask("POST", &replay, &json!({ "since": since }));
    assert_eq!(all.json()["queued"], 2);
    let names: Vec<String> =
        receiver.take(2).iter().map(|r| r.headers["webhook-id"].clone()).collect();
    assert_eq!(names[0], name, "in the order in which they happened");
    assert!(event()["attempts"][0]["replay"].as_bool().unwrap());
    for bad in [json!({ "since": "yesterday" }), json!({}), json!({ "event": "x" })] {
        assert_eq!(world.ask("POST", &replay, &bad).status, 400, "{bad}");
    }
    let unknown = json!({ "event": "0".repeat(32) });
    assert_eq!(world.ask("POST", &replay, &unknown).code(), "no-event");
}

/// The console shows what was sent, and the operator's button sends it again.
#[test]
fn the_console_shows_attempts_and_replays_them() {
    let (world, receiver) = (World::new(), Receiver::start());
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "x");
    let event = receiver.take(1)[0].headers["webhook-id"].clone();
    until("it is written down", || world.attempts(&id).len() == 1);
    let visitor = Visitor::operator(&world.server);
    let path = "/console/t/acme-inc/webhooks";
    let page = visitor.page(path);
    assert!(page.contains(&receiver.url) && page.contains("delivered") && page.contains(&event));
    let replay = format!("{path}/{id}/replay/{event}");
    assert!(page.contains(&format!("action=\"{replay}\"")));
    assert_eq!(visitor.post(&replay, "wrong").status, 403);
    assert_eq!(receiver.count(), 0);
    let told = visitor.post(&replay, &visitor.key);
    assert_eq!(told.status, 303);
    assert_eq!(receiver.take(1)[0].headers["webhook-id"], event);
    assert!(visitor.page(told.header("location")).contains("is sent again"));
}
