//! Hooks: addresses for senders that cannot set a tenant header, and flows that are read from their builder.

use colophon::tasks::Tasks;
use colophon_store::rows::PullRow;
use serde_json::{Value, json};

use crate::support::builder::Builder;
use crate::support::process::{ServerProcess, colophon};
use crate::support::sign::{Headers, github, plain, standard};
use crate::support::upstream::until;
use crate::support::{Answer, TestServer, TestTenant, agent, read, small_flow};

const ORDERS: &[u8] = include_bytes!("../fixtures/flows/activepieces_orders.json");
const SECOND: u64 = 1000;

fn create(server: &TestServer, slug: &str, hook: &Value) -> Value {
    let path = format!("/v1/tenants/{slug}/hooks");
    let made = server.operator("POST", &path, &hook.to_string());
    assert_eq!(made.status, 201, "{:#}", made.json());
    made.json()
}

fn path(hook: &Value) -> &str {
    hook["path"].as_str().unwrap()
}

/// The hook's address says whose delivery it is, and which scheme is taken: no other one.
#[test]
fn a_hook_names_tenant_and_scheme() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let hook = create(&server, "acme-inc", &json!({"scheme": "github", "label": "forge"}));
    let body = small_flow("one", None, "x");
    let secret = &tenant.secret;
    let wrong: [Headers; 3] =
        [vec![], plain(secret, &body), standard(secret, "msg_1", server.seconds(), &body)];
    for headers in wrong {
        assert_eq!(server.send(path(&hook), &headers, &body).status, 401, "{headers:?}");
    }
    let token = vec![("authorization", format!("Bearer {}", tenant.api))];
    assert_eq!(server.send(path(&hook), &token, &body).status, 401, "tokens name their tenant");
    let built = server.send(path(&hook), &github(secret, "id-1", &body), &body);
    assert_eq!(built.status, 201, "{:#}", built.json());
    let again = server.send(path(&hook), &github(secret, "id-1", &body), &body);
    assert_eq!(again.header("idempotency-replayed"), "true");

    let fixed = create(&server, "acme-inc", &json!({"scheme": "static"}));
    let key = fixed["static_key"].as_str().unwrap();
    for headers in
        [vec![("x-api-key", key.to_owned())], vec![("authorization", format!("Bearer {key}"))]]
    {
        assert_eq!(server.send(path(&fixed), &headers, &body).status, 200);
    }
    let listed = server.operator("GET", "/v1/tenants/acme-inc/hooks", "").json();
    let schemes: Vec<_> =
        listed["hooks"].as_array().unwrap().iter().map(|h| &h["scheme"]).collect();
    assert_eq!(schemes.len(), 2);
    assert!(!listed.to_string().contains(key), "a key is told once");
}

/// What is no hook answers as a wrong signature does, to the byte, also one that was deleted and one of a
/// tenant that was erased.
#[test]
fn an_unknown_hook_is_a_wrong_signature() {
    let server = TestServer::start();
    let (tenant, gone) = (server.tenant("acme-inc"), server.tenant("gone"));
    let body = small_flow("one", None, "x");
    let known = create(&server, "acme-inc", &json!({"scheme": "legacy"}));
    let wrong = server.send(path(&known), &plain(&gone.secret, &body), &body);
    assert_eq!(wrong.status, 401);
    let deleted = create(&server, "acme-inc", &json!({"scheme": "legacy"}));
    let id = deleted["id"].as_str().unwrap();
    let admin = format!("/v1/tenants/acme-inc/hooks/{id}");
    assert_eq!(server.operator("DELETE", &format!("/v1/tenants/gone/hooks/{id}"), "").status, 404);
    assert_eq!(server.operator("DELETE", &admin, "").status, 204);
    assert_eq!(server.operator("DELETE", &admin, "").code(), "no-hook");
    let erased = create(&server, "gone", &json!({"scheme": "legacy"}));
    assert_eq!(server.operator("DELETE", "/v1/tenants/gone?confirm=gone", "").status, 200);
    let zeros = format!("/v1/hooks/{}", "0".repeat(32));
    for (path, secret) in [
        (path(&deleted), &tenant.secret),
        (path(&erased), &gone.secret),
        (zeros.as_str(), &tenant.secret),
        ("/v1/hooks/x", &tenant.secret),
    ] {
        let answer = server.send(path, &plain(secret, &body), &body);
        assert_eq!((answer.status, &answer.bytes), (401, &wrong.bytes), "{path}");
    }
    assert_eq!(server.send(path(&known), &plain(&tenant.secret, &body), &body).status, 201);
}

#[test]
fn a_hook_that_cannot_work_is_refused() {
    let server = TestServer::start();
    server.tenant("acme-inc");
    for (hook, word) in [
        (json!({"scheme": "url"}), "proves nothing"),
        (json!({"scheme": "static", "pull": "https://x/api"}), "go together"),
        (
            json!({"scheme": "static", "pull": "http://builder.internal/api", "credential": "env:X"}),
            "https://",
        ),
        (
            json!({"scheme": "static", "pull": "https://x/api", "credential": "sk-secret"}),
            "env:NAME",
        ),
        (json!({"scheme": "static", "label": "a\nb"}), "one line"),
    ] {
        let path = "/v1/tenants/acme-inc/hooks";
        let refused = server.operator("POST", path, &hook.to_string());
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-hook"), "{hook}");
        let told = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(word) && !told.contains("sk-secret"), "{told}");
    }
    assert_eq!(
        server.operator("POST", "/v1/tenants/acme-inc/hooks", "{\"scheme\": \"x\"}").code(),
        "invalid-request"
    );
}

/// A flow as ActivePieces' API shows it: the flow, with one version.
fn flow(id: &str, updated: &str, name: &str) -> Vec<u8> {
    let mut template: Value = serde_json::from_slice(ORDERS).unwrap();
    let mut version = template["template"].take();
    version["flowId"] = json!(id);
    version["updated"] = json!(updated);
    version["displayName"] = json!(name);
    json!({"id": id, "version": version}).to_string().into_bytes()
}

fn event(action: &str, flow: &str, version: &str) -> Vec<u8> {
    let data = json!({"flow": {"id": flow}, "flowVersion": {"id": version}});
    json!({"action": action, "projectId": "p1", "data": data}).to_string().into_bytes()
}

/// A tenant whose builder only says that something changed.
struct Thin {
    server: TestServer,
    tenant: TestTenant,
    builder: Builder,
    path: String,
    key: Headers,
}

impl Thin {
    fn start() -> Self {
        let server = TestServer::start();
        let tenant = server.tenant("acme-inc");
        let builder = Builder::start();
        let secret = server.path("builder.key");
        std::fs::write(&secret, "sk-the-key\n").unwrap();
        let credential = format!("file:{}", secret.display());
        let wanted = json!({"scheme": "static", "pull": builder.url, "credential": credential});
        let hook = create(&server, "acme-inc", &wanted);
        let path = path(&hook).to_owned();
        let key = vec![("x-api-key", hook["static_key"].as_str().unwrap().to_owned())];
        Self { server, tenant, builder, path, key }
    }

    fn send(&self, body: &[u8]) -> Answer {
        self.server.send(&self.path, &self.key, body)
    }

    /// Waits until an attempt has failed and that is written down, so that the next one is put off from now.
    fn failed_once(&self) {
        until("the first attempt has failed", || {
            let view = self.server.app.press.store.view().unwrap();
            view.scan::<PullRow>(&()).any(|row| row.unwrap().1.failures == 1)
        });
    }

    fn delivery(&self, answer: &Answer) -> Value {
        self.server.get_with(answer.header("location"), &self.tenant.api).json()
    }

    /// The delivery when it is known what became of it.
    fn ended(&self, answer: &Answer) -> Value {
        let mut told = Value::Null;
        until("the flow is read and built", || {
            told = self.delivery(answer);
            told["outcome"] != "accepted"
        });
        told
    }
}

#[test]
fn a_thin_event_has_the_flow_read_and_built() {
    let thin = Thin::start();
    let body = flow("f1", "2024-05-01T10:00:00.000Z", "Orders");
    thin.builder.set("/v1/flows/f1?versionId=v1", 200, "", &body);
    let refused = thin.server.send(&thin.path, &vec![], &event("flow.published", "f1", "v1"));
    assert_eq!(refused.status, 401);
    let taken = thin.send(&event("flow.published", "f1", "v1"));
    assert_eq!((taken.status, &taken.json()["outcome"]), (202, &"accepted".into()));
    let told = thin.ended(&taken);
    assert_eq!((&told["outcome"], &told["status"]), (&"built".into(), &201.into()), "{told:#}");
    let asked = thin.builder.asked();
    assert_eq!(asked.len(), 1, "a refused event reads nothing");
    assert!(asked[0].to_lowercase().contains("authorization: bearer sk-the-key"), "{asked:?}");
    let again = thin.ended(&thin.send(&event("flow.published", "f1", "v1")));
    assert_eq!(again["outcome"], "noop");
    let flows = thin.server.get_with("/v1/t/acme-inc/flows", &thin.tenant.api).json();
    assert_eq!(flows["flows"][0]["build"], told["build"]);
}

/// A hook that is proven by its address alone is a credential like any other: of a suspended tenant it is
/// refused, and what waited is not read before the tenant is resumed.
#[test]
fn a_suspended_tenant_s_hooks_rest() {
    let thin = Thin::start();
    let credential = format!("file:{}", thin.server.path("builder.key").display());
    let wanted = json!({"scheme": "url", "pull": thin.builder.url, "credential": credential});
    let hook = create(&thin.server, "acme-inc", &wanted);
    let published = event("flow.published", "f1", "v1");
    // The builder is away, so the event waits.
    thin.builder.set("/v1/flows/f1?versionId=v1", 503, "", b"");
    let waits = thin.server.send(path(&hook), &vec![], &published);
    assert_eq!(waits.status, 202);
    thin.failed_once();
    assert_eq!(thin.builder.asked().len(), 1);
    let step = |step: &str| {
        let path = format!("/v1/tenants/acme-inc/{step}");
        assert_eq!(thin.server.operator("POST", &path, "").status, 200);
    };
    step("suspend");
    for refused in [thin.server.send(path(&hook), &vec![], &published), thin.send(&published)] {
        assert_eq!((refused.status, refused.code().as_str()), (403, "tenant-suspended"));
    }
    let body = flow("f1", "2024-05-01T10:00:00.000Z", "Orders");
    thin.builder.set("/v1/flows/f1?versionId=v1", 200, "", &body);
    // It is due by now. Another tenant's, sent later, is read; this one's is not.
    thin.server.clock.advance(10 * SECOND);
    thin.server.tenant("other-inc");
    let other = create(&thin.server, "other-inc", &wanted);
    let theirs = thin.server.send(path(&other), &vec![], &event("flow.published", "f2", "v1"));
    assert_eq!(theirs.status, 202);
    until("the other's is read", || thin.builder.asked().iter().any(|head| head.contains("/f2")));
    assert_eq!(thin.builder.asked().iter().filter(|head| head.contains("/f1")).count(), 1);
    step("resume");
    assert_eq!(thin.ended(&waits)["outcome"], "built");
}

/// Whoever reads the audit log sees that the server made a build that it read from a builder, and nobody who was
/// never there.
#[test]
fn a_flow_that_was_read_is_the_servers_act() {
    let thin = Thin::start();
    let body = flow("f1", "2024-05-01T10:00:00.000Z", "Orders");
    thin.builder.set("/v1/flows/f1?versionId=v1", 200, "", &body);
    assert_eq!(thin.ended(&thin.send(&event("flow.published", "f1", "v1")))["outcome"], "built");
    let log = thin.server.operator("GET", "/v1/t/acme-inc/audit", "").json();
    let made = log["entries"].as_array().unwrap().iter().find(|e| e["action"] == "build.make");
    let actor = &made.unwrap()["actor"];
    assert_eq!((&actor["kind"], &actor["id"]), (&"system".into(), &"pull".into()), "{log:#}");
}

/// What is not about a published flow is taken and does nothing; what is no event is refused, and whoever looks for it
/// finds that in the log.
#[test]
fn other_events_are_acknowledged_and_ignored() {
    let thin = Thin::start();
    for action in ["flow.created", "flow.updated", "flow.deleted", "project.replaced"] {
        let taken = thin.send(&event(action, "f1", "v1"));
        assert_eq!((taken.status, &taken.json()["outcome"]), (200, &"ignored".into()), "{action}");
        assert_eq!(thin.delivery(&taken)["outcome"], "ignored");
    }
    for bad in [&b"{}"[..], b"[", &event("flow.published", "../secrets", "v1")] {
        let refused = thin.send(bad);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-event"));
        let path = format!("/v1/t/acme-inc/deliveries/{}", refused.header("colophon-delivery"));
        let row = thin.server.operator("GET", &path, "").json();
        let told = (&row["outcome"], &row["code"], &row["replayable"]);
        assert_eq!(told, (&"refused".into(), &"invalid-event".into(), &false.into()));
    }
    assert_eq!(thin.builder.asked().len(), 0);
}

/// A version that was published before the one that stands is read, and does not replace it.
#[test]
fn a_late_event_does_not_take_a_flow_back() {
    let thin = Thin::start();
    for (version, updated) in
        [("v1", "2024-05-01T10:00:00.000Z"), ("v2", "2024-06-01T10:00:00.000Z")]
    {
        let path = format!("/v1/flows/f1?versionId={version}");
        thin.builder.set(&path, 200, "", &flow("f1", updated, version));
    }
    assert_eq!(thin.ended(&thin.send(&event("flow.published", "f1", "v2")))["outcome"], "built");
    let late = thin.ended(&thin.send(&event("flow.published", "f1", "v1")));
    assert_eq!(late["code"], "stale-revision", "{late:#}");
}

/// A builder that does not answer is asked again, later and later; one that says that there is no such
/// flow, or sends the reader elsewhere, is not followed.
#[test]
fn a_builder_that_fails_is_asked_again_and_never_followed() {
    let thin = Thin::start();
    let (other, path) = (Builder::start(), "/v1/flows/f1?versionId=v1");
    let elsewhere = format!("location: {}/v1/stolen\r\n", other.url);
    thin.builder.set(path, 302, &elsewhere, b"");
    let taken = thin.send(&event("flow.published", "f1", "v1"));
    thin.failed_once();
    assert_eq!(thin.builder.asked().len(), 1);
    thin.builder.set(path, 200, "", &flow("f1", "2024-05-01T10:00:00.000Z", "Orders"));
    assert_eq!(thin.delivery(&taken)["outcome"], "accepted");
    thin.server.clock.advance(5 * SECOND);
    assert_eq!(thin.ended(&taken)["outcome"], "built");
    assert_eq!((thin.builder.asked().len(), other.asked().len()), (2, 0));
    let missing = thin.ended(&thin.send(&event("flow.published", "f1", "v9")));
    assert_eq!((&missing["code"], &missing["status"]), (&"pull-failed".into(), &502.into()));
    let large = vec![b' '; 1024 * 1024 + 1];
    thin.builder.set("/v1/flows/f1?versionId=v2", 200, "", &large);
    assert_eq!(thin.ended(&thin.send(&event("flow.published", "f1", "v2")))["code"], "pull-failed");
}

/// An event that was acknowledged is worked off by the next server on the same data.
#[test]
fn an_acknowledged_event_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let at = || TestServer::with(|config| config.data = data.path().join("data"));
    let (server, builder) = (at(), Builder::start());
    let tenant = server.tenant("acme-inc");
    let secret = data.path().join("builder.key");
    let credential = format!("file:{}", secret.display());
    let wanted = json!({"scheme": "url", "pull": builder.url, "credential": credential});
    let hook = create(&server, "acme-inc", &wanted);
    // There is no key yet, so nothing is read.
    let taken = server.send(path(&hook), &vec![], &event("flow.published", "f1", "v1"));
    assert_eq!(taken.status, 202);
    drop(server);
    std::fs::write(&secret, "sk-the-key").unwrap();
    let body = flow("f1", "2024-05-01T10:00:00.000Z", "Orders");
    builder.set("/v1/flows/f1?versionId=v1", 200, "", &body);
    let server = at();
    server.clock.advance(5 * SECOND);
    until("the flow is built", || {
        let told = server.get_with(taken.header("location"), &tenant.api).json();
        told["outcome"] == "built"
    });
}

/// The same of a server that had no time for anything: what was answered with 202 was written down before.
#[test]
fn an_acknowledged_event_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (data, secret) = (dir.path().join("data"), dir.path().join("builder.key"));
    let (mut server, builder) = (ServerProcess::start(&data), Builder::start());
    colophon(&data, &["tenant", "create", "acme-inc", "--components", "allow-custom"]);
    let made = colophon(&data, &["token", "create", "acme-inc", "--kind", "api"]);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let credential = format!("file:{}", secret.display());
    let pull = ["--scheme", "url", "--pull", &builder.url, "--credential", &credential];
    let hook = colophon(&data, &[&["hook", "create", "acme-inc"][..], &pull].concat());
    let body = flow("f1", "2024-05-01T10:00:00.000Z", "Orders");
    builder.set("/v1/flows/f1?versionId=v1", 200, "", &body);
    let url = format!("{}{}", server.url, path(&hook));
    let taken = read(agent().post(url).send(&event("flow.published", "f1", "v1")[..]).unwrap());
    server.kill();
    assert_eq!(taken.status, 202);
    std::fs::write(&secret, "sk-the-key").unwrap();
    let server = ServerProcess::start(&data);
    until("the flow is built", || {
        let url = format!("{}{}", server.url, taken.header("location"));
        let told = read(agent().get(url).header("authorization", &bearer).call().unwrap()).json();
        assert_ne!(told["outcome"], "refused", "{told:#}");
        told["outcome"] == "built"
    });
}

/// A builder that takes its time must not hold the only place that builds run in.
#[test]
fn a_slow_builder_keeps_no_builds_waiting() {
    let server = TestServer::with(|config| config.limits.builds = 1);
    let _tenant = server.tenant("acme-inc");
    let builder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let secret = server.path("builder.key");
    std::fs::write(&secret, "sk-the-key\n").unwrap();
    let url = format!("http://{}", builder.local_addr().unwrap());
    let credential = format!("file:{}", secret.display());
    let wanted = json!({"scheme": "url", "pull": url, "credential": credential});
    let thin = create(&server, "acme-inc", &wanted);
    let taken = server.send(path(&thin), &vec![], &event("flow.published", "f1", "v1"));
    assert_eq!(taken.status, 202);
    let _asked = builder.accept().unwrap();
    let running = |tasks: &Tasks| tasks.load().state.running;
    let app = &server.app;
    assert_eq!(
        (running(&app.pulls), running(&app.builds)),
        (1, 0),
        "it waits in a place of its own"
    );
    let direct = create(&server, "acme-inc", &json!({"scheme": "static"}));
    let key = vec![("x-api-key", direct["static_key"].as_str().unwrap().to_owned())];
    let built = server.send(path(&direct), &key, &small_flow("one", None, "x"));
    assert_eq!(built.status, 201, "{:#}", built.json());
}
