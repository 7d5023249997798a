//! The turn that a thread works in. While it waits for something that is no work of its own (a lane, a
//! sync, a tool's process) it puts the turn aside.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::{Party, Share, Turn};

/// How long a thread works before it lets those go first who wait for its processor. The system takes a processor
/// away from a thread after some milliseconds only, and whoever wakes up meanwhile to answer something short
/// waits for that.
const BREATH: Duration = Duration::from_micros(200);

thread_local! {
    static HELD: RefCell<Option<Turn>> = const { RefCell::new(None) };
    /// Since when the thread works without a pause, as far as is known.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
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

/// Between two pieces of work: lets other threads go first when this one has worked for a while. It keeps its
/// turn, and where nobody waits for the processor it costs next to nothing.
pub fn breathe() {
    breathe_after(BREATH);
}

/// The same after another time.
pub(super) fn breathe_after(worked: Duration) {
    let now = Instant::now();
    match SINCE.get() {
        Some(since) if now.duration_since(since) < worked => {}
        Some(_) => {
            std::thread::yield_now();
            SINCE.set(Some(Instant::now()));
        }
        None => SINCE.set(Some(now)),
    }
}

/// The thread at hand has nothing to do and waits: what it did before does not count any more.
pub fn rest() {
    SINCE.set(None);
}

fn put(turn: Turn) {
    turn.begin_here();
    // It has waited just now.
    SINCE.set(Some(Instant::now()));
    HELD.set(Some(turn));
}

fn take() -> Option<Turn> {
    HELD.take()
}
