//! What can happen, and how often.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

use super::aside::Single;
use super::contents::CONTENTS;

/// Tenants at a time.
pub(super) const SLOTS: usize = 3;
/// Names that a tenant has for contents.
const NAMES: u8 = 6;

/// Something that is done, when, and how it ends.
#[derive(Clone)]
pub(super) struct Step {
    /// How far the clock moved, in hours.
    pub(super) hours: i64,
    pub(super) action: Action,
    pub(super) end: End,
}

impl fmt::Debug for Step {
    /// One line, since a sequence is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} hours {:?}, {:?}", self.hours, self.action, self.end)
    }
}

/// Something that is done to the store. What needs a tenant where there is none creates one instead.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// Lets a row name a content. `keep`: without its bytes, if the tenant has it. Otherwise as what differs
    /// from the content `base`, where that can be.
    Name { slot: usize, name: u8, content: u8, base: u8, keep: bool },
    /// Names a content that the tenant may not have, without its bytes.
    Keep { slot: usize, name: u8, content: u8 },
    /// Takes a name away.
    Unname { slot: usize, name: u8 },
    /// A delivery of a content that is refused, and its body kept.
    Refuse { slot: usize, content: u8 },
    /// Something happens that is to be told.
    Tell { slot: usize, n: u8 },
    /// Puts a row beside the builds, or deletes it.
    Toggle { slot: usize, single: usize },
    /// A build with all its rows.
    Build { slot: usize, content: u8 },
    /// Reads one of the tenant's blobs or one of all contents.
    Get { slot: usize, pick: Index },
    /// Collects garbage, with a day's grace or none.
    Collect { grace: bool, below: u32 },
    /// Collects until nothing but what is named is left.
    CollectAll,
    /// Deletes what is older.
    Purge { slot: usize, days: u64 },
    /// Erases the tenant.
    Erase { slot: usize },
    /// Finishes erasures.
    Resume,
    /// Leaves so many blocks free.
    Fill { blocks: u64 },
    /// The disk has room again.
    MakeRoom,
    /// Flips a byte of some blob, as it lies on disk.
    Damage { pick: Index, at: Index },
    /// Checks the store.
    Check,
    /// Keeps what is readable now readable.
    Hold,
    /// Reads it, and lets it go.
    LetGo,
    /// Closes the store and opens it again.
    Reopen,
}

/// How a step ends. An index is a moment during the action or right after it.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It is waited for.
    Well,
    /// The process is killed, and what it wrote stays.
    Killed(Index),
    /// The machine crashes.
    Crashed(Crash),
    /// It crashes, and again while the store is opened.
    CrashedTwice(Crash, Crash),
    /// An operation of the disk fails.
    Failed(usize),
}

/// When the machine crashes, and what decides about all that was not synced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub(super) at: Index,
    pub(super) seed: u64,
}

/// A hundred steps and more. What fails is made smaller by leaving steps out.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let steps = vec(option::weighted(0.99, step()), 105..135);
    steps.prop_map(|steps| steps.into_iter().flatten().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let hours = prop_oneof![4 => Just(0), 2 => 1..30_i64, 1 => -30..0_i64];
    (hours, action(), end()).prop_map(|(hours, action, end)| Step { hours, action, end })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        14 => (0..SLOTS, 0..NAMES, 0..CONTENTS, 0..CONTENTS / 4, any::<bool>()).prop_map(
            |(slot, name, content, step, keep)| {
                let base = (content + 4 * step) % CONTENTS; // of the same kind
                Action::Name { slot, name, content, base, keep }
            }
        ),
        1 => (0..SLOTS, 0..NAMES, 0..CONTENTS)
            .prop_map(|(slot, name, content)| Action::Keep { slot, name, content }),
        7 => (0..SLOTS, 0..NAMES).prop_map(|(slot, name)| Action::Unname { slot, name }),
        4 => (0..SLOTS, 0..CONTENTS).prop_map(|(slot, content)| Action::Build { slot, content }),
        4 => (0..SLOTS, 0..CONTENTS).prop_map(|(slot, content)| Action::Refuse { slot, content }),
        2 => (0..SLOTS, 0..4_u8).prop_map(|(slot, n)| Action::Tell { slot, n }),
        3 => (0..SLOTS, 0..Single::ALL.len())
            .prop_map(|(slot, single)| Action::Toggle { slot, single }),
        6 => (0..SLOTS, any::<Index>()).prop_map(|(slot, pick)| Action::Get { slot, pick }),
        6 => (any::<bool>(), prop_oneof![Just(50), Just(100)])
            .prop_map(|(grace, below)| Action::Collect { grace, below }),
        2 => Just(Action::CollectAll),
        2 => (0..SLOTS, 0..3_u64).prop_map(|(slot, days)| Action::Purge { slot, days }),
        2 => (0..SLOTS).prop_map(|slot| Action::Erase { slot }),
        2 => Just(Action::Resume),
        1 => (0..40_u64).prop_map(|blocks| Action::Fill { blocks }),
        3 => Just(Action::MakeRoom),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(pick, at)| Action::Damage { pick, at }),
        2 => Just(Action::Check),
        4 => Just(Action::Hold),
        1 => Just(Action::LetGo),
        1 => Just(Action::Reopen),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        20 => Just(End::Well),
        2 => any::<Index>().prop_map(End::Killed),
        3 => crash().prop_map(End::Crashed),
        1 => (crash(), crash()).prop_map(|(first, second)| End::CrashedTwice(first, second)),
        1 => (1..25_usize).prop_map(End::Failed),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    (any::<Index>(), any::<u64>()).prop_map(|(at, seed)| Crash { at, seed })
}
