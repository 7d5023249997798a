//! The same repository behind `git upload-pack`: the same request must get the same answer, byte for
//! byte, up to the pack.

use colophon_gitbridge::Protocol;
use colophon_model::Oid;

use crate::support::{Git, Server, Tenant, ask, body};

const UNKNOWN: [Oid; 2] = [Oid::from_bytes([0xab; 20]), Oid::from_bytes([0xcd; 20])];

/// A tenant, and a mirror of it in the folder `r`.
fn mirrored(builds: usize) -> (Git, Tenant) {
    let (git, server) = (Git::new(2), Server::start(Tenant::with_builds(builds)));
    git.run("", &["clone", "-q", "--mirror", &server.url, "r"]);
    git.run("r", &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let tenant = server.tenant().clone();
    (git, tenant)
}

/// What stands before the pack.
fn talk(answer: &[u8], end: &[u8]) -> String {
    let at = answer.windows(end.len()).position(|bytes| bytes == end).unwrap_or(answer.len());
    String::from_utf8(answer[..at].to_vec()).unwrap()
}

/// libgit2, JGit and go-git use ways of acknowledging that Git no longer does over HTTP.
#[test]
fn version_0_acknowledges_as_git_does() {
    let (git, tenant) = mirrored(5);
    let known = |n: usize| format!("have {}", tenant.commits[n]);
    let unknown = |n: usize| format!("have {}", UNKNOWN[n]);
    let haves = [
        vec![],
        vec![known(0)],
        vec![known(1), known(3)],
        vec![unknown(0)],
        vec![unknown(0), known(2)],
        vec![known(2), unknown(0)],
        vec![known(0), unknown(0), known(4), unknown(1)],
    ];
    for capabilities in
        ["", "multi_ack", "multi_ack no-done", "multi_ack_detailed", "multi_ack_detailed no-done"]
    {
        for (haves, end) in haves.iter().flat_map(|haves| [(haves, "0000"), (haves, "done")]) {
            let want = format!("want {} {capabilities}", tenant.tip());
            let mut lines = vec![want.as_str(), "0000"];
            lines.extend(haves.iter().map(String::as_str));
            lines.push(end);
            let ours = ask(&tenant.log, Protocol::V0, &lines).unwrap();
            let gits = git.upload_pack("r", 0, &body(&lines));
            assert_eq!(talk(&ours, b"PACK"), talk(&gits, b"PACK"), "{lines:?}");
            assert_eq!(ours.ends_with(b"0000"), gits.ends_with(b"0000"));
        }
    }
}

#[test]
fn version_2_acknowledges_as_git_does() {
    let (git, tenant) = mirrored(5);
    let want = format!("want {}", tenant.tip());
    let (first, third) = (tenant.commits[1].to_string(), tenant.commits[3].to_string());
    let unknown = UNKNOWN[0].to_string();
    for haves in [vec![&unknown], vec![&first], vec![&first, &unknown, &third]] {
        for end in [&["0000"][..], &["done", "0000"]] {
            let haves: Vec<_> = haves.iter().map(|oid| format!("have {oid}")).collect();
            let mut lines = vec!["command=fetch", "object-format=sha1", "0001", &want];
            lines.extend(haves.iter().map(String::as_str));
            lines.extend(end);
            let ours = ask(&tenant.log, Protocol::V2, &lines).unwrap();
            let gits = git.upload_pack("r", 2, &body(&lines));
            assert_eq!(talk(&ours, b"packfile"), talk(&gits, b"packfile"), "{lines:?}");
        }
    }
}

#[test]
fn refs_are_listed_as_git_does() {
    let (git, tenant) = mirrored(3);
    for arguments in [
        &[][..],
        &["peel"],
        &["symrefs", "peel"],
        &["symrefs", "unborn", "ref-prefix HEAD"],
        &["peel", "ref-prefix refs/tags/", "ref-prefix refs/heads/"],
        &["ref-prefix refs/tags/bld/acme/00000000000000001"],
        &["ref-prefix nothing"],
        &["ref-prefix refs/tags/bld", "ref-prefix refs/", "ref-prefix refs/tags/bld"],
        &["ref-prefix HEAD", "ref-prefix "],
    ] {
        let lines = [&["command=ls-refs", "0001"], arguments, &["0000"]].concat();
        let ours = ask(&tenant.log, Protocol::V2, &lines).unwrap();
        let gits = git.upload_pack("r", 2, &body(&lines));
        assert_eq!(talk(&ours, b"none"), talk(&gits, b"none"), "{lines:?}");
    }
}
