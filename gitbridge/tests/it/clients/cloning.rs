//! Clones that have everything they point to.

use std::io::ErrorKind;

use colophon_gitbridge::annotate;
use colophon_model::UnixMillis;

use super::{BUILDS, check, checked_out, clone, depth, each_version, objects, reachable, sound};
use crate::support::tenant::{author, new_tag};

const TAG_3: &str = "bld/acme/00000000000000003-cloud";

#[test]
fn a_clone_has_branch_tags_and_files() {
    each_version(|git, server| {
        clone(git, server, &[]);
        check(git, server, "HEAD");
        checked_out(git, server);
        assert_eq!(git.run("r", &["symbolic-ref", "HEAD"]), "refs/heads/tenant/acme");
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 1);
        let log =
            git.run("r", &["log", "--format=%s %(trailers:key=Build-Id,valueonly,separator=%x2C)"]);
        assert_eq!(log.lines().next(), Some("feat(flow): build 10 10"));
        assert_eq!(log.lines().count(), 11);
    });
}

/// Nothing is sent that no ref reaches: a pack is a range of the log, and must not be a longer one.
#[test]
fn a_clone_holds_nothing_else() {
    each_version(|git, server| {
        clone(git, server, &[]);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
        let entries = server.tenant().log.entries.len();
        assert_eq!(objects(git, "r").len(), entries + BUILDS + 1, "the log, and a tag per commit");
    });
}

#[test]
fn a_clone_of_a_single_branch_follows_its_tags() {
    each_version(|git, server| {
        clone(git, server, &["--single-branch"]);
        check(git, server, "HEAD");
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 1);
        server.build(1);
        git.run("r", &["fetch", "-q"]);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 2);
    });
}

#[test]
fn a_branch_can_be_cloned_without_tags() {
    each_version(|git, server| {
        clone(git, server, &["--single-branch", "--no-tags"]);
        check(git, server, "HEAD");
        assert_eq!(git.run("r", &["tag", "-l"]), "");
        server.build(2);
        git.run("r", &["fetch", "-q"]);
        check(git, server, "origin/tenant/acme");
        assert_eq!(git.run("r", &["tag", "-l"]), "");
    });
}

#[test]
fn a_branch_can_be_cloned_by_name() {
    each_version(|git, server| {
        clone(git, server, &["-b", "tenant/acme"]);
        check(git, server, "HEAD");
        let none = ["clone", "-q", "-b", "tenant/none", &server.url, "none"];
        let complaint = git.fails("", &none);
        assert!(complaint.contains("Remote branch tenant/none not found"), "{complaint}");
        assert!(!git.path("none").exists());
    });
}

#[test]
fn a_tag_can_be_cloned_and_checked_out() {
    each_version(|git, server| {
        clone(git, server, &["-b", TAG_3]);
        assert_eq!(git.run("r", &["rev-parse", "HEAD"]), server.tenant().commits[3].to_string());
        assert_eq!(git.run("r", &["cat-file", "-t", TAG_3]), "tag");
        git.run("r", &["checkout", "-q", "bld/acme/00000000000000005-cloud"]);
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn a_single_tag_can_be_cloned_without_what_came_later() {
    each_version(|git, server| {
        clone(git, server, &["--single-branch", "-b", TAG_3]);
        sound(git, "r");
        assert_eq!(depth(git, "HEAD"), 4);
        let tip = server.tenant().tip().to_string();
        git.fails("r", &["cat-file", "-e", &tip]);
    });
}

/// A failed build leaves a tag on the tip that the client has already.
#[test]
fn a_tag_on_a_known_commit_arrives() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let name = "build-failed/acme/1";
        let tip = server.tenant().tip();
        let failed = annotate(tip, &new_tag(name), &author(), UnixMillis::new(0), None).unwrap().0;
        server.tenant.write().unwrap().log.add_tag(&format!("refs/tags/{name}"), failed);
        git.run("r", &["fetch", "-q", "--tags"]);
        assert_eq!(git.run("r", &["cat-file", "-t", name]), "tag");
        check(git, server, "build-failed/acme/1^{commit}");
    });
}

#[test]
fn a_mirror_has_every_ref() {
    each_version(|git, server| {
        clone(git, server, &["--mirror"]);
        check(git, server, "refs/heads/tenant/acme");
        server.build(3);
        git.run("r", &["remote", "update", "--prune"]);
        let ours = git.run("r", &["for-each-ref", "--format=%(objectname)\t%(refname)"]);
        let served = git.run("", &["ls-remote", "--refs", &server.url]);
        assert_eq!(ours, served);
        assert_eq!(ours.lines().count(), 1 + 14);
        check(git, server, "refs/heads/tenant/acme");
    });
}

#[test]
fn a_bare_clone_serves_others() {
    each_version(|git, server| {
        clone(git, server, &["--bare"]);
        check(git, server, "HEAD");
        git.run("", &["clone", "-q", "--no-local", "r", "next"]);
        sound(git, "next");
        assert_eq!(git.run("next", &["rev-parse", "HEAD"]), server.tenant().tip().to_string());
    });
}

#[test]
fn a_clone_borrows_from_a_reference() {
    each_version(|git, server| {
        git.run("", &["clone", "-q", "--mirror", &server.url, "old"]);
        server.build(3);
        clone(git, server, &["--reference", "old", "--dissociate"]);
        std::fs::remove_dir_all(git.path("old")).unwrap();
        check(git, server, "HEAD");
    });
}

/// The repository is not shallow, and holds no submodules: neither option may change a thing.
#[test]
fn clones_that_reject_shallow_sources_and_follow_submodules_are_whole() {
    each_version(|git, server| {
        clone(git, server, &["--reject-shallow", "--recurse-submodules"]);
        check(git, server, "HEAD");
        checked_out(git, server);
        assert!(!git.path("r/.git/shallow").exists());
    });
}

#[test]
fn a_tenant_can_be_a_submodule() {
    each_version(|git, server| {
        git.run("", &["init", "-q", "r"]);
        git.run("r", &["submodule", "--quiet", "add", &server.url, "vendor/acme"]);
        git.run("r", &["commit", "-q", "-m", "vendor"]);
        let pinned = git.run("r", &["rev-parse", "HEAD:vendor/acme"]);
        assert_eq!(pinned, server.tenant().tip().to_string());
        server.build(1);
        let args = ["clone", "-q", "--recurse-submodules", "--shallow-submodules", "r", "super"];
        git.run("", &args);
        assert_eq!(git.run("super/vendor/acme", &["rev-parse", "HEAD"]), pinned, "not the newest");
        git.run("super", &["submodule", "--quiet", "update", "--remote"]);
        let newest = git.run("super/vendor/acme", &["rev-parse", "HEAD"]);
        assert_eq!(newest, server.tenant().tip().to_string());
    });
}

#[test]
fn a_sparse_clone_shows_a_part() {
    each_version(|git, server| {
        clone(git, server, &["--sparse", "--filter=blob:none"]);
        git.run("r", &["sparse-checkout", "set", "app/flows"]);
        assert!(git.path("r/app/flows/acme/flow_0.py").exists());
        assert!(!git.path("r/edge_scripts").exists());
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
        check(git, server, "HEAD");
    });
}

/// Bodies over `http.postBuffer` come in chunks, after a probe that names no version. A mirror asks
/// for every tag by id, which makes its request long.
#[test]
fn long_requests_are_probed_and_chunked() {
    each_version(|git, server| {
        let mut tenant = server.tenant.write().unwrap();
        for n in 0..1_400 {
            let name = format!("build-failed/acme/{n}");
            let tag = annotate(tenant.tip(), &new_tag(&name), &author(), UnixMillis::new(0), None);
            tenant.log.add_tag(&format!("refs/tags/{name}"), tag.unwrap().0);
        }
        drop(tenant);
        git.set("http.postBuffer=66000");
        clone(git, server, &["--mirror"]);
        check(git, server, "refs/heads/tenant/acme");
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), 1_411);
        let seen = server.seen.read().unwrap().join("\n");
        assert!(seen.contains("V0 4 plain"), "a probe:\n{seen}");
        assert!(seen.contains("chunked"), "{seen}");
    });
}

/// A connection that ends before it carries an answer leaves no half clone behind.
#[test]
fn a_clone_that_gets_no_answer_leaves_nothing() {
    each_version(|git, server| {
        let gone = |_: &_| Err(ErrorKind::ConnectionAborted.into());
        server.once(crate::support::Moment::Asked, gone);
        git.fails("", &["clone", "-q", &server.url, "r"]);
        assert!(server.happened());
        assert!(!git.path("r").exists());
        clone(git, server, &[]);
        check(git, server, "HEAD");
    });
}
