//! Packs, checked by `git index-pack --strict`: the sets of objects and nothing else.

use std::collections::BTreeSet;

use colophon_gitbridge::{ObjectLog, Protocol};
use colophon_model::{GitKind, Oid};
use proptest::prelude::*;

use crate::support::tenant::{Edit, put, remove};
use crate::support::{Git, Tenant, ask, body, drain, upload_pack};

/// Fetches without side bands: what follows the acknowledgments is the pack.
fn raw_pack(log: &dyn ObjectLog, capabilities: &str, want: &[Oid], haves: &[Oid]) -> Vec<u8> {
    let mut lines: Vec<String> = want.iter().map(|oid| format!("want {oid}")).collect();
    lines[0] = format!("{} {capabilities}", lines[0]);
    lines.push("0000".to_owned());
    lines.extend(haves.iter().map(|oid| format!("have {oid}")));
    lines.push("done".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = ask(log, Protocol::V0, &lines).unwrap();
    let start = answer.windows(4).position(|bytes| bytes == b"PACK").unwrap();
    answer[start..].to_vec()
}

/// Indexes a pack in a fresh repository, after `first` when it is thin; gives the pack's objects.
fn index(first: Option<&[u8]>, pack: &[u8]) -> BTreeSet<String> {
    let git = Git::new(2);
    git.run("", &["init", "-q", "--bare", "r"]);
    let before = first.map_or_else(BTreeSet::new, |first| {
        git.feed("r", &["index-pack", "--strict", "--stdin"], first);
        objects(&git)
    });
    git.feed("r", &["index-pack", "--strict", "--fix-thin", "--stdin"], pack);
    &objects(&git) - &before
}

fn objects(git: &Git) -> BTreeSet<String> {
    let format = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
    git.run("r", &format).lines().map(str::to_owned).collect()
}

fn oids(tenant: &Tenant, range: std::ops::Range<usize>) -> BTreeSet<String> {
    tenant.log.entries[range].iter().map(|entry| entry.oid.to_string()).collect()
}

fn position(tenant: &Tenant, commit: Oid) -> usize {
    tenant.log.entries.iter().position(|entry| entry.oid == commit).unwrap()
}

#[test]
fn incremental_packs_hold_what_is_new() {
    let tenant = Tenant::with_builds(9);
    let (have, want) = (tenant.commits[4], tenant.commits[8]);
    let base = raw_pack(&tenant.log, "ofs-delta", &[have], &[]);
    let expected = oids(&tenant, position(&tenant, have) + 1..position(&tenant, want) + 1);
    for capabilities in ["", "ofs-delta", "thin-pack", "thin-pack ofs-delta"] {
        let pack = raw_pack(&tenant.log, capabilities, &[want], &[have]);
        assert_eq!(index(Some(&base), &pack), expected, "{capabilities:?}");
        if !capabilities.contains("thin") {
            // Without thin packs it must also resolve on its own. Objects refer to older ones, so
            // not `--strict`.
            let git = Git::new(2);
            git.run("", &["init", "-q", "--bare", "r"]);
            git.feed("r", &["index-pack", "--stdin"], &pack);
        }
    }
    let size = |capabilities| raw_pack(&tenant.log, capabilities, &[want], &[have]).len();
    assert!(size("thin-pack ofs-delta") < size("ofs-delta"), "thin packs save bytes");
}

#[test]
fn single_trees_and_blobs_can_be_wanted() {
    let tenant = Tenant::with_builds(3);
    let last = |kind| tenant.log.entries.iter().rfind(|entry| entry.kind == kind).unwrap().oid;
    let blob = last(GitKind::Blob);
    let one = index(None, &raw_pack(&tenant.log, "ofs-delta", &[blob], &[]));
    assert_eq!(one, BTreeSet::from([blob.to_string()]));
    let tree = index(None, &raw_pack(&tenant.log, "ofs-delta", &[last(GitKind::Tree)], &[]));
    // Files of the tip and its folders: root, app, flows, acme, .github, workflows, edge_scripts.
    let folders = 7;
    assert_eq!(
        tree.len(),
        tenant.files.len()
            + folders
            + usize::from(tenant.files.contains_key("edge_scripts/old/once.py"))
    );
    let both = [blob, tenant.commits[0]];
    let mut expected = oids(&tenant, 0..position(&tenant, tenant.commits[0]) + 1);
    expected.insert(blob.to_string());
    assert_eq!(index(None, &raw_pack(&tenant.log, "ofs-delta", &both, &[])), expected);
}

#[test]
fn tags_come_along_when_their_commits_do() {
    let tenant = Tenant::with_builds(4);
    let (have, want) = (tenant.commits[2], tenant.tip());
    let base = raw_pack(&tenant.log, "ofs-delta", &[have], &[]);
    let plain = index(Some(&base), &raw_pack(&tenant.log, "ofs-delta", &[want], &[have]));
    let tags = raw_pack(&tenant.log, "ofs-delta include-tag", &[want], &[have]);
    let with_tags = index(Some(&base), &tags);
    assert_eq!(with_tags.difference(&plain).count(), 2, "of builds 3 and 4 only");
    let tag = tenant.log.refs("refs/tags/").unwrap().pop().unwrap();
    let asked = index(None, &raw_pack(&tenant.log, "ofs-delta include-tag", &[tag.oid], &[]));
    assert_eq!(asked.len(), tenant.log.entries.len() + 5, "a tag brings its commit, once");
}

/// Having a file does not mean having the commits before it.
#[test]
fn only_commits_and_their_tags_count_as_common() {
    let tenant = Tenant::with_builds(2);
    let all = oids(&tenant, 0..tenant.log.entries.len());
    let loose = tenant.log.entries.iter().filter(|entry| entry.kind != GitKind::Commit);
    let haves: Vec<Oid> = loose.map(|entry| entry.oid).collect();
    let pack = raw_pack(&tenant.log, "thin-pack ofs-delta", &[tenant.tip()], &haves);
    assert_eq!(index(None, &pack), all);
    let newest = tenant.log.refs("refs/tags/").unwrap().pop().unwrap();
    let pack = raw_pack(&tenant.log, "ofs-delta", &[tenant.tip()], &[newest.oid]);
    assert_eq!(pack.len(), 32, "a tag stands for its commit");
}

/// A client that has more than it asks for gets a valid pack of nothing.
#[test]
fn wanting_less_than_one_has_gives_an_empty_pack() {
    let tenant = Tenant::with_builds(3);
    let base = raw_pack(&tenant.log, "", &[tenant.tip()], &[]);
    let pack = raw_pack(&tenant.log, "thin-pack", &[tenant.commits[1]], &[tenant.tip()]);
    assert_eq!(pack.len(), 32, "a header and a checksum");
    assert_eq!(index(Some(&base), &pack), BTreeSet::new());
}

/// A slow client must not see builds or purges that happen while it reads.
#[test]
fn a_pack_is_fixed_when_it_is_planned() {
    let mut tenant = Tenant::with_builds(5);
    let want = format!("want {} ofs-delta include-tag", tenant.tip());
    let request = body(&[&want, "0000", "done"]);
    let expected = ask(&tenant.log, Protocol::V0, &[&want, "0000", "done"]).unwrap();
    let response = upload_pack().answer(&tenant.log, Protocol::V0, &request).unwrap();
    tenant.build();
    tenant.log.purge_tags();
    assert_eq!(drain(&tenant.log, response), expected);
}

/// A read that fails in the middle can be tried again, and the client can be told.
#[test]
fn a_failed_read_spoils_nothing() {
    let tenant = Tenant::with_builds(5);
    let want = format!("want {} ofs-delta side-band-64k", tenant.tip());
    let request = body(&[&want, "0000", "done"]);
    let expected = ask(&tenant.log, Protocol::V0, &[&want, "0000", "done"]).unwrap();
    let response = upload_pack().answer(&tenant.log, Protocol::V0, &request).unwrap();
    let (mut out, mut pack) = (response.head, response.pack.unwrap());
    let mut cut = tenant.log.clone();
    cut.entries.truncate(10);
    let error = pack.next(&cut).unwrap_err();
    assert!(!error.is_clients());
    assert_eq!(pack.failure(&error)[4], 3, "on the band for errors");
    while let Some(piece) = pack.next(&tenant.log).unwrap() {
        out.extend(piece);
    }
    assert!(out == expected);
}

/// Objects larger than a piece are cut over several.
#[test]
fn large_objects_are_streamed_in_pieces() {
    let mut tenant = Tenant::default();
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + ((state >> 40) % 90) as u8)
    };
    let text: String = (0..400_000).map(|_| noise()).collect();
    tenant.commit(&[put("big", &text), put("small", "x")]).unwrap();
    let want = format!("want {} side-band-64k", tenant.tip());
    let request = body(&[&want, "0000", "done"]);
    let response = upload_pack().answer(&tenant.log, Protocol::V0, &request).unwrap();
    let mut pack = response.pack.unwrap();
    let mut sizes = Vec::new();
    while let Some(piece) = pack.next(&tenant.log).unwrap() {
        sizes.push(piece.len());
    }
    assert!(sizes.len() > 4 && sizes[..4] == [65_520; 4], "{sizes:?}");
    assert_eq!(index(None, &raw_pack(&tenant.log, "", &[tenant.tip()], &[])).len(), 4);
}

/// Files come, change, move between a few folders, and go.
fn edits() -> impl Strategy<Value = Vec<(u8, Option<u16>)>> {
    proptest::collection::vec((0_u8..12, proptest::option::weighted(0.8, 0_u16..40)), 1..5)
}

fn to_edits(tenant: &Tenant, raw: &[(u8, Option<u16>)]) -> Vec<Edit> {
    let mut paths = BTreeSet::new();
    let path = |n: u8| format!("d{}/e{}/f{n}", n % 3, n % 2);
    raw.iter()
        .filter(|(n, _)| paths.insert(*n))
        .filter_map(|(n, text)| match text {
            Some(seed) => {
                let lines =
                    |i: u16| format!("{} {}\n", i % 17, if i == *seed { seed * 31 } else { i });
                Some(put(&path(*n), &(0..60).map(lines).collect::<String>()))
            }
            None => tenant.files.contains_key(&path(*n)).then(|| remove(&path(*n))),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Any linear history: the pack of any range is exactly what was appended in it, and Git accepts
    /// every object.
    #[test]
    fn packs_of_any_history_hold_what_was_appended(
        history in proptest::collection::vec(edits(), 2..14),
        from in 0_usize..100,
        to in 0_usize..100,
    ) {
        let mut tenant = Tenant::default();
        for raw in &history {
            let edits = to_edits(&tenant, raw);
            tenant.commit(&edits).unwrap();
        }
        let from = from % tenant.commits.len();
        let to = from + to % (tenant.commits.len() - from);
        let (have, want) = (tenant.commits[from], tenant.commits[to]);
        let base = raw_pack(&tenant.log, "ofs-delta", &[have], &[]);
        let end = position(&tenant, have) + 1;
        prop_assert_eq!(index(None, &base), oids(&tenant, 0..end));
        let pack = raw_pack(&tenant.log, "thin-pack ofs-delta", &[want], &[have]);
        prop_assert_eq!(index(Some(&base), &pack), oids(&tenant, end..position(&tenant, want) + 1));
    }
}
