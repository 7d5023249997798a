//! Clones share pages of the log as they are sent, and each is a pack that git takes.

use std::fmt::Write as _;
use std::io::Write as _;

use colophon_gitbridge::{Cache, ObjectLog, PackStream, Protocol, object};
use colophon_model::{Oid, Ordinal};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::support::tenant::put;
use crate::support::{CountingLog, Git, MemoryLog, Tenant, body, upload_pack};

const ID: [u8; 16] = [7; 16];

/// A clone of `want` without side bands, up to its pack.
fn clone(log: &dyn ObjectLog, want: Oid) -> PackStream {
    let want = format!("want {want} ofs-delta");
    let response = upload_pack().answer(log, Protocol::V0, &body(&[&want, "0000", "done"]));
    response.unwrap().pack.unwrap()
}

/// What is left of a pack.
fn rest(pack: &mut PackStream, log: &dyn ObjectLog) -> Vec<u8> {
    std::iter::from_fn(|| pack.next(log).unwrap()).collect::<Vec<_>>().concat()
}

/// What git finds in a pack, and what the log holds.
fn assert_complete(pack: &[u8], log: &MemoryLog) {
    let git = Git::new(2);
    git.run("", &["init", "-q", "--bare", "r"]);
    let objects = git.objects("r", pack);
    assert_eq!(objects, log.entries.iter().map(|entry| entry.oid.to_string()).collect());
}

/// Text of which nothing is alike.
fn noise(seed: u64, words: u64) -> String {
    let word = |n: u64| (seed << 20 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut text = String::new();
    for n in 0..words {
        writeln!(text, "{:x}", word(n).wrapping_mul(0xbf58_476d_1ce4_e5b9)).unwrap();
    }
    text
}

/// Files of which a part changes with every commit: most versions are deltas.
fn add(tenant: &mut Tenant, commits: u64) {
    for _ in 0..commits {
        let n = tenant.commits.len() as u64;
        let file = |i: u64| noise(i, 150) + &noise(n * 5 + i + 100, 60);
        let files: Vec<_> = (0..5).map(|i| put(&format!("f{i}.py"), &file(i))).collect();
        tenant.commit(&files).unwrap();
    }
}

#[test]
fn a_clone_after_a_build_takes_the_pages_of_the_one_before() {
    let mut tenant = Tenant::default();
    add(&mut tenant, 30);
    let cache = Cache::new(16 << 20);
    let old = cache.over(cache.turn(), ID, &tenant.log);
    rest(&mut clone(&old, tenant.tip()), &old);
    add(&mut tenant, 1);
    let counting = CountingLog::new(&tenant.log);
    let log = cache.over(cache.turn(), ID, &counting);
    let pack = rest(&mut clone(&log, tenant.tip()), &log);
    assert!(counting.entries.get() <= 64 + 64, "{}", counting.entries.get());
    assert!(pack == rest(&mut clone(&tenant.log, tenant.tip()), &tenant.log));
    assert_complete(&pack, &tenant.log);
}

/// The same objects in other forms, as a log has them that was made anew.
fn remade(log: &MemoryLog) -> MemoryLog {
    let mut remade = log.clone();
    for at in (0..log.entries.len()).filter(|at| at % 3 == 0 && log.entries[*at].base.is_some()) {
        let (_, bytes) = object(log, Ordinal::new(at as u32)).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(6));
        zlib.write_all(&bytes).unwrap();
        let entry = &mut remade.entries[at];
        (entry.base, entry.depth, entry.inflated) = (None, 0, entry.size);
        entry.deflated = zlib.finish().unwrap();
    }
    remade
}

/// Where the entries of such a log begin in a pack is not where those of the old one do: its pages do
/// not fit behind what was sent already.
#[test]
fn a_log_made_anew_under_a_clone_leaves_its_pack_whole() {
    let mut tenant = Tenant::default();
    add(&mut tenant, 60);
    let (old, new) = (&tenant.log, remade(&tenant.log));
    assert!(old.entries != new.entries, "some were deltas");
    let cache = Cache::new(16 << 20);
    let log = cache.over(cache.turn(), ID, old);
    let mut pack = clone(&log, tenant.tip());
    let mut sent = pack.next(&log).unwrap().unwrap();
    cache.forget(ID);
    let log = cache.over(cache.turn(), ID, &new);
    let whole = rest(&mut clone(&log, tenant.tip()), &log);
    assert_complete(&whole, &new);
    sent.extend(rest(&mut pack, &log));
    assert!(sent.len() > 2 * 65_536 && sent != whole);
    assert_complete(&sent, &new);
}
