//! Stock Git over HTTP, in all three versions of the protocol: one check per thing that people do
//! with Git. A check looks at what arrived, not only at how the command ended.

mod cloning;
mod fetching;
mod negotiating;
mod partial;
mod races;
mod refs;
mod shallow;
mod upkeep;

use std::fmt::Write as _;
use std::sync::LazyLock;

use colophon_model::Oid;

use crate::support::{Git, Server, Tenant};

/// Where the builds of a fresh server end: it has this many, after its bootstrap.
const BUILDS: usize = 10;

/// Runs `check` once per protocol version, on a fresh server with ten builds.
fn each_version(check: impl Fn(&mut Git, &Server)) {
    static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::with_builds(BUILDS));
    each_version_of(&TENANT, check);
}

/// The same on a server with `tenant`.
fn each_version_of(tenant: &Tenant, check: impl Fn(&mut Git, &Server)) {
    for version in 0..=2 {
        // Shown when the check fails.
        eprintln!("protocol version {version}");
        check(&mut Git::new(version), &Server::start(tenant.clone()));
    }
}

/// Clones into the folder `r`.
fn clone(git: &Git, server: &Server, args: &[&str]) {
    git.run("", &[&["clone", "-q"], args, &[server.url.as_str(), "r"]].concat());
}

/// The repository `r` is sound, `rev` is the tip, and its tree is what was put in.
fn check(git: &Git, server: &Server, rev: &str) {
    sound(git, "r");
    let tenant = server.tenant();
    assert_eq!(git.run("r", &["rev-parse", rev]), tenant.tip().to_string());
    let listed = git.run("r", &["ls-tree", "-r", rev]);
    let found: Vec<_> = listed.lines().map(|line| line.replace('\t', " ")).collect();
    let expected: Vec<_> = tenant
        .files
        .iter()
        .map(|(path, (mode, bytes))| format!("{mode} blob {} {path}", blob_id(bytes)))
        .collect();
    assert_eq!(found, expected);
}

fn blob_id(bytes: &[u8]) -> gix_hash::ObjectId {
    gix_object::compute_hash(gix_hash::Kind::Sha1, gix_object::Kind::Blob, bytes).unwrap()
}

/// Git finds nothing wrong in the repository `dir`. What is promised may be missing.
fn sound(git: &Git, dir: &str) {
    // Git asks for tags along with a branch even when it then keeps none: those dangle.
    let args = ["fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
    assert_eq!(git.run(dir, &args), "");
}

/// The files in the folder of `r` are those of the tip.
fn checked_out(git: &Git, server: &Server) {
    for (path, (_, bytes)) in &server.tenant().files {
        let found = std::fs::read(git.path("r").join(path)).unwrap_or_default();
        assert!(found == *bytes, "{path} differs");
    }
    assert_eq!(git.run("r", &["status", "--porcelain"]), "");
}

/// The number of commits that `rev` reaches in `r`.
fn depth(git: &Git, rev: &str) -> usize {
    git.run("r", &["rev-list", "--count", rev]).parse().unwrap()
}

/// Every object in the repository `dir`, sorted. Asks the server for none.
fn objects(git: &Git, dir: &str) -> Vec<String> {
    let args = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    git.run(dir, &args).lines().map(str::to_owned).collect()
}

/// What the refs of the repository `dir` reach, sorted, as `rev-list` with `args` lists it.
fn reachable(git: &Git, dir: &str, args: &[&str]) -> Vec<String> {
    let base = ["rev-list", "--objects", "--no-object-names", "--all"];
    let listed = git.run(dir, &[&base[..], args].concat());
    let mut oids: Vec<_> = listed.lines().map(str::to_owned).collect();
    oids.sort_unstable();
    oids
}

/// Adds `count` empty commits to the branch `branch` of `r`, on top of `parent` or on nothing: work
/// that the server has never seen.
fn add_foreign(git: &Git, branch: &str, parent: Option<Oid>, count: usize) {
    let mut stream = String::new();
    for n in 1..=count {
        let (message, time) = (format!("work {n}\n"), 1_795_262_500 + n);
        write!(stream, "commit refs/heads/{branch}\ncommitter t <t@example.com> {time} +0000\n")
            .unwrap();
        write!(stream, "data {}\n{message}", message.len()).unwrap();
        if let (1, Some(parent)) = (n, parent) {
            writeln!(stream, "from {parent}").unwrap();
        }
    }
    git.feed("r", &["fast-import", "--quiet", "--force"], stream.as_bytes());
}
