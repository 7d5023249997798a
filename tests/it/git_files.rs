//! A tenant's repository as files that stock git reads.

use std::path::Path;

use crate::support::process::{colophon, refused, told};
use crate::support::programs::{clone, git, git_in, git_output};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

fn server() -> (TestServer, TestTenant) {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    (server, tenant)
}

fn refs(dir: &Path) -> String {
    let refs = git_in(dir, &["show-ref", "--dereference"]);
    let ours = refs.lines().filter(|line| !line.contains("refs/remotes/"));
    ours.collect::<Vec<_>>().join("\n")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The way out: what stock git reads without us is what it reads from us.
#[test]
fn an_exported_repository_is_the_one_that_is_served() {
    let (server, tenant) = server();
    let (data, bare, mirror) = (server.data(), server.path("bare"), server.path("mirror"));
    let done = colophon(&data, &["git", "export", "acme-inc", "--bare", &text(&bare)]);
    git_in(&bare, &["fsck", "--strict", "--full"]);
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    git(&["-c", &header, "clone", "-q", "--mirror", &server.git_url(&tenant), &text(&mirror)]);
    assert_eq!(refs(&bare), refs(&mirror));
    assert_eq!(git_in(&bare, &["rev-parse", "HEAD"]).trim(), done["tip"].as_str().unwrap());
    let objects = |dir: &Path| {
        let all = ["cat-file", "--batch-all-objects", "--batch-check", "--unordered"];
        let mut lines: Vec<_> = git_in(dir, &all).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(objects(&bare), objects(&mirror));
    assert_eq!(done["objects"], objects(&bare).len());
    // What forges and people do next with such a directory.
    git_in(&bare, &["repack", "-adfq"]);
    git(&["clone", "-q", &text(&bare), &text(&server.path("work"))]);

    let again = refused(&data, &["git", "export", "acme-inc", "--bare", &text(&bare)]);
    assert!(again.contains("is there already"), "{again}");
    let inside = text(&data.join("bare"));
    let inside = refused(&data, &["git", "export", "acme-inc", "--bare", &inside]);
    assert!(inside.contains("is inside the data directory"), "{inside}");
}

#[test]
fn bundles_are_cloned_and_carry_what_came_after() {
    let (server, tenant) = server();
    let (data, whole, later) = (server.data(), server.path("whole"), server.path("later"));
    let first = colophon(&data, &["git", "bundle", "acme-inc", &text(&whole)]);
    let dir = server.path("r");
    git(&["clone", "-q", &text(&whole), &text(&dir)]);
    git_in(&dir, &["bundle", "verify", &text(&whole)]);
    assert_eq!(git_in(&dir, &["rev-parse", "HEAD"]).trim(), first["tip"].as_str().unwrap());
    assert_eq!(git_in(&dir, &["tag"]).lines().count(), 2);

    let tip = first["tip"].as_str().unwrap();
    let nothing = refused(&data, &["git", "bundle", "acme-inc", &text(&later), "--since", tip]);
    assert!(nothing.contains("nothing came after"), "{nothing}");
    assert_eq!(server.build(&tenant, &small_flow("orders", None, "hello")).status, 201);
    let tag = git_in(&dir, &["tag"]).lines().next().unwrap().to_owned();
    let args = ["git", "bundle", "acme-inc", &text(&later), "--since", &tag];
    assert!(told(&data, &args).contains("2 refs"), "the branch and the new tag");
    git_in(&dir, &["bundle", "verify", &text(&later)]);
    git_in(&dir, &["fetch", "-q", "--tags", &text(&later)]);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    let online = server.path("served");
    clone(&server.git_url(&tenant), &tenant.git, &online);
    let tip = git_in(&online, &["rev-parse", "HEAD"]);
    assert_eq!(git_in(&dir, &["rev-parse", "FETCH_HEAD"]), tip);
    assert_eq!(git_in(&dir, &["tag"]), git_in(&online, &["tag"]));

    let taken = refused(&data, &["git", "bundle", "acme-inc", &text(&later)]);
    assert!(taken.contains("is there already"), "{taken}");
    let blob = git_in(&dir, &["rev-parse", "HEAD:README.md"]);
    for bad in ["main", "refs/tags/none", blob.trim(), &"7".repeat(40)] {
        let file = text(&server.path("none"));
        let unknown = refused(&data, &["git", "bundle", "acme-inc", &file, "--since", bad]);
        assert!(unknown.contains("is no commit of the branch and no tag"), "{unknown}");
        assert!(!server.path("none").exists() && !server.path("none.part").exists());
    }
    assert!(git_output(&["bundle", "list-heads", &text(&whole)]).status.success());
}
