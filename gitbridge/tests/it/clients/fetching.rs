//! What comes after a clone.

use super::{BUILDS, check, checked_out, clone, depth, each_version, objects, reachable, sound};
use crate::support::{Git, Server};

const TAG_3: &str = "bld/acme/00000000000000003-cloud";

/// The requests since the last call.
fn requests(server: &Server) -> Vec<String> {
    std::mem::take(&mut *server.seen.write().unwrap())
}

/// The repository `r` of nothing but Git's own files.
fn init(git: &Git) {
    git.run("", &["init", "-q", "r"]);
}

#[test]
fn a_clone_is_fetched_and_merged_as_builds_arrive() {
    each_version(|git, server| {
        clone(git, server, &[]);
        for builds in [0, 1, 20] {
            server.build(builds);
            git.run("r", &["fetch", "-q", "--tags"]);
            check(git, server, "origin/tenant/acme");
            let tags = git.run("r", &["tag", "-l"]);
            assert_eq!(tags.lines().count(), server.tenant().commits.len());
        }
        git.run("r", &["merge", "-q", "--ff-only", "origin/tenant/acme"]);
        checked_out(git, server);
    });
}

#[test]
fn a_pull_moves_branch_and_files() {
    each_version(|git, server| {
        clone(git, server, &[]);
        server.build(3);
        git.run("r", &["pull", "-q", "--ff-only"]);
        check(git, server, "HEAD");
        checked_out(git, server);
    });
}

/// A fetch brings what is new and no more: it is what a client does every minute.
#[test]
fn a_fetch_brings_only_what_is_new() {
    each_version(|git, server| {
        // Every fetch stays a pack of its own.
        git.set("fetch.unpackLimit=1");
        clone(git, server, &[]);
        let before = server.tenant().log.entries.len();
        server.build(2);
        git.run("r", &["fetch", "-q"]);
        let added = server.tenant().log.entries.len() - before;
        let packs = git.run("r", &["count-objects", "-v"]);
        let expected = before + (BUILDS + 1) + added + 2;
        // Bases that complete a thin pack are in both.
        let held: usize = packs
            .lines()
            .find_map(|line| line.strip_prefix("in-pack: ")?.parse().ok())
            .unwrap_or_default();
        assert!((expected..=expected + added).contains(&held), "{held} of {expected}: {packs}");
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn a_fetch_of_nothing_new_asks_for_nothing() {
    each_version(|git, server| {
        clone(git, server, &[]);
        requests(server);
        git.run("r", &["fetch", "-q"]);
        let seen = requests(server);
        let posts = seen.iter().filter(|line| line.starts_with("POST")).count();
        // Version 2 lists refs by a POST.
        assert_eq!(posts, usize::from(seen[0].contains("V2")), "{seen:?}");
    });
}

#[test]
fn a_dry_run_changes_nothing() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let before = git.run("r", &["for-each-ref"]);
        server.build(1);
        git.run("r", &["fetch", "-q", "--dry-run"]);
        assert_eq!(git.run("r", &["for-each-ref"]), before);
        git.run("r", &["fetch", "-q", "--atomic"]);
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn several_remotes_are_fetched_at_once() {
    each_version(|git, server| {
        init(git);
        for name in ["one", "two"] {
            git.run("r", &["remote", "add", name, &server.url]);
        }
        git.run("r", &["fetch", "-q", "--multiple", "--jobs=2", "one", "two"]);
        check(git, server, "one/tenant/acme");
        check(git, server, "two/tenant/acme");
        server.build(1);
        git.run("r", &["remote", "update"]);
        check(git, server, "one/tenant/acme");
        server.build(1);
        git.run("r", &["fetch", "-q", "--all"]);
        check(git, server, "two/tenant/acme");
    });
}

#[test]
fn a_commit_can_be_fetched_by_id() {
    each_version(|git, server| {
        init(git);
        let old = server.tenant().commits[4].to_string();
        git.run("r", &["fetch", "-q", "--no-tags", &server.url, &old]);
        assert_eq!(depth(git, "FETCH_HEAD"), 5);
        sound(git, "r");
        git.fails("r", &["cat-file", "-e", &server.tenant().commits[5].to_string()]);
    });
}

#[test]
fn a_tree_or_a_blob_can_be_fetched_by_id() {
    each_version(|git, server| {
        clone(git, server, &[]);
        for (path, kind) in [("manifest.json", "blob"), ("app/flows", "tree")] {
            let oid = git.run("r", &["rev-parse", &format!("HEAD~3:{path}")]);
            git.run("", &["init", "-q", kind]);
            git.run(kind, &["fetch", "-q", &server.url, &oid]);
            assert_eq!(git.run(kind, &["cat-file", "-t", &oid]), kind);
            let whole = git.run("r", &["rev-list", "--objects", "--no-object-names", &oid]);
            let mut whole: Vec<_> = whole.lines().collect();
            whole.sort_unstable();
            assert_eq!(objects(git, kind), whole, "{kind} and all below it");
        }
    });
}

#[test]
fn an_id_of_nothing_is_refused_in_words() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let unknown = "ab".repeat(20);
        let complaint = git.fails("r", &["fetch", &server.url, &unknown]);
        assert!(complaint.contains(&format!("not our ref {unknown}")), "{complaint}");
        sound(git, "r");
    });
}

#[test]
fn tags_are_fetched_by_refspec() {
    each_version(|git, server| {
        init(git);
        git.run("r", &["fetch", "-q", &server.url, "refs/tags/bld/*:refs/tags/builds/*"]);
        let tags = git.run("r", &["for-each-ref", "--format=%(objecttype)", "refs/tags/builds"]);
        assert_eq!(tags.lines().collect::<Vec<_>>(), vec!["tag"; BUILDS + 1]);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
    });
}

#[test]
fn one_tag_is_fetched_by_name() {
    each_version(|git, server| {
        init(git);
        git.run("r", &["fetch", "-q", "--no-tags", &server.url, "tag", TAG_3]);
        assert_eq!(git.run("r", &["tag", "-l"]), TAG_3);
        assert_eq!(depth(git, TAG_3), 4);
        sound(git, "r");
    });
}

/// Purged tags go from a client that prunes, and from no other.
#[test]
fn purged_tags_are_pruned() {
    each_version(|git, server| {
        clone(git, server, &[]);
        server.tenant.write().unwrap().log.purge_tags();
        server.build(1);
        git.run("r", &["fetch", "-q", "--tags"]);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 2);
        git.run("r", &["fetch", "-q", "--prune", "--prune-tags"]);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), 1);
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn a_stale_branch_is_pruned() {
    each_version(|git, server| {
        clone(git, server, &[]);
        git.run("r", &["update-ref", "refs/remotes/origin/tenant/gone", "HEAD"]);
        git.run("r", &["remote", "prune", "origin"]);
        let refs = git.run("r", &["for-each-ref", "--format=%(refname)", "refs/remotes"]);
        assert_eq!(refs, "refs/remotes/origin/HEAD\nrefs/remotes/origin/tenant/acme");
    });
}

/// Git asks again for what it has: the answer must not rest on what it says it has.
#[test]
fn everything_can_be_fetched_anew() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let full = objects(git, "r");
        for pack in std::fs::read_dir(git.path("r/.git/objects/pack")).unwrap() {
            std::fs::remove_file(pack.unwrap().path()).unwrap();
        }
        git.run("r", &["fetch", "-q", "--refetch", "--tags"]);
        assert_eq!(objects(git, "r"), full);
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn a_remote_ref_is_fetched_into_a_branch_and_forced_back() {
    each_version(|git, server| {
        clone(git, server, &[]);
        super::add_foreign(git, "got", Some(server.tenant().commits[5]), 3);
        git.fails("r", &["fetch", "-q", "origin", "tenant/acme:got"]);
        git.run("r", &["fetch", "-q", "origin", "+tenant/acme:got"]);
        check(git, server, "got");
    });
}
