//! What people and Git itself do with a clone later.

use super::{check, checked_out, clone, each_version, objects, reachable, sound};

/// Git rewrites packs that came from here, deltas and all.
#[test]
fn a_clone_is_repacked() {
    each_version(|git, server| {
        clone(git, server, &[]);
        server.build(2);
        git.run("r", &["pull", "-q"]);
        let before = objects(git, "r");
        git.run("r", &["repack", "-q", "-a", "-d", "-f"]);
        git.run("r", &["gc", "-q", "--prune=now"]);
        assert_eq!(objects(git, "r"), before);
        check(git, server, "HEAD");
    });
}

/// What is promised must stay promised, and what is there must stay there.
#[test]
fn a_partial_clone_is_repacked() {
    each_version(|git, server| {
        clone(git, server, &["--filter=blob:none"]);
        let before = objects(git, "r");
        git.run("r", &["repack", "-q", "-a", "-d"]);
        git.run("r", &["gc", "-q", "--prune=now"]);
        assert_eq!(objects(git, "r"), before);
        sound(git, "r");
        server.build(2);
        git.run("r", &["pull", "-q"]);
        check(git, server, "HEAD");
        checked_out(git, server);
    });
}

#[test]
fn maintenance_prefetches() {
    each_version(|git, server| {
        clone(git, server, &["--filter=blob:none"]);
        server.build(2);
        let args = ["maintenance", "run", "--quiet", "--task=prefetch", "--task=commit-graph"];
        git.run("r", &args);
        check(git, server, "refs/prefetch/remotes/origin/tenant/acme");
        let asked = server.seen.read().unwrap().len();
        git.run("r", &["fetch", "-q", "--no-tags"]);
        check(git, server, "origin/tenant/acme");
        let packs = server.seen.read().unwrap()[asked..].join("\n");
        assert!(packs.matches("POST").count() <= 1, "objects were there already: {packs}");
    });
}

#[test]
fn a_bundle_is_made_of_a_clone() {
    each_version(|git, server| {
        clone(git, server, &[]);
        git.run("r", &["bundle", "create", "-q", "../b", "--all"]);
        git.run("", &["clone", "-q", "b", "offline"]);
        sound(git, "offline");
        assert_eq!(objects(git, "offline"), reachable(git, "r", &[]));
    });
}

/// A clone of a shallow clone is a shallow clone, which can be filled from here.
#[test]
fn a_shallow_clone_is_cloned_again_and_filled() {
    each_version(|git, server| {
        git.run("", &["clone", "-q", "--depth", "2", &server.url, "first"]);
        git.run("", &["clone", "-q", "--no-local", "first", "r"]);
        git.run("r", &["remote", "set-url", "origin", &server.url]);
        git.run("r", &["fetch", "-q", "--unshallow"]);
        check(git, server, "origin/tenant/acme");
        assert!(!git.path("r/.git/shallow").exists());
    });
}

/// The tools that look into history.
#[test]
fn a_partial_clone_answers_questions() {
    each_version(|git, server| {
        clone(git, server, &["--filter=tree:0", "--no-checkout"]);
        let blame = git.run("r", &["blame", "-l", "-s", "HEAD", "--", "README.md"]);
        let first = server.tenant().commits[0].to_string();
        // A caret marks the first commit of a history, and takes a digit's place.
        assert!(blame.starts_with(&format!("^{}", &first[..39])), "{blame}");
        let grep = git.run("r", &["grep", "-c", "\"build\": 10", "HEAD"]);
        assert_eq!(grep, "HEAD:manifest.json:1");
        let archive = git.run("r", &["archive", "--format=tar", "HEAD~4", "README.md"]);
        assert!(archive.contains("# acme"));
        git.run("r", &["merge-base", "--is-ancestor", "HEAD~5", "HEAD"]);
        sound(git, "r");
    });
}
