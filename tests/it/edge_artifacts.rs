//! The bucket for bundles, on a real SeaweedFS that checks signatures: what lies there, who gets URLs to it, and what
//! becomes of builds and agents when it fails.

mod edge;

use std::process::{Command, Output, Stdio};

use colophon::artifacts;
use colophon::config::Config;
use colophon::maintenance::{Erase, Site, perform};
use colophon::units::Span;
use colophon_model::Sha256;
use colophon_store::Change;
use colophon_store::rows::{BundleAlias, TenantRow, UploadRow};
use serde_json::{Value, json};

use self::edge::Edge;
use crate::support::process::ServerProcess;
use crate::support::programs::program;
use crate::support::s3::{BUCKET, KEY, READER, Store, WRITER};
use crate::support::upstream::{Proxy, Twist, until};
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, agent, read};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A server with a bucket, and what is below `prefix` in it.
struct Scene {
    server: TestServer,
    tenant: TestTenant,
    prefix: &'static str,
}

/// Has a server keep bundles at `endpoint`, with the credentials of `who`.
fn keep_bundles(config: &mut Config, (endpoint, prefix): (&str, &str), (id, secret): (&str, &str)) {
    let file = config.data.with_file_name(format!("{id}.secret"));
    std::fs::write(&file, secret).unwrap();
    config.edge.artifacts = Some(format!("s3://{BUCKET}/{prefix}").parse().unwrap());
    config.edge.artifact_endpoint = Some(endpoint.to_owned());
    config.edge.artifact_access_key = Some(id.to_owned());
    config.edge.artifact_secret_key = Some(format!("file:{}", file.display()));
}

impl Scene {
    fn new(endpoint: &str, prefix: &'static str, change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::with(|config| {
            keep_bundles(config, (endpoint, prefix), KEY);
            change(config);
        });
        let tenant = server.tenant("acme-inc");
        Self { server, tenant, prefix }
    }

    /// The edge part of a build's answer.
    fn build(&self, tenant: &TestTenant, body: &[u8]) -> Edge {
        let answer = self.server.build(tenant, body);
        assert_eq!(answer.status, 201, "{}", answer.json());
        Edge::of(&answer)
    }

    /// The same build, once its bundle lies in the bucket.
    fn uploaded(&self, tenant: &TestTenant, edge: &Edge) -> Edge {
        let path = format!("/v1/builds/{}", edge.build);
        let shown = || Edge::of(&self.server.get_with(&path, &tenant.api));
        until("the bundle lies in the bucket", || {
            // What failed waits for the clock.
            self.server.clock.advance(1000);
            shown().is_elsewhere(&self.server)
        });
        shown()
    }

    fn row(&self) -> TenantRow {
        let view = self.server.app.press.store.view().unwrap();
        view.get::<TenantRow>(&"acme-inc".parse().unwrap()).unwrap().unwrap()
    }

    fn waiting(&self) -> u64 {
        artifacts::waiting(&self.server.app.press.store.view().unwrap()).unwrap().bundles
    }

    fn key(&self, slug: &str, edge: &Edge) -> String {
        format!("{}/{slug}/{}.zip", self.prefix, edge.sha256)
    }

    fn names(&self, store: &Store) -> Vec<String> {
        let listed =
            store.aws(&["s3", "ls", "--recursive", &format!("s3://{BUCKET}/{}/", self.prefix)]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.lines().filter_map(|line| Some(line.split_whitespace().last()?.to_owned())).collect()
    }
}

/// Asks without any credentials.
fn fetch(url: &str) -> Answer {
    read(agent().get(url).call().unwrap())
}

/// Something that is asked of a store.
type Step = fn(&Store);

/// One start of the store for all that is asked of it: it takes seconds.
#[test]
fn bundles_lie_in_a_bucket() {
    let Some(store) = Store::seaweedfs() else { return };
    let steps: [(&str, Step); 11] = [
        ("leads", a_url_leads_to_what_lies_there),
        ("bent", a_url_cannot_be_bent),
        ("ends", a_url_ends),
        ("reader", the_reader_signs_and_the_policy_holds),
        ("agent", an_agent_installs_from_there_and_falls_back),
        ("fails", a_bucket_that_fails_stops_nobody),
        ("killed", what_was_asked_for_survives_kill_9),
        ("taken", other_bytes_are_never_given_out),
        ("round", bucket_and_store_are_brought_together),
        ("erased", an_erasure_clears_the_bucket),
        ("versions", old_versions_go_too),
    ];
    // Each says for itself what is wrong, whatever the others came to.
    let fails = |step: Step| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(&store))).is_err()
    };
    let failed: Vec<&str> =
        steps.into_iter().filter(|(_, step)| fails(*step)).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Until the bundle lies there, the server's own URL is given out; then one into the bucket, in every answer, and what
/// it leads to is the bundle.
fn a_url_leads_to_what_lies_there(store: &Store) {
    let scene = Scene::new(&store.url(), "leads", |_| {});
    let first = scene.build(&scene.tenant, ORDER_INTAKE);
    let own = fetch(&first.url);
    assert_eq!((own.status, Sha256::of(&own.bytes)), (200, first.sha256), "whosever URL it is");
    let edge = scene.uploaded(&scene.tenant, &first);
    let there = format!("{}/{BUCKET}/{}?", store.url(), scene.key("acme-inc", &edge));
    assert!(edge.url.starts_with(&there), "{}", edge.url);
    let answer = fetch(&edge.url);
    assert_eq!((answer.status, Sha256::of(&answer.bytes)), (200, edge.sha256));
    assert_eq!(answer.header("content-type"), "application/zip");
    assert_eq!(answer.bytes, own.bytes);
    // A part of it, as who continues a download asks for it.
    let part = agent().get(&edge.url).header("range", "bytes=10-19").call().unwrap();
    assert_eq!(read(part).bytes, answer.bytes[10..20]);
    let noop = scene.server.build(&scene.tenant, ORDER_INTAKE);
    assert_eq!(noop.status, 200);
    assert!(Edge::of(&noop).is_elsewhere(&scene.server));
    let manifest = "/v1/t/acme-inc/edge/order_intake/manifest.json";
    let manifest = scene.server.get_with(manifest, &scene.tenant.edge).json();
    assert!(manifest["url"].as_str().unwrap().starts_with(&there), "{manifest:#}");
    let location = format!("/v1/t/acme-inc/bundles/{}/location.json", edge.sha256);
    let told = scene.server.get_with(&location, &scene.tenant.edge);
    assert_eq!(told.header("cache-control"), "no-store");
    assert!(told.json()["url"].as_str().unwrap().starts_with(&there));
    // Who may not read the bundle learns nothing: not that it is there, nor where.
    let other = scene.server.tenant("other-inc");
    let foreign = scene.server.get_with(&location, &other.edge);
    let absent = format!("/v1/t/acme-inc/bundles/{}/location.json", Sha256::of(b"absent"));
    let absent = scene.server.get_with(&absent, &scene.tenant.edge);
    assert_eq!((foreign.status, absent.status), (404, 404));
    assert_eq!(scene.server.get(&location, &[]).status, 401);
    // A second build of the same bundle, of another tenant, lies in that tenant's folder.
    let others = scene.build(&other, ORDER_INTAKE);
    let others = scene.uploaded(&other, &others);
    assert!(others.url.contains("/leads/other-inc/"), "{}", others.url);
    assert_eq!(scene.names(store).len(), 2);
}

/// Nothing that a URL binds can be changed, and without its signature it is nothing.
fn a_url_cannot_be_bent(store: &Store) {
    let scene = Scene::new(&store.url(), "bent", |_| {});
    let edge = scene.build(&scene.tenant, ORDER_INTAKE);
    let Edge { url, .. } = scene.uploaded(&scene.tenant, &edge);
    assert_eq!(fetch(&url).status, 200);
    store.must(&["s3api", "put-object", "--bucket", BUCKET, "--key", "bent/secret"]);
    let plain = url.split('?').next().unwrap();
    let flipped = match url.strip_suffix('0') {
        Some(rest) => format!("{rest}1"),
        None => format!("{}0", &url[..url.len() - 1]),
    };
    let zip = format!("{}.zip", edge.sha256);
    for (bent, what) in [
        (plain.to_owned(), "unsigned"),
        (flipped, "another signature"),
        (url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000"), "another end"),
        (url.replace(&format!("acme-inc/{zip}"), "secret"), "another object"),
        (url.replace("adminkey", "readkey"), "another key"),
    ] {
        assert_ne!(bent, url, "{what}");
        assert_eq!(fetch(&bent).status, 403, "{what}");
    }
    let put = agent().put(&url).send(&b"x"[..]).unwrap().status();
    let delete = agent().delete(&url).call().unwrap().status();
    assert_eq!((put.as_u16(), delete.as_u16()), (403, 403), "it is for reading");
    assert_eq!(Sha256::of(&fetch(&url).bytes), edge.sha256);
}

fn a_url_ends(store: &Store) {
    let scene = Scene::new(&store.url(), "ends", |config| {
        config.edge.artifact_url_lifetime = Span::seconds(1);
    });
    let edge = scene.build(&scene.tenant, ORDER_INTAKE);
    let Edge { url, expires, .. } = scene.uploaded(&scene.tenant, &edge);
    assert!(expires.ends_with('Z'), "{expires}");
    until("the URL has ended", || fetch(&url).status == 403);
}

/// URLs are signed with a key that may only read; what `colophon edge policy` prints, put on a bucket, lets everybody
/// download below the prefix, and do nothing else.
fn the_reader_signs_and_the_policy_holds(store: &Store) {
    let scene = Scene::new(&store.url(), "reader", |config| {
        keep_bundles(config, (&store.url(), "reader"), WRITER);
        let file = config.data.with_file_name("reader.secret");
        std::fs::write(&file, READER.1).unwrap();
        config.edge.artifact_reader_key = Some(READER.0.to_owned());
        config.edge.artifact_reader_secret = Some(format!("file:{}", file.display()));
    });
    let edge = scene.build(&scene.tenant, ORDER_INTAKE);
    let edge = scene.uploaded(&scene.tenant, &edge);
    assert!(edge.url.contains(READER.0), "{}", edge.url);
    assert_eq!(Sha256::of(&fetch(&edge.url).bytes), edge.sha256);

    let printed = |args: &[&str]| {
        let output = Command::new(program("colophon"))
            .args(["edge", "policy", "s3://edge-artifacts/press"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let both: Value = serde_json::from_str(&printed(&["--json"])).unwrap();
    assert_eq!(both["upload"], serde_json::from_str::<Value>(&printed(&["--upload"])).unwrap());
    let file = scene.server.path("policy.json");
    std::fs::write(&file, printed(&["--principal", "*"])).unwrap();
    store.must(&["s3api", "create-bucket", "--bucket", "edge-artifacts"]);
    let policy = format!("file://{}", file.display());
    store.must(&["s3api", "put-bucket-policy", "--bucket", "edge-artifacts", "--policy", &policy]);
    let at = |key: &str| format!("{}/edge-artifacts/{key}", store.url());
    for key in ["press/acme/x.zip", "other/x.zip"] {
        store.must(&["s3api", "put-object", "--bucket", "edge-artifacts", "--key", key]);
    }
    until("the policy holds", || fetch(&at("press/acme/x.zip")).status == 200);
    assert_eq!(fetch(&at("other/x.zip")).status, 403, "beside the prefix");
    let put = agent().put(at("press/acme/y.zip")).send(&b"x"[..]).unwrap().status();
    let delete = agent().delete(at("press/acme/x.zip")).call().unwrap().status();
    assert_eq!((put.as_u16(), delete.as_u16()), (403, 403), "downloads alone");
    assert_eq!(fetch(&format!("{}/edge-artifacts?list-type=2", store.url())).status, 403);
}

fn edge_fetch(scene: &Scene, home: &str, args: &[&str]) -> Output {
    Command::new(program("edge-fetch"))
        .args(args)
        .arg("--json")
        .env("EDGE_FETCH_DIR", scene.server.path(home))
        .env("EDGE_FETCH_TOKEN", &scene.tenant.edge)
        .env("EDGE_FETCH_STALL_TIMEOUT", "2s")
        .output()
        .unwrap()
}

/// Installs on a new machine; returns how it came, stage by stage.
fn install(scene: &Scene, home: &str) -> Vec<(String, Option<String>)> {
    let root = scene.server.path("root.json");
    std::fs::write(&root, &scene.tenant.root).unwrap();
    let root = root.display().to_string();
    let url = &scene.server.url;
    let enrolled =
        edge_fetch(scene, home, &["enroll", "--url", url, "--tenant", "acme-inc", "--root", &root]);
    assert!(enrolled.status.success(), "{enrolled:?}");
    let applied = edge_fetch(scene, home, &["apply"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let stdout = String::from_utf8(applied.stdout).unwrap();
    let json: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    let stage = |stage: &Value| {
        let problem = stage["problem"].as_str().map(str::to_owned);
        (stage["via"].as_str().unwrap().to_owned(), problem)
    };
    json["stages"].as_array().unwrap().iter().map(stage).collect()
}

/// The real agent at the real store: all of a new machine's bundle comes from there, without a word about who asks. When
/// the store refuses, breaks off or lies, it comes from the server in the same run.
fn an_agent_installs_from_there_and_falls_back(store: &Store) {
    let proxy = Proxy::before(store.port);
    let scene = Scene::new(&format!("http://127.0.0.1:{}", proxy.port), "agent", |_| {});
    let edge = scene.build(&scene.tenant, ORDER_INTAKE);
    scene.uploaded(&scene.tenant, &edge);
    proxy.take();
    assert_eq!(install(&scene, "agent-0"), [("bucket".to_owned(), None)]);
    // The server compares what lies there meanwhile.
    let downloads = || {
        let mut seen = proxy.take();
        seen.retain(|seen| seen.head.starts_with("GET /evidence/agent/acme-inc/"));
        seen
    };
    let seen = downloads();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let head = seen[0].head.to_ascii_lowercase();
    assert!(head.starts_with("get /evidence/agent/acme-inc/"), "{head}");
    for word in ["authorization", "clp_", "cookie", &scene.tenant.edge.to_ascii_lowercase()] {
        assert!(!head.contains(word), "`{word}` in {head}");
    }
    let twists = [
        Twist::Answer("403 Forbidden"),
        Twist::Answer("404 Not Found"),
        Twist::Answer("503 Slow Down"),
        Twist::Answer("200 OK"),
        Twist::HangUp,
        Twist::Truncate,
    ];
    for (n, twist) in twists.into_iter().enumerate() {
        let once = twist.clone();
        proxy.rule(move |head| {
            head.starts_with("GET /evidence/agent/acme-inc/").then(|| once.clone())
        });
        let stages = install(&scene, &format!("agent-{}", n + 1));
        let ways: Vec<_> = stages.iter().map(|(via, bad)| (via.as_str(), bad.is_some())).collect();
        assert_eq!(ways, [("bucket", true), ("pack", false)], "{twist:?}: {stages:?}");
        assert_eq!(downloads().len(), 1, "{twist:?}: one attempt");
    }
    proxy.rule(|_| None);
    // Somebody with the right to write has put other bytes there.
    let zip = fetch(&scene.uploaded(&scene.tenant, &edge).url).bytes;
    let other = scene.server.path("other.zip");
    std::fs::write(&other, vec![0; zip.len()]).unwrap();
    let key = scene.key("acme-inc", &edge);
    let body = other.display().to_string();
    store.must(&["s3api", "put-object", "--bucket", BUCKET, "--key", &key, "--body", &body]);
    let stages = install(&scene, "agent-lied-to");
    assert_eq!((stages[0].0.as_str(), stages[1].0.as_str()), ("bucket", "pack"), "{stages:?}");
}

/// A bucket that is down when the server starts, wrong credentials, a clock that is off: builds go on, the server's own
/// URLs are given out, and once the bucket answers all of it is there, each once.
fn a_bucket_that_fails_stops_nobody(store: &Store) {
    let proxy = Proxy::before(store.port);
    let answers = std::sync::atomic::AtomicUsize::new(0);
    proxy.rule(move |_| {
        let all = [
            Twist::HangUp,
            Twist::Answer("503 Slow Down"),
            Twist::Answer("403 Forbidden"),
            Twist::Answer("500 Internal Server Error"),
        ];
        let n = answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Some(all[n % all.len()].clone())
    });
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let scene = Scene::new(&endpoint, "fails", |config| {
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
    });
    let other = scene.server.tenant("other-inc");
    let edges = [&scene.tenant, &other].map(|tenant| scene.build(tenant, ORDER_INTAKE));
    let metric = |name: &str| {
        let text = scene.server.get(&format!("{}/metrics", scene.server.admin), &[]).bytes;
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse::<f64>().unwrap())
    };
    until("attempts failed", || {
        scene.server.clock.advance(10_000);
        metric("colophon_artifact_uploads_total{result=\"failure\"}") >= 5.0
    });
    assert!(metric("colophon_artifacts_waiting") > 1.5);
    assert!(metric("colophon_artifact_lag_seconds") > 9.0);
    let shown = scene.server.get_with(&format!("/v1/builds/{}", edges[0].build), &scene.tenant.api);
    let shown = Edge::of(&shown);
    assert!(!shown.is_elsewhere(&scene.server), "{}", shown.url);
    assert_eq!(Sha256::of(&fetch(&shown.url).bytes), shown.sha256);
    assert_eq!(scene.server.get("/readyz", &[]).status, 200);
    // An answer that was lost: the object is there, and is found, not written again.
    proxy.take();
    let lost = std::sync::atomic::AtomicBool::new(false);
    proxy.rule(move |head| {
        let first =
            head.starts_with("PUT") && !lost.swap(true, std::sync::atomic::Ordering::SeqCst);
        first.then_some(Twist::LoseAnswer)
    });
    for (tenant, edge) in [&scene.tenant, &other].into_iter().zip(&edges) {
        until("the bundle lies in the bucket", || {
            scene.server.clock.advance(60_000);
            let path = format!("/v1/builds/{}", edge.build);
            Edge::of(&scene.server.get_with(&path, &tenant.api)).is_elsewhere(&scene.server)
        });
    }
    let seen = proxy.take();
    let puts = seen.iter().filter(|seen| seen.head.starts_with("PUT"));
    assert!(puts.clone().all(|put| put.head.to_ascii_lowercase().contains("if-none-match: *")));
    // One of them twice; and what was on its way when the bucket came back.
    assert!((3..=5).contains(&puts.count()));
    assert_eq!(scene.names(store).len(), 2);
    until("nothing waits", || metric("colophon_artifacts_waiting") < 0.5);
    assert!(metric("colophon_artifact_sent_bytes_total") > 100.0);
}

/// A process that is killed between a build's commit and its upload: the next one brings it, once.
fn what_was_asked_for_survives_kill_9(store: &Store) {
    let proxy = Proxy::before(store.port);
    proxy.rule(|_| Some(Twist::HangUp));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let place = format!("s3://{BUCKET}/killed");
    let env = [
        ("COLOPHON_EDGE_ARTIFACTS", place.as_str()),
        ("COLOPHON_EDGE_ARTIFACT_ENDPOINT", &endpoint),
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
    ];
    let mut server = ServerProcess::spawn(&data, &[], &env, Stdio::null());
    let made = crate::support::process::colophon(&data, &["tenant", "create", "acme-inc"]);
    let secret = made["webhook_secret"].as_str().unwrap().to_owned();
    let signature = colophon::intake::legacy_signature(&secret, ORDER_INTAKE);
    let build = |url: &str| {
        let request = agent().post(format!("{url}/build"));
        let request = request.header("x-tenant-slug", "acme-inc");
        read(request.header("x-ap-signature", &signature).send(ORDER_INTAKE).unwrap())
    };
    let answer = build(&server.url);
    assert_eq!(answer.status, 201, "{}", answer.json());
    let edge = Edge::of(&answer);
    assert!(edge.url.starts_with(&server.url), "{}", edge.url);
    until("it was tried", || proxy.count() > 0);
    server.kill();
    proxy.take();
    proxy.rule(|_| None);
    let mut server = ServerProcess::spawn(&data, &[], &env, Stdio::null());
    until("the bundle lies in the bucket", || {
        let answer = build(&server.url);
        assert_eq!(answer.status, 200);
        Edge::of(&answer).url.starts_with(&endpoint)
    });
    assert_eq!(Sha256::of(&fetch(&Edge::of(&build(&server.url)).url).bytes), edge.sha256);
    server.kill();
    let server = ServerProcess::spawn(&data, &[], &env, Stdio::null());
    until("the bucket is open again", || Edge::of(&build(&server.url)).url.starts_with(&endpoint));
    let puts = proxy.take().iter().filter(|seen| seen.head.starts_with("PUT")).count();
    assert_eq!(puts, 1);
}

/// Where somebody else wrote under a bundle's name, the bucket is not believed, and what is there is not written over.
fn other_bytes_are_never_given_out(store: &Store) {
    let proxy = Proxy::before(store.port);
    proxy.rule(|_| Some(Twist::HangUp));
    let scene = Scene::new(&format!("http://127.0.0.1:{}", proxy.port), "taken", |_| {});
    let built = scene.build(&scene.tenant, ORDER_INTAKE);
    let key = scene.key("acme-inc", &built);
    store.must(&["s3api", "put-object", "--bucket", BUCKET, "--key", &key]);
    proxy.rule(|_| None);
    let failing = || {
        scene.server.clock.advance(60_000);
        let view = scene.server.app.press.store.view().unwrap();
        let row = view.get::<UploadRow>(&(scene.row().uid, built.sha256)).unwrap();
        row.and_then(|row| row.trouble).is_some_and(|trouble| trouble.contains("other bytes"))
    };
    until("it was found out", failing);
    let shown = scene.server.get_with(&format!("/v1/builds/{}", built.build), &scene.tenant.api);
    assert!(!Edge::of(&shown).is_elsewhere(&scene.server));
    let head = store.must(&["s3api", "head-object", "--bucket", BUCKET, "--key", &key]);
    assert_eq!(serde_json::from_str::<Value>(&head).unwrap()["ContentLength"], 0);
    // Taken away, it is brought.
    store.must(&["s3", "rm", "--quiet", &format!("s3://{BUCKET}/{key}")]);
    until("the bundle lies in the bucket", || {
        scene.server.clock.advance(600_000);
        let shown =
            scene.server.get_with(&format!("/v1/builds/{}", built.build), &scene.tenant.api);
        Edge::of(&shown).is_elsewhere(&scene.server)
    });
}

/// What was deleted there is brought again, what was purged here goes, and bundles from before there was a bucket come.
fn bucket_and_store_are_brought_together(store: &Store) {
    let scene = Scene::new(&store.url(), "round", |_| {});
    let edge = scene.build(&scene.tenant, ORDER_INTAKE);
    scene.uploaded(&scene.tenant, &edge);
    let key = scene.key("acme-inc", &edge);
    // A purge takes the name of a bundle that is not current any more.
    let old = Sha256::of(b"old");
    let alias = {
        let view = scene.server.app.press.store.view().unwrap();
        view.get::<BundleAlias>(&(scene.row().uid, edge.sha256)).unwrap().unwrap()
    };
    let place = scene.server.app.press.artifacts.name().unwrap().to_owned();
    let lies = colophon_store::rows::ArtifactRow { place, since: scene.row().created };
    let mut change = Change::new();
    change.put(&(scene.row().uid, old), &lies);
    scene.server.app.press.store.commit(change).unwrap();
    let left = format!("round/acme-inc/{old}.zip");
    let foreign = "round/acme-inc/notes.txt";
    for name in [left.as_str(), foreign] {
        store.must(&["s3api", "put-object", "--bucket", BUCKET, "--key", name]);
    }
    store.must(&["s3", "rm", "--quiet", &format!("s3://{BUCKET}/{key}")]);
    scene.server.clock.advance(DAY);
    until("both are as they should be", || {
        scene.server.clock.advance(1000);
        let names = scene.names(store);
        names.contains(&key) && !names.contains(&left)
    });
    assert!(scene.names(store).contains(&foreign.to_owned()), "what is no bundle is left alone");
    until("nothing waits", || scene.waiting() == 0);
    // As from before there was a bucket: nothing is written down of it.
    let mut change = Change::new();
    change.delete::<colophon_store::rows::ArtifactRow>(&(scene.row().uid, edge.sha256));
    scene.server.app.press.store.commit(change).unwrap();
    scene.server.clock.advance(DAY);
    scene.uploaded(&scene.tenant, &edge);
    assert_eq!(alias.length, fetch(&scene.uploaded(&scene.tenant, &edge).url).bytes.len() as u64);
}

/// An erasure takes the tenant's bundles away, and no other's; what it could not take away it says, and takes later.
fn an_erasure_clears_the_bucket(store: &Store) {
    let proxy = Proxy::before(store.port);
    let scene = Scene::new(&format!("http://127.0.0.1:{}", proxy.port), "erased", |_| {});
    let tenants = ["other-inc", "third-inc"].map(|slug| scene.server.tenant(slug));
    for tenant in tenants.iter().chain([&scene.tenant]) {
        let edge = scene.build(tenant, ORDER_INTAKE);
        scene.uploaded(tenant, &edge);
    }
    assert_eq!(scene.names(store).len(), 3);
    let job_of = |slug: &str| {
        let (approved_by, leave_keys) = (None, false);
        let job = Erase {
            slug: slug.parse().unwrap(),
            confirm: slug.to_owned(),
            approved_by,
            leave_keys,
        };
        let site = Site { press: &scene.server.app.press, config: &scene.server.app.config };
        perform(&job, site, &|_| {})
    };
    let erase = |slug: &str| serde_json::to_value(job_of(slug).unwrap().statement).unwrap();
    let statement = erase("other-inc");
    assert_eq!(statement["artifacts"]["removed"], 1, "{statement:#}");
    assert!(!statement["outside"].to_string().contains("bucket"), "nothing is left: {statement:#}");
    let names = scene.names(store);
    assert!(names.len() == 2 && names.iter().all(|name| !name.contains("other-inc")), "{names:?}");

    proxy.rule(|_| Some(Twist::HangUp));
    let statement = erase("third-inc");
    assert_eq!(statement.get("artifacts"), None);
    let what = statement["outside"][0]["what"].as_str().unwrap();
    assert!(what.contains(&format!("s3://{BUCKET}/erased")), "{statement:#}");
    proxy.rule(|_| None);
    scene.server.clock.advance(DAY);
    until("it is gone", || {
        scene.server.clock.advance(60_000);
        scene.names(store).iter().all(|name| !name.contains("third-inc"))
    });
    assert_eq!(scene.names(store).len(), 1, "who stays keeps what is theirs");
    assert_eq!(json!(scene.waiting()), json!(0));

    // The metadata cannot be written anew, so the erasure does not end: the tenant is gone, and its bundles go at once.
    let data = scene.server.data();
    for generation in 1..20 {
        let _ = std::fs::create_dir(data.join(format!("meta.{generation}.redb")));
    }
    job_of("acme-inc").unwrap_err();
    assert_eq!(scene.names(store), Vec::<String>::new());
}

/// Where the bucket keeps versions, those of what was purged or erased go too, and the marks that it was deleted; what could
/// not be deleted is said, in statement and audit log, and goes later.
fn old_versions_go_too(store: &Store) {
    store.must(&["s3api", "create-bucket", "--bucket", "versioned"]);
    let on = ["--versioning-configuration", "Status=Enabled"];
    store.must(&[&["s3api", "put-bucket-versioning", "--bucket", "versioned"], &on[..]].concat());
    let proxy = Proxy::before(store.port);
    let scene = Scene::new(&format!("http://127.0.0.1:{}", proxy.port), "unused", |config| {
        config.edge.artifacts = Some("s3://versioned/press".parse().unwrap());
    });
    let tenants = ["other-inc", "third-inc"].map(|slug| scene.server.tenant(slug));
    let [kept, other, third] = [&scene.tenant, &tenants[0], &tenants[1]].map(|tenant| {
        let edge = scene.build(tenant, ORDER_INTAKE);
        format!("press/{}/{}.zip", tenant.slug, scene.uploaded(tenant, &edge).sha256)
    });
    let versions = |key: &str| {
        let list = ["s3api", "list-object-versions", "--bucket", "versioned", "--prefix", key];
        store.must(&list).matches("\"VersionId\"").count()
    };
    let put =
        |key: &str| store.must(&["s3api", "put-object", "--bucket", "versioned", "--key", key]);
    let delete =
        |key: &str| store.must(&["s3api", "delete-object", "--bucket", "versioned", "--key", key]);

    // Purged before somebody looked for versions: nothing of it lies there any more, but two versions and a mark.
    let old = format!("press/acme-inc/{}.zip", Sha256::of(b"old"));
    put(&old);
    put(&old);
    delete(&old);
    assert_eq!(versions(&old), 3);
    scene.server.clock.advance(DAY);
    until("the old versions are gone", || {
        scene.server.clock.advance(1000);
        versions(&old) == 0
    });
    assert_eq!(versions(&kept), 1, "what is wanted stays");
    let acts = || {
        let view = scene.server.app.press.store.view().unwrap();
        let lines = view.scan::<colophon_store::rows::AuditLine>(&scene.row().uid);
        let lines = lines.map(|row| serde_json::from_str::<Value>(&row.unwrap().1.0).unwrap());
        let of_us = |line: &Value| line["actor"]["id"] == "artifacts";
        let told = |line: Value| {
            assert_eq!(
                (&line["actor"]["kind"], &line["outcome"]),
                (&"system".into(), &"success".into())
            );
            (line["action"].as_str().unwrap().to_owned(), line["subject"]["id"].clone())
        };
        lines.filter(of_us).map(told).collect::<Vec<_>>()
    };
    until("it is in the audit log", || acts().len() == 2);
    let sha256 = |key: &str| key[key.len() - 68..key.len() - 4].to_owned();
    let told = [("artifact.upload", &kept), ("artifact.remove", &old)];
    assert_eq!(acts(), told.map(|(action, key)| (action.to_owned(), sha256(key).into())));

    let erase = |slug: &str| {
        let (slug, confirm) = (slug.parse().unwrap(), slug.to_owned());
        let job = Erase { slug, confirm, approved_by: None, leave_keys: false };
        let site = Site { press: &scene.server.app.press, config: &scene.server.app.config };
        serde_json::to_value(perform(&job, site, &|_| {}).unwrap().statement).unwrap()
    };
    put(&other);
    assert_eq!(versions(&other), 2);
    let statement = erase("other-inc");
    assert_eq!((versions(&other), &statement["artifacts"]["removed"]), (0, &1.into()));
    assert!(!statement["outside"].to_string().contains("versioned"), "{statement:#}");

    // A key that may not delete versions.
    proxy.rule(|head| {
        let deletes = head.starts_with("DELETE") && head.contains("versionId");
        deletes.then_some(Twist::Refuse("403 Forbidden", "AccessDenied"))
    });
    put(&third);
    let statement = erase("third-inc");
    let left = statement["artifacts"]["left"].as_array().unwrap();
    assert!(left.len() >= 2 && left[0].as_str().unwrap().contains("AccessDenied"), "{statement:#}");
    assert!(
        statement["outside"][0]["what"].as_str().unwrap().contains("versioned"),
        "{statement:#}"
    );
    proxy.rule(|_| None);
    scene.server.clock.advance(DAY);
    until("what was left is gone", || {
        scene.server.clock.advance(60_000);
        versions(&third) == 0
    });
    assert_eq!(versions(&kept), 1);
}

/// Without a bucket nothing changes: no row, no route that tells of one, and the server's own URLs.
#[test]
fn without_a_bucket_all_is_as_it_was() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let edge = Edge::of(&server.build(&tenant, ORDER_INTAKE));
    assert!(!edge.is_elsewhere(&server));
    let location = format!("/v1/t/acme-inc/bundles/{}/location.json", edge.sha256);
    assert_eq!(server.get_with(&location, &tenant.edge).status, 404);
    let view = server.app.press.store.view().unwrap();
    assert_eq!(artifacts::waiting(&view).unwrap().bundles, 0);
}

/// A folder is a place too, for small users and tests: bundles are brought there, and the server's own URLs are given out.
#[test]
fn a_folder_gets_bundles_and_no_urls() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let server = TestServer::with(|config| {
        config.edge.artifacts = Some(format!("file://{}", at.display()).parse().unwrap());
    });
    let tenant = server.tenant("acme-inc");
    let edge = Edge::of(&server.build(&tenant, ORDER_INTAKE));
    let file = at.join("acme-inc").join(format!("{}.zip", edge.sha256));
    until("it lies there", || {
        std::fs::read(&file).is_ok_and(|bytes| Sha256::of(&bytes) == edge.sha256)
    });
    let noop = server.build(&tenant, ORDER_INTAKE);
    assert_eq!(noop.status, 200);
    assert!(!Edge::of(&noop).is_elsewhere(&server));
}
