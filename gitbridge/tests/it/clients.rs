//! Stock Git over HTTP, in all three versions of the protocol.

use colophon_gitbridge::annotate;
use colophon_model::UnixMillis;

use crate::support::tenant::{author, new_tag};
use crate::support::{Git, Server, Tenant};

/// Runs `test` once per protocol version, on a fresh server with ten builds.
fn each_version(test: impl Fn(&mut Git, &Server)) {
    for version in 0..=2 {
        test(&mut Git::new(version), &Server::start(Tenant::with_builds(10)));
    }
}

fn clone(git: &Git, server: &Server, args: &[&str]) {
    git.run("", &[&["clone", "-q"], args, &[server.url.as_str(), "r"]].concat());
}

/// The repository is sound, at the tip, and its tree is what was put in.
fn check(git: &Git, server: &Server, rev: &str) {
    // Git asks for tags along with a branch even when it then keeps none: those dangle.
    assert_eq!(git.run("r", &["fsck", "--strict", "--full", "--no-dangling"]), "");
    let tenant = server.tenant();
    assert_eq!(git.run("r", &["rev-parse", rev]), tenant.tip().to_string());
    let listed = git.run("r", &["ls-tree", "-r", rev]);
    let found: Vec<_> = listed.lines().map(|line| line.replace('\t', " ")).collect();
    let expected: Vec<_> = tenant
        .files
        .iter()
        .map(|(path, (mode, bytes))| {
            let oid = git.feed("r", &["hash-object", "--stdin"], bytes);
            format!("{mode} blob {oid} {path}")
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn ls_remote_shows_head_branch_and_tags() {
    each_version(|git, server| {
        let tip = server.tenant().tip();
        let all = git.run("", &["ls-remote", "--symref", &server.url]);
        assert!(
            all.starts_with(&format!("ref: refs/heads/tenant/acme\tHEAD\n{tip}\tHEAD\n")),
            "{all}"
        );
        assert_eq!(all.lines().count(), 3 + 2 * 11, "each tag is listed with what it peels to");
        let tags = git.run("", &["ls-remote", "--refs", "--tags", &server.url]);
        assert_eq!(tags.lines().count(), 11);
        let one = git.run("", &["ls-remote", &server.url, "refs/heads/tenant/acme"]);
        assert_eq!(one, format!("{tip}\trefs/heads/tenant/acme"));
    });
}

#[test]
fn clone_then_fetch_as_builds_arrive() {
    each_version(|git, server| {
        clone(git, server, &[]);
        check(git, server, "HEAD");
        assert_eq!(git.run("r", &["symbolic-ref", "HEAD"]), "refs/heads/tenant/acme");
        let log =
            git.run("r", &["log", "--format=%s %(trailers:key=Build-Id,valueonly,separator=%x2C)"]);
        assert_eq!(log.lines().next(), Some("feat(flow): build 10 10"));
        assert_eq!(log.lines().count(), 11);
        for builds in [0, 1, 20] {
            server.build(builds);
            git.run("r", &["fetch", "-q", "--tags"]);
            check(git, server, "origin/tenant/acme");
            let tags = git.run("r", &["tag", "-l"]);
            assert_eq!(tags.lines().count(), server.tenant().commits.len());
        }
        git.run("r", &["merge", "-q", "--ff-only", "origin/tenant/acme"]);
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
    });
}

#[test]
fn a_tag_can_be_cloned_and_checked_out() {
    each_version(|git, server| {
        let (tag, third) = ("bld/acme/00000000000000003-cloud", server.tenant().commits[3]);
        clone(git, server, &["-b", tag]);
        assert_eq!(git.run("r", &["rev-parse", "HEAD"]), third.to_string());
        assert_eq!(git.run("r", &["cat-file", "-t", tag]), "tag");
        git.run("r", &["checkout", "-q", "bld/acme/00000000000000005-cloud"]);
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
        check(git, server, "origin/tenant/acme");
        let failed = server.tenant().tip();
        let failed =
            annotate(failed, &new_tag("build-failed/acme/1"), &author(), UnixMillis::new(0), None);
        let mut tenant = server.tenant.write().unwrap();
        tenant.log.add_tag("refs/tags/build-failed/acme/1", failed.unwrap().0);
        drop(tenant);
        git.run("r", &["fetch", "-q", "--tags"]);
        assert_eq!(git.run("r", &["cat-file", "-t", "build-failed/acme/1"]), "tag");
        check(git, server, "build-failed/acme/1^{commit}");
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
    });
}

#[test]
fn a_mirror_has_every_ref() {
    each_version(|git, server| {
        clone(git, server, &["--mirror"]);
        check(git, server, "refs/heads/tenant/acme");
        server.build(3);
        git.run("r", &["remote", "update", "--prune"]);
        let refs = git.run("r", &["for-each-ref"]);
        assert_eq!(refs.lines().count(), 1 + 14);
        check(git, server, "refs/heads/tenant/acme");
    });
}

#[test]
fn single_objects_can_be_fetched_by_id() {
    each_version(|git, server| {
        git.run("", &["init", "-q", "r"]);
        let old = server.tenant().commits[4].to_string();
        git.run("r", &["fetch", "-q", "--no-tags", &server.url, &old]);
        assert_eq!(git.run("r", &["rev-list", "--count", "FETCH_HEAD"]), "5");
        git.run("r", &["fsck", "--strict", "--full"]);
        let blob = git.run("r", &["rev-parse", "FETCH_HEAD:manifest.json"]);
        git.run("", &["init", "-q", "other"]);
        git.run("other", &["fetch", "-q", &server.url, &blob]);
        assert_eq!(git.run("other", &["cat-file", "-t", &blob]), "blob");
        let unknown = "ab".repeat(20);
        let complaint = git.fails("r", &["fetch", &server.url, &unknown]);
        assert!(complaint.contains(&format!("not our ref {unknown}")), "{complaint}");
    });
}

/// A clone with work of its own offers commits that the server has never seen.
#[test]
fn clients_with_foreign_commits_negotiate() {
    each_version(|git, server| {
        for algorithm in ["consecutive", "skipping"] {
            clone(git, server, &[]);
            for n in 0..60 {
                git.run("r", &["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
            }
            server.build(5);
            let setting = format!("fetch.negotiationAlgorithm={algorithm}");
            git.run("r", &["-c", &setting, "fetch", "-q"]);
            check(git, server, "origin/tenant/acme");
            std::fs::remove_dir_all(git.path("r")).unwrap();
        }
        let posts = server.seen.read().unwrap().iter().filter(|l| l.starts_with("POST")).count();
        assert!(posts >= 6, "more than one round was needed: {posts} posts");
    });
}

/// A repository without a common commit gets everything.
#[test]
fn unrelated_clients_get_everything() {
    each_version(|git, server| {
        git.run("", &["init", "-q", "r"]);
        for n in 0..40 {
            git.run("r", &["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
        }
        git.run("r", &["fetch", "-q", &server.url, "tenant/acme:got"]);
        check(git, server, "got");
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
        check(&git, &server, "origin/tenant/acme");
    }
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

/// What is not advertised yet: Git refuses to go shallow by itself, and clones whole instead of
/// partially.
#[test]
fn shallow_clones_are_refused_and_partial_ones_are_whole() {
    each_version(|git, server| {
        let url = server.url.as_str();
        let complaint = git.fails("", &["clone", "-q", "--depth", "1", url, "shallow"]);
        assert!(complaint.contains("shallow"), "{complaint}");
        git.run("", &["clone", "-q", "--filter=blob:none", url, "r"]);
        check(git, server, "HEAD");
    });
}

#[test]
fn only_commits_in_common_are_negotiated() {
    let (git, server) = (Git::new(2), Server::start(Tenant::with_builds(10)));
    clone(&git, &server, &[]);
    server.build(1);
    git.run("r", &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let tenant = server.tenant();
    let args = ["fetch", "--negotiate-only", "--negotiation-tip=tenant/acme", "origin"];
    let acknowledged = git.run("r", &args);
    let mut common: Vec<_> = acknowledged.lines().collect();
    common.sort_unstable();
    let mut expected: Vec<_> = tenant.commits[..=10].iter().map(ToString::to_string).collect();
    expected.sort_unstable();
    assert_eq!(common, expected, "neither the client's own commit nor the newest one");
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
        let (git, server) = (Git::new(0), Server::start(Tenant::with_builds(10)));
        server.hidden.write().unwrap().extend(hidden.iter().map(|name| (*name).to_owned()));
        clone(&git, &server, &[]);
        check(&git, &server, "HEAD");
        for n in 0..60 {
            git.run("r", &["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
        }
        for builds in [0, 1, 20] {
            server.build(builds);
            git.run("r", &["fetch", "-q", "--tags"]);
            check(&git, &server, "origin/tenant/acme");
        }
    }
}
