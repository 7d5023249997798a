//! Asking what there is.

use super::{BUILDS, clone, each_version};
use crate::support::{Git, Server, Tenant};

#[test]
fn ls_remote_shows_head_branch_and_tags() {
    each_version(|git, server| {
        let tip = server.tenant().tip();
        let all = git.run("", &["ls-remote", "--symref", &server.url]);
        let head = format!("ref: refs/heads/tenant/acme\tHEAD\n{tip}\tHEAD\n");
        assert!(all.starts_with(&head), "{all}");
        assert_eq!(all.lines().count(), 3 + 2 * 11, "each tag is listed with what it peels to");
    });
}

#[test]
fn ls_remote_lists_heads_only() {
    each_version(|git, server| {
        let tip = server.tenant().tip();
        let heads = git.run("", &["ls-remote", "--heads", &server.url]);
        assert_eq!(heads, format!("{tip}\trefs/heads/tenant/acme"));
    });
}

#[test]
fn ls_remote_lists_tags_with_and_without_what_they_peel_to() {
    each_version(|git, server| {
        let commits = server.tenant().commits.clone();
        let peeled = git.run("", &["ls-remote", "--tags", &server.url]);
        let targets = peeled.lines().filter_map(|line| line.strip_suffix("^{}"));
        let targets = targets.map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        let expected: Vec<_> = commits.iter().map(ToString::to_string).collect();
        assert_eq!(targets.collect::<Vec<_>>(), expected);
        let tags = git.run("", &["ls-remote", "--refs", "--tags", &server.url]);
        assert_eq!(tags.lines().count(), BUILDS + 1);
        assert!(!tags.contains("^{}"), "{tags}");
    });
}

#[test]
fn ls_remote_takes_patterns() {
    each_version(|git, server| {
        let tip = server.tenant().tip();
        let ls = |pattern: &str| git.run("", &["ls-remote", &server.url, pattern]);
        assert_eq!(ls("refs/heads/tenant/acme"), format!("{tip}\trefs/heads/tenant/acme"));
        assert_eq!(ls("acme"), format!("{tip}\trefs/heads/tenant/acme"));
        assert_eq!(ls("HEAD"), format!("{tip}\tHEAD"));
        assert_eq!(ls("refs/tags/bld/acme/*3-cloud").lines().count(), 1);
        assert_eq!(ls("*1-cloud*").lines().count(), 2, "a tag, and what it peels to");
        assert_eq!(ls("refs/heads/tenant/other"), "");
    });
}

/// A script asks whether a ref is there by the exit code.
#[test]
fn ls_remote_says_by_its_exit_code_whether_a_ref_is_there() {
    each_version(|git, server| {
        let ask = |name| ["ls-remote", "-q", "--exit-code", &server.url, name];
        git.run("", &ask("refs/heads/tenant/acme"));
        git.fails("", &ask("refs/heads/tenant/none"));
    });
}

#[test]
fn remote_show_and_set_head_follow_the_server() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let shown = git.run("r", &["remote", "show", "origin"]);
        assert!(shown.contains("HEAD branch: tenant/acme"), "{shown}");
        git.run("r", &["remote", "set-head", "origin", "--delete"]);
        git.run("r", &["remote", "set-head", "origin", "--auto"]);
        let head = git.run("r", &["symbolic-ref", "refs/remotes/origin/HEAD"]);
        assert_eq!(head, "refs/remotes/origin/tenant/acme");
    });
}

#[test]
fn an_empty_tenant_can_be_cloned_and_fetched_later() {
    for version in 0..=2 {
        let (git, server) = (Git::new(version), Server::start(Tenant::default()));
        clone(&git, &server, &[]);
        assert_eq!(git.run("", &["ls-remote", &server.url]), "");
        if version == 2 {
            assert_eq!(git.run("r", &["symbolic-ref", "HEAD"]), "refs/heads/tenant/acme");
        }
        server.build(2);
        git.run("r", &["fetch", "-q"]);
        super::check(&git, &server, "origin/tenant/acme");
    }
}

/// Git cannot go shallow or partial on nothing, and must not fail for it.
#[test]
fn an_empty_tenant_can_be_cloned_with_a_depth_and_a_filter() {
    for version in 0..=2 {
        let (git, server) = (Git::new(version), Server::start(Tenant::default()));
        clone(&git, &server, &["--depth=1", "--no-single-branch", "--filter=blob:none"]);
        server.build(3);
        git.run("r", &["fetch", "-q", "--depth", "1"]);
        assert_eq!(super::depth(&git, "origin/tenant/acme"), 1);
    }
}
