//! Histories that end early. A tenant's history is a line with one commit a second, so it is known
//! where each of them ends.

use super::{BUILDS, check, checked_out, clone, depth, each_version, objects, reachable, sound};
use crate::support::{Git, Server};

const BRANCH: &str = "origin/tenant/acme";

/// The builds at which the repository `r` knows its history to be cut, oldest first.
fn cuts(git: &Git, server: &Server) -> Vec<usize> {
    let tenant = server.tenant();
    let number = |line: &str| tenant.commits.iter().position(|oid| oid.to_string() == line);
    let shallow = std::fs::read_to_string(git.path("r/.git/shallow")).unwrap_or_default();
    let mut cuts: Vec<_> = shallow.lines().map(|line| number(line).expect("a build")).collect();
    cuts.sort_unstable();
    cuts
}

/// The history of `rev` starts with build number `first`, and the repository knows that.
fn starts_with(git: &Git, server: &Server, rev: &str, first: usize) {
    // A client that goes from shallow to shallower keeps the older cuts, out of sight. The very first
    // commit may be named as a cut, too.
    assert_eq!(cuts(git, server).last().copied().unwrap_or_default(), first);
    let tenant = server.tenant();
    let listed = git.run("r", &["rev-list", "--reverse", rev]);
    let expected: Vec<_> = tenant.commits[first..].iter().map(ToString::to_string).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    drop(tenant);
    check(git, server, rev);
}

/// The time of build `n` as people write it.
fn time_of(n: usize) -> String {
    format!("2026-11-21T12:00:{n:02}Z")
}

fn tag_of(n: usize) -> String {
    format!("bld/acme/{n:017}-cloud")
}

#[test]
fn a_clone_of_depth_1_has_one_commit() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "1"]);
        starts_with(git, server, "HEAD", BUILDS);
        checked_out(git, server);
        assert_eq!(git.run("r", &["tag", "-l"]), tag_of(BUILDS), "its tag comes with it");
        // What the tip holds, and nothing of what was before it.
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
    });
}

#[test]
fn a_clone_of_depth_4_has_four_commits() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "4"]);
        starts_with(git, server, "HEAD", BUILDS - 3);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
    });
}

#[test]
fn a_depth_beyond_the_history_is_a_whole_clone() {
    each_version(|git, server| {
        for (name, count) in [("r", "12"), ("more", "5000"), ("most", "2147483647")] {
            git.run("", &["clone", "-q", "--depth", count, &server.url, name]);
            assert!(!git.path(name).join(".git/shallow").exists(), "{count} commits");
            assert_eq!(git.run(name, &["rev-list", "--count", "HEAD"]), "11");
        }
        starts_with(git, server, "HEAD", 0);
    });
}

/// Every tag is a want of its own, and each is cut at the same depth.
#[test]
fn a_shallow_clone_of_every_ref_is_cut_at_each() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "1", "--no-single-branch"]);
        sound(git, "r");
        let mut cuts = cuts(git, server);
        // Git names the first commit, too, which has no parent to be cut off from.
        cuts.retain(|n| *n > 0);
        assert_eq!(cuts, (1..=BUILDS).collect::<Vec<_>>());
        assert_eq!(depth(git, "HEAD"), 1);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 1);
    });
}

#[test]
fn a_tag_can_be_cloned_at_depth_1() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "1", "-b", &tag_of(3)]);
        sound(git, "r");
        assert_eq!(git.run("r", &["rev-parse", "HEAD"]), server.tenant().commits[3].to_string());
        assert_eq!(depth(git, "HEAD"), 1);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
    });
}

#[test]
fn a_clone_since_a_time_starts_there() {
    each_version(|git, server| {
        clone(git, server, &["--shallow-since", &time_of(6)]);
        starts_with(git, server, "HEAD", 6);
    });
}

#[test]
fn a_time_before_everything_is_a_whole_clone() {
    each_version(|git, server| {
        clone(git, server, &["--shallow-since", "2001-01-01"]);
        starts_with(git, server, "HEAD", 0);
    });
}

/// There is no commit to send.
#[test]
fn a_time_after_everything_is_refused_in_words() {
    each_version(|git, server| {
        let args = ["clone", "-q", "--shallow-since", "2030-01-01", &server.url, "r"];
        let complaint = git.fails("", &args);
        assert!(complaint.contains("no commits selected"), "{complaint}");
    });
}

#[test]
fn a_clone_that_excludes_a_tag_starts_after_it() {
    each_version(|git, server| {
        clone(git, server, &["--shallow-exclude", &tag_of(4)]);
        starts_with(git, server, "HEAD", 5);
    });
}

#[test]
fn a_clone_that_excludes_several_tags_starts_after_the_newest() {
    each_version(|git, server| {
        let full = format!("refs/tags/{}", tag_of(7));
        clone(git, server, &["--shallow-exclude", &tag_of(2), "--shallow-exclude", &full]);
        starts_with(git, server, "HEAD", 8);
    });
}

#[test]
fn an_excluded_ref_that_is_not_there_is_refused_in_words() {
    each_version(|git, server| {
        let args = ["clone", "-q", "--shallow-exclude", "nothing", &server.url, "r"];
        let complaint = git.fails("", &args);
        assert!(complaint.contains("deepen-not is not a ref: nothing"), "{complaint}");
    });
}

#[test]
fn a_time_and_a_tag_can_both_cut() {
    each_version(|git, server| {
        let args = ["--shallow-since", &time_of(3), "--shallow-exclude", &tag_of(5)];
        clone(git, server, &args);
        starts_with(git, server, "HEAD", 6);
    });
}

#[test]
fn a_shallow_clone_follows_new_builds() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "2"]);
        server.build(3);
        git.run("r", &["fetch", "-q"]);
        starts_with(git, server, BRANCH, BUILDS - 1);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), 5, "tags of what is there");
        git.run("r", &["merge", "-q", "--ff-only", BRANCH]);
        checked_out(git, server);
    });
}

#[test]
fn depth_goes_up_and_down() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "3"]);
        for count in [5, 2, 7, 1] {
            git.run("r", &["fetch", "-q", "--depth", &count.to_string()]);
            starts_with(git, server, BRANCH, BUILDS + 1 - count);
        }
        server.build(4);
        git.run("r", &["fetch", "-q", "--depth", "2"]);
        starts_with(git, server, BRANCH, BUILDS + 4 - 1);
    });
}

#[test]
fn a_whole_clone_can_be_made_shallow() {
    each_version(|git, server| {
        clone(git, server, &["--no-tags"]);
        git.run("r", &["fetch", "-q", "--depth", "2"]);
        starts_with(git, server, "HEAD", BUILDS - 1);
        git.run("r", &["reflog", "expire", "--expire=now", "--all"]);
        git.run("r", &["gc", "-q", "--prune=now"]);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]), "the rest can go");
        starts_with(git, server, "HEAD", BUILDS - 1);
    });
}

/// Counted from where the history ends, not from its tip.
#[test]
fn a_history_deepens_from_where_it_ends() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "2"]);
        git.run("r", &["fetch", "-q", "--deepen", "3"]);
        starts_with(git, server, BRANCH, BUILDS - 4);
        server.build(2);
        git.run("r", &["fetch", "-q", "--deepen", "1"]);
        starts_with(git, server, BRANCH, BUILDS - 5);
        git.run("r", &["fetch", "-q", "--deepen", "100"]);
        starts_with(git, server, BRANCH, 0);
    });
}

#[test]
fn a_shallow_clone_becomes_whole() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "2"]);
        server.build(2);
        git.run("r", &["fetch", "-q", "--unshallow", "--tags"]);
        starts_with(git, server, BRANCH, 0);
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), BUILDS + 3);
        assert_eq!(objects(git, "r"), reachable(git, "r", &[]));
    });
}

#[test]
fn a_time_moves_the_end_of_a_history_both_ways() {
    each_version(|git, server| {
        clone(git, server, &["--shallow-since", &time_of(6)]);
        for first in [3, 8] {
            git.run("r", &["fetch", "-q", "--shallow-since", &time_of(first)]);
            starts_with(git, server, BRANCH, first);
        }
    });
}

#[test]
fn a_tag_moves_the_end_of_a_history_both_ways() {
    each_version(|git, server| {
        clone(git, server, &["--shallow-exclude", &tag_of(6)]);
        for last in [2, 8] {
            git.run("r", &["fetch", "-q", "--shallow-exclude", &tag_of(last)]);
            starts_with(git, server, BRANCH, last + 1);
        }
    });
}

/// A build is fetched alone, as runners do it.
#[test]
fn a_commit_can_be_fetched_by_id_at_depth_1() {
    each_version(|git, server| {
        git.run("", &["init", "-q", "r"]);
        let old = server.tenant().commits[4].to_string();
        git.run("r", &["fetch", "-q", "--no-tags", "--depth", "1", &server.url, &old]);
        assert_eq!(depth(git, "FETCH_HEAD"), 1);
        git.run("r", &["checkout", "-q", "FETCH_HEAD"]);
        sound(git, "r");
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
    });
}

/// Work on top of a shallow clone: the server does not know it, and must not be confused by it.
#[test]
fn a_shallow_client_with_work_of_its_own_is_served() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "2"]);
        super::add_foreign(git, "tenant/acme", Some(server.tenant().tip()), 40);
        server.build(2);
        git.run("r", &["fetch", "-q"]);
        starts_with(git, server, BRANCH, BUILDS - 1);
        git.run("r", &["fetch", "-q", "--unshallow"]);
        starts_with(git, server, BRANCH, 0);
    });
}

/// A client may be shallow at commits of other repositories.
#[test]
fn a_client_that_is_shallow_elsewhere_too_is_served() {
    each_version(|git, server| {
        clone(git, server, &["--depth", "2"]);
        git.run("", &["init", "-q", "other"]);
        for n in 0..3 {
            git.run("other", &["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
        }
        let other = format!("file://{}", git.path("other").display());
        git.run("r", &["fetch", "-q", "--depth", "1", &other, "HEAD:refs/heads/other"]);
        server.build(2);
        git.run("r", &["fetch", "-q"]);
        check(git, server, BRANCH);
        assert_eq!(depth(git, BRANCH), 4);
        git.run("r", &["fetch", "-q", "--deepen", "2", "origin"]);
        assert_eq!(depth(git, BRANCH), 6);
        assert_eq!(depth(git, "other"), 1);
    });
}

#[test]
fn a_shallow_source_is_rejected_only_when_it_is_one() {
    each_version(|git, server| {
        clone(git, server, &["--reject-shallow", "--depth", "2"]);
        starts_with(git, server, "HEAD", BUILDS - 1);
    });
}
