//! Requests of plausible lines in any order: each byte picks a line, so that negotiation, depth and
//! filters are reached at once.
#![no_main]

use std::sync::LazyLock;

use colophon_gitbridge::Protocol;
use libfuzzer_sys::fuzz_target;

const PLAIN: &[&str] = &[
    "command=fetch", "command=ls-refs", "command=object-info", "object-format=sha1", "agent=x",
    "done", "thin-pack", "ofs-delta", "include-tag", "no-progress", "wait-for-done", "sideband-all",
    "deepen 1", "deepen 2", "deepen 2147483647", "deepen-relative", "deepen-since 1002",
    "deepen-since 1", "deepen-not refs/tags/bld/acme/00000000000000002-cloud", "deepen-not HEAD",
    "filter blob:none", "filter blob:limit=40", "filter tree:0", "filter tree:2",
    "filter combine:tree:3+blob:limit=1k", "filter x", "want-ref HEAD",
    "want-ref refs/heads/tenant/acme", "peel", "symrefs", "unborn", "ref-prefix refs/", "size",
];

/// Every line a request can be made of.
static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let caps = " multi_ack_detailed no-done side-band-64k thin-pack ofs-delta deepen-relative filter";
    let oids = fuzz::oids();
    let verbs = ["want", "have", "shallow", "oid"];
    let named = verbs.iter().flat_map(|verb| oids.iter().map(move |oid| format!("{verb} {oid}")));
    let first = oids.iter().map(|oid| format!("want {oid}{caps}"));
    let texts = PLAIN.iter().map(|&line| line.to_owned()).chain(first).chain(named);
    let packet = |line: String| format!("{:04x}{line}\n", line.len() + 5).into_bytes();
    let marks = [b"0000".to_vec(), b"0001".to_vec()];
    marks.into_iter().chain(texts.map(packet)).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, picks)) = bytes.split_first() else { return };
    let mut body = Vec::new();
    if kind & 1 == 1 {
        body.extend_from_slice(b"0012command=fetch0001");
    }
    // Two bytes a line: there are more lines than one byte counts.
    for pick in picks.chunks_exact(2) {
        let at = usize::from(u16::from_le_bytes([pick[0], pick[1]])) % LINES.len();
        body.extend_from_slice(&LINES[at]);
    }
    if kind & 2 == 2 {
        body.extend_from_slice(b"0000");
    }
    fuzz::answer(if kind & 1 == 1 { Protocol::V2 } else { Protocol::V0 }, &body);
});
