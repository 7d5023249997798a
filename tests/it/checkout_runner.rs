//! A real cloud runner (FastAPI on uvicorn, docs/examples/runner) behind `colophon checkout --watch`.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::checkout::{Place, listed, until, walked};
use crate::support::programs::{cache, clone, must_be_marked_unavailable};
use crate::support::upstream::free_port;
use crate::support::{TestServer, TestTenant, agent, read, small_flow};

/// How soon a runner has to answer with a flow after its webhook.
const SOON: Duration = Duration::from_secs(2);
/// How often it is tried at most.
const ROUNDS: usize = 9;
/// Between two looks of those who look all the while: they must not have the processors to themselves.
const PAUSE: Duration = Duration::from_millis(3);
const TOKEN: &str = "a-token-of-callers";

/// A runner's process; ended when dropped.
struct Runner {
    child: Child,
    url: String,
}

impl Runner {
    fn start(place: &Place) -> Option<Self> {
        let uvicorn = cache().join("runner/bin/uvicorn");
        if !uvicorn.exists() {
            must_be_marked_unavailable("runner");
            return None;
        }
        let port = free_port();
        let app = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/runner");
        let child = Command::new(uvicorn)
            .args(["--app-dir", app, "--log-level", "warning", "--port", &port.to_string()])
            .arg("runner:app")
            .env("RUNNER_FLOWS", &place.dir)
            .env("RUNNER_TOKEN", TOKEN)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .spawn()
            .unwrap();
        Some(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    fn is_healthy(&self) -> bool {
        let asked = agent().get(format!("{}/healthz", self.url)).call();
        asked.is_ok_and(|answer| answer.status().as_u16() == 200)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// One answer of the flow: the commit that it came from, and what it said.
fn ask(agent: &ureq::Agent, url: &str) -> (String, String) {
    let request = agent.post(format!("{url}/flows/acme_inc/orders"));
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    let answer = read(request.header("content-type", "application/json").send("{}").unwrap());
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    let told = answer.json();
    let commit = told["version"].as_str().unwrap()[..40].to_owned();
    (commit, told["outputs"]["greet"].to_string())
}

fn build(server: &TestServer, tenant: &TestTenant, text: &str) -> String {
    let answer = server.build(tenant, &small_flow("orders", None, text));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["commit"].as_str().unwrap().to_owned()
}

/// Whether the last three came soon.
fn are_soon(took: &[Duration]) -> bool {
    took.len() >= 3 && took[took.len() - 3..].iter().all(|took| *took < SOON)
}

/// Within two seconds of the webhook the new flow answers, three times in a row. Other tests run beside this one, so it may
/// take more rounds until three in a row are seen. Meanwhile callers never get an error or an answer that mixes versions,
/// and whoever reads the folder finds one commit.
#[test]
fn a_runner_answers_with_the_new_flow_within_two_seconds() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let place = Place {
        server: server.url.clone(),
        tenant: tenant.slug.clone(),
        token: tenant.git.clone(),
        dir: server.path("flows"),
    };
    let texts = Mutex::new(BTreeMap::from([(build(&server, &tenant, "round 0"), 0)]));
    let watcher = place.watch(&[]);
    let Some(runner) = Runner::start(&place) else { return };
    until("the runner serves", || runner.is_healthy());
    let stop = AtomicBool::new(false);
    let (took, answers, walks) = std::thread::scope(|scope| {
        // Connections that are kept, and new ones.
        let hammers = [true, false].map(|keeps| {
            let (url, stop) = (&runner.url, &stop);
            scope.spawn(move || {
                let (kept, mut seen) = (agent(), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let answer = if keeps { ask(&kept, url) } else { ask(&agent(), url) };
                    seen.push(answer);
                    std::thread::sleep(PAUSE);
                }
                seen
            })
        });
        let walker = scope.spawn(|| {
            let mut walks = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                walks.extend(walked(&place.dir));
                std::thread::sleep(PAUSE);
            }
            walks
        });
        let mut took = Vec::new();
        for round in 1..=ROUNDS {
            let since = Instant::now();
            let commit = build(&server, &tenant, &format!("round {round}"));
            texts.lock().unwrap().insert(commit.clone(), round);
            until("the runner has the new flow", || ask(&agent(), &runner.url).0 == commit);
            took.push(since.elapsed());
            if are_soon(&took) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let answers = hammers.map(|hammer| hammer.join().unwrap()).concat();
        (took, answers, walker.join().unwrap())
    });
    drop(watcher);
    let texts = texts.into_inner().unwrap();
    for (commit, said) in &answers {
        let round = texts[commit];
        assert!(said.contains(&format!("round {round}")), "{commit} is round {round}: {said}");
    }
    let copy = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &copy);
    for (commit, files) in &walks {
        assert_eq!(*files, listed(&copy, commit), "{commit}");
    }
    eprintln!("after the webhook: {took:?}; {} answers, {} walks", answers.len(), walks.len());
    assert!(answers.len() > 20 && walks.len() > 20);
    assert!(are_soon(&took), "{took:?}");
}

/// What the example tells its callers, without a token and beyond its flows.
#[test]
fn the_runner_keeps_strangers_out_and_serves_nothing_broken() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let place = Place {
        server: server.url.clone(),
        tenant: tenant.slug.clone(),
        token: tenant.git.clone(),
        dir: server.path("flows"),
    };
    let Some(runner) = Runner::start(&place) else { return };
    let get = |path: &str, token: &str| {
        let request = agent().get(format!("{}{path}", runner.url));
        request.header("authorization", format!("Bearer {token}")).call().map(read)
    };
    until("it is there, without flows", || get("/healthz", "").is_ok_and(|a| a.status == 503));
    let commit = build(&server, &tenant, "one");
    place.told(&[]);
    until("the runner serves", || runner.is_healthy());
    let flows = get("/flows", TOKEN).unwrap().json();
    assert_eq!(flows, json!({"version": commit, "flows": [["acme_inc", "orders"]]}));
    assert_eq!(get("/flows", "wrong").unwrap().status, 401);
    let post = |path: &str, body: &Value| {
        let request = agent().post(format!("{}{path}", runner.url));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        read(request.header("content-type", "application/json").send(body.to_string()).unwrap())
    };
    assert_eq!(post("/flows/acme_inc/none", &json!({})).status, 404);
    assert_eq!(post("/flows/acme_inc/orders", &json!({"input": 1})).status, 422);
}
