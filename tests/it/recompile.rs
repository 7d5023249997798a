//! `colophon rebuild`: flows that stand, compiled again with other templates.

use std::path::{Path, PathBuf};

use colophon_model::CodePolicy;
use colophon_store::rows::{FlowHead, TenantHead, TenantRow};
use serde_json::Value;

use crate::support::process::{colophon, refused, run, told};
use crate::support::programs::{clone, git_in};
use crate::support::{HELLO_LANGFLOW, ORDER_INTAKE, TestServer, TestTenant, small_flow};

const RUNNER: &str = include_str!("../../templates/cloud/runner.py.tera");
const SEGMENT: &str = include_str!("../../templates/edge/segment.py.tera");

/// A data directory in which two tenants have flows, built with the built-in templates.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let server = TestServer::start();
        let (acme, globex) = (server.tenant("acme-inc"), server.tenant("globex"));
        for body in [ORDER_INTAKE, HELLO_LANGFLOW, &small_flow("one", Some(1), "a")] {
            built(&server, &acme, body);
        }
        built(&server, &globex, &small_flow("one", None, "a"));
        server.tenant("empty");
        Self { dir: take(server) }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder with templates that differ from the built-in ones.
    fn templates(&self, files: &[(&str, String)]) -> String {
        let dir = self.dir.path().join("templates");
        for (name, text) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir.display().to_string()
    }

    /// The server again, with templates.
    fn serve(self, templates: &str) -> TestServer {
        let data = self.data();
        let mut server = TestServer::with(|config| {
            config.data = data;
            config.compiler.templates = Some(templates.into());
        });
        server.dir = self.dir;
        server
    }
}

fn built(server: &TestServer, tenant: &TestTenant, body: &[u8]) {
    let answer = server.build(tenant, body);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
}

/// Stops the server and keeps what it wrote.
fn take(mut server: TestServer) -> tempfile::TempDir {
    std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap())
}

fn numbers(report: &Value) -> [u64; 6] {
    ["tenants", "flows", "unchanged", "rebuilt", "commits", "failed"]
        .map(|name| report[name].as_u64().unwrap())
}

fn other_runner() -> (&'static str, String) {
    ("cloud/runner.py.tera", format!("{RUNNER}\n# as of our platform team\n"))
}

/// A bare clone of a tenant without a server.
fn exported(data: &Path, slug: &str, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let bare = to.display().to_string();
    colophon(data, &["git", "export", slug, "--bare", &bare]);
}

/// One commit for each tenant with what differs, nothing for the others, nothing the second time,
/// no quota; and the Git objects, the store and the edge repository agree with it.
#[test]
fn a_changed_template_is_one_commit_for_each_tenant() {
    let world = World::new();
    let data = world.data();
    let with = world
        .templates(&[other_runner(), ("edge/segment.py.tera", format!("{SEGMENT}\n# ours\n"))]);
    let same = colophon(&data, &["rebuild", "--all"]);
    assert_eq!(numbers(&same), [3, 4, 4, 0, 0, 0], "{same:#}");
    let dry = colophon(&data, &["rebuild", "--all", "--dry-run", "--templates", &with]);
    assert_eq!(numbers(&dry), [3, 4, 0, 4, 0, 0], "{dry:#}");
    let again = colophon(&data, &["rebuild", "globex", "--templates", &with]);
    assert_eq!(numbers(&again), [1, 1, 0, 1, 1, 0], "{again:#}");
    let all = colophon(&data, &["rebuild", "--all", "--templates", &with]);
    assert_eq!(numbers(&all), [3, 4, 1, 3, 1, 0], "{all:#}");
    let done = told(&data, &["rebuild", "--all", "--templates", &with]);
    assert!(done.contains("unchanged    4"), "{done}");

    let bare = world.dir.path().join("bare");
    exported(&data, "acme-inc", &bare);
    let subjects = git_in(&bare, &["log", "--format=%s", "tenant/acme-inc"]);
    assert_eq!(subjects.lines().count(), 5, "{subjects}");
    assert_eq!(subjects.lines().next(), Some("chore(flow): rebuild 3 flows"));
    let differs = git_in(&bare, &["diff", "--name-only", "tenant/acme-inc~", "tenant/acme-inc"]);
    let mut differs: Vec<_> = differs.lines().collect();
    differs.retain(|path| !path.starts_with("edge_scripts/order_intake/python/segment_"));
    assert_eq!(
        differs,
        [
            "app/runners/acme_inc/one_runner.py",
            "app/runners/acme_inc/order_intake_runner.py",
            "manifest.json"
        ]
    );
    let body = git_in(&bare, &["log", "-1", "--format=%B", "tenant/acme-inc"]);
    assert!(body.contains("\nFlows: 3\nTarget: cloud,edge\nManifest: "), "{body}");
    let tags = git_in(&bare, &["tag", "--points-at", "tenant/acme-inc"]);
    assert_eq!(tags.lines().count(), 2, "one for each target: {tags}");
    let tip = git_in(&bare, &["rev-parse", "tenant/acme-inc"]).trim().to_owned();
    for slug in ["acme-inc", "globex"] {
        let rebuilt = colophon(&data, &["git", "rebuild", slug]);
        assert_eq!(rebuilt["replaced"], 0, "{rebuilt:#}");
        assert_eq!(rebuilt["refs_replaced"], 0, "{rebuilt:#}");
    }
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);

    served(world, &with, &tip);
}

/// What the server says of flows that were rebuilt: a delivery of the same is a no-op, the bundle is
/// new, and each build has its record.
fn served(world: World, with: &str, tip: &str) {
    let server = world.serve(with);
    let data = server.data();
    let token = colophon(&data, &["token", "create", "acme-inc", "--kind", "api"]);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let headers = [("x-tenant-slug", "acme-inc"), ("authorization", bearer.as_str())];
    let answer = server.post("/build", &headers, ORDER_INTAKE);
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    let build = answer.json();
    assert_eq!(build["commit"], tip);
    assert_eq!(build["outputs"][1]["edge"]["version"], "1.0.2");
    let shown = server.get(&format!("/v1/builds/{}", build["id"].as_str().unwrap()), &headers);
    assert_eq!(shown.json()["commit"], tip);
    let next = server.post("/build", &headers, &small_flow("one", Some(2), "b"));
    assert_eq!(next.status, 201, "builds go on: {:#}", next.json());
    let report = server.operator("POST", "/v1/maintenance/rebuild", r#"{"tenant": "nobody"}"#);
    assert_eq!(report.status, 404);
    let report = colophon(&data, &["rebuild", "--all", "--templates", with]);
    assert_eq!(numbers(&report), [3, 4, 4, 0, 0, 0], "through the server: {report:#}");
    std::fs::write(Path::new(with).join("cloud/runner.py.tera"), RUNNER).unwrap();
    let other = refused(&data, &["rebuild", "--all", "--templates", with]);
    assert!(other.contains("the server compiles with other templates"), "{other}");
    let git = colophon(&data, &["token", "create", "acme-inc", "--kind", "git"]);
    let dir = server.path("clone");
    let url = format!("{}/git/acme-inc.git", server.url);
    clone(&url, git["token"].as_str().unwrap(), &dir);
    git_in(&dir, &["fsck", "--strict", "--full"]);
}

/// A flow that the tenant's policy or a template no longer lets through is told and left as it is;
/// the others are committed, and the command says that not all is well.
#[test]
fn a_flow_that_no_longer_compiles_is_told_and_left() {
    let world = World::new();
    let data = world.data();
    let with = world
        .templates(&[other_runner(), ("cloud/langflow_runner.py.tera", "import os\n".to_owned())]);
    let output = run(&data, &["--json", "rebuild", "--all", "--templates", &with]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(numbers(&report), [3, 4, 0, 3, 2, 1], "{report:#}");
    let failure = &report["failures"][0];
    assert_eq!(failure["tenant"], "acme-inc");
    let reason = failure["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("E_GATE_SHAPE"), "{reason}");
    assert!(reason.contains("the operator's template `cloud/langflow_runner.py.tera`"), "{reason}");
    let bare = world.dir.path().join("bare");
    exported(&data, "acme-inc", &bare);
    let subject = git_in(&bare, &["log", "-1", "--format=%s", "tenant/acme-inc"]);
    assert_eq!(subject.trim(), "chore(flow): rebuild 2 flows");
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}

/// An interrupted run leaves some tenants done and others not: the next one does those, and a build
/// or a deletion that comes in between is not undone.
#[test]
fn a_run_takes_up_where_the_last_one_ended() {
    let world = World::new();
    let with = world.templates(&[other_runner()]);
    let server = world.serve(&with);
    let press = &server.app.press;
    let tenant = |slug: &str| -> TenantRow {
        let slug = slug.parse().unwrap();
        press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap()
    };
    let acme = tenant("acme-inc");
    assert_eq!(acme.policy, CodePolicy::AllowCustom);
    // While flows are compiled, one of them is deleted: it must not come back.
    let counted = |uid| press.store.view().unwrap().get::<TenantHead>(&uid).unwrap().unwrap().quota;
    let quota = counted(acme.uid);
    let once = std::sync::Once::new();
    let deletes = || {
        once.call_once(|| {
            press.delete(&acme, &"one".parse().unwrap()).unwrap();
        });
    };
    let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
    let done = press.recompile(&acme, false, &pool, &deletes).unwrap();
    assert_eq!((done.rebuilt, done.commits, done.failed.len()), (2, 1, 0));
    assert_eq!(counted(acme.uid), quota, "free of quota");
    let view = press.store.view().unwrap();
    assert!(view.get::<FlowHead>(&(acme.uid, "one".parse().unwrap())).unwrap().is_none());
    drop(view);
    let report = colophon(&server.data(), &["rebuild", "--all"]);
    assert_eq!(numbers(&report), [3, 3, 2, 1, 1, 0], "{report:#}");
    assert_eq!(colophon(&server.data(), &["fsck"])["total_problems"], 0);
    assert_eq!(colophon(&server.data(), &["git", "rebuild", "acme-inc"])["replaced"], 0);
}
