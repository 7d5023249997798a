//! What agents fetch of a bundle besides its zip, as the server answers.

use std::path::Path;
use std::process::Command;

use colophon_model::{Digest, FileSet, Sha256, Tree};
use colophon_store::rows::FlowHead;
use colophon_trust::{Contents, delta};
use data_encoding::BASE64;
use serde_json::Value;

use crate::support::programs::program;
use crate::support::{Answer, TestServer, TestTenant, small_flow};

/// A dual flow with one step at the edge.
pub(crate) fn flow(revision: u64, url: &str) -> Vec<u8> {
    flow_of("bot", revision, url)
}

/// The same under a name.
pub(crate) fn flow_of(slug: &str, revision: u64, url: &str) -> Vec<u8> {
    let mut flow: Value = serde_json::from_slice(&small_flow(slug, Some(revision), "x")).unwrap();
    flow["target"] = "dual".into();
    let steps = serde_json::json!([{"op": "goto", "url": url}]);
    let open = serde_json::json!({"id": "open", "kind": "browser.run", "steps": steps});
    flow["nodes"].as_array_mut().unwrap().push(open);
    let edge = serde_json::json!({"from": "greet", "to": "open"});
    flow["edges"].as_array_mut().unwrap().push(edge);
    serde_json::to_vec(&flow).unwrap()
}

/// Builds the flow; what is signed about its bundle.
fn build(server: &TestServer, tenant: &TestTenant, revision: u64) -> Contents {
    let body = flow(revision, &format!("https://example.com/{revision}"));
    let built = server.build(tenant, &body);
    assert_eq!(built.status, 201, "{:#}", built.json());
    let view = server.app.press.store.view().unwrap();
    let uid = colophon::tenants::find(&view, &tenant.slug.parse().unwrap()).unwrap().uid;
    let head = view.get::<FlowHead>(&(uid, "bot".parse().unwrap())).unwrap().unwrap();
    let output = head.edge.unwrap().output;
    Contents { tree: output.tree, unpacked: output.unpacked, files: output.files }
}

fn get(server: &TestServer, tenant: &TestTenant, path: &str) -> Answer {
    server.get_with(&format!("/v1/t/{}/{path}", tenant.slug), &tenant.edge)
}

/// Strong tag, checksum of the whole, for ever; ranges only of the version that is named.
fn check_headers(server: &TestServer, tenant: &TestTenant, path: &str) {
    let whole = get(server, tenant, path);
    assert_eq!(whole.status, 200, "{path}: {}", whole.code());
    let digest = format!("sha-256=:{}:", BASE64.encode(Sha256::of(&whole.bytes).as_bytes()));
    assert_eq!(whole.header("repr-digest"), digest, "{path}");
    assert_eq!(whole.header("cache-control"), "private, max-age=31536000, immutable");
    let tag = whole.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{path}: {tag}");
    let asked = |more: &[(&str, &str)]| {
        let bearer = format!("Bearer {}", tenant.edge);
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        server.get(&format!("/v1/t/{}/{path}", tenant.slug), &headers)
    };
    assert_eq!(asked(&[("if-none-match", &tag)]).status, 304);
    let part = asked(&[("range", "bytes=7-"), ("if-range", &tag)]);
    assert_eq!((part.status, part.bytes.as_slice()), (206, &whole.bytes[7..]));
    assert_eq!(part.header("repr-digest"), digest, "of the whole");
    let other = asked(&[("range", "bytes=7-"), ("if-range", "\"other\"")]);
    assert_eq!((other.status, other.bytes), (200, whole.bytes.clone()));
    assert_eq!(asked(&[("range", "bytes=9999999-")]).status, 416);
}

#[test]
fn a_bundle_comes_as_tree_blobs_pack_and_delta() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let old = build(&server, &tenant, 1);
    let new = build(&server, &tenant, 2);
    assert_ne!(old.tree, new.tree);

    let pack = |of: &Contents| -> FileSet {
        let frame = get(&server, &tenant, &format!("pack/{}", of.tree));
        assert_eq!(frame.header("content-type"), "application/zstd");
        delta::decode(&frame.bytes, None, of).unwrap()
    };
    let (before, after) = (pack(&old), pack(&new));
    let path = format!("delta/{}..{}", old.tree, new.tree);
    let frame = get(&server, &tenant, &path);
    assert_eq!(delta::decode(&frame.bytes, Some(&before), &new).unwrap(), after);
    assert!(frame.bytes.len() < 1000, "{} bytes for one address", frame.bytes.len());

    let text = get(&server, &tenant, &format!("tree/{}", new.tree));
    let tree: Tree = new.read_tree(&text.bytes).unwrap();
    let entry = &tree.entries()[0];
    let blob = format!("blob/{}?tree={}", entry.digest, new.tree);
    assert_eq!(Digest::of(&get(&server, &tenant, &blob).bytes), entry.digest);

    let (tree, pack) = (format!("tree/{}", new.tree), format!("pack/{}", new.tree));
    for path in [&path, &tree, &pack, &blob] {
        check_headers(&server, &tenant, path);
    }
}

/// A digest grants nothing: what is another tenant's, or not a bundle's, is answered like what is not
/// there at all.
#[test]
fn only_bundles_of_the_tenant_are_sent() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let theirs = build(&server, &victim, 1);
    // The thief's bundle has the same files, all but the manifest with its name in it.
    let own = build(&server, &thief, 1);
    let cloud = server.build(&thief, &small_flow("plain", None, "x")).json();
    let cloud = cloud["outputs"][0]["tree"].as_str().unwrap().to_owned();
    let text = get(&server, &victim, &format!("tree/{}", theirs.tree));
    let their_tree = theirs.read_tree(&text.bytes).unwrap();
    let own_text = get(&server, &thief, &format!("tree/{}", own.tree));
    let own_tree = own.read_tree(&own_text.bytes).unwrap();
    let foreign = their_tree
        .entries()
        .iter()
        .find(|e| own_tree.entries().iter().all(|own| own.digest != e.digest));
    let (foreign, zeros) = (foreign.unwrap().digest, "0".repeat(64));
    let absent = get(&server, &thief, &format!("tree/{zeros}"));
    assert_eq!(absent.status, 404);
    for path in [
        format!("tree/{}", theirs.tree),
        format!("tree/{cloud}"),
        format!("pack/{}", theirs.tree),
        format!("pack/{cloud}"),
        format!("pack/{zeros}"),
        format!("delta/{}..{}", theirs.tree, own.tree),
        format!("delta/{}..{}", own.tree, theirs.tree),
        format!("delta/{zeros}..{}", own.tree),
        format!("delta/{cloud}..{}", own.tree),
        format!("delta/{}", own.tree),
        format!("delta/{}..", own.tree),
        "delta/x..y".to_owned(),
        "tree/x".to_owned(),
        format!("blob/{foreign}?tree={}", theirs.tree),
        format!("blob/{foreign}?tree={}", own.tree),
        format!("blob/{}?tree={}", own.tree, own.tree),
        format!("blob/{zeros}?tree={}", own.tree),
        format!("blob/{}?tree=x", own_tree.entries()[0].digest),
    ] {
        let answer = get(&server, &thief, &path);
        assert!(answer.status == 404 && answer.bytes == absent.bytes, "{path}: {}", answer.status);
    }
    let path = format!("/v1/t/victim/pack/{}", theirs.tree);
    assert_eq!(server.get_with(&path, &thief.edge).bytes, absent.bytes);
    for token in [&victim.git, &victim.api] {
        assert_eq!(server.get_with(&path, token).status, 401, "another scope");
    }
    let blob = format!("/v1/t/victim/blob/{foreign}");
    assert_eq!(server.get_with(&blob, &victim.edge).status, 401, "without its bundle");
}

/// A hundred agents that ask at once get one and the same frame, with one encoder.
#[test]
fn a_delta_is_made_once_for_all_who_ask() {
    let server = TestServer::with(|config| {
        config.edge.encoders = 1;
        config.limits.waiting = 1;
        config.limits.reads = 100;
        config.limits.reads_per_tenant = 100;
    });
    let tenant = server.tenant("acme-inc");
    let (old, new) = (build(&server, &tenant, 1), build(&server, &tenant, 2));
    let path = format!("delta/{}..{}", old.tree, new.tree);
    let frames: std::collections::BTreeSet<Vec<u8>> = std::thread::scope(|scope| {
        let ask = || {
            let answer = get(&server, &tenant, &path);
            assert_eq!(answer.status, 200, "{}", answer.code());
            answer.bytes
        };
        let asking: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(frames.len(), 1);
    assert_eq!(server.app.press.bundles.deltas.made(), 1);
}

/// The real agent on the real server: the first bundle is one pack, its update one delta of a kilobyte
/// at most, and the way back to files that are here costs nothing.
#[test]
fn the_agent_updates_by_deltas() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let root = server.path("root.json");
    std::fs::write(&root, &tenant.root).unwrap();
    let run = |args: &[&str]| -> Value {
        let mut command = Command::new(program("edge-fetch"));
        command.args(args).arg("--json");
        command.env("EDGE_FETCH_DIR", server.path("agent")).env("EDGE_FETCH_TOKEN", &tenant.edge);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(stdout.lines().next().unwrap()).unwrap()
    };
    let root = root.display().to_string();
    run(&["enroll", "--url", &server.url, "--tenant", "acme-inc", "--root", &root]);
    build(&server, &tenant, 1);
    assert_eq!(run(&["apply"])["via"], "pack");
    for (revision, address, via) in [(2, 2, "delta"), (3, 3, "delta"), (4, 2, "cache")] {
        let body = flow(revision, &format!("https://example.com/{address}"));
        assert_eq!(server.build(&tenant, &body).status, 201);
        let applied = run(&["apply"]);
        assert_eq!(applied["via"], via, "{applied:#}");
        assert!(applied["downloaded"].as_u64().unwrap() < 1000, "{applied:#}");
        let main = Path::new(applied["path"].as_str().unwrap());
        let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path()).ok();
        let texts = std::fs::read_dir(main).unwrap().filter_map(|entry| read(entry.unwrap()));
        assert!(texts.collect::<String>().contains(&format!("https://example.com/{address}")));
    }
    assert_eq!(run(&["apply"])["via"], "cache");
}
