//! The outcome of the whole: webhook → commit → clone → edge agent, with stock git and the real
//! agent.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::programs::{clone, git, git_in, program};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, langflow_export, small_flow};

/// Paths on the branch, sorted.
fn branch_files(clone: &Path) -> Vec<String> {
    git_in(clone, &["ls-tree", "-r", "--name-only", "HEAD"]).lines().map(str::to_owned).collect()
}

fn edge_fetch(server: &TestServer, tenant: &TestTenant, args: &[&str]) -> Output {
    Command::new(program("edge-fetch"))
        .args(args)
        .env("EDGE_FETCH_DIR", server.path("agent"))
        .env("EDGE_FETCH_TOKEN", &tenant.edge)
        .output()
        .unwrap()
}

fn edge_ok(server: &TestServer, tenant: &TestTenant, args: &[&str]) -> String {
    let output = edge_fetch(server, tenant, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "edge-fetch {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_flow_goes_from_webhook_to_clone_to_agent() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (langflow, which) = langflow_export();
    eprintln!("building {which}");

    // 201: commit, tag, files, timing.
    let first = server.build(&tenant, &langflow);
    assert_eq!(first.status, 201, "{:#}", first.json());
    let built = first.json();
    assert_eq!(built["outcome"], "built");
    assert!(built["timing_ms"]["total"].as_f64().unwrap() > 0.0);
    let second = server.build(&tenant, ORDER_INTAKE);
    assert_eq!(second.status, 201, "{:#}", second.json());

    // 200: the same build, nothing written.
    for (body, before) in [(langflow.as_slice(), &first), (ORDER_INTAKE, &second)] {
        let again = server.build(&tenant, body);
        assert_eq!(again.status, 200);
        assert_eq!(again.json()["outcome"], "noop");
        assert_eq!(again.json()["commit"], before.json()["commit"]);
        assert_eq!(again.header("location"), before.header("location"));
    }

    check_repository(&server, &tenant, &[built, second.json()]);
    check_agent(&server, &tenant, &second.json());
}

/// Stock git clones, finds nothing wrong, and shows one commit per build with its tags.
fn check_repository(server: &TestServer, tenant: &TestTenant, builds: &[Value]) {
    let dir = server.path("clone");
    clone(&server.git_url(tenant), &tenant.git, &dir);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    assert_eq!(git_in(&dir, &["branch", "--show-current"]).trim(), "tenant/acme-inc");
    let subjects = git_in(&dir, &["log", "--reverse", "--format=%s"]);
    let subjects: Vec<&str> = subjects.lines().collect();
    assert_eq!(subjects.len(), 1 + builds.len());
    assert_eq!(subjects[0], "chore(tenant): bootstrap acme-inc");

    let files = branch_files(&dir);
    for build in builds {
        let commit = build["commit"].as_str().unwrap();
        let message = git_in(&dir, &["log", "-1", "--format=%B", commit]);
        assert!(message.contains(&format!("Build-Id: {}", build["id"].as_str().unwrap())));
        assert!(message.contains(&format!("Build-Key: {}", build["key"].as_str().unwrap())));
        for tag in build["tags"].as_array().unwrap() {
            let tag = tag.as_str().unwrap();
            assert_eq!(git_in(&dir, &["rev-parse", &format!("{tag}^{{commit}}")]).trim(), commit);
            git_in(&dir, &["checkout", "--quiet", tag]);
        }
        for output in build["outputs"].as_array().unwrap() {
            for file in output["files"].as_array().unwrap() {
                let path = file["path"].as_str().unwrap();
                assert!(files.iter().any(|f| f == path), "{path} is not on the branch");
                assert_blob(server, tenant, &dir, file);
            }
        }
    }
    git_in(&dir, &["checkout", "--quiet", "tenant/acme-inc"]);
    let manifest: Value =
        serde_json::from_str(&git_in(&dir, &["show", "HEAD:manifest.json"])).unwrap();
    assert_eq!(manifest["flows"].as_object().unwrap().len(), builds.len());
    let message = git_in(&dir, &["log", "-1", "--format=%(trailers:key=Manifest,valueonly)"]);
    let blob = format!("/v1/t/{}/blob/{}", tenant.slug, message.trim());
    let blob = server.get_with(&blob, &tenant.api);
    assert_eq!(blob.json(), manifest, "the trailer names the manifest");
}

/// A file in Git is the blob that the build names.
fn assert_blob(server: &TestServer, tenant: &TestTenant, clone: &Path, file: &Value) {
    let path = file["path"].as_str().unwrap();
    let digest = file["digest"].as_str().unwrap();
    let blob = server.get_with(&format!("/v1/t/{}/blob/{digest}", tenant.slug), &tenant.api);
    assert_eq!(blob.status, 200, "{path}");
    let in_git = git_in(clone, &["show", &format!("tenant/{}:{path}", tenant.slug)]);
    assert_eq!(String::from_utf8(blob.bytes).unwrap(), in_git, "{path}");
}

/// The agent pins, refreshes, downloads, verifies, unpacks; the files are those of the build.
fn check_agent(server: &TestServer, tenant: &TestTenant, build: &Value) {
    let root = server.path("root.json");
    std::fs::write(&root, &tenant.root).unwrap();
    let root = root.display().to_string();
    let enroll = ["enroll", "--url", &server.url, "--tenant", &tenant.slug, "--root", &root];
    edge_ok(server, tenant, &enroll);
    let check = edge_fetch(server, tenant, &["check"]);
    assert_eq!(check.status.code(), Some(10), "an update is waiting");
    edge_ok(server, tenant, &["fetch"]);
    edge_ok(server, tenant, &["apply"]);
    assert_eq!(edge_fetch(server, tenant, &["check"]).status.code(), Some(0), "up to date");

    let flow = build["flow"].as_str().unwrap();
    let flows = server.path("agent").join("flows").join(flow);
    let current = std::fs::read_to_string(flows.join("current")).unwrap();
    let generation = flows.join(current.trim());
    let manifest = std::fs::read(generation.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["slug"], "acme-inc");
    for script in manifest["entrypoints"].as_object().unwrap().values() {
        assert!(generation.join(script.as_str().unwrap()).is_file());
    }
}

#[test]
fn a_clone_fetches_what_later_builds_add() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "hello")).status, 201);
    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    for revision in 2..=6 {
        let body = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
        if revision % 2 == 0 {
            git_in(&dir, &["pull", "--quiet", "--ff-only"]);
            git_in(&dir, &["fsck", "--strict"]);
        }
    }
    assert_eq!(git_in(&dir, &["rev-list", "--count", "HEAD"]).trim(), "7");
    let canonical = git_in(&dir, &["show", "HEAD:app/flows/acme_inc/one.json"]);
    assert!(canonical.contains("text 6"));
}

/// What a flow no longer has leaves the branch; what another flow has too stays.
#[test]
fn a_later_build_removes_what_it_no_longer_makes() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("other", None, "x")).status, 201);
    assert_eq!(server.build(&tenant, &bot(1, Some("https://example.com/"))).status, 201);
    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    let before = branch_files(&dir);
    assert_eq!(server.build(&tenant, &bot(2, None)).status, 201);
    git_in(&dir, &["pull", "--quiet", "--ff-only"]);
    let after = branch_files(&dir);
    let gone: Vec<_> = before.iter().filter(|f| !after.contains(f)).collect();
    assert!(gone.len() >= 3, "{gone:?}");
    assert!(gone.iter().all(|f| f.starts_with("edge_scripts/bot/")), "{gone:?}");
    assert!(after.iter().any(|f| f == "app/colophon_rt/builder.py"));
    assert!(!dir.join("edge_scripts").exists(), "an empty folder goes too");
}

/// Every protocol version gives the same repository.
#[test]
fn old_and_new_protocols_see_the_same() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for revision in 1..=3 {
        let body = small_flow("one", Some(revision), &format!("text {revision}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
    }
    let url = server.git_url(&tenant);
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    let listed = |version: &str| {
        let protocol = format!("protocol.version={version}");
        git(&["-c", &header, "-c", &protocol, "ls-remote", &url])
    };
    assert!(listed("2").contains("refs/heads/tenant/acme-inc"));
    for version in ["0", "1", "2"] {
        assert_eq!(listed(version), listed("2"));
        let dir = server.path(&format!("clone-{version}"));
        let protocol = format!("protocol.version={version}");
        let to = dir.display().to_string();
        git(&["-c", &header, "-c", &protocol, "clone", "--quiet", &url, &to]);
        git_in(&dir, &["fsck", "--strict", "--full"]);
    }
}

/// Moving a node on the canvas is no change.
#[test]
fn layout_does_not_make_a_build() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (body, _) = langflow_export();
    assert_eq!(server.build(&tenant, &body).status, 201);
    let mut flow: Value = serde_json::from_slice(&body).unwrap();
    for node in flow["data"]["nodes"].as_array_mut().unwrap() {
        node["position"] = serde_json::json!({"x": 1, "y": 2});
        node["selected"] = true.into();
    }
    flow["data"]["viewport"] = serde_json::json!({"x": 9, "y": 9, "zoom": 2});
    let moved = server.build(&tenant, &serde_json::to_vec(&flow).unwrap());
    assert_eq!(moved.status, 200, "{:#}", moved.json());
}

/// The signed URL of an answer works without a token, for this bundle, until it ends.
#[test]
fn a_signed_url_ends() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let built = server.build(&tenant, ORDER_INTAKE).json();
    let edge = &built["outputs"][1]["edge"];
    let url = edge["edge_url"].as_str().unwrap();
    let zip = server.get(url, &[]);
    assert_eq!(zip.status, 200);
    let sha256 = colophon_model::Sha256::of(&zip.bytes).to_string();
    assert_eq!(edge["edge_sha256"], sha256.as_str());

    let part = server.get(url, &[("range", "bytes=10-19")]);
    assert_eq!((part.status, part.bytes.as_slice()), (206, &zip.bytes[10..20]));
    let kept = server.get(url, &[("if-none-match", zip.header("etag"))]);
    assert_eq!(kept.status, 304);

    assert_eq!(server.get(&url.replace("sig=", "sig=00"), &[]).status, 403);
    server.clock.advance(900_001);
    assert_eq!(server.get(url, &[]).status, 403, "fifteen minutes later");
}

/// The same content is stored once, whoever builds it; each tenant has its own records.
#[test]
fn a_rebuild_of_the_same_flow_elsewhere_is_a_build_of_its_own() {
    let server = TestServer::start();
    let (one, two) = (server.tenant("tenant-one"), server.tenant("tenant-two"));
    let body = small_flow("one", None, "same");
    let (a, b) = (server.build(&one, &body), server.build(&two, &body));
    assert_eq!((a.status, b.status), (201, 201));
    assert_eq!(a.json()["key"], b.json()["key"]);
    assert_ne!(a.json()["id"], b.json()["id"]);
}

/// Agents never go back to a lower number, so a bundle that goes and comes back continues.
#[test]
fn a_bundle_that_comes_back_continues_its_numbers() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let root = server.path("root.json");
    std::fs::write(&root, &tenant.root).unwrap();
    let root = root.display().to_string();
    let enroll = ["enroll", "--url", &server.url, "--tenant", &tenant.slug, "--root", &root];
    edge_ok(&server, &tenant, &enroll);
    for (revision, url, version) in [
        (1, Some("https://example.com/a"), Some("1.0.1")),
        (2, Some("https://example.com/b"), Some("1.0.2")),
        (3, None, None),
        (4, Some("https://example.com/b"), Some("1.0.3")),
    ] {
        let built = server.build(&tenant, &bot(revision, url));
        assert_eq!(built.status, 201, "{:#}", built.json());
        let outputs = &built.json()["outputs"];
        assert_eq!(outputs[1]["edge"]["version"].as_str(), version);
        edge_ok(&server, &tenant, &["apply"]);
    }
}

/// A flow that opens a page at the edge, or does nothing there.
fn bot(revision: u64, url: Option<&str>) -> Vec<u8> {
    let mut flow: Value = serde_json::from_slice(&small_flow("bot", Some(revision), "x")).unwrap();
    if let Some(url) = url {
        flow["target"] = "dual".into();
        let open = serde_json::json!({
            "id": "open", "kind": "browser.run", "steps": [{"op": "goto", "url": url}]
        });
        flow["nodes"].as_array_mut().unwrap().push(open);
        let edge = serde_json::json!({"from": "greet", "to": "open"});
        flow["edges"].as_array_mut().unwrap().push(edge);
    }
    serde_json::to_vec(&flow).unwrap()
}
