//! Every commit and tag is signed, and stock git verifies it with what the server publishes.

use std::path::{Path, PathBuf};

use colophon_gitbridge::signed;
use colophon_model::{BuildRecord, GitKind, TagObject};
use colophon_store::Change;
use colophon_store::rows::TenantRow;
use colophon_trust::Seed;
use colophon_trust::sshsig::SshKey;

use crate::support::process::{colophon, run};
use crate::support::programs::{clone, git_in, git_output, need};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// A clone of a tenant with two builds, and a file with the keys that are trusted in it.
fn cloned(server: &TestServer, tenant: &TestTenant) -> (PathBuf, PathBuf) {
    assert_eq!(server.build(tenant, ORDER_INTAKE).status, 201);
    assert_eq!(server.build(tenant, &small_flow("orders", None, "hello")).status, 201);
    let (dir, signers) = (server.path("clone"), server.path("allowed_signers"));
    clone(&server.git_url(tenant), &tenant.git, &dir);
    std::fs::write(&signers, server.get("/v1/keys/git", &[]).bytes).unwrap();
    (dir, signers)
}

/// What `git verify-commit` or `git verify-tag` says of a revision; `None` when it refuses.
fn verified(dir: &Path, signers: &Path, how: &str, revision: &str) -> Option<String> {
    let config = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let dir = dir.display().to_string();
    let output = git_output(&["-C", &dir, "-c", &config, how, revision]);
    output.status.success().then(|| String::from_utf8(output.stderr).unwrap())
}

/// The whole history from the first commit on, and every tag, with nothing but the published line.
#[test]
fn git_verifies_every_commit_and_tag() {
    need("ssh-keygen");
    let server = TestServer::start();
    let (dir, signers) = cloned(&server, &server.tenant("acme-inc"));
    let commits = git_in(&dir, &["rev-list", "HEAD"]);
    assert_eq!(commits.lines().count(), 3);
    for commit in commits.lines() {
        let said = verified(&dir, &signers, "verify-commit", commit).expect("it is signed");
        assert!(said.starts_with("Good \"git\" signature for builds@colophon.invalid"), "{said}");
    }
    let tags = git_in(&dir, &["tag"]);
    assert_eq!(tags.lines().count(), 3);
    for tag in tags.lines() {
        assert!(verified(&dir, &signers, "verify-tag", tag).is_some(), "{tag}");
    }
    git_in(&dir, &["fsck", "--strict", "--full"]);
    let raw = git_in(&dir, &["cat-file", "commit", "HEAD"]);
    assert_eq!(raw.matches("gpgsig").count(), 1, "{raw}");
    assert!(git_in(&dir, &["log", "--format=%(trailers:key=Flow)"]).contains("Flow: orders"));
}

/// A signature of anyone else, or over anything else, does not pass.
#[test]
fn another_key_or_another_commit_does_not_verify() {
    need("ssh-keygen");
    let server = TestServer::start();
    let (dir, signers) = cloned(&server, &server.tenant("acme-inc"));
    let text = std::fs::read_to_string(&signers).unwrap();
    let other = SshKey::from_seed(&Seed::new([9; 32])).public().line();
    let key = server.app.press.keys.git_key().public().line();
    let strangers = server.path("strangers");
    std::fs::write(&strangers, text.replace(&key, &other)).unwrap();
    assert!(verified(&dir, &strangers, "verify-commit", "HEAD").is_none());
    let raw = git_in(&dir, &["cat-file", "commit", "HEAD"]);
    let forged = server.path("forged");
    std::fs::write(&forged, raw.replace("Flow: orders", "Flow: ordeal")).unwrap();
    let oid = git_in(&dir, &["hash-object", "-t", "commit", "-w", &forged.display().to_string()]);
    assert!(verified(&dir, &signers, "verify-commit", oid.trim()).is_none());
    assert!(verified(&dir, &signers, "verify-commit", "HEAD").is_some());
}

#[test]
fn the_key_is_published_as_a_line_and_as_json() {
    let server = TestServer::start();
    let line = server.get("/v1/keys/git", &[]);
    assert_eq!((line.status, line.header("content-type")), (200, "text/plain; charset=utf-8"));
    let text = String::from_utf8(line.bytes).unwrap();
    let public = server.app.press.keys.git_key().public().line();
    assert_eq!(text, format!("builds@colophon.invalid namespaces=\"git\" {public}\n"));
    let json = server.get("/v1/keys/git", &[("accept", "text/html, application/json;q=0.9")]);
    let key = json.json();
    assert_eq!((&key["allowed_signers"], &key["public"]), (&text.into(), &public.into()));
    assert!(key["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    assert_eq!(json.header("vary"), "Accept");
}

/// The record has what the commit cannot be made from again: its signature and those of its tags.
#[test]
fn signatures_are_facts_of_the_record() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (dir, _) = cloned(&server, &tenant);
    let view = server.app.press.store.view().unwrap();
    let uid = view.get::<TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid;
    let records = view.scan::<BuildRecord>(&uid).map(|row| row.unwrap().1);
    for record in records {
        let signatures = record.signatures.unwrap();
        let raw = git_in(&dir, &["cat-file", "commit", &record.commit.to_string()]);
        let commit = signed(GitKind::Commit, raw.as_bytes()).unwrap();
        assert_eq!(commit.signature, signatures.commit);
        assert_eq!(signatures.tags.len(), record.tags.len());
        for (tag, signature) in record.tags.iter().zip(&signatures.tags) {
            let raw = git_in(&dir, &["cat-file", "tag", &tag.to_string()]);
            assert_eq!(&signed(GitKind::Tag, raw.as_bytes()).unwrap().signature, signature);
        }
    }
}

/// A tag row that hashes to its id and yet bears a bad signature of our key can only be a forgery.
#[test]
fn fsck_finds_a_signature_that_is_not_ours() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (dir, _) = cloned(&server, &tenant);
    let data = server.data();
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    let press = &server.app.press;
    let view = press.store.view().unwrap();
    let uid = view.get::<TenantRow>(&tenant.slug.parse().unwrap()).unwrap().unwrap().uid;
    let (key, mut tag) = view.scan::<TagObject>(&uid).next().unwrap().unwrap();
    let text = String::from_utf8(tag.bytes.clone()).unwrap();
    let other = press.keys.git_key().sign(b"something else");
    let old = signed(GitKind::Tag, text.as_bytes()).unwrap().signature;
    tag.bytes = text.replace(old.as_str(), other.as_str()).into_bytes();
    let file = server.path("tag");
    std::fs::write(&file, &tag.bytes).unwrap();
    let oid = git_in(&dir, &["hash-object", "-t", "tag", &file.display().to_string()]);
    tag.oid = oid.trim().parse().unwrap();
    let mut change = Change::new();
    change.delete::<TagObject>(&key).put(&(uid, tag.oid), &tag);
    press.store.commit(change).unwrap();
    drop(view);
    let found = run(&data, &["fsck"]);
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("E_GIT_SIGNATURE  tenant acme-inc"), "{text}");
    assert_eq!(found.status.code(), Some(1));
}
