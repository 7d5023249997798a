//! The turn that a thread works in. While it waits for something that is no work of its own (a lane, a
//! sync, a tool's process) it puts the turn aside.

use std::cell::RefCell;

use super::{Party, Share, Turn};

thread_local! {
    static HELD: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Ends the turn with the work, also when that panics.
struct Holding;

impl Drop for Holding {
    fn drop(&mut self) {
        drop(take());
    }
}

/// Runs `work` within `turn`, which ends with it.
pub fn holding<T>(turn: Turn, work: impl FnOnce() -> T) -> T {
    put(turn);
    let _holding = Holding;
    work()
}

/// Whose turn this thread works in; without one, the server's.
pub fn share() -> Share {
    HELD.with_borrow(|held| held.as_ref().map_or(Share::Server, Turn::share))
}

/// Waits without holding the turn: others go on meanwhile. It is waited for anew afterwards. Without a
/// turn it only waits.
pub fn aside<T>(wait: impl FnOnce() -> T) -> T {
    let Some(turn) = take() else { return wait() };
    let (queue, share) = (turn.queue(), turn.share());
    drop(turn);
    let done = wait();
    if let Some(turn) = queue.enter_patiently(Party::of(share)).block() {
        put(turn);
    }
    done
}

fn put(turn: Turn) {
    HELD.set(Some(turn));
}

fn take() -> Option<Turn> {
    HELD.take()
}
