//! What appending adds, and what it refuses.

use colophon_gitbridge::{Change, Error, Message, NewCommit, ObjectLog, annotate, append};
use colophon_model::{FileMode, GitKind, UnixMillis};

use crate::support::tenant::{author, new_tag, put, remove};
use crate::support::{Git, Tenant};

fn kinds(tenant: &Tenant, from: usize) -> Vec<GitKind> {
    tenant.log.entries[from..].iter().map(|entry| entry.kind).collect()
}

/// A commit reaches exactly the ordinals up to its own, so it must come last, after all it needs.
#[test]
fn the_commit_comes_last_and_known_objects_are_not_added_again() {
    let mut tenant = Tenant::default();
    tenant.commit(&[put("a/x", "same"), put("b", "same")]).unwrap();
    assert_eq!(kinds(&tenant, 0), [GitKind::Blob, GitKind::Tree, GitKind::Tree, GitKind::Commit]);
    tenant.commit(&[put("a/x", "other")]).unwrap();
    tenant.commit(&[put("a/x", "same")]).unwrap();
    assert_eq!(kinds(&tenant, 8), [GitKind::Commit], "the old blob and both old trees are reused");
}

#[test]
fn the_same_builds_give_the_same_entries() {
    let (one, two) = (Tenant::with_builds(12), Tenant::with_builds(12));
    assert_eq!(one.log.entries, two.log.entries);
    assert_eq!(one.commits, two.commits);
}

/// The order in which the compiler lists files must not reach the log.
#[test]
fn the_order_of_changes_does_not_matter() {
    let tenant = Tenant::with_builds(1);
    let mut edits = vec![put("z", "1"), put("a/b", "2"), remove("README.md"), put("a/a", "3")];
    let one = tenant.prepare(&edits).unwrap();
    edits.reverse();
    let two = tenant.prepare(&edits).unwrap();
    assert_eq!(one.entries, two.entries);
}

#[test]
fn a_small_change_is_stored_as_a_small_delta() {
    let mut tenant = Tenant::with_builds(3);
    let before = tenant.log.entries.len();
    tenant.build();
    let new = &tenant.log.entries[before..];
    let blob = new.iter().filter(|e| e.kind == GitKind::Blob).max_by_key(|e| e.size).unwrap();
    assert!(blob.base.is_some());
    assert!(blob.deflated.len() * 10 < blob.size as usize, "{} bytes", blob.deflated.len());
    assert!(new.iter().all(|e| e.kind != GitKind::Commit || e.base.is_none()));
    assert!(new.iter().all(|e| (e.kind == GitKind::Blob) == e.blob.is_some()));
}

/// A reader of the newest version pays for the whole chain below it.
#[test]
fn delta_chains_end_at_sixty_four() {
    let mut tenant = Tenant::default();
    let text = |n: usize| format!("{n}\n{:?}", (0..200).collect::<Vec<u8>>());
    for n in 0..120 {
        tenant.commit(&[put("file", &text(n))]).unwrap();
    }
    let depths: Vec<u8> = tenant
        .log
        .entries
        .iter()
        .filter(|entry| entry.kind == GitKind::Blob)
        .map(|entry| entry.depth)
        .collect();
    assert_eq!(depths[..65], (0..=64).collect::<Vec<u8>>());
    assert_eq!(depths[65..67], [0, 1]);
}

/// Git is the oracle for trees: modes, order of entries, folders that vanish.
#[test]
fn trees_are_those_that_git_makes_of_the_same_files() {
    let mut tenant = Tenant::default();
    let edits = [
        put("a.b", "1"),
        put("a/x", "2"),
        put("a0", "3"),
        put("ab", ""),
        put("deep/er/file", "4"),
        ("run.sh".to_owned(), Some((FileMode::Executable, b"#!/bin/sh\n".to_vec()))),
    ];
    tenant.commit(&edits).unwrap();
    same_tree(&tenant);
    tenant.commit(&[remove("deep/er/file"), remove("a/x"), put("a/y", "5")]).unwrap();
    same_tree(&tenant);
    tenant
        .commit(&[remove("a/y"), put("a", "now a file"), remove("ab"), put("ab/c", "6")])
        .unwrap();
    same_tree(&tenant);
    tenant.commit(&[remove("ab/c"), put("AB/c", "7")]).unwrap();
    same_tree(&tenant);
    let all: Vec<_> = tenant.files.keys().map(|path| remove(path)).collect();
    tenant.commit(&all).unwrap();
    same_tree(&tenant);
}

fn same_tree(tenant: &Tenant) {
    let git = Git::new(2);
    git.run("", &["init", "-q", "--bare", "r"]);
    let entries = tenant.files.iter().map(|(path, (mode, bytes))| {
        let oid = git.feed("r", &["hash-object", "-w", "--stdin"], bytes);
        format!("{mode} {oid}\t{path}")
    });
    let index = entries.collect::<Vec<_>>().join("\n");
    git.feed("r", &["update-index", "--index-info"], index.as_bytes());
    let expected = git.run("r", &["write-tree"]);
    let root = tenant.log.entries.iter().find(|entry| entry.oid.to_string() == expected);
    assert!(root.is_some_and(|entry| entry.kind == GitKind::Tree), "{expected}");
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let mut tenant = Tenant::default();
    tenant.commit(&[put("a/b", "1"), put("c", "2")]).unwrap();
    for (edits, problem) in [
        (vec![put("a", "x")], "a folder stands there"),
        (vec![put("c/d", "x")], "a file stands"),
        (vec![remove("nothing")], "not in the parent"),
        (vec![remove("a")], "not in the parent"),
        (vec![remove("a/b"), remove("a/b")], "changed twice"),
        (vec![put("e", "1"), put("e", "2")], "changed twice"),
        (vec![put("C", "x")], "letter case"),
        (vec![put("A/z", "x")], "letter case"),
        (vec![put("new/F", "x"), put("new/f", "y")], "letter case"),
        (vec![remove("a/b"), put("A/y", "1"), put("a/z", "2")], "letter case"),
    ] {
        let error = tenant.prepare(&edits).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{edits:?}: {error}");
        assert!(error.to_string().contains(problem), "{edits:?}: {error}");
    }
}

/// Two builds prepared on one parent must not both land: the second would fork the history.
#[test]
fn only_the_tip_can_have_a_child() {
    let tenant = Tenant::with_builds(2);
    let mut behind = tenant.clone();
    behind.commits.pop();
    assert!(matches!(behind.prepare(&[put("x", "y")]), Err(Error::NotTip)));
    behind.commits.clear();
    assert!(matches!(behind.prepare(&[put("x", "y")]), Err(Error::NotTip)), "a second root");
    let mut foreign = Tenant::default();
    foreign.commits.clone_from(&tenant.commits);
    assert!(matches!(foreign.prepare(&[put("x", "y")]), Err(Error::NotTip)), "not of this log");
}

/// A first commit may hold nothing: the tenant is there before its first flow.
#[test]
fn an_empty_commit_is_a_commit() {
    let message = Message::new("chore(tenant): bootstrap acme", vec![]).unwrap();
    let tenant = Tenant::default();
    let new = NewCommit {
        parent: None,
        changes: &[] as &[Change<'_>],
        message: &message,
        author: &author(),
        time: UnixMillis::new(0),
        tags: &[],
        signer: None,
    };
    let appended = append(&tenant.log, &new).unwrap();
    assert_eq!(appended.entries.len(), 2);
    assert!(tenant.log.is_empty().unwrap(), "appending writes nothing by itself");
}

/// A rebuilt projection must give the tags that were already handed out.
#[test]
fn tags_are_deterministic() {
    let tenant = Tenant::with_builds(0);
    let tag = new_tag("build-failed/acme/1");
    let make = || annotate(tenant.tip(), &tag, &author(), UnixMillis::new(5_000), None).unwrap().0;
    assert_eq!(make(), make());
    let text = String::from_utf8(make().bytes).unwrap();
    assert!(text.starts_with(&format!("object {}\ntype commit\ntag build-failed/", tenant.tip())));
    assert!(text.ends_with("\n\nbuild build-failed/acme/1\n\nOutcome: built\n"));
}

/// Damage in the store must surface as an error, never as wrong objects.
#[test]
fn damage_is_noticed() {
    let mut tenant = Tenant::with_builds(2);
    for entry in &mut tenant.log.entries {
        entry.deflated[2] ^= 0x40;
    }
    let error = tenant.prepare(&[put("app/flows/acme/flow_0.py", "x")]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(!error.is_clients());
}

/// A flow's files are generated like another flow's: a new one costs what differs.
#[test]
fn a_new_file_is_a_delta_against_its_neighbour() {
    let mut tenant = Tenant::default();
    let line = |i: usize, n: usize| format!("line {} of {n}\n", i * 7919);
    let text = |n: usize| (0..200).map(|i| line(i, n)).collect::<Vec<_>>().concat();
    let template = text(0);
    tenant.commit(&[put("app/flow_b.py", &template), put("app/b.json", "{}\n")]).unwrap();
    let new = template.replacen("line 0", "line zero", 1);
    let appended =
        tenant.commit(&[put("app/flow_c.py", &new), put("app/c.txt", &text(1))]).unwrap();
    let blobs: Vec<_> = appended.entries.iter().filter(|(_, e)| e.blob.is_some()).collect();
    let [(_, alone), (_, alike)] = blobs[..] else { panic!("two files") };
    assert!(alone.base.is_none(), "nothing there ends in .txt");
    assert!(alike.base.is_some() && alike.deflated.len() < 80, "{}", alike.deflated.len());
}

/// The first files of a new folder have no neighbour there, or none of their sort; the folder of the flow beside it
/// has files that were generated alike.
#[test]
fn a_file_of_a_new_folder_is_a_delta_against_one_of_the_folder_beside() {
    let mut tenant = Tenant::default();
    let text = |flow: &str, what: &str| {
        let lines = (0..60).map(|n| format!("{what} {}\n", n * 7919 % 1000));
        format!("{flow}\n{}", lines.collect::<String>())
    };
    let files = |flow: &str, segment: &str| {
        [
            put(&format!("edge/{flow}/manifest.json"), &text(flow, "index")),
            put(&format!("edge/{flow}/python/colophon_edge.py"), "the runtime of all\n"),
            put(&format!("edge/{flow}/python/segment_{segment}.py"), &text(flow, "step")),
        ]
    };
    tenant.commit(&files("alpha", "one")).unwrap();
    let from = tenant.log.entries.len();
    for (flow, segment) in [("beta", "two"), ("aaron", "zero")] {
        tenant.commit(&files(flow, segment)).unwrap();
    }
    let new = tenant.log.entries[from..].iter().filter(|entry| entry.kind == GitKind::Blob);
    let sizes: Vec<_> = new.map(|entry| (entry.base.is_some(), entry.deflated.len())).collect();
    assert_eq!(sizes.len(), 4, "two files of each flow; the third is known");
    assert!(sizes.iter().all(|(delta, size)| *delta && *size < 60), "{sizes:?}");
}
