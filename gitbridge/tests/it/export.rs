//! Files for stock git: a repository and bundles.

use std::fs;
use std::path::Path;

use colophon_gitbridge::{ObjectLog as _, Part, bundle_header, packed_refs, write_pack};
use colophon_model::{Oid, TagObject};

use crate::support::{Git, Tenant};

fn tags(tenant: &Tenant) -> Vec<TagObject> {
    let refs = tenant.log.refs("refs/tags/").unwrap();
    refs.iter().map(|tag| tenant.log.tag(&tag.oid).unwrap().unwrap()).collect()
}

/// Writes a bare repository to `dir` as the service does.
fn export(tenant: &Tenant, dir: &Path) {
    let packs = dir.join("objects/pack");
    fs::create_dir_all(&packs).unwrap();
    fs::create_dir_all(dir.join("refs")).unwrap();
    let mut pack = Vec::new();
    let index =
        write_pack(&tenant.log, Part::default(), &tags(tenant), &mut pack, &|_| {}).unwrap();
    let name = format!("pack-{}", index.name());
    fs::write(packs.join(format!("{name}.pack")), pack).unwrap();
    fs::write(packs.join(format!("{name}.idx")), index.encode()).unwrap();
    fs::write(dir.join("packed-refs"), packed_refs(&tenant.log.refs("refs/").unwrap())).unwrap();
    fs::write(dir.join("HEAD"), "ref: refs/heads/tenant/acme\n").unwrap();
    fs::write(dir.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        .unwrap();
}

#[test]
fn git_reads_the_pack_the_index_and_the_refs() {
    let (tenant, git) = (Tenant::with_builds(60), Git::new(2));
    export(&tenant, &git.path("bare"));
    git.run("bare", &["fsck", "--strict", "--full"]);
    let objects = git.run("bare", &["cat-file", "--batch-all-objects", "--batch-check"]);
    let count = tenant.log.len().unwrap() as usize + tenant.log.tag_oids().count();
    assert_eq!(objects.lines().count(), count);
    assert_eq!(git.run("bare", &["rev-parse", "HEAD"]), tenant.tip().to_string());
    let refs =
        git.run("bare", &["for-each-ref", "--format=%(objectname) %(refname) %(*objectname)"]);
    let ours = tenant.log.refs("refs/").unwrap().into_iter().map(|one| {
        let peeled = one.peeled.map(|oid| oid.to_string()).unwrap_or_default();
        format!("{} {} {peeled}", one.oid, one.name).trim_end().to_owned()
    });
    let refs: Vec<_> = refs.lines().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(refs, ours.collect::<Vec<_>>());
    // The index is the one that git makes of the pack.
    let pack = fs::read_dir(git.path("bare/objects/pack")).unwrap().map(|f| f.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().unwrap() == "pack").unwrap();
    let (ours, theirs) = (pack.with_extension("idx"), git.path("theirs.idx"));
    git.run(
        "bare",
        &["index-pack", "-o", &theirs.display().to_string(), &pack.display().to_string()],
    );
    assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap());
}

fn bundle(tenant: &Tenant, since: Option<Oid>) -> Vec<u8> {
    let at = since.and_then(|oid| tenant.log.ordinal(&oid).unwrap());
    let refs = tenant.log.refs("refs/").unwrap();
    let mut bytes = bundle_header(since, tenant.tip(), &refs);
    write_pack(&tenant.log, Part { since: at, until: None }, &tags(tenant), &mut bytes, &|_| {})
        .unwrap();
    bytes
}

/// A whole bundle is cloned; what came later arrives as a thin one, which needs the first.
#[test]
fn git_clones_a_bundle_and_fetches_from_a_later_one() {
    let (mut tenant, git) = (Tenant::with_builds(10), Git::new(2));
    fs::write(git.path("whole"), bundle(&tenant, None)).unwrap();
    git.run("", &["clone", "-q", "whole", "r"]);
    assert!(git.run("r", &["bundle", "verify", "../whole"]).contains("complete history"));
    assert_eq!(git.run("r", &["rev-parse", "HEAD"]), tenant.tip().to_string());
    assert_eq!(git.run("r", &["status", "--porcelain"]), "");
    let before = tenant.tip();
    (0..3).for_each(|_| tenant.build());
    let later = bundle(&tenant, Some(before));
    assert!(later.len() * 2 < bundle(&tenant, None).len(), "{} bytes", later.len());
    fs::write(git.path("later"), later).unwrap();
    git.run("", &["init", "-q", "empty"]);
    assert!(git.fails("empty", &["bundle", "verify", "../later"]).contains("prerequisite"));
    git.run("r", &["bundle", "verify", "../later"]);
    git.run("r", &["fetch", "-q", "../later", "refs/heads/tenant/acme"]);
    assert_eq!(git.run("r", &["rev-parse", "FETCH_HEAD"]), tenant.tip().to_string());
    git.run("r", &["fsck", "--strict", "--full"]);
}
