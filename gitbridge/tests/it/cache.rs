//! A memory before a log changes what a request costs, and never what it is answered.

use colophon_gitbridge::{Cache, ObjectLog, Protocol};
use proptest::prelude::*;

use crate::support::tenant::put;
use crate::support::{CountingLog, Tenant, body, drain, upload_pack};

const ID: [u8; 16] = [7; 16];

/// The whole answer to a fetch, through `log`.
fn fetch(log: &dyn ObjectLog, lines: &[&str]) -> Vec<u8> {
    let lines = [&["command=fetch", "0001", "ofs-delta", "thin-pack"], lines, &["done", "0000"]];
    let response = upload_pack().answer(log, Protocol::V2, &body(&lines.concat())).unwrap();
    drain(log, response)
}

/// Hexadecimal digits that do not repeat.
fn noise(seed: u64, words: usize) -> String {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:x}\n")
    };
    (0..words).map(next).collect()
}

/// Thirty files that are alike, each of them changed some times.
fn tenant() -> Tenant {
    let mut tenant = Tenant::default();
    let template = noise(1, 100);
    for n in 0..40 {
        let file = |i: usize| {
            let text = format!("step {i} of {n}\n{template}{}", "await call(state)\n".repeat(i));
            put(&format!("app/flows/acme/flow_{i}.py"), &text)
        };
        tenant.commit(&(0..5).map(|i| file((n * 5 + i) % 30)).collect::<Vec<_>>()).unwrap();
    }
    tenant
}

#[test]
fn what_was_read_is_not_read_again() {
    let tenant = tenant();
    let want = format!("want {}", tenant.tip());
    let have = format!("have {}", tenant.commits[20]);
    let shallow = [want.as_str(), "deepen 1"];
    let (cache, log) = (Cache::new(16 << 20), CountingLog::new(&tenant.log));
    for lines in [&[want.as_str()][..], &[&want, &have], &shallow, &[&want, "filter blob:none"]] {
        let plain = fetch(&tenant.log, lines);
        for _ in 0..2 {
            assert!(fetch(&cache.over(cache.turn(), ID, &log), lines) == plain, "{lines:?}");
        }
    }
    let before = log.entries.get();
    fetch(&cache.over(cache.turn(), ID, &log), &shallow);
    let grows = tenant.log.entries.len() % 64;
    assert!(log.entries.get() - before <= 2 * grows, "only the end of the log is read again");
}

/// The whole list of refs, through `log`.
fn list(log: &dyn ObjectLog) -> Vec<u8> {
    let lines = ["command=ls-refs", "0001", "peel", "ref-prefix refs/", "0000"];
    drain(log, upload_pack().answer(log, Protocol::V2, &body(&lines)).unwrap())
}

#[test]
fn a_list_of_refs_is_made_once_until_they_change() {
    let mut tenant = Tenant::with_builds(20);
    let cache = Cache::new(16 << 20);
    let before = list(&tenant.log);
    let log = CountingLog::new(&tenant.log);
    let through = |id| list(&cache.over(cache.turn(), id, &log));
    assert!(through(ID) == before && through(ID) == before);
    assert_eq!(log.scans.get(), 2, "a log that does not know of changes is read each time");
    log.changes.set(Some(3));
    assert!(through(ID) == before && through(ID) == before);
    assert_eq!(log.scans.get(), 3);
    assert!(through([8; 16]) == before);
    assert_eq!(log.scans.get(), 4, "another log is another list");
    tenant.build();
    let (after, log) = (list(&tenant.log), CountingLog::new(&tenant.log));
    assert!(after != before);
    for changes in [4, 4, 5] {
        log.changes.set(Some(changes));
        assert!(list(&cache.over(cache.turn(), ID, &log)) == after);
    }
    assert_eq!(log.scans.get(), 2);
    let old = cache.turn();
    cache.forget(ID);
    assert!(list(&cache.over(old, ID, &log)) == after);
    assert!(list(&cache.over(cache.turn(), ID, &log)) == after);
    assert_eq!(log.scans.get(), 4, "a snapshot from before leaves nothing behind");
}

/// Twenty thousand tags are not read again for every clone, and not kept for each that is under way.
#[test]
fn the_tags_of_a_clone_are_listed_once_until_refs_change() {
    let mut tenant = Tenant::with_builds(20);
    let cache = Cache::new(16 << 20);
    let clone = |log: &dyn ObjectLog, tenant: &Tenant| {
        fetch(log, &[&format!("want {}", tenant.tip()), "include-tag"])
    };
    let (log, plain) = (CountingLog::new(&tenant.log), clone(&tenant.log, &tenant));
    log.changes.set(Some(3));
    for id in [ID, ID, [8; 16], ID] {
        assert!(clone(&cache.over(cache.turn(), id, &log), &tenant) == plain);
    }
    assert_eq!(log.scans.get(), 2, "once for each log");
    let want = format!("want {}", tenant.tip());
    let part = [want.as_str(), "deepen 3", "include-tag"];
    assert!(fetch(&cache.over(cache.turn(), ID, &log), &part) == fetch(&tenant.log, &part));
    tenant.build();
    let (log, after) = (CountingLog::new(&tenant.log), clone(&tenant.log, &tenant));
    log.changes.set(Some(4));
    assert!(after != plain && clone(&cache.over(cache.turn(), ID, &log), &tenant) == after);
    tenant.log.purge_tags();
    let log = CountingLog::new(&tenant.log);
    log.changes.set(Some(6));
    let bare = clone(&tenant.log, &tenant);
    assert!(bare != after && clone(&cache.over(cache.turn(), ID, &log), &tenant) == bare);
}

/// A log that was made anew may hold other deltas.
#[test]
fn nothing_of_a_forgotten_log_is_remembered() {
    let tenant = tenant();
    let want = format!("want {}", tenant.tip());
    let cache = Cache::new(16 << 20);
    let old = cache.turn();
    fetch(&cache.over(old, ID, &tenant.log), &[&want, "deepen 1"]);
    assert!(cache.weight() > 0);
    cache.forget(ID);
    assert_eq!(cache.weight(), 0);
    fetch(&cache.over(old, ID, &tenant.log), &[&want, "deepen 1"]);
    assert_eq!(cache.weight(), 0, "a snapshot from before leaves nothing behind");
    fetch(&cache.over(cache.turn(), ID, &tenant.log), &[&want]);
    assert!(cache.weight() > 0);
}

#[test]
fn memory_is_bounded() {
    let tenant = tenant();
    let want = format!("want {}", tenant.tip());
    let cache = Cache::new(64 << 10);
    for id in 0..20 {
        fetch(&cache.over(cache.turn(), [id; 16], &tenant.log), &[&want]);
        fetch(&cache.over(cache.turn(), [id; 16], &tenant.log), &[&want, "deepen 1"]);
        assert!(cache.weight() <= 64 << 10, "{}", cache.weight());
    }
}

/// Large objects end a page early, so that one request never holds many of them.
#[test]
fn large_objects_are_read_alone() {
    let mut tenant = Tenant::default();
    for n in 0..30 {
        let file = |i: u64| put(&format!("f{i}"), &noise(n * 4 + i, 6_000));
        let files: Vec<_> = (0..4).map(file).collect();
        tenant.commit(&files).unwrap();
    }
    let want = format!("want {}", tenant.tip());
    let cache = Cache::new(16 << 20);
    let plain = fetch(&tenant.log, &[&want]);
    for _ in 0..2 {
        assert!(fetch(&cache.over(cache.turn(), ID, &tenant.log), &[&want]) == plain);
    }
}

/// A shallow clone of files that were generated alike sends them as deltas of each other.
#[test]
fn alike_files_cost_little_in_a_shallow_clone() {
    let tenant = tenant();
    let want = format!("want {}", tenant.tip());
    let sent = fetch(&tenant.log, &[&want, "deepen 1"]).len();
    let largest = tenant.log.entries.iter().filter(|e| e.base.is_none()).map(|e| e.deflated.len());
    let alone = largest.max().unwrap() * 30;
    assert!(sent * 3 < alone, "{sent} bytes for 30 files, {alone} when each is whole");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// However little is remembered, and whatever was asked before.
    #[test]
    fn answers_do_not_depend_on_the_memory(
        bytes in 0_u64..200_000,
        asked in proptest::collection::vec((0_usize..40, 0_usize..5), 1..6),
    ) {
        let tenant = tenant();
        let cache = Cache::new(bytes);
        for (at, kind) in asked {
            let want = format!("want {}", tenant.commits[at]);
            let have = format!("have {}", tenant.commits[at / 2]);
            let more = ["deepen 2", "filter tree:1", "filter blob:limit=900", "no-progress", &have];
            let lines = [want.as_str(), more[kind]];
            let plain = fetch(&tenant.log, &lines);
            let log = cache.over(cache.turn(), ID, &tenant.log);
            prop_assert!(fetch(&log, &lines) == plain, "{lines:?}");
        }
    }
}
