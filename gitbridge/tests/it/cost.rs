//! What a request may cost the server: no more reads for saying the same thing many times.

use std::cell::RefCell;

use colophon_gitbridge::{Cache, Error, ObjectLog, Protocol, Response};
use colophon_model::GitKind;
use proptest::prelude::*;

use crate::support::tenant::put;
use crate::support::{CountingLog, Tenant, body, upload_pack, whole_head};

const PROTOCOLS: [Protocol; 2] = [Protocol::V0, Protocol::V2];

fn ls_refs(log: &CountingLog<'_>, prefixes: &[String]) -> String {
    let prefixes: Vec<_> = prefixes.iter().map(|prefix| format!("ref-prefix {prefix}")).collect();
    let mut lines = vec!["command=ls-refs", "0001"];
    lines.extend(prefixes.iter().map(String::as_str));
    lines.push("0000");
    let response = upload_pack().answer(log, Protocol::V2, &body(&lines)).unwrap();
    String::from_utf8(whole_head(&response)).unwrap()
}

/// A fetch of `wants` by a client that has `haves`, answered up to the pack.
fn fetch(
    log: &dyn ObjectLog,
    protocol: Protocol,
    wants: &[String],
    haves: &[String],
) -> Result<Response, Error> {
    let wants = wants.iter().map(|line| format!("want {line}"));
    let haves = haves.iter().map(|oid| format!("have {oid}"));
    let (flush, end) = (["0000".to_owned()], "done".to_owned());
    let lines: Vec<_> = match protocol {
        Protocol::V2 => {
            let head = ["command=fetch", "0001"].map(str::to_owned);
            head.into_iter().chain(wants).chain(haves).chain([end]).chain(flush).collect()
        }
        Protocol::V0 | Protocol::V1 => wants.chain(flush).chain(haves).chain([end]).collect(),
    };
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    upload_pack().answer(log, protocol, &body(&lines))
}

/// A file that is edited again and again lies at the end of a chain, and so does its folder. A log that remembers
/// what was appended last is spared the chains, and gets the same commit.
#[test]
fn a_commit_on_a_log_that_remembers_reads_no_chains() {
    let edit = |n: usize| [put("app/flows/acme/flow.py", &format!("{n}\n{}", "step\n".repeat(99)))];
    let (mut tenant, recent) = (Tenant::default(), RefCell::default());
    for n in 0..60 {
        let appended =
            tenant.prepare_on(&CountingLog::with(&tenant.log, &recent), &edit(n)).unwrap();
        assert_eq!(tenant.commit(&edit(n)).unwrap().entries, appended.entries);
    }
    let (forgets, remembers) =
        (CountingLog::new(&tenant.log), CountingLog::with(&tenant.log, &recent));
    let slow = tenant.prepare_on(&forgets, &edit(60)).unwrap();
    let quick = tenant.prepare_on(&remembers, &edit(60)).unwrap();
    assert_eq!((slow.commit, slow.entries), (quick.commit, quick.entries));
    assert!(forgets.entries.get() > 60, "{}", forgets.entries.get());
    assert!(remembers.entries.get() < 10, "{}", remembers.entries.get());
}

/// What is remembered and was never committed is not there.
#[test]
fn a_log_that_remembers_has_no_more_objects_than_it_holds() {
    let (tenant, recent) = (Tenant::with_builds(3), RefCell::default());
    let log = CountingLog::with(&tenant.log, &recent);
    let lost = tenant.prepare_on(&log, &[put("lost", "a file that is never committed\n")]).unwrap();
    let again =
        tenant.prepare_on(&log, &[put("lost", "a file that is never committed\n")]).unwrap();
    assert_eq!(lost.entries, again.entries, "its objects are added, not taken for known");
}

/// An object that lies damaged in the log is not kept in memory, where the next commits would rest on it.
#[test]
fn a_base_that_is_not_what_its_id_says_is_refused() {
    let edit = |n: usize| [put("a.txt", &format!("{n}\n{}", "a line that stays\n".repeat(20)))];
    let (mut tenant, recent) = (Tenant::default(), RefCell::default());
    tenant.commit(&edit(0)).unwrap();
    let mut other = Tenant::default();
    other.commit(&edit(1)).unwrap();
    // The first file of another log, whole and sound, under the id of ours.
    let (oid, blob) = (tenant.log.entries[0].oid, other.log.entries[0].clone());
    tenant.log.entries[0] = colophon_model::LogEntry { oid, ..blob };
    let log = CountingLog::with(&tenant.log, &recent);
    let Err(Error::Damaged { .. }) = tenant.prepare_on(&log, &edit(2)) else {
        panic!("the damage was taken for a base");
    };
}

/// As many prefixes as are honoured, all of them saying the same, cost one scan.
#[test]
fn overlapping_prefixes_read_each_ref_once() {
    let tenant = Tenant::with_builds(30);
    let log = CountingLog::new(&tenant.log);
    let same: Vec<_> = (0..256).map(|n| format!("refs/{}", &"tags/bld"[..n % 8])).collect();
    assert_eq!(ls_refs(&log, &same).lines().count(), 32 + 1, "every ref, and the flush");
    assert_eq!((log.scans.get(), log.refs.get()), (1, 32));
}

/// More prefixes than are honoured ask for everything, as they do of Git.
#[test]
fn too_many_prefixes_are_none() {
    let tenant = Tenant::with_builds(30);
    let different: Vec<_> = (0..100_000).map(|n| format!("refs/{n}")).collect();
    let log = CountingLog::new(&tenant.log);
    assert_eq!(ls_refs(&log, &different), ls_refs(&CountingLog::new(&tenant.log), &[]));
    assert_eq!(log.scans.get(), 2, "one of them for HEAD");
    assert_eq!(ls_refs(&log, &different[..256]), "0000", "these are honoured, and match nothing");
    assert!(ls_refs(&log, &different[..257]).contains(" HEAD\n"));
}

proptest! {
    /// Leaving prefixes out changes nothing in the answer: every ref that one of them matches, once,
    /// in order.
    #[test]
    fn prefixes_select_what_they_say(
        prefixes in proptest::collection::vec("(refs/?|HEAD?)?(t|tags/bld/acme/0{16}[01]?|heads/)?", 0..6)
    ) {
        let tenant = Tenant::with_builds(12);
        let log = CountingLog::new(&tenant.log);
        let all = ls_refs(&log, &[]);
        let wanted = |line: &&str| {
            let name = line.split_once(' ').map(|(_, name)| name.trim_end());
            name.is_none_or(|name| {
                prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix))
            })
        };
        let expected: String = all.split_inclusive('\n').filter(wanted).collect();
        prop_assert_eq!(ls_refs(&log, &prefixes), expected);
    }
}

/// Entries are read with all their bytes: a blob that is named a thousand times must not be read a
/// thousand times.
#[test]
fn objects_named_twice_are_read_once() {
    let tenant = Tenant::with_builds(3);
    let oid = |kind| tenant.log.entries.iter().find(|e| e.kind == kind).unwrap().oid;
    let tag = tenant.log.tag_oids().next().unwrap();
    let tip = tenant.tip().to_string();
    for named in [oid(GitKind::Blob), oid(GitKind::Tree), oid(GitKind::Commit), tag] {
        for protocol in PROTOCOLS {
            let cost = |times: usize, want: bool| {
                let log = CountingLog::new(&tenant.log);
                let (tip, many) = (vec![tip.clone()], vec![named.to_string(); times]);
                let (wants, haves) = if want { (many, tip) } else { (tip, many) };
                fetch(&log, protocol, &wants, &haves).unwrap();
                log.entries.get() + log.tags.get()
            };
            assert_eq!(cost(1, true), cost(1_000, true), "wants of {named}");
            assert_eq!(cost(1, false), cost(1_000, false), "haves of {named}");
        }
    }
}

/// A client that asks for no tags makes the server read none, and one that follows tags those that it
/// is sent.
#[test]
fn only_tags_that_are_sent_are_read() {
    let tenant = Tenant::with_builds(40);
    let (tip, have) = (tenant.tip(), [tenant.commits[37].to_string()]);
    let log = CountingLog::new(&tenant.log);
    let response = fetch(&log, Protocol::V0, &[tip.to_string()], &have).unwrap();
    let objects = response.pack.unwrap().objects();
    assert_eq!((log.tags.get(), log.scans.get()), (0, 0));
    let follow = format!("{tip} include-tag");
    let response = fetch(&log, Protocol::V0, &[follow], &have).unwrap();
    assert_eq!(response.pack.unwrap().objects(), objects + 3);
    assert_eq!(log.tags.get(), 3);
    assert_eq!(log.entries.get(), 4, "the tip and what the client has, twice");
}

/// Most of a clone of many builds is its tags: what was packed once is neither read nor deflated
/// again, and the pack is the same.
#[test]
fn tags_that_were_packed_once_are_not_read_again() {
    let tenant = Tenant::with_builds(40);
    let log = CountingLog::new(&tenant.log);
    let cache = Cache::new(1 << 20);
    let clone = || {
        let log = cache.over(cache.turn(), [7; 16], &log);
        let follow = [format!("{} include-tag", tenant.tip())];
        let mut pack = fetch(&log, Protocol::V0, &follow, &[]).unwrap().pack.unwrap();
        std::iter::from_fn(|| pack.next(&log).unwrap()).collect::<Vec<_>>().concat()
    };
    let first = clone();
    let read = log.tags.get();
    assert!(read >= 40, "{read}");
    assert!(clone() == first);
    assert_eq!(log.tags.get(), read);
    cache.forget([7; 16]);
    assert_eq!(cache.weight(), 0);
}

/// The newest commit holds old files: its tag is found without a look at those of all old builds.
#[test]
fn tags_of_the_end_of_history_are_found_at_the_end() {
    let tenant = Tenant::with_builds(40);
    let log = CountingLog::new(&tenant.log);
    let want = format!("want {}", tenant.tip());
    let lines = ["command=fetch", "0001", "include-tag", "deepen 1", &want, "done", "0000"];
    upload_pack().answer(&log, Protocol::V2, &body(&lines)).unwrap();
    assert_eq!((log.scans.get(), log.refs.get(), log.tags.get()), (1, 8, 1));
}
