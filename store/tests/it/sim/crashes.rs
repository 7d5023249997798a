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
    for at in 0..=disk.operations() {
        for decision in decisions {
            let after = disk.crashed(at, |n, op| decision(at, n, op));
            if seen.insert((after.fingerprint(), least(at))) {
                show(&after, least(at));
            }
        }
    }
}
