//! The real agent on the real server over a tenant's life.

use std::collections::BTreeSet;
use std::process::Command;

use colophon_model::Sha256;
use colophon_trust::sync::Answers;
use serde_json::Value;

use crate::support::process::colophon;
use crate::support::programs::program;
use crate::support::relay::Relay;
use crate::support::{Answer, TestServer, TestTenant, agent as http, read};
use crate::transfer::{flow, flow_of};

/// An agent's folder beside a server, and the line between them.
struct Machine<'a> {
    server: &'a TestServer,
    tenant: &'a TestTenant,
    line: Relay,
}

impl<'a> Machine<'a> {
    fn enrolled(server: &'a TestServer, tenant: &'a TestTenant) -> Self {
        Self::enrolled_with(server, tenant, &[])
    }

    fn enrolled_with(server: &'a TestServer, tenant: &'a TestTenant, options: &[&str]) -> Self {
        let root = server.path("root.json");
        std::fs::write(&root, &tenant.root).unwrap();
        let line = Relay::to(server.url.trim_start_matches("http://"));
        let machine = Self { server, tenant, line };
        let root = root.display().to_string();
        let url = &machine.line.url;
        let enroll = ["enroll", "--url", url, "--tenant", &tenant.slug, "--root", &root];
        machine.run(0, &[&enroll, options].concat());
        machine
    }

    /// Runs with `--json`; the lines that it printed.
    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> Vec<Value> {
        self.run_and_report(code, &[args, &["--no-report"]].concat())
    }

    #[track_caller]
    fn run_and_report(&self, code: i32, args: &[&str]) -> Vec<Value> {
        let mut command = Command::new(program("edge-fetch"));
        command.args(args).arg("--json").env("NO_PROXY", "*");
        command.env("EDGE_FETCH_DIR", self.server.path("agent"));
        let output = command.env("EDGE_FETCH_TOKEN", &self.tenant.edge).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A-29. Archived by the operator: the agent takes everything away and says so; restored: it comes back
/// by itself.
#[test]
fn an_archived_tenant_leaves_the_machine_and_comes_back() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let machine = Machine::enrolled(&server, &tenant);
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    let before = machine.run(0, &["apply"]);
    colophon(&data, &["edge", "archive", "acme-inc"]);
    assert_eq!(machine.run(4, &["check"])[0]["archived"], true);
    let gone = machine.run(4, &["apply"]);
    assert_eq!(gone[0]["removed"], serde_json::json!(["bot"]));
    assert!(!server.path("agent").join("flows/bot").exists());
    let status = machine.run(0, &["status"]);
    assert_eq!((status.len(), &status[0]["archived"]), (1, &true.into()));

    colophon(&data, &["edge", "restore", "acme-inc"]);
    let after = machine.run(0, &["apply"]);
    assert_eq!(after[0]["generation"], before[0]["generation"]);
    assert!(std::path::Path::new(after[0]["path"].as_str().unwrap()).is_dir());
}

/// Where there is no bucket, a new machine asks for what it asked for before there were buckets: all that is new, and the
/// bundle. Also when it looked first what there is.
#[test]
fn a_first_install_is_two_requests() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let machine = Machine::enrolled(&server, &tenant);
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    machine.line.take();
    let applied = machine.run(0, &["apply"]);
    assert_eq!(applied[0]["via"], "pack", "{applied:#?}");
    let asked = machine.line.take().requests();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert!(asked[0].starts_with("GET /v1/t/acme-inc/edge/sync?root=1 "), "{asked:#?}");
    assert!(asked[1].starts_with("GET /v1/t/acme-inc/pack/"), "{asked:#?}");

    std::fs::remove_dir_all(server.path("agent")).unwrap();
    let machine = Machine::enrolled(&server, &tenant);
    machine.run(10, &["check"]);
    machine.line.take();
    machine.run(0, &["apply"]);
    let asked = machine.line.take().requests();
    assert_eq!(asked.len(), 2, "what it looked at says the same: {asked:#?}");
    assert!(asked[1].starts_with("GET /v1/t/acme-inc/pack/"), "{asked:#?}");
}

/// Fifty flows, one of which is edited: all of the update is one request on one connection, and about
/// two kilobytes there and back, where ordinary requests are five and forty kilobytes.
#[test]
fn one_edit_among_fifty_flows_is_two_kilobytes() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let machine = Machine::enrolled(&server, &tenant);
    let deliver = |n: u64, revision: u64| {
        let body =
            flow_of(&format!("flow_{n}"), revision, &format!("https://example.com/{revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
    };
    (0..50).for_each(|n| deliver(n, 1));
    assert_eq!(machine.run(0, &["apply"]).len(), 50);
    machine.line.take();

    machine.run(0, &["apply"]);
    let poll = machine.line.take();
    assert_eq!((poll.connections, poll.requests().len()), (1, 1), "{:?}", poll.requests());
    assert!(
        poll.sent.len() < 1_200 && poll.received < 200,
        "{} {}",
        poll.sent.len(),
        poll.received
    );

    deliver(17, 2);
    assert_eq!(machine.run(0, &["apply"]).len(), 50);
    let update = machine.line.take();
    assert_eq!((update.connections, update.requests().len()), (1, 1), "{:?}", update.requests());
    assert!(update.received < 2_200, "{} bytes", update.received);

    deliver(23, 2);
    machine.run(0, &["apply", "--no-sync"]);
    let plain = machine.line.take();
    assert_eq!((plain.connections, plain.requests().len()), (1, 5), "{:?}", plain.requests());
    assert!(plain.received > 30_000);
    println!(
        "poll: {} + {}; update: {} + {} in 1 request; without: {} + {} in 5 (sent + received, with heads)",
        poll.sent.len(),
        poll.received,
        update.sent.len(),
        update.received,
        plain.sent.len(),
        plain.received,
    );
}

/// Secrets and attestations come along to an agent that needs them, and to no other.
#[test]
fn secrets_and_attestations_come_along() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let pem = server.path("p256.pem");
    std::fs::write(&pem, server.get("/v1/keys/attestation/p256.pem", &[]).bytes).unwrap();
    let key = pem.display().to_string();
    let machine = Machine::enrolled_with(&server, &tenant, &["--attestation-key", &key]);
    let recipient = machine.run(0, &["recipient"])[0]["recipient"].as_str().unwrap().to_owned();
    let recipient: age::x25519::Recipient = recipient.parse().unwrap();
    let deliver = |revision: u64| {
        let body = flow(revision, &format!("https://example.com/{revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
    };
    let set = |value: &str| {
        let ciphertext = age::encrypt(&recipient, value.as_bytes()).unwrap();
        let request = http().put(format!("{}/v1/t/acme-inc/edge/bot/env", server.url));
        let request = request.header("authorization", &format!("Bearer {}", tenant.api));
        assert_eq!(read(request.send(&ciphertext[..]).unwrap()).status, 200);
    };
    deliver(1);
    set(r#"{"ERP_PASSWORD":"one"}"#);
    machine.run(0, &["apply"]);

    // A bundle, a bundle with secrets, and secrets alone.
    let changes: [&dyn Fn(); 3] = [
        &|| deliver(2),
        &|| {
            deliver(3);
            set(r#"{"ERP_PASSWORD":"two"}"#);
        },
        &|| set(r#"{"ERP_PASSWORD":"three"}"#),
    ];
    for change in changes {
        machine.line.take();
        change();
        let applied = machine.run(0, &["apply"]);
        assert_eq!((applied.len(), &applied[0]["event"]), (1, &"applied".into()));
        let asked = machine.line.take().requests();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].contains("&with=env,provenance&trees="), "{asked:?}");
    }

    let held = std::fs::read(server.path("agent/state/targets.json")).unwrap();
    let json: Value = serde_json::from_slice(&held).unwrap();
    let facts = &json["signed"]["targets"]["acme-inc.bot.python.zip"]["custom"]["colophon"];
    let tree = facts["tree"].as_str().unwrap().trim_start_matches("blake3:")[..8].to_owned();
    deliver(4);
    set(r#"{"ERP_PASSWORD":"four"}"#);
    let beside = |with: &str, tree: &str| {
        let sum = Sha256::of(&held);
        let answer = ask(&server, &tenant, &format!("?root=1&targets={sum}&trees={tree}{with}"));
        let answers = Answers::decode(&answer.bytes, Some(&held)).unwrap();
        let has = |end: &str| answers.iter().any(|(path, _)| path.ends_with(end));
        assert!(has("targets.json"));
        (has(".env.age"), has("provenance.json"))
    };
    assert_eq!(beside("&with=env,provenance", &tree), (true, true));
    assert_eq!(beside("&with=env", &tree), (true, false));
    assert_eq!(beside("&with=provenance,more", &tree), (false, true));
    assert_eq!(beside("", &tree), (false, false), "agents from before do not say it");
    assert_eq!(
        beside("&with=env,provenance", "00000000"),
        (false, false),
        "of its own bundles only"
    );
}

/// A run has one connection, whatever it asks for: roots that are not there, single files, the report.
#[test]
fn a_run_uses_one_connection() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let machine = Machine::enrolled(&server, &tenant);
    for (revision, arguments, requests) in [
        // What is new, and that no files lie elsewhere; the files, the report.
        (1, &["apply"][..], 3),
        (2, &["apply", "--no-sync"], 6),
        (3, &["watch", "--once"], 2),
        (4, &["check"], 2),
    ] {
        let body = flow(revision, &format!("https://example.com/{revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
        let code = if arguments == ["check"] { 10 } else { 0 };
        machine.run_and_report(code, arguments);
        let seen = machine.line.take();
        let asked = seen.requests();
        assert_eq!((seen.connections, asked.len()), (1, requests), "{asked:?}");
    }
}

/// New keys come along: all of the roots, and that there are no more.
#[test]
fn rotations_are_followed_in_one_request() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let machine = Machine::enrolled(&server, &tenant);
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    machine.run(0, &["apply"]);
    for role in ["timestamp", "snapshot", "targets"] {
        colophon(&data, &["edge", "rotate", "acme-inc", "--role", role]);
    }
    machine.line.take();
    machine.run(0, &["apply"]);
    let requests = machine.line.take().requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(server.path("agent").join("state/root.json").exists());
    machine.run(0, &["check"]);
    assert!(machine.line.take().requests()[0].contains("root=4"));
}

fn ask(server: &TestServer, tenant: &TestTenant, query: &str) -> Answer {
    server.get_with(&format!("/v1/t/{}/edge/sync{query}", tenant.slug), &tenant.edge)
}

/// Whose token it is decides; nothing is kept on the way; bad questions are refused; nothing is signed.
#[test]
fn sync_is_the_tenants_own() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme"), server.tenant("other"));
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    let newest = ask(&server, &tenant, "?root=1&timestamp=2");
    assert_eq!((newest.status, newest.header("cache-control")), (204, "no-store"));
    assert!(newest.bytes.is_empty());
    for query in ["", "?root=1", "?timestamp=2", "?root=0&timestamp=2", "?root=1&timestamp=3"] {
        let answer = ask(&server, &tenant, query);
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{query}");
        let answers = Answers::decode(&answer.bytes, None).unwrap();
        assert!(answers.iter().any(|(path, _)| path == "tuf/timestamp.json"));
        let root = answers.iter().any(|(path, _)| path == "tuf/2.root.json");
        assert_eq!(root, query.contains("root"), "{query}");
    }
    let path = "/v1/t/acme/edge/sync?root=1&timestamp=2";
    assert_eq!(server.get_with(path, &other.edge).status, 404);
    assert_eq!(server.get_with(path, &tenant.git).status, 401);
    assert_eq!(server.get(path, &[]).status, 401);
    let trees = vec!["01234567"; 257].join(",");
    for query in
        ["?root=x", "?targets=12", "?trees=1234567", "?trees=0123456G", &format!("?trees={trees}")]
    {
        let answer = ask(&server, &tenant, query);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-query"), "{query}");
    }
    assert_eq!(server.get("/v1/t/acme/edge/sync?root=x", &[]).status, 401, "the token first");
    let before = ask(&server, &tenant, "?root=1").bytes;
    server.clock.advance(20 * 24 * 60 * 60 * 1000);
    assert_eq!(ask(&server, &tenant, "?root=1").bytes, before, "a request never signs");
}

/// A hundred agents that hold the same get the same, of which the delta is made once.
#[test]
fn a_frame_is_made_once_for_all_who_hold_the_same() {
    let server = TestServer::with(|config| {
        config.edge.encoders = 1;
        config.limits.waiting = 1;
        config.limits.reads = 100;
        config.limits.reads_per_tenant = 100;
    });
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &flow(1, "https://example.com/1")).status, 201);
    let held = server.get_with("/v1/t/acme-inc/tuf/2.targets.json", &tenant.edge).bytes;
    let json: Value = serde_json::from_slice(&held).unwrap();
    let facts = &json["signed"]["targets"]["acme-inc.bot.python.zip"]["custom"]["colophon"];
    let tree = facts["tree"].as_str().unwrap().trim_start_matches("blake3:").to_owned();
    assert_eq!(server.build(&tenant, &flow(2, "https://example.com/2")).status, 201);
    let sum = Sha256::of(&held);
    let query = format!("?root=1&timestamp=2&snapshot=2&targets={sum}&trees={}", &tree[..8]);
    let frames: BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let one = || {
            let answer = ask(&server, &tenant, &query);
            assert_eq!(answer.status, 200, "{}", answer.code());
            answer.bytes
        };
        let asking: Vec<_> = (0..100).map(|_| scope.spawn(one)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!((frames.len(), server.app.press.bundles.deltas.made()), (1, 1));
    let answers = Answers::decode(frames.first().unwrap(), Some(&held)).unwrap();
    let paths: Vec<&str> = answers.iter().map(|(path, _)| path).collect();
    let metadata =
        ["tuf/2.root.json", "tuf/3.snapshot.json", "tuf/3.targets.json", "tuf/timestamp.json"];
    assert_eq!(paths[1..], metadata);
    assert!(paths[0].starts_with(&format!("delta/{tree}..")));
}
