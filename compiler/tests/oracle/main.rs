//! Generated modules beside lfx, the engine that LangFlow runs flows with.
//!
//! Both run the same flow in processes of their own, and every output of every component must be the
//! same, but for ids and times. Flows that ask a model ask one on loopback, which answers with a hash
//! of the whole prompt. `make test` runs a sample; `make test-oracle` sets `COLOPHON_ORACLE=all`.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod outcome;
mod peer;

use std::path::PathBuf;

use outcome::Outcome;
use peer::{Peer, repository};

/// Flows that `tests/oracle/drawn.py` draws. The first three are the sample.
const DRAWN: [&str; 11] = [
    "if_else_taken",
    "nested_loops",
    "resources",
    "if_else_not_taken",
    "if_else_regex",
    "nested_routers",
    "loop",
    "group",
    "nested_groups",
    "two_entries",
    "values",
];

/// Exports that others drew, below `.cache`.
const EXPORTS: [&str; 0] = [];

fn all() -> bool {
    std::env::var("COLOPHON_ORACLE").is_ok_and(|which| which == "all")
}

fn compare(flows: &[PathBuf], peer: &mut Peer) {
    let mut failed = Vec::new();
    for path in flows {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let outcome = Outcome::of(path, peer);
        let differences = match &outcome.plan {
            Ok(_) => outcome.differences(),
            Err(problems) => vec![problems.to_string()],
        };
        eprintln!("{name}: {}", if differences.is_empty() { "equal" } else { "DIFFERS" });
        failed.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

/// Routers, joins, loops, groups, tools and entries run as lfx runs them.
#[test]
fn flows_of_our_own_run_as_in_lfx() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = peer.folder().join("drawn");
    peer.draw(&folder);
    let names = if all() { &DRAWN[..] } else { &DRAWN[..3] };
    let flows: Vec<_> = names.iter().map(|name| folder.join(format!("{name}.json"))).collect();
    compare(&flows, &mut peer);
}

/// Real exports run as lfx runs them.
#[test]
fn exports_run_as_in_lfx() {
    if !all() {
        eprintln!("NOT RUN: `make test-oracle` compares {} exports with lfx", EXPORTS.len());
        return;
    }
    let Some(mut peer) = Peer::start() else { return };
    let cache = repository().join(".cache");
    let flows: Vec<_> = EXPORTS.iter().map(|name| cache.join(name)).collect();
    compare(&flows, &mut peer);
}
