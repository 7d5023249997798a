//! kill -9 at any moment during builds: after a restart every acknowledged build is there, whole,
//! and nothing is half done.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use colophon::intake::legacy_signature as webhook_signature;
use serde_json::Value;

use crate::support::numbers::Numbers;
use crate::support::process::{ServerProcess, colophon};
use crate::support::programs::{clone, git_in, program};
use crate::support::{ORDER_INTAKE, agent, read, small_flow};

/// A build that the server acknowledged with 201.
#[derive(Debug, Clone)]
struct Acknowledged {
    tenant: usize,
    id: String,
    commit: String,
}

struct Tenant {
    slug: String,
    secret: String,
    api: String,
    git: String,
    edge: String,
    root: String,
}

struct World {
    dir: tempfile::TempDir,
    tenants: Vec<Tenant>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    next: AtomicUsize,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let tenants = ["alpha", "beta", "gamma"].map(|slug| Tenant::create(&data, slug)).into();
        Self { dir, tenants, acknowledged: Mutex::default(), next: AtomicUsize::new(0) }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Four clients post builds until the server is gone; it goes after `target` acknowledgements.
    fn builds_until_killed(&self, server: &mut ServerProcess, target: usize) {
        let before = self.acknowledged.lock().unwrap().len();
        let url = server.url.clone();
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel::<()>();
            for _ in 0..4 {
                let (url, tell) = (url.clone(), tell.clone());
                scope.spawn(move || {
                    while self.one_build(&url) {
                        let _ = tell.send(());
                    }
                });
            }
            drop(tell);
            // Ends early only when every client stopped, which a living server gives no reason for.
            let seen = told.iter().take(target).count();
            server.kill();
            assert_eq!(seen, target, "the clients stopped before the server was killed");
        });
        assert!(self.acknowledged.lock().unwrap().len() >= before + target);
    }

    /// Posts one flow that was never posted before. False: the server is gone.
    fn one_build(&self, url: &str) -> bool {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let at = number % self.tenants.len();
        let tenant = &self.tenants[at];
        let body = body(number);
        let answer = agent()
            .post(format!("{url}/build"))
            .header("x-tenant-slug", tenant.slug.as_str())
            .header("x-ap-signature", webhook_signature(&tenant.secret, &body))
            .send(body.as_slice());
        let Ok(mut answer) = answer else { return false };
        let Ok(bytes) = answer.body_mut().read_to_vec() else { return false };
        assert_eq!(answer.status(), 201, "{}", String::from_utf8_lossy(&bytes));
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else { return false };
        self.acknowledged.lock().unwrap().push(Acknowledged {
            tenant: at,
            id: json["id"].as_str().unwrap().to_owned(),
            commit: json["commit"].as_str().unwrap().to_owned(),
        });
        true
    }

    /// Everything acknowledged is there; everything there is whole.
    fn check(&self, url: &str, round: usize) {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        for (at, tenant) in self.tenants.iter().enumerate() {
            let dir = self.dir.path().join(format!("clone-{round}-{at}"));
            clone(&format!("{url}/git/{}.git", tenant.slug), &tenant.git, &dir);
            git_in(&dir, &["fsck", "--strict", "--full"]);
            let log =
                git_in(&dir, &["log", "--format=%H %(trailers:key=Build-Id,valueonly,separator=)"]);
            let commits: Vec<(&str, &str)> = log
                .lines()
                .filter_map(|l| l.split_once(' '))
                .filter(|(_, id)| !id.is_empty())
                .collect();
            for ack in acknowledged.iter().filter(|a| a.tenant == at) {
                assert!(
                    commits.contains(&(ack.commit.as_str(), ack.id.as_str())),
                    "round {round}: acknowledged build {ack:?} is not on the branch"
                );
            }
            let tags = git_in(&dir, &["tag", "--list", "bld/*-cloud"]);
            assert_eq!(tags.lines().count(), commits.len(), "round {round}: a tag for each build");
            for (commit, id) in &commits {
                check_record(url, tenant, id, commit);
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// A flow never seen before; every tenth has an edge part.
fn body(number: usize) -> Vec<u8> {
    if !number.is_multiple_of(10) {
        return small_flow(&format!("flow{}", number % 7), None, &format!("text {number}"));
    }
    let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
    flow["name"] = format!("orders {number}").into();
    flow["revision"] = (number + 1).into();
    serde_json::to_vec(&flow).unwrap()
}

/// The record names the commit it is in, and every file it names can be read.
fn check_record(url: &str, tenant: &Tenant, id: &str, commit: &str) {
    let get = |path: &str| {
        let request = agent().get(format!("{url}{path}"));
        read(request.header("authorization", format!("Bearer {}", tenant.api)).call().unwrap())
    };
    let record = get(&format!("/v1/builds/{id}"));
    assert_eq!(record.status, 200, "build {id}");
    let record = record.json();
    assert_eq!(record["commit"], commit);
    let outputs = record["outputs"].as_array().unwrap();
    for file in outputs.iter().flat_map(|o| o["files"].as_array().unwrap()) {
        let digest = file["digest"].as_str().unwrap();
        let blob = get(&format!("/v1/t/{}/blob/{digest}", tenant.slug));
        assert_eq!(blob.status, 200, "{} of build {id}", file["path"]);
    }
}

impl Tenant {
    fn create(data: &Path, slug: &str) -> Self {
        let made = colophon(data, &["tenant", "create", slug]);
        let token = |kind: &str| {
            let made = colophon(data, &["token", "create", slug, "--kind", kind]);
            made["token"].as_str().unwrap().to_owned()
        };
        Self {
            slug: slug.to_owned(),
            secret: made["webhook_secret"].as_str().unwrap().to_owned(),
            root: made["root"].as_str().unwrap().to_owned(),
            api: token("api"),
            git: token("git"),
            edge: token("edge"),
        }
    }

    /// The agent's view: metadata and bundle verify.
    fn agent_applies(&self, url: &str, dir: &Path) {
        let root = dir.join(format!("{}.root.json", self.slug));
        std::fs::write(&root, &self.root).unwrap();
        let root = root.display().to_string();
        for args in [
            &["enroll", "--url", url, "--tenant", &self.slug, "--root", &root][..],
            &["fetch"],
            &["apply"],
        ] {
            let output = Command::new(program("edge-fetch"))
                .args(args)
                .env("EDGE_FETCH_DIR", dir.join(format!("agent-{}", self.slug)))
                .env("EDGE_FETCH_TOKEN", &self.edge)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "edge-fetch {args:?}: {stderr}");
        }
    }
}

/// 20 kills, or as many as `COLOPHON_CRASHES` says.
#[test]
fn every_acknowledged_build_survives_kill_9() {
    let kills = std::env::var("COLOPHON_CRASHES").map_or(20, |n| n.parse().unwrap());
    let world = World::new();
    let mut numbers = Numbers::from_seed(20_261_121);
    for round in 0..kills {
        let mut server = ServerProcess::start(&world.data());
        // A full check costs a clone of everything: at first each time, later every tenth time.
        if round < 20 || round % 10 == 0 {
            world.check(&server.url, round);
        }
        world.builds_until_killed(&mut server, 1 + numbers.below(12));
    }
    let server = ServerProcess::start(&world.data());
    world.check(&server.url, kills);
    for tenant in &world.tenants {
        tenant.agent_applies(&server.url, world.dir.path());
    }
    let count = world.acknowledged.lock().unwrap().len();
    eprintln!("{kills} kills, {count} acknowledged builds, all there");
}

/// A second process on the same data is refused in words, and the first goes on.
#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(dir.path());
    let second = Command::new(program("colophon"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(stderr.contains("pid") && stderr.contains(&server.url), "{stderr}");
    // The command line goes through the running server instead.
    let made = colophon(dir.path(), &["tenant", "create", "acme-inc"]);
    assert!(made["git_url"].as_str().unwrap().starts_with(&server.url));
}
