//! Webhooks across the life of a process: kills, restarts, the command line, traces.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use colophon::intake::legacy_signature as webhook_signature;
use serde_json::{Value, json};

use crate::outbound::body;
use crate::support::collector::{Seen, listen, spans};
use crate::support::process::{ServerProcess, colophon, refused, told};
use crate::support::programs::{cache, must_be_marked_unavailable};
use crate::support::receiver::{Receiver, Reply};
use crate::support::upstream::{free_port, until};
use crate::support::{agent, read, small_flow};

/// A data directory with a tenant, and a configuration that lets events go to this machine.
struct World {
    dir: tempfile::TempDir,
    secret: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = colophon(&dir.path().join("data"), &["tenant", "create", "acme-inc"]);
        Self { secret: made["webhook_secret"].as_str().unwrap().to_owned(), dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn config(&self, more: &str) -> String {
        let path = self.dir.path().join("colophon.toml");
        let text = format!("[outbound]\nallow = [\"127.0.0.1\"]\nplain_http = true\n{more}");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn serve(&self, more: &str) -> ServerProcess {
        ServerProcess::with(&self.data(), &["--config", &self.config(more)])
    }

    /// Runs a command of `colophon endpoint`.
    fn endpoint(&self, args: &[&str]) -> Value {
        let config = self.config("");
        colophon(&self.data(), &[&["endpoint"], args, &["--config", &config]].concat())
    }

    fn build(&self, url: &str, text: &str) -> Value {
        let body = small_flow("one", None, text);
        let request = agent()
            .post(format!("{url}/build"))
            .header("x-tenant-slug", "acme-inc")
            .header("x-ap-signature", webhook_signature(&self.secret, &body));
        let answer = read(request.send(&body).unwrap());
        assert_eq!(answer.status, 201);
        answer.json()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// kill -9 right after a build was acknowledged: its event is sent by the next process, once.
#[test]
fn an_event_survives_the_kill_of_the_server_that_wrote_it() {
    let (world, receiver) = (World::new(), Receiver::start());
    let made = world.endpoint(&["create", "acme-inc", &receiver.url]);
    let mut server = world.serve("enabled = false\n");
    let builds = [world.build(&server.url, "a"), world.build(&server.url, "b")];
    server.kill();
    assert_eq!(receiver.count(), 0);
    let server = world.serve("");
    let told = receiver.take(2);
    let ids: Vec<Value> = told.iter().map(|one| body(one)["data"]["build"].clone()).collect();
    assert_eq!(ids, [builds[0]["id"].clone(), builds[1]["id"].clone()]);
    let list = || world.endpoint(&["attempts", "acme-inc", text(&made["id"])]);
    until("both are written down", || list()["attempts"].as_array().unwrap().len() == 2);
    drop(server);

    // The log of what was sent is there after the next kill too, and nothing is sent twice.
    let mut server = world.serve("");
    world.build(&server.url, "c");
    receiver.take(1);
    until("it is written down", || list()["attempts"].as_array().unwrap().len() == 3);
    server.kill();
    let attempts = list()["attempts"].clone();
    let outcomes: Vec<&str> =
        attempts.as_array().unwrap().iter().map(|a| text(&a["outcome"])).collect();
    assert_eq!(outcomes, ["delivered"; 3]);
    let fsck = colophon(&world.data(), &["fsck", "--quick"]);
    assert_eq!(fsck["problems"], json!([]), "{fsck}");
}

/// kill -9 between the request and the note that it was taken: it is sent again, under the same id.
#[test]
fn what_may_have_arrived_is_sent_again_under_the_same_id() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Hang]);
    world.endpoint(&["create", "acme-inc", &receiver.url]);
    let mut server = world.serve("");
    world.build(&server.url, "a");
    let first = receiver.take(1).remove(0);
    server.kill();
    let _server = world.serve("");
    let second = receiver.take(1).remove(0);
    assert_eq!(second.headers["webhook-id"], first.headers["webhook-id"]);
    assert_eq!(second.body, first.body);
}

/// The delivery belongs to the build's trace, and the receiver is told the span of the request.
#[test]
fn the_delivery_continues_the_trace_of_the_build() {
    let (world, receiver) = (World::new(), Receiver::start());
    let made = world.endpoint(&["create", "acme-inc", &receiver.url]);
    let (url, collected) = listen("200 OK");
    let mut server = world.serve(&format!("[telemetry]\notlp_endpoint = \"{url}/v1/traces\"\n"));
    let flow = small_flow("one", None, "x");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = agent()
        .post(format!("{}/build", server.url))
        .header("x-tenant-slug", "acme-inc")
        .header("x-ap-signature", webhook_signature(&world.secret, &flow))
        .header("traceparent", parent);
    assert_eq!(read(request.send(&flow).unwrap()).status, 201);
    let told = receiver.take(1).remove(0);
    // An attempt that is cut by the server's end has no result.
    let list = || world.endpoint(&["attempts", "acme-inc", text(&made["id"])])["attempts"].clone();
    until("it is written down", || !list().as_array().unwrap().is_empty());
    assert!(server.terminate().success());
    let seen: Vec<Seen> = collected.try_iter().flat_map(|received| spans(&received)).collect();
    let named = |name: &str| {
        seen.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {seen:?}"))
    };
    let (created, sent) = (named("notify create"), named("notify"));
    // PRODUCER and CLIENT of OTLP's SpanKind.
    assert_eq!((created.kind, sent.kind), (4, 3));
    assert_eq!(created.trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&sent.trace, &sent.parent), (&created.trace, &created.id));
    assert_eq!(told.headers["traceparent"], format!("00-{}-{}-01", sent.trace, sent.id));
    for (key, value) in [
        ("cicd.pipeline.task.name", "notify"),
        ("cicd.pipeline.task.run.result", "success"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "204"),
        ("server.address", "127.0.0.1"),
        ("colophon.event.type", "build.succeeded"),
        ("colophon.tenant", "acme-inc"),
        ("colophon.flow.id", "one"),
    ] {
        assert_eq!(sent.attribute(key), value, "{key}");
    }
    assert_eq!(sent.attribute("colophon.event.id"), told.headers["webhook-id"]);
}

/// Every command, without a server and with one.
#[test]
fn the_command_line_does_it_all() {
    let (world, receiver) = (World::new(), Receiver::start());
    commands(&world, &receiver, None);
    let shut = refused(
        &world.data(),
        &[
            "endpoint",
            "create",
            "acme-inc",
            "https://127.0.0.1/",
            "--config",
            &closed(world.dir.path()),
        ],
    );
    assert!(shut.contains("not a public address"), "{shut}");
    let server = world.serve("");
    commands(&world, &receiver, Some(&server));
}

fn closed(dir: &Path) -> String {
    let path = dir.join("closed.toml");
    std::fs::write(&path, "[outbound]\n").unwrap();
    path.display().to_string()
}

fn commands(world: &World, receiver: &Receiver, server: Option<&ServerProcess>) {
    let made = world.endpoint(&[
        "create",
        "acme-inc",
        &receiver.url,
        "--event",
        "build.failed",
        "--label",
        "runner",
    ]);
    assert!(text(&made["secret"]).starts_with("whsec_"));
    let id = text(&made["id"]);
    let one =
        |command: &str, more: &[&str]| world.endpoint(&[&[command, "acme-inc", id], more].concat());
    assert_eq!(one("show", &[])["events"], json!(["build.failed"]));
    let list = world.endpoint(&["list", "acme-inc"])["endpoints"].clone();
    assert!(list.as_array().unwrap().iter().any(|it| it["id"] == made["id"]));
    let updated = one("update", &["--event", "build.succeeded", "--flow", "one"]);
    assert_eq!((&updated["flow"], &updated["label"]), (&json!("one"), &json!("runner")));
    assert_eq!(one("update", &["--every-flow"])["flow"], Value::Null);
    assert_eq!(one("disable", &[])["phase"], "disabled");
    assert_eq!(one("enable", &[])["phase"], "active");
    assert_eq!(one("rotate", &["--overlap", "1h"])["generation"], 2);
    assert_eq!(one("revoke", &["--generation", "1"])["secrets"][1]["state"], "revoked");
    let event = one("test", &[])["event"].clone();
    let event = text(&event);
    let shown = || world.endpoint(&["events", "acme-inc", event]);
    assert_eq!(shown()["payload"]["type"], "endpoint.test");
    if server.is_some() {
        receiver.take(1);
        let attempts = || one("attempts", &["--event", event])["attempts"].clone();
        until("it is written down", || attempts()[0]["outcome"] == "delivered");
        assert_eq!(one("replay", &["--event", event])["queued"], 1);
        receiver.take(1);
        assert_eq!(one("replay", &["--since", "2026-01-01T00:00:00Z"])["queued"], 0);
    }
    let events = world.endpoint(&["events", "acme-inc", "--type", "endpoint.test"]);
    assert_eq!(events["events"][0]["id"], event);
    let config = world.config("");
    let said = told(&world.data(), &["endpoint", "list", "acme-inc", "--config", &config]);
    assert!(said.contains("active") && said.contains(&receiver.url), "{said}");
    assert_eq!(one("delete", &[])["deleted"], true);
}

/// The receiver of the documents takes what is sent, runs its command once for a build, and not for what it
/// knows already.
#[test]
fn the_example_receiver_runs_a_command_for_each_new_build() {
    let python = cache().join("webhooks/bin/python");
    if !python.exists() {
        return must_be_marked_unavailable("webhooks");
    }
    let (world, port) = (World::new(), free_port());
    let made = world.endpoint(&["create", "acme-inc", &format!("http://127.0.0.1:{port}/")]);
    let id = text(&made["id"]);
    let (state, log) = (world.dir.path().join("state.json"), world.dir.path().join("log"));
    let command = format!("echo $COLOPHON_FLOW $COLOPHON_COMMIT >> {}", log.display());
    let mut example = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/receiver.py"))
        .arg(format!("127.0.0.1:{port}"))
        .arg(state)
        .args(["--", "sh", "-c", &command])
        .env("WEBHOOK_SECRET", text(&made["secret"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(example.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("listening on 127.0.0.1:{port}\n"));
    let server = world.serve("");
    let built = world.build(&server.url, "x");
    let attempts = |count: usize| {
        let list = || world.endpoint(&["attempts", "acme-inc", id])["attempts"].clone();
        until("it is written down", || list().as_array().unwrap().len() == count);
        list()
    };
    let event = attempts(1)[0]["event"].clone();
    let ran = || std::fs::read_to_string(&log).unwrap();
    assert_eq!(ran(), format!("one {}\n", text(&built["commit"])));
    world.endpoint(&["replay", "acme-inc", id, "--event", text(&event)]);
    assert_eq!(attempts(2)[0]["outcome"], "delivered");
    assert_eq!(ran().lines().count(), 1, "the same once more is nothing new");
    let _ = example.kill();
    let _ = example.wait();
}
