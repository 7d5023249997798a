//! Versions taken from servers: ours, Git's own, and hostile ones.

use std::collections::BTreeMap;
use std::io::Write as _;

use colophon_gitbridge::{
    Part, Protocol, TakeError, Taken, TakenLimits, blob_id, objects_request, parse_objects,
    parse_refs, refs_request,
};
use colophon_model::{FileMode, GitKind, Oid};
use proptest::prelude::*;
use sha1::{Digest as _, Sha1};

use crate::support::{Git, Server, Tenant, drain, upload_pack};

/// Somebody who answers requests of version 2.
type Ask<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

fn ours(tenant: &Tenant) -> impl Fn(&[u8]) -> Vec<u8> + '_ {
    |body| drain(&tenant.log, upload_pack().answer(&tenant.log, Protocol::V2, body).unwrap())
}

fn taken(answer: &[u8]) -> Result<Taken, TakeError> {
    let mut taken = Taken::default();
    parse_objects(answer, &TakenLimits::default(), &mut taken).map(|()| taken)
}

/// The files of a commit, the way that a checkout goes: trees first, then all blobs by id.
fn files(ask: Ask<'_>, commit: Oid) -> BTreeMap<String, Oid> {
    let trees = taken(&ask(&objects_request(&[commit], Part::WithoutBlobs))).unwrap();
    let listed = trees.files(trees.commit(commit).unwrap().tree, 1_000).unwrap();
    assert!(trees.get(listed[0].oid, GitKind::Blob).is_err(), "blobs do not come along");
    let oids: Vec<Oid> = listed.iter().map(|file| file.oid).collect();
    let blobs = taken(&ask(&objects_request(&oids, Part::Whole))).unwrap();
    let read = |oid| blob_id(blobs.get(oid, GitKind::Blob).unwrap()).unwrap();
    listed.into_iter().map(|file| (file.path.to_string(), read(file.oid))).collect()
}

/// What stock git says that a commit holds: each file's blob.
fn known_to_git(git: &Git, commit: Oid) -> BTreeMap<String, Oid> {
    let list = git.run("r", &["ls-tree", "-r", &commit.to_string()]);
    let file = |line: &str| {
        let (head, path) = line.split_once('\t').unwrap();
        (path.to_owned(), head.split(' ').nth(2).unwrap().parse().unwrap())
    };
    list.lines().map(file).collect()
}

fn mirrored(builds: usize) -> (Git, Tenant) {
    let (git, server) = (Git::new(2), Server::start(Tenant::with_builds(builds)));
    git.run("", &["clone", "-q", "--mirror", &server.url, "r"]);
    git.run("r", &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    git.run("r", &["config", "uploadpack.allowFilter", "true"]);
    git.run("r", &["repack", "-adfq", "--depth=20", "--window=20"]);
    let tenant = server.tenant().clone();
    (git, tenant)
}

/// Our packs hold what we stored; Git's hold deltas of its own choice. Both give what stock git shows.
#[test]
fn every_version_comes_from_our_server_and_from_gits() {
    let (git, tenant) = mirrored(6);
    for commit in &tenant.commits {
        let expected = known_to_git(&git, *commit);
        assert!(expected.len() > 1);
        assert_eq!(files(&ours(&tenant), *commit), expected);
        assert_eq!(files(&|body| git.upload_pack("r", 2, body), *commit), expected);
    }
}

#[test]
fn refs_are_found_and_tags_lead_to_commits() {
    let tenant = Tenant::with_builds(2);
    let name = "refs/tags/bld/acme/00000000000000001-cloud";
    let refs = parse_refs(&ours(&tenant)(&refs_request(&[name, "refs/heads/"]))).unwrap();
    let at = |name: &str| refs.iter().find(|found| found.name == name).map(|found| found.oid);
    assert_eq!(at("refs/heads/tenant/acme"), Some(tenant.tip()));
    assert!(tenant.commits.contains(&at(name).unwrap()), "peeled");
    assert_eq!(parse_refs(b"0000"), Ok(vec![]));
    assert!(parse_refs(b"0009x y\n0000").is_err() && parse_refs(b"").is_err());
}

/// A connection that breaks, and one that lies: never a version that was not asked for.
#[test]
fn what_is_cut_or_altered_is_never_taken_for_what_was_asked_for() {
    let tenant = Tenant::with_builds(2);
    let answer = ours(&tenant)(&objects_request(&[tenant.tip()], Part::WithoutBlobs));
    let whole = taken(&answer).unwrap();
    let tree = whole.commit(tenant.tip()).unwrap().tree;
    let listed = whole.files(tree, 1_000).unwrap();
    for cut in 0..answer.len() {
        assert!(taken(&answer[..cut]).is_err(), "{cut}");
    }
    for at in 0..answer.len() {
        let mut altered = answer.clone();
        altered[at] ^= 0x10;
        let Ok(taken) = taken(&altered) else { continue };
        let Ok(commit) = taken.commit(tenant.tip()) else { continue };
        assert_eq!(taken.files(commit.tree, 1_000).as_ref(), Ok(&listed), "{at}");
    }
}

#[test]
fn refusals_come_in_the_servers_words() {
    let tenant = Tenant::with_builds(0);
    let unknown = Oid::from_bytes([0xab; 20]);
    let refused = taken(b"000eERR no\x1b[2J0000").unwrap_err();
    assert_eq!(refused, TakeError::Refused("no?[2J".to_owned()));
    let taken = taken(&ours(&tenant)(&objects_request(&[tenant.tip()], Part::Whole))).unwrap();
    assert_eq!(taken.get(unknown, GitKind::Blob), Err(TakeError::Missing(unknown)));
    assert!(matches!(taken.get(tenant.tip(), GitKind::Blob), Err(TakeError::NotA { .. })));
}

/// One entry of a pack: its type, its size, what stands before the stream, and the stream.
fn entry(kind: u8, base: &[u8], bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len();
    let mut out = vec![(kind << 4) | (size & 15) as u8 | if size > 15 { 0x80 } else { 0 }];
    let mut rest = size >> 4;
    while rest > 0 {
        out.push((rest & 0x7f) as u8 | if rest > 0x7f { 0x80 } else { 0 });
        rest >>= 7;
    }
    out.extend_from_slice(base);
    let mut stream = flate2::write::ZlibEncoder::new(out, flate2::Compression::fast());
    stream.write_all(bytes).unwrap();
    stream.finish().unwrap()
}

/// An answer with a pack of these entries.
fn answer(count: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut pack = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes(), &entries.concat()].concat();
    pack.extend_from_slice(&Sha1::digest(&pack));
    let mut out = b"000dpackfile\n".to_vec();
    for part in pack.chunks(60_000) {
        out.extend_from_slice(format!("{:04x}\u{1}", part.len() + 5).as_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"0000");
    out
}

/// A delta may stand before what it rests on.
#[test]
fn deltas_find_their_bases_wherever_they_stand() {
    let base = b"0123456789abcdef".to_vec();
    let oid = blob_id(&base).unwrap();
    // Sizes, then a copy of all 16 bytes, then three of its own.
    let delta = b"\x10\x13\x90\x10\x03xyz";
    let made = [&base[..], b"xyz"].concat();
    for order in [[0, 1], [1, 0]] {
        let parts = [entry(7, oid.as_bytes(), delta), entry(3, b"", &base)];
        let taken = taken(&answer(2, &order.map(|at: usize| parts[at].clone()))).unwrap();
        let found = taken.get(blob_id(&made).unwrap(), GitKind::Blob);
        assert_eq!(found, Ok(&made[..]), "{order:?}");
    }
    let alone = taken(&answer(1, &[entry(7, oid.as_bytes(), delta)]));
    assert!(matches!(alone, Err(TakeError::Malformed(_))));
}

/// Small packs that claim to hold much are refused before memory is.
#[test]
fn packs_are_bounded() {
    let limits = TakenLimits { objects: 3, object: 100, total: 150 };
    let parse = |answer: &[u8]| parse_objects(answer, &limits, &mut Taken::default());
    let blob = |n: usize| entry(3, b"", &vec![b'x'; n]);
    assert_eq!(parse(&answer(1, &[blob(100)])), Ok(()));
    let refused = [
        answer(4, &[blob(1), blob(2), blob(3), blob(4)]),
        answer(1, &[blob(101)]),
        answer(2, &[blob(100), blob(51)]),
        // Says that it makes 200 bytes.
        answer(2, &[blob(16), entry(7, blob_id(&[b'x'; 16]).unwrap().as_bytes(), b"\x10\xc8\x01")]),
    ];
    for (at, refused) in refused.iter().enumerate() {
        assert!(matches!(parse(refused), Err(TakeError::TooMuch { .. })), "{at}");
    }
    let says_less =
        [answer(1, &[blob(1), blob(2)]), answer(3, &[blob(1)]), answer(1, &[vec![0xff; 20]])];
    assert!(says_less.iter().all(|answer| parse(answer).is_err()));
}

fn tree(entries: &[(&str, &str, Oid)]) -> Vec<u8> {
    let entry = |(mode, name, oid): &(&str, &str, Oid)| {
        [format!("{mode} {name}\0").as_bytes(), oid.as_bytes()].concat()
    };
    entries.iter().flat_map(entry).collect()
}

/// A server that was taken over cannot write outside of the folder, nor anything but files.
#[test]
fn trees_that_must_not_be_checked_out_are_refused() {
    let blob = Oid::from_bytes([1; 20]);
    let list = |entries: &[(&str, &str, Oid)]| {
        let mut taken = Taken::default();
        let inner = taken.add(GitKind::Tree, tree(&[("100644", "a", blob)])).unwrap();
        let known = |oid| if oid == Oid::from_bytes([2; 20]) { inner } else { oid };
        let entries: Vec<_> = entries.iter().map(|(m, n, oid)| (*m, *n, known(*oid))).collect();
        let top = taken.add(GitKind::Tree, tree(&entries)).unwrap();
        taken.files(top, 3)
    };
    let inner = Oid::from_bytes([2; 20]);
    let good = list(&[("100755", "run", blob), ("40000", "x", inner)]).unwrap();
    assert_eq!((good[0].mode, good[1].path.as_str()), (FileMode::Executable, "x/a"));
    for (mode, name) in [
        ("100644", ".."),
        ("100644", "."),
        ("100644", ""),
        ("100644", "a/b"),
        ("100644", "../a"),
        ("100644", ".git"),
        ("40000", ".GIT"),
        ("100644", "con.txt"),
        ("100644", "a\\b"),
        ("100644", "a\u{e9}"),
        ("120000", "link"),
        ("160000", "module"),
    ] {
        let oid = if mode == "40000" { inner } else { blob };
        assert!(list(&[(mode, name, oid)]).is_err(), "{mode} {name}");
    }
    let twice = [("100644", "A", blob), ("100644", "a", blob)];
    assert!(matches!(list(&twice), Err(TakeError::Entry { .. })));
    let many = ["a", "b", "c", "d"].map(|name| ("100644", name, blob));
    assert!(list(&many[..3]).is_ok());
    assert!(matches!(list(&many), Err(TakeError::TooMuch { .. })));
    assert!(matches!(list(&[("40000", "x", blob)]), Err(TakeError::Missing(_))));
}

/// Thirty small trees that would be a billion folders without one file.
#[test]
fn trees_that_hold_each_other_many_times_come_to_an_end() {
    let mut taken = Taken::default();
    let mut top = taken.add(GitKind::Tree, Vec::new()).unwrap();
    for _ in 0..30 {
        top = taken.add(GitKind::Tree, tree(&[("40000", "a", top), ("40000", "b", top)])).unwrap();
    }
    assert_eq!(taken.files(top, 1_000), Err(TakeError::TooMuch { what: "folders", most: 1_000 }));
}

proptest! {
    /// Whatever a server sends, inside and outside of well-formed packs.
    #[test]
    fn junk_never_panics(body: Vec<u8>, kind in 0_u8..8, base: Vec<u8>, bytes: Vec<u8>) {
        let _ = taken(&body);
        let _ = parse_refs(&body);
        let _ = taken(&answer(1, &[entry(kind, &base, &bytes)]));
        let _ = taken(&answer(1, &[body]));
    }
}
