//! Traces: what reaches a collector, who is whose parent, and what stays out.

use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use colophon::intake::legacy_signature as webhook_signature;

use crate::support::collector::{Received, Seen, listen, spans};
use crate::support::process::{ServerProcess, colophon};
use crate::support::{Answer, ORDER_INTAKE, agent, read, small_flow};

/// `SpanKind` of OTLP.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// The caller's span, in the example of W3C Trace Context.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that sends its traces to a collector in this process.
struct Traced {
    dir: tempfile::TempDir,
    secret: String,
    told: mpsc::Receiver<Received>,
    server: ServerProcess,
}

impl Traced {
    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let made = colophon(&data, &["tenant", "create", "acme-inc"]);
        let secret = made["webhook_secret"].as_str().unwrap().to_owned();
        let (url, told) = listen("200 OK");
        let server = serve(dir.path(), &format!("otlp_endpoint = \"{url}/v1/traces\"\n{config}"));
        Self { dir, secret, told, server }
    }

    fn build(&self, body: &[u8], sampled: bool) -> Answer {
        let parent = format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled));
        let request = agent()
            .post(format!("{}/build", self.server.url))
            .header("x-tenant-slug", "acme-inc")
            .header("x-ap-signature", webhook_signature(&self.secret, body))
            .header("traceparent", parent);
        read(request.send(body).unwrap())
    }

    /// Stops the server, and gives what it sent until its end.
    fn stop(mut self) -> (Vec<Seen>, Vec<Received>) {
        assert!(self.server.terminate().success(), "a clean stop");
        let received: Vec<Received> = self.told.try_iter().collect();
        (received.iter().flat_map(spans).collect(), received)
    }
}

fn serve(dir: &Path, telemetry: &str) -> ServerProcess {
    let config = dir.join("colophon.toml");
    std::fs::write(&config, format!("[telemetry]\n{telemetry}\n[mirror]\npush_every = \"0s\"\n"))
        .unwrap();
    ServerProcess::with(&dir.join("data"), &["--config", config.to_str().unwrap()])
}

fn named<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no `{name}` in {names:?}"))
}

#[test]
fn a_build_is_a_span_below_its_request_and_above_its_stages() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "Bearer of-the-collector\n").unwrap();
    let traced = Traced::start(&format!(
        "project = \"press\"\notlp_headers = {{ authorization = \"file:{}\" }}",
        token.path().display()
    ));
    let answer = traced.build(&small_flow("one", None, "a text that must not be traced"), true);
    assert_eq!(answer.status, 201);
    let (spans, received) = traced.stop();

    assert!(received[0].line.starts_with("POST /v1/traces "), "{}", received[0].line);
    assert_eq!(received[0].headers["content-type"], "application/x-protobuf");
    assert_eq!(received[0].headers["authorization"], "Bearer of-the-collector");
    let http = named(&spans, "POST /build");
    assert_eq!((http.kind, http.trace.as_str(), http.parent.as_str()), (SERVER, TRACE, PARENT));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/build"),
        ("http.response.status_code", "201"),
        ("url.path", "/build"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("colophon.tenant", "acme-inc"),
    ] {
        assert_eq!(http.attribute(key), value, "{key} in {http:?}");
    }
    let build = named(&spans, "BUILD cloud");
    assert_eq!((build.kind, &build.trace, &build.parent), (SERVER, &http.trace, &http.id));
    for (key, value) in [
        ("cicd.pipeline.action.name", "BUILD"),
        ("cicd.pipeline.name", "cloud"),
        ("cicd.pipeline.result", "success"),
        ("cicd.pipeline.run.id", answer.json()["id"].as_str().unwrap()),
        ("vcs.ref.head.revision", answer.json()["commit"].as_str().unwrap()),
        ("openinference.span.kind", "CHAIN"),
        ("colophon.tenant", "acme-inc"),
        ("colophon.flow.id", "one"),
        ("colophon.noop", "false"),
    ] {
        assert_eq!(build.attribute(key), value, "{key} in {build:?}");
    }
    for name in ["received", "render", "test", "commit"] {
        let stage = named(&spans, name);
        assert_eq!((&stage.trace, &stage.parent), (&build.trace, &build.id), "{name}");
        assert_eq!(stage.attribute("cicd.pipeline.task.name"), name);
    }
    assert_eq!(named(&spans, "commit").attribute("vcs.ref.head.name"), "tenant/acme-inc");
    assert_eq!(build.resource["service.name"], "colophon");
    assert_eq!(build.resource["openinference.project.name"], "press");
    assert_eq!(build.resource["service.instance.id"].len(), 36);
    let all: String = received.iter().map(|r| String::from_utf8_lossy(&r.body)).collect();
    assert!(!all.contains("must not be traced"), "flow content stays out");
    assert!(!all.contains(&webhook_signature("", b"")[..7]), "and signatures do");
}

#[test]
fn what_became_of_a_delivery_is_in_its_span() {
    let traced = Traced::start("");
    let (flow, broken) = (small_flow("one", None, "x"), br#"{"schema_version": "1.0"}"#);
    assert_eq!(traced.build(&flow, true).status, 201);
    assert_eq!(traced.build(&flow, true).status, 200);
    let refused = traced.build(broken, true);
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["trace_id"], TRACE, "so that a client can name it");
    let (spans, _) = traced.stop();

    let builds = spans.iter().filter(|s| s.name.starts_with("BUILD"));
    let outcomes: Vec<[&str; 3]> = builds
        .map(|b| ["cicd.pipeline.result", "colophon.noop", "error.type"].map(|k| b.attribute(k)))
        .collect();
    assert_eq!(
        outcomes,
        [["success", "false", ""], ["skip", "true", ""], ["failure", "", "invalid-flow"]]
    );
    let failed: Vec<&Seen> = spans.iter().filter(|span| span.failed).collect();
    assert!(failed.is_empty(), "a flow's mistake is no failure of the server: {failed:?}");
}

/// Of the traces that begin here none is kept; the caller's own is, when the caller keeps it.
#[test]
fn a_share_of_the_traces_is_kept() {
    let traced = Traced::start("sampling = 0.0");
    let untraced = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let nothing = untraced.get(format!("{}/nothing", traced.server.url)).call().unwrap();
    assert_eq!(read(nothing).json()["trace_id"].as_str().unwrap().len(), 32);
    assert_eq!(traced.build(&small_flow("one", None, "x"), false).status, 201);
    assert_eq!(traced.build(&small_flow("two", None, "x"), true).status, 201);
    let (spans, _) = traced.stop();
    let builds: Vec<_> = spans.iter().filter(|s| s.name == "BUILD cloud").collect();
    assert_eq!(builds.len(), 1, "{spans:?}");
    assert_eq!(builds[0].attribute("colophon.flow.id"), "two");
    assert!(spans.iter().all(|span| span.name != "GET"), "{spans:?}");
}

/// The request to the remote names the span it is made in, so that a trace goes on there.
#[test]
fn a_push_is_a_span_and_tells_the_remote() {
    let traced = Traced::start("");
    let (remote, asked) = listen("503 Service Unavailable");
    let url = format!("{remote}/acme.git");
    colophon(&traced.dir.path().join("data"), &["mirror", "set", "acme-inc", &url]);
    let request = asked.recv().unwrap();
    // An attempt that is cut by the server's end has no result.
    let mut spans = Vec::new();
    while !spans.iter().any(|span: &Seen| span.name == "push") {
        spans.extend(crate::support::collector::spans(&traced.told.recv().unwrap()));
    }
    let push = named(&spans, "push");
    assert_eq!((push.kind, push.parent.as_str(), push.failed), (CLIENT, "", true));
    assert_eq!(push.attribute("vcs.repository.url.full"), url);
    assert_eq!(push.attribute("vcs.ref.head.name"), "tenant/acme-inc");
    assert_eq!(push.attribute("cicd.pipeline.task.run.result"), "failure");
    let said = &request.headers["traceparent"];
    assert_eq!(*said, format!("00-{}-{}-01", push.trace, push.id));
}

/// Each attempt to bring a bundle to the bucket is a span, which says how it went and why not; nothing that opens the bucket
/// is in it.
#[test]
fn an_upload_is_a_span() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let secret = at.join("secret");
    std::fs::write(&secret, "of-the-bucket").unwrap();
    let secret = format!(
        "artifact_access_key = \"id\"\nartifact_secret_key = \"file:{}\"",
        secret.display()
    );
    let nowhere = "artifacts = \"s3://bucket/press\"\nartifact_endpoint = \"http://127.0.0.1:1\"";
    for (place, settings, result, why) in [
        (
            format!("file://{}", at.display()),
            format!("artifacts = \"file://{}\"", at.display()),
            "success",
            None,
        ),
        (
            "s3://bucket/press".to_owned(),
            format!("{nowhere}\n{secret}"),
            "failure",
            Some("export-unreachable"),
        ),
    ] {
        let traced = Traced::start(&format!("[edge]\n{settings}"));
        assert_eq!(traced.build(ORDER_INTAKE, true).status, 201);
        let mut spans = Vec::new();
        let mut bodies = Vec::new();
        while !spans.iter().any(|span: &Seen| span.name == "upload") {
            let received = traced.told.recv().unwrap();
            spans.extend(crate::support::collector::spans(&received));
            bodies.push(received.body);
        }
        let upload = named(&spans, "upload");
        assert_eq!((upload.kind, upload.parent.as_str()), (CLIENT, ""));
        assert_eq!(upload.failed, why.is_some());
        assert_eq!(upload.attribute("cicd.pipeline.task.run.result"), result);
        assert_eq!(upload.attribute("colophon.artifact.place"), place);
        assert_eq!(upload.attribute("colophon.artifact.sha256").len(), 64);
        assert_eq!(upload.attribute("colophon.tenant"), "acme-inc");
        if let Some(why) = why {
            assert_eq!(upload.attribute("error.type"), why);
        }
        let all: String = bodies.iter().map(|body| String::from_utf8_lossy(body)).collect();
        assert!(!all.contains("of-the-bucket") && !all.contains("X-Amz"), "{all}");
    }
}

/// A collector that takes connections and never answers keeps nobody.
#[test]
fn a_silent_collector_does_not_keep_the_server_from_ending() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let endpoint = format!("otlp_endpoint = \"http://{}/v1/traces\"", silent.local_addr().unwrap());
    let mut server = serve(dir.path(), &format!("{endpoint}\notlp_timeout = \"1s\""));
    let health = agent().get(format!("{}/healthz", server.url)).call().unwrap();
    assert_eq!(health.status(), 200);
    assert!(server.terminate().success());
}
