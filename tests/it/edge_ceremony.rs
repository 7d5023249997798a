//! Roots from a ceremony, from the request to the agent.

use std::path::Path;
use std::process::Command;

use colophon::clock::Clock as _;
use colophon::tokens::{TokenKind, create_token};
use serde_json::Value;

use crate::python_tuf::{deliver, update};
use crate::support::process::{colophon, refused};
use crate::support::programs::program;
use crate::support::{TestServer, TestTenant};

const TARGET: &str = "acme-inc.order_intake.python.zip";

/// Runs `colophon keys ceremony`, away from any data directory.
fn ceremony(dir: &Path, args: &[&str]) -> Result<Value, String> {
    let output = Command::new(program("colophon"))
        .current_dir(dir)
        .args(["--json", "keys", "ceremony"])
        .args(args)
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn held(dir: &Path, args: &[&str]) -> Value {
    ceremony(dir, args).unwrap_or_else(|error| panic!("{error}"))
}

fn path(server: &TestServer, name: &str) -> String {
    server.path(name).to_str().unwrap().to_owned()
}

/// A server with `count` roots of a ceremony in its pool; the seeds are in `seeds/seed-{1,2,3}`.
fn with_pool(count: &str) -> TestServer {
    let server = TestServer::with(|config| config.edge.offline_roots = true);
    let data = server.data();
    let asked = colophon(
        &data,
        &["keys", "request", "--count", count, "--out", &path(&server, "request.json")],
    );
    assert_eq!(asked["roots"].to_string(), count);
    let made = held(
        server.dir.path(),
        &["--request", "request.json", "--new-seeds", "seeds", "--out", "roots.json"],
    );
    assert_eq!(made["roots"].as_array().unwrap().len().to_string(), count);
    let done = colophon(&data, &["keys", "import", &path(&server, "roots.json")]);
    assert_eq!(
        (done["added"].to_string(), done["pool"].to_string()),
        (count.to_owned(), count.to_owned())
    );
    server
}

fn tenant(server: &TestServer, slug: &str) -> TestTenant {
    let made = colophon(&server.data(), &["tenant", "create", slug]);
    assert_eq!(made["roots"], "offline");
    let slug = slug.parse().unwrap();
    let token = |kind| {
        let (store, now) = (&server.app.press.store, server.clock.now());
        create_token(store, &slug, kind, "test", 30, now).unwrap().token.reveal().to_owned()
    };
    TestTenant {
        secret: made["webhook_secret"].as_str().unwrap().to_owned(),
        root: made["root"].as_str().unwrap().as_bytes().to_vec(),
        api: token(TokenKind::Api),
        git: token(TokenKind::Git),
        edge: token(TokenKind::Edge),
        slug: slug.to_string(),
    }
}

/// The server draws a root, signs below it, and never sees a root key; a client that pinned it follows.
#[test]
fn a_tenant_lives_under_a_root_of_a_ceremony() {
    let server = with_pool("2");
    let (data, acme) = (server.data(), tenant(&server, "acme-inc"));
    let edge = deliver(&server, &acme, 1, "a");
    assert_eq!(update(&server, &acme, TARGET)["sha256"], edge["edge_sha256"]);
    let rotate = refused(&data, &["edge", "rotate", "acme-inc", "--role", "targets"]);
    assert!(rotate.contains("made in a ceremony"), "{rotate}");

    // A renewal with a new key of timestamp, signed by two of the three seeds.
    let request = ["keys", "request", "--renew", "acme-inc", "--rotate", "timestamp", "--out"];
    colophon(&data, &[&request[..], &[&path(&server, "renew.json")]].concat());
    let two = ["--seed", "seeds/seed-3", "--seed", "seeds/seed-1"];
    let args = [&["--request", "renew.json", "--out", "second.json"][..], &two].concat();
    assert_eq!(held(server.dir.path(), &args)["roots"][0]["version"], 2);
    let done = colophon(&data, &["keys", "import", &path(&server, "second.json")]);
    assert_eq!(
        (&done["renewed"], &done["added"], &done["pool"]),
        (&1.into(), &0.into(), &1.into())
    );
    let again = colophon(&data, &["keys", "import", &path(&server, "second.json")]);
    assert_eq!((&again["renewed"], &again["known"]), (&0.into(), &1.into()));
    let status = &colophon(&data, &["edge", "status", "acme-inc"])[0];
    assert_eq!(
        (&status["root"]["version"], &status["timestamp"]["key_generation"]),
        (&2.into(), &1.into())
    );
    let edge = deliver(&server, &acme, 2, "b");
    assert_eq!(update(&server, &acme, TARGET)["sha256"], edge["edge_sha256"]);

    // The next tenant gets the other root, and the third none.
    let other = tenant(&server, "beta-co");
    assert_ne!(acme.root, other.root);
    let empty = refused(&data, &["tenant", "create", "gamma"]);
    assert!(
        empty.contains("no root left from a ceremony") && empty.contains("keys request"),
        "{empty}"
    );
    let known = colophon(&data, &["keys", "import", &path(&server, "roots.json")]);
    assert_eq!((&known["known"], &known["pool"]), (&2.into(), &0.into()), "a uid is used once");
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}

/// Half a year before the end, operators hear of it where they look.
#[test]
fn an_ending_root_raises_an_alarm() {
    let server = with_pool("1");
    let data = server.data();
    tenant(&server, "acme-inc");
    colophon(&data, &["edge", "resign"]);
    assert!(server.get("/readyz", &[]).json()["warnings"].is_null());
    server.clock.advance(184 * 24 * 60 * 60 * 1000);
    let report = colophon(&data, &["edge", "resign"]);
    assert_eq!((&report["ending"][0]["tenant"], &report["roots"]), (&"acme-inc".into(), &0.into()));
    let ready = server.get("/readyz", &[]);
    assert_eq!(ready.status, 200);
    assert!(
        ready.json()["warnings"][0].as_str().unwrap().starts_with("1 tenant"),
        "{}",
        ready.json()
    );
    let status = &colophon(&data, &["edge", "status"])[0];
    assert!(status["warnings"][0].as_str().unwrap().contains("keys request --renew acme-inc"));
}

/// What is not signed by the right keys, or for this server, changes nothing; nor does one bad root
/// among good ones.
#[test]
fn bad_roots_and_seeds_are_refused() {
    let server = with_pool("1");
    let (data, dir) = (server.data(), server.dir.path());
    let other = with_pool("1");
    let foreign = refused(&data, &["keys", "import", &path(&other, "roots.json")]);
    assert!(foreign.contains("other online keys"), "{foreign}");

    colophon(&data, &["keys", "request", "--count", "2", "--out", &path(&server, "more.json")]);
    let out = ["--request", "more.json", "--out", "more-roots.json"];
    let two = [&out[..], &["--seed", "seeds/seed-1", "--seed", "seeds/seed-2"]].concat();
    assert!(ceremony(dir, &two).unwrap_err().contains("three different seeds"));
    let three = [&two[..], &["--seed", "seeds/seed-3"]].concat();
    held(dir, &three);
    assert!(ceremony(dir, &three).unwrap_err().contains("exists already"));
    let text = std::fs::read_to_string(server.path("more-roots.json")).unwrap();
    let mut roots: Value = serde_json::from_str(&text).unwrap();
    let tampered =
        roots["roots"][1].as_str().unwrap().replace("\"threshold\":2", "\"threshold\":1");
    roots["roots"][1] = tampered.into();
    std::fs::write(server.path("bad.json"), roots.to_string()).unwrap();
    let bad = refused(&data, &["keys", "import", &path(&server, "bad.json")]);
    assert!(bad.contains("root 2 of the file"), "{bad}");
    let done = colophon(&data, &["keys", "import", &path(&server, "more-roots.json")]);
    assert_eq!((&done["added"], &done["pool"]), (&2.into(), &3.into()), "nothing was taken before");

    let server_made = TestServer::start();
    server_made.tenant("acme-inc");
    let out = path(&server_made, "renew.json");
    let renew = ["keys", "request", "--renew", "acme-inc", "--out", &out];
    assert!(refused(&server_made.data(), &renew).contains("renews its root by itself"));
}

/// Secrets are for their keepers' eyes.
#[cfg(unix)]
#[test]
fn seeds_and_roots_are_private_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = with_pool("1");
    for name in ["request.json", "roots.json", "seeds/seed-1", "seeds/seed-2", "seeds/seed-3"] {
        let mode = std::fs::metadata(server.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let seeds: std::collections::BTreeSet<_> =
        (1..=3).map(|n| std::fs::read(server.path(&format!("seeds/seed-{n}"))).unwrap()).collect();
    assert_eq!(seeds.len(), 3);
}
