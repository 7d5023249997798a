//! What client and server have in common.

use super::{BUILDS, add_foreign, check, clone, each_version};
use crate::support::{Git, Server, Tenant};

fn posts(server: &Server) -> usize {
    server.seen.read().unwrap().iter().filter(|line| line.starts_with("POST")).count()
}

/// A clone with work of its own offers commits that the server has never seen.
fn diverge(git: &Git, server: &Server, settings: &[&str], posts_at_least: usize) {
    clone(git, server, &[]);
    add_foreign(git, "tenant/acme", Some(server.tenant().tip()), 300);
    server.build(5);
    let before = posts(server);
    git.run("r", &[settings, &["fetch", "-q"]].concat());
    assert!(posts(server) >= before + posts_at_least, "more than one round is needed");
    check(git, server, "origin/tenant/acme");
}

#[test]
fn a_client_with_300_commits_of_its_own_is_served() {
    each_version(|git, server| diverge(git, server, &[], 2));
}

#[test]
fn a_skipping_client_is_served() {
    each_version(|git, server| {
        diverge(git, server, &["-c", "fetch.negotiationAlgorithm=skipping"], 1);
    });
}

/// Git never says what it has, and gets everything.
#[test]
fn a_client_that_does_not_negotiate_is_served() {
    each_version(|git, server| diverge(git, server, &["-c", "fetch.negotiationAlgorithm=noop"], 1));
}

/// A repository without a common commit gets everything.
#[test]
fn an_unrelated_client_gets_everything() {
    each_version(|git, server| {
        git.run("", &["init", "-q", "r"]);
        add_foreign(git, "mine", None, 100);
        git.run("r", &["fetch", "-q", &server.url, "tenant/acme:got"]);
        check(git, server, "got");
    });
}

/// Several lines of own work, each from another build.
#[test]
fn a_client_with_many_branches_is_served() {
    each_version(|git, server| {
        clone(git, server, &[]);
        for n in 0..=BUILDS {
            let parent = server.tenant().commits[n];
            add_foreign(git, &format!("work/{n}"), Some(parent), 20);
        }
        server.build(3);
        git.run("r", &["fetch", "-q", "--tags"]);
        check(git, server, "origin/tenant/acme");
    });
}

/// The newest build that a client has decides, wherever its own work starts.
#[test]
fn a_client_negotiates_from_the_tip_that_it_names() {
    each_version(|git, server| {
        clone(git, server, &[]);
        add_foreign(git, "mine", Some(server.tenant().commits[2]), 40);
        server.build(2);
        git.run("r", &["fetch", "-q", "--negotiation-tip=mine", "origin"]);
        check(git, server, "origin/tenant/acme");
    });
}

#[test]
fn only_commits_in_common_are_acknowledged() {
    let (git, server) = (Git::new(2), Server::start(Tenant::with_builds(BUILDS)));
    clone(&git, &server, &[]);
    server.build(1);
    add_foreign(&git, "tenant/acme", Some(server.tenant().commits[BUILDS]), 1);
    let args = ["fetch", "--negotiate-only", "--negotiation-tip=tenant/acme", "origin"];
    let acknowledged = git.run("r", &args);
    let tenant = server.tenant();
    let shared: Vec<_> = tenant.commits[..=BUILDS].iter().map(ToString::to_string).collect();
    let strange: Vec<_> =
        acknowledged.lines().filter(|oid| !shared.iter().any(|c| c == oid)).collect();
    assert!(strange.is_empty(), "neither the client's own commit nor the newest one: {strange:?}");
    assert!(acknowledged.contains(&shared[BUILDS]), "{acknowledged}");
}

/// Older clients know fewer capabilities. Git uses what it is offered, so other ways of framing are
/// shown with Git itself by offering less.
#[test]
fn clients_of_fewer_abilities_are_served() {
    for hidden in [
        &["no-done"][..],
        &["side-band-64k"],
        &["side-band-64k", "side-band"],
        &["ofs-delta", "thin-pack", "include-tag"],
    ] {
        let (git, server) = (Git::new(0), Server::start(Tenant::with_builds(BUILDS)));
        server.hidden.write().unwrap().extend(hidden.iter().map(|name| (*name).to_owned()));
        clone(&git, &server, &[]);
        check(&git, &server, "HEAD");
        add_foreign(&git, "tenant/acme", Some(server.tenant().tip()), 60);
        for builds in [0, 1, 20] {
            server.build(builds);
            git.run("r", &["fetch", "-q", "--tags"]);
            check(&git, &server, "origin/tenant/acme");
        }
    }
}
