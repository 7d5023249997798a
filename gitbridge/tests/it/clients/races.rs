//! Builds, purges and broken connections while a client is served, and many clients at once.

use std::io::{Error, ErrorKind};
use std::sync::LazyLock;

use super::{check, checked_out, clone, each_version_of, sound};
use crate::support::tenant::put;
use crate::support::{Git, Moment, Server, Tenant};

/// Runs `check` on servers whose packs have several pieces.
fn each_version(check: impl Fn(&mut Git, &Server)) {
    static LARGE: LazyLock<Tenant> = LazyLock::new(|| {
        let mut tenant = Tenant::with_builds(4);
        add_noise(&mut tenant, 1);
        tenant
    });
    each_version_of(&LARGE, check);
}

/// Commits 200 KB that do not compress.
fn add_noise(tenant: &mut Tenant, seed: u64) {
    let mut state = seed;
    let next = || {
        // Knuth's MMIX generator, as characters of one byte.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from((state >> 57) as u8)
    };
    let text: String = std::iter::repeat_with(next).take(200_000).collect();
    tenant.commit(&[put("desktop/noise.txt", &text)]).unwrap();
}

/// A client gets what it was told of, and the rest with the next fetch.
#[test]
fn a_build_lands_in_mid_clone() {
    each_version(|git, server| {
        server.once(Moment::MidPack, |server| {
            server.build(3);
            Ok(())
        });
        let told = server.tenant().tip().to_string();
        clone(git, server, &[]);
        assert!(server.happened());
        sound(git, "r");
        assert_eq!(git.run("r", &["rev-parse", "HEAD"]), told);
        assert_eq!(git.run("r", &["status", "--porcelain"]), "");
        git.run("r", &["pull", "-q", "--ff-only"]);
        check(git, server, "HEAD");
        checked_out(git, server);
    });
}

#[expect(clippy::unnecessary_wraps, reason = "what happens meanwhile may cut the answer")]
fn one_build(server: &Server) -> Result<(), Error> {
    server.build(1);
    Ok(())
}

/// Between the list of refs and the request for objects: what a branch once named stays.
#[test]
fn a_build_lands_before_the_objects_are_asked_for() {
    each_version(|git, server| {
        for args in [&[][..], &["--depth", "1"], &["--filter=tree:0"]] {
            server.once(Moment::Asked, one_build);
            clone(git, server, args);
            assert!(server.happened());
            sound(git, "r");
            server.build(1);
            server.once(Moment::Asked, one_build);
            git.run("r", &["fetch", "-q"]);
            assert!(server.happened());
            sound(git, "r");
            git.run("r", &["pull", "-q"]);
            check(git, server, "HEAD");
            checked_out(git, server);
            std::fs::remove_dir_all(git.path("r")).unwrap();
        }
    });
}

/// Tags that a pack was planned with still arrive: the client was promised them.
#[test]
fn tags_are_purged_in_mid_clone() {
    each_version(|git, server| {
        server.once(Moment::MidPack, |server| {
            server.tenant.write().unwrap().log.purge_tags();
            Ok(())
        });
        let tags = server.tenant().commits.len();
        clone(git, server, &[]);
        assert!(server.happened());
        check(git, server, "HEAD");
        assert_eq!(git.run("r", &["tag", "-l"]).lines().count(), tags);
        git.run("r", &["fetch", "-q", "--prune", "--prune-tags"]);
        assert_eq!(git.run("r", &["tag", "-l"]), "");
    });
}

/// Tags that are gone when they are asked for: the client is told which, and succeeds the next time.
#[test]
fn tags_are_purged_before_they_are_asked_for() {
    each_version(|git, server| {
        clone(git, server, &["--no-tags"]);
        server.once(Moment::Asked, |server| {
            server.tenant.write().unwrap().log.purge_tags();
            Ok(())
        });
        let complaint = git.fails("r", &["fetch", "-q", "origin", "refs/tags/*:refs/tags/*"]);
        assert!(complaint.contains("not our ref"), "{complaint}");
        git.run("r", &["fetch", "-q", "origin", "refs/tags/*:refs/tags/*"]);
        check(git, server, "origin/tenant/acme");
    });
}

fn cut(_: &Server) -> Result<(), Error> {
    Err(ErrorKind::ConnectionAborted.into())
}

#[test]
fn a_clone_that_is_cut_off_leaves_nothing_and_succeeds_again() {
    each_version(|git, server| {
        server.once(Moment::MidPack, cut);
        git.fails("", &["clone", "-q", &server.url, "r"]);
        assert!(server.happened());
        assert!(!git.path("r").exists());
        clone(git, server, &[]);
        check(git, server, "HEAD");
    });
}

#[test]
fn a_fetch_that_is_cut_off_changes_nothing_and_succeeds_again() {
    each_version(|git, server| {
        clone(git, server, &[]);
        let before = git.run("r", &["for-each-ref"]);
        add_noise(&mut server.tenant.write().unwrap(), 2);
        for args in [&["fetch", "-q"][..], &["fetch", "-q", "--depth", "2"]] {
            server.once(Moment::MidPack, cut);
            git.fails("r", args);
            assert!(server.happened());
            sound(git, "r");
            assert_eq!(git.run("r", &["for-each-ref"]), before);
            assert!(!git.path("r/.git/shallow").exists());
        }
        git.run("r", &["fetch", "-q"]);
        check(git, server, "origin/tenant/acme");
    });
}

/// Each client gets one of the states that there were, whole.
#[test]
fn many_clients_at_once_while_builds_land() {
    each_version(|git, server| {
        std::thread::scope(|scope| {
            for n in 0..6 {
                let git = &*git;
                let options: &[&str] = match n % 3 {
                    0 => &[],
                    1 => &["--depth", "2"],
                    _ => &["--filter=blob:none"],
                };
                scope.spawn(move || {
                    let name = format!("c{n}");
                    git.run("", &[&["clone", "-q"], options, &[&server.url, &name]].concat());
                    sound(git, &name);
                    let head = git.run(&name, &["rev-parse", "HEAD"]);
                    let known = server.tenant().commits.iter().any(|c| c.to_string() == head);
                    assert!(known, "{head}");
                    git.run(&name, &["fetch", "-q"]);
                    sound(git, &name);
                });
            }
            for _ in 0..10 {
                server.build(1);
            }
        });
        clone(git, server, &[]);
        check(git, server, "HEAD");
    });
}

/// Two fetches into one repository: Git locks what it must.
#[test]
fn one_clone_is_fetched_twice_at_once() {
    each_version(|git, server| {
        clone(git, server, &[]);
        server.build(3);
        std::thread::scope(|scope| {
            for name in ["one", "two"] {
                let refspec = format!("tenant/acme:refs/heads/{name}");
                let git = &*git;
                scope.spawn(move || {
                    let args = ["fetch", "-q", "--no-tags", "--no-write-fetch-head"];
                    git.run("r", &[&args[..], &[&server.url, &refspec]].concat());
                });
            }
        });
        check(git, server, "one");
        check(git, server, "two");
    });
}
