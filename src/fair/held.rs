//! The turn that a thread works in. While it waits for something that is no work of its own (a lane, a
//! sync, a tool's process) it puts the turn aside.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::{Fair, Party, Share, Turn};

/// How long a thread works before it lets those go first who wait for its processor. The system takes a processor
/// away from a thread after some milliseconds only, and whoever wakes up meanwhile to answer something short
/// waits for that.
const BREATH: Duration = Duration::from_micros(200);

/// What a thread works in.
enum Held {
    Turn(Turn),
    /// What is left of its work needs no turn. Another would be of this queue, and of the same share.
    Over(Fair, Share),
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
    /// Since when the thread works without a pause, as far as is known.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Ends the turn with the work, also when that panics.
struct Holding;

impl Drop for Holding {
    fn drop(&mut self) {
        drop(HELD.take());
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
    HELD.with_borrow(|held| match held {
        Some(Held::Turn(turn)) => turn.share(),
        Some(Held::Over(_, share)) => *share,
        None => Share::Server,
    })
}

/// Waits without holding the turn: others go on meanwhile. It is waited for anew afterwards. Without a
/// turn it only waits.
pub fn aside<T>(wait: impl FnOnce() -> T) -> T {
    let is_mine = HELD.with_borrow(|held| matches!(held, Some(Held::Turn(_))));
    let done = at_last(wait);
    if is_mine {
        resume();
    }
    done
}

/// Waits for the last thing that the work waits for. The turn ends here: what is left to do is too little to
/// wait for another. [`resume`] takes one when it is more after all.
pub fn at_last<T>(wait: impl FnOnce() -> T) -> T {
    if let Some(held) = HELD.take() {
        HELD.set(Some(held.over()));
    }
    let done = wait();
    SINCE.set(Some(Instant::now()));
    done
}

/// Waits for another turn, when the one of this thread has ended before its work.
pub fn resume() {
    let over = HELD.with_borrow(|held| match held {
        Some(Held::Over(queue, share)) => Some((queue.clone(), *share)),
        _ => None,
    });
    let turn = over.and_then(|(queue, share)| queue.enter_patiently(Party::of(share)).block());
    if let Some(turn) = turn {
        put(turn);
    }
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
    HELD.set(Some(Held::Turn(turn)));
}

impl Held {
    /// The turn ends, if it has not.
    fn over(self) -> Self {
        match self {
            Self::Turn(turn) => Self::Over(turn.queue(), turn.share()),
            over @ Self::Over(..) => over,
        }
    }
}
