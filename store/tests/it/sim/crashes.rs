//! A crash before every single operation on a disk.

use std::collections::BTreeSet;

use colophon_model::Digest;

use super::{Fate, Op, SimDisk};

/// Decides about operation `n` of those before a crash at `at`.
pub(crate) type Decision = fn(at: usize, n: usize, op: &Op) -> Fate;

/// Those that differ most, for crashes after crashes.
pub(crate) const FEW: [Decision; 4] = [
    |_, _, _| Fate::Lost,
    |_, n, _| kept_if(n % 3 == 1),
    |_, _, op| kept_if(is_of_bytes(op)),
    |at, n, op| if n + 1 == at { torn(op) } else { Fate::Kept },
];

pub(crate) const ALL: [Decision; 8] = [
    FEW[0],
    FEW[1],
    FEW[2],
    FEW[3],
    |_, _, _| Fate::Kept,
    |_, n, _| kept_if(n.is_multiple_of(2)),
    |_, _, op| kept_if(!is_of_bytes(op)),
    |_, n, op| if n.is_multiple_of(2) { torn(op) } else { Fate::Kept },
];

fn is_of_bytes(op: &Op) -> bool {
    matches!(op, Op::Write { .. } | Op::SetLen { .. })
}

fn kept_if(kept: bool) -> Fate {
    if kept { Fate::Kept } else { Fate::Lost }
}

fn torn(op: &Op) -> Fate {
    match op {
        Op::Write { bytes, .. } => Fate::Torn(bytes.len() / 2),
        _ => Fate::Kept,
    }
}

/// States of a disk that were looked at, with what they were to hold at least.
pub(crate) type Seen = BTreeSet<(Digest, u64)>;

/// Shows every different state that a crash at any operation of `disk` leaves, once, together with
/// what `least` says that it must hold at least.
pub(crate) fn crashes(
    disk: &SimDisk,
    decisions: &[Decision],
    seen: &mut Seen,
    least: impl Fn(usize) -> u64,
    mut show: impl FnMut(&SimDisk, u64),
) {
    for at in disk.moments() {
        for decision in decisions {
            let after = disk.crashed(at, |n, op| decision(at, n, op));
            if seen.insert((after.fingerprint(), least(at))) {
                show(&after, least(at));
            }
        }
    }
}

/// The disk after a crash before operation `at`. A quarter of the crashes lose everything or
/// nothing.
pub(crate) fn crashed_by_chance(disk: &SimDisk, at: usize, seed: u64) -> SimDisk {
    disk.crashed(at, |n, op| {
        let chance = mix(seed ^ mix(n as u64)) % 100;
        let kept = [0, 100, 30, 50, 50, 70, 70, 90][seed as usize % 8];
        match op {
            Op::Write { bytes, .. } if chance < kept / 4 => {
                Fate::Torn(mix(chance + seed) as usize % (bytes.len() + 1))
            }
            _ if chance < kept => Fate::Kept,
            _ => Fate::Lost,
        }
    })
}

/// A number that has little to do with `n` (splitmix64).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
