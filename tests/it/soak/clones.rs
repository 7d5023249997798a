//! People with stock git: whole clones, fetches, shallow ones, ones without files.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ledger::Acknowledged;
use super::world::{Tenant, World};
use crate::support::programs::{git_in, git_output};

/// How many work at once.
pub(super) const THREADS: usize = 3;

/// Works on every third tenant, until it is told to stop.
pub(super) fn work(world: &World, number: usize) {
    let mut numbers = world.numbers(10, number);
    while world.site.pause(Duration::from_millis(200)) {
        let at = number + THREADS * numbers.below(world.tenants.len().div_ceil(THREADS));
        let Some(tenant) = world.tenants.get(at) else { continue };
        let dir = world.dir.path().join(format!("clone-{number}"));
        match numbers.below(6) {
            0 => whole(world, tenant, &dir),
            1 => shallow(world, tenant, &dir),
            2 => without_files(world, tenant, &dir),
            _ => fetch(world, tenant),
        }
        let _ = std::fs::remove_dir_all(&dir);
    }
}

/// A clone that is kept, and grows by fetches, also after one that was cut off.
pub(super) fn kept(world: &World, tenant: &Tenant) -> PathBuf {
    world.dir.path().join(format!("kept-{}", tenant.slug))
}

fn whole(world: &World, tenant: &Tenant, dir: &Path) {
    let before = tenant.ledger.all();
    if clone(world, tenant, &[], dir) {
        git_in(dir, &["fsck", "--strict", "--full"]);
        are_on_the_branch(world, tenant, dir, &before);
        world.site.count("clones");
    }
}

fn shallow(world: &World, tenant: &Tenant, dir: &Path) {
    if clone(world, tenant, &["--depth", "1"], dir)
        && run(world, tenant, &["-C", &text(dir), "fetch", "--quiet", "--deepen", "3"])
    {
        git_in(dir, &["fsck", "--strict"]);
        world.site.count("shallow clones");
    }
}

fn without_files(world: &World, tenant: &Tenant, dir: &Path) {
    if clone(world, tenant, &["--filter=blob:none", "--no-checkout"], dir)
        && run(world, tenant, &["-C", &text(dir), "checkout", "--quiet", "HEAD"])
    {
        world.site.count("clones without files");
    }
}

/// Brings the kept clone to where the branch is. What was acknowledged before must come with it.
pub(super) fn fetch(world: &World, tenant: &Tenant) {
    let dir = kept(world, tenant);
    let before = tenant.ledger.all();
    let came = if dir.exists() {
        run(world, tenant, &["-C", &text(&dir), "fetch", "--quiet", "origin"])
    } else {
        clone(world, tenant, &["--no-checkout"], &dir)
    };
    if came {
        are_on_the_branch(world, tenant, &dir, &before);
        world.site.count("fetches");
    }
}

fn are_on_the_branch(world: &World, tenant: &Tenant, dir: &Path, builds: &[Acknowledged]) {
    let branch = format!("refs/remotes/origin/tenant/{}", tenant.slug);
    let format = "--format=%H %(trailers:key=Build-Id,valueonly,separator=)";
    let log = git_in(dir, &["log", format, &branch]);
    let commits: std::collections::BTreeSet<&str> = log.lines().map(str::trim).collect();
    if let Some(lost) =
        builds.iter().find(|b| !commits.contains(format!("{} {}", b.commit, b.id).as_str()))
    {
        world.site.is_wrong(format!("{}: {lost:?} is not on the branch", tenant.slug));
    }
}

fn clone(world: &World, tenant: &Tenant, options: &[&str], dir: &Path) -> bool {
    let url = format!("{}/git/{}.git", world.site.url, tenant.slug);
    let to = text(dir);
    let done = run(world, tenant, &[&["clone", "--quiet"], options, &[&url, &to]].concat());
    if !done {
        let _ = std::fs::remove_dir_all(dir);
    }
    done
}

/// Runs git with the tenant's token. It may fail only of a server that was killed.
fn run(world: &World, tenant: &Tenant, args: &[&str]) -> bool {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.token("git"));
    let (epoch, purges) = (world.site.epoch(), world.purges.load(Ordering::SeqCst));
    let Output { status, stderr, .. } = git_output(&[&["-c", &header], args].concat());
    let is_purged = world.purges.load(Ordering::SeqCst) != purges || !purges.is_multiple_of(2);
    let may_fail = is_later(&stderr) || is_purged && is_gone(&stderr);
    if !status.success() && world.site.ran_since(epoch) && !may_fail {
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        world.site.is_wrong(format!("{}: git {args:?}: {stderr}", tenant.slug));
    }
    if !status.success() {
        world.site.count("git commands cut off or put off");
    }
    status.success()
}

/// git does not come again by itself when it is asked to.
fn is_later(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("503")
}

/// A tag that was listed is purged before it is asked for: of stock git's own server, too, that is an error.
fn is_gone(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("not our ref")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
