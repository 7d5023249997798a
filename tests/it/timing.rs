//! Nobody learns by the clock what no answer says: a question about another tenant's things takes as long as one
//! about what nobody has. The two are asked in turns, and their medians compared, so that whatever else the
//! machine does hits both. What must not be told apart here differs by milliseconds if it does: a large file
//! that is read and hashed, a large body whose signature is tried or not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::sign::{Headers, plain};
use crate::support::{ORDER_INTAKE, TestServer, noise, small_flow};

/// Pairs of questions in one round.
const PAIRS: usize = 60;
/// A difference is one when it is seen in each of so many rounds.
const ROUNDS: usize = 6;

/// A question.
struct Question {
    method: &'static str,
    path: String,
    headers: Headers,
    body: Vec<u8>,
}

impl Question {
    fn get(path: impl Into<String>, token: &str) -> Self {
        let headers = vec![("authorization", format!("Bearer {token}"))];
        Self { method: "GET", path: path.into(), headers, body: Vec::new() }
    }

    fn deliver(path: &str, slug: &str, body: &[u8]) -> Self {
        let mut headers = plain("whsec_bm90IHRoZSBzZWNyZXQ=", body);
        headers.push(("x-tenant-slug", slug.to_owned()));
        Self { method: "POST", path: path.to_owned(), headers, body: body.to_vec() }
    }

    /// Asks, and gives the status and the time that it took.
    fn ask(&self, server: &TestServer) -> (u16, Duration) {
        let begun = Instant::now();
        let answer = match self.method {
            "GET" => {
                let headers: Vec<_> =
                    self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                server.get(&self.path, &headers)
            }
            _ => server.send(&self.path, &self.headers, &self.body),
        };
        (answer.status, begun.elapsed())
    }
}

/// Medians of both, asked in turns, who is first by turns too.
fn medians(server: &TestServer, pair: &[Question; 2]) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..PAIRS {
        for at in [turn % 2, 1 - turn % 2] {
            let (status, time) = pair[at].ask(server);
            assert!([401, 404].contains(&status), "{}: {status}", pair[at].path);
            times[at].push(time);
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// Whether one takes longer than the other by more than the machine's moods.
fn differ([foreign, absent]: [Duration; 2]) -> bool {
    foreign.abs_diff(absent) > Duration::from_micros(300).max(foreign.min(absent) / 3)
}

#[track_caller]
fn same(server: &TestServer, what: &str, foreign: Question, absent: Question) {
    let pair = [foreign, absent];
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let medians = medians(server, &pair);
        if !differ(medians) {
            return;
        }
        seen.push(medians);
    }
    panic!("{what}: foreign and absent take {seen:?}");
}

/// A flow whose module has a quarter of a megabyte that does not compress.
fn large_flow() -> Vec<u8> {
    let node = |n: u64| json!({"id": format!("n{n}"), "kind": "data.map", "fields": {"text": noise(n, 8_000)}});
    let edge = |n: u64| json!({"from": format!("n{n}"), "to": format!("n{}", n + 1)});
    let start = json!({"id": "n0", "kind": "trigger.manual"});
    let nodes: Vec<_> = std::iter::once(start).chain((1..=32).map(node)).collect();
    let edges: Vec<_> = (0..32).map(edge).collect();
    let flow = json!({
        "schema_version": "1.0", "id": "native-large", "slug": "large", "name": "large",
        "nodes": nodes, "edges": edges
    });
    flow.to_string().into_bytes()
}

#[test]
fn what_another_tenant_has_takes_as_long_as_what_nobody_has() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let large = server.build(&victim, &large_flow());
    assert_eq!(large.status, 201, "{:#}", large.json());
    let large = large.json();
    let files = large["outputs"][0]["files"].as_array().unwrap();
    let file = files.iter().max_by_key(|file| file["size"].as_u64()).unwrap();
    assert!(file["size"].as_u64().unwrap() > 100_000, "{file}");
    let digest = file["digest"].as_str().unwrap();
    let id = large["id"].as_str().unwrap();
    let edge = server.build(&victim, ORDER_INTAKE).json()["outputs"][1]["edge"].clone();
    let (sha256, target) =
        (edge["edge_sha256"].as_str().unwrap(), edge["target"].as_str().unwrap());
    let (zeros, path) = ("0".repeat(64), file["path"].as_str().unwrap());

    let get = Question::get;
    for (what, foreign, absent, token) in [
        (
            "a file by its hash",
            format!("/v1/t/thief/blob/{digest}"),
            format!("/v1/t/thief/blob/{zeros}"),
            &thief.api,
        ),
        (
            "a file below its tenant",
            format!("/v1/t/victim/blob/{digest}"),
            format!("/v1/t/nobody/blob/{digest}"),
            &thief.api,
        ),
        ("a build", format!("/v1/builds/{id}"), format!("/v1/builds/{}", &zeros[..32]), &thief.api),
        (
            "a build's file",
            format!("/v1/t/thief/builds/{id}/files/{path}"),
            format!("/v1/t/thief/builds/{}/files/{path}", &zeros[..32]),
            &thief.api,
        ),
        (
            "a bundle",
            format!("/v1/t/thief/targets/{sha256}.{target}"),
            format!("/v1/t/thief/targets/{zeros}.{target}"),
            &thief.edge,
        ),
        ("flows", "/v1/t/victim/flows".to_owned(), "/v1/t/nobody/flows".to_owned(), &thief.api),
        (
            "a repository",
            "/git/victim.git/info/refs?service=git-upload-pack".to_owned(),
            "/git/nobody.git/info/refs?service=git-upload-pack".to_owned(),
            &thief.git,
        ),
    ] {
        same(&server, what, get(foreign, token), get(absent, token));
    }
}

/// A wrong signature over a large body is tried with as many secrets for a tenant that is none, and for a hook
/// that is none.
#[test]
fn a_wrong_signature_takes_as_long_for_nobody() {
    let server = TestServer::start();
    server.tenant("victim");
    let made =
        server.operator("POST", "/v1/tenants/victim/hooks", r#"{"scheme": "legacy"}"#).json();
    let body = small_flow("large", None, &noise(1, 900_000));
    let deliver = |path: &str, slug| Question::deliver(path, slug, &body);
    same(&server, "a tenant", deliver("/build", "victim"), deliver("/build", "nobody"));
    let (hook, none) = (made["path"].as_str().unwrap(), format!("/v1/hooks/{}", "0".repeat(32)));
    same(&server, "a hook", deliver(hook, "victim"), deliver(&none, "victim"));
}
