//! Clones that leave objects out until they are needed.

use super::{BUILDS, check, checked_out, clone, depth, each_version, objects, reachable, sound};
use crate::support::{Git, Server};

/// Clones with `filter` and compares with a whole clone: exactly what the filter leaves is there.
/// Then uses what was left out, which Git fetches when it needs it.
fn filtered(git: &Git, server: &Server, filters: &[&str]) {
    git.run("", &["clone", "-q", "--mirror", &server.url, "full"]);
    clone(git, server, &[&["--no-checkout"], filters].concat());
    let left = reachable(git, "full", filters);
    assert_eq!(objects(git, "r"), left, "{filters:?}");
    assert!(left.len() < reachable(git, "full", &[]).len(), "{filters:?} leaves something out");
    sound(git, "r");

    git.run("r", &["checkout", "-q", "tenant/acme"]);
    checked_out(git, server);
    check(git, server, "HEAD");
    let patch = git.run("r", &["log", "-p", "--reverse"]);
    assert_eq!(patch, git.run("full", &["log", "-p", "--reverse", "tenant/acme"]));
    let missing = git.run("r", &["rev-list", "--objects", "--all", "--missing=print"]);
    assert!(!missing.contains('?'), "all has been used: {missing}");
}

#[test]
fn blobs_can_be_left_out() {
    each_version(|git, server| filtered(git, server, &["--filter=blob:none"]));
}

#[test]
fn large_blobs_can_be_left_out() {
    each_version(|git, server| filtered(git, server, &["--filter=blob:limit=1k"]));
}

/// The limit is the first size that is left out: the README of 7 bytes is, what is shorter is not.
#[test]
fn the_limit_of_a_blob_is_exact() {
    each_version(|git, server| {
        let readme = format!("{}", super::blob_id(b"# acme\n"));
        for (limit, there) in [("7", false), ("8", true)] {
            let filter = format!("--filter=blob:limit={limit}");
            git.run("", &["clone", "-q", "--no-checkout", &filter, &server.url, limit]);
            assert_eq!(objects(git, limit).contains(&readme), there, "{filter}");
        }
    });
}

#[test]
fn trees_can_be_left_out() {
    each_version(|git, server| filtered(git, server, &["--filter=tree:0"]));
}

#[test]
fn trees_below_the_first_can_be_left_out() {
    each_version(|git, server| filtered(git, server, &["--filter=tree:1"]));
}

#[test]
fn what_lies_deep_can_be_left_out() {
    each_version(|git, server| filtered(git, server, &["--filter=tree:3"]));
}

#[test]
fn filters_combine() {
    each_version(|git, server| {
        filtered(git, server, &["--filter=blob:limit=100", "--filter=tree:3"]);
    });
}

#[test]
fn a_combined_filter_can_be_spelled_out() {
    each_version(|git, server| {
        filtered(git, server, &["--filter=combine:blob:none+tree:2"]);
    });
}

/// A partial clone fetches on with the same filter.
#[test]
fn a_partial_clone_follows_new_builds() {
    each_version(|git, server| {
        clone(git, server, &["--filter=blob:none", "--no-checkout"]);
        server.build(3);
        git.run("r", &["fetch", "-q"]);
        git.run("", &["clone", "-q", "--mirror", &server.url, "full"]);
        assert_eq!(objects(git, "r"), reachable(git, "full", &["--filter=blob:none"]));
        git.run("r", &["checkout", "-q", "-B", "mine", "origin/tenant/acme"]);
        checked_out(git, server);
        check(git, server, "HEAD");
    });
}

#[test]
fn a_partial_clone_can_be_shallow() {
    each_version(|git, server| {
        clone(git, server, &["--filter=blob:none", "--depth", "2", "--no-checkout"]);
        assert_eq!(depth(git, "HEAD"), 2);
        git.run("", &["clone", "-q", "--depth", "2", &server.url, "full"]);
        assert_eq!(objects(git, "r"), reachable(git, "full", &["--filter=blob:none"]));
        git.run("r", &["checkout", "-q", "tenant/acme"]);
        checked_out(git, server);
        git.run("r", &["fetch", "-q", "--deepen", "3"]);
        assert_eq!(depth(git, "HEAD"), 5);
        git.run("r", &["fetch", "-q", "--unshallow"]);
        assert_eq!(depth(git, "HEAD"), BUILDS + 1);
        check(git, server, "HEAD");
    });
}

#[test]
fn a_treeless_clone_can_be_shallow() {
    each_version(|git, server| {
        clone(git, server, &["--filter=tree:0", "--depth", "1"]);
        checked_out(git, server);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), 1);
        assert_eq!(depth(git, "HEAD"), 1);
    });
}

/// The answer to a client that has commits without their blobs must not build on those blobs.
#[test]
fn a_partial_clone_becomes_whole() {
    each_version(|git, server| {
        clone(git, server, &["--filter=blob:none", "--no-checkout"]);
        server.build(2);
        git.run("r", &["config", "--unset", "remote.origin.partialclonefilter"]);
        git.run("r", &["fetch", "-q", "--refetch", "--no-filter"]);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
        check(git, server, "origin/tenant/acme");
    });
}

/// A build that only a tag of the past still shows.
#[test]
fn a_partial_clone_can_go_back() {
    each_version(|git, server| {
        clone(git, server, &["--filter=tree:0"]);
        for n in [7, 2, 0] {
            git.run("r", &["checkout", "-q", &format!("bld/acme/{n:017}-cloud")]);
            assert_eq!(git.run("r", &["status", "--porcelain"]), "");
            let manifest = std::fs::read_to_string(git.path("r/manifest.json")).unwrap();
            assert!(manifest.starts_with(&format!("{{\"build\": {n},")), "{manifest}");
        }
        sound(git, "r");
    });
}

/// Reading a file of the server's makes the server read a file of ours: it is refused, and the user
/// is told.
#[test]
fn a_filter_by_the_servers_files_is_refused() {
    each_version(|git, server| {
        let filter = "--filter=sparse:oid=HEAD:README.md";
        let complaint = git.fails("", &["clone", "-q", filter, &server.url, "r"]);
        assert!(complaint.contains("remote error") && complaint.contains("filter"), "{complaint}");
    });
}

/// A filter that Git lets through and the server does not know.
#[test]
fn a_filter_by_kind_leaves_what_it_says() {
    each_version(|git, server| {
        let args =
            ["clone", "-q", "--no-checkout", "--filter=object:type=commit", &server.url, "r"];
        let complaint = git.fails("", &args);
        assert!(complaint.contains("remote error") && complaint.contains("filter"), "{complaint}");
    });
}
