//! Work that goes on step by step on threads that it shares, such as that of connections. The runtime takes whatever
//! is ready as it came, so somebody with sixty connections would be sixty times as often before somebody with one.
//! Here few steps are ready for a thread at a time, and whose comes next is a matter of turns.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::courtesy::{Courtesy, Narrow};
use super::queue::{Begun, Counts, Queue, Ticket};
use super::{Bounds, Party, State, held, nanos};

/// How long a thread takes steps before it lets those go first who wait for its processor: the other thread that takes
/// steps may be one of them, and somebody's next step wait for that.
const BREATH: Duration = Duration::from_micros(100);

/// Whose step is next. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steps(Arc<Lines>);

#[derive(Debug)]
struct Lines(Mutex<Queue<Arc<Step>>>);

/// In whose share the steps of a future are taken, which may change from one to the next. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Standing(Arc<Mutex<Party>>);

/// A future that goes on when it is its turn.
#[derive(Debug)]
pub struct InTurns<F> {
    future: Pin<Box<F>>,
    step: Arc<Step>,
    /// What the future's events wake: the step.
    waker: Waker,
}

/// The next step of one future.
#[derive(Debug)]
struct Step {
    steps: Steps,
    standing: Standing,
    state: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    at: At,
    /// The task that the future is.
    task: Option<Waker>,
}

/// How far a step has come.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Nothing has happened that the future would go on for.
    Rest,
    /// Something has; others are first.
    Waits(Party, Ticket),
    /// The task may go on.
    Due(Begun),
    /// It does.
    Runs,
    /// It does, and something has happened meanwhile.
    RunsAgain,
    /// There is no task any more.
    Gone,
}

impl Steps {
    /// Lets so many steps be ready or taken at a time. How many wait is for others to bound.
    pub fn new(threads: usize, courtesy: &Courtesy) -> Self {
        let running_each = threads.max(2);
        let (waiting, waiting_each) = (usize::MAX, usize::MAX);
        let bounds = Bounds { running: 2 * running_each, running_each, waiting, waiting_each };
        let lines = Arc::new(Lines(Mutex::new(Queue::new(bounds, courtesy.clone()))));
        let queue: Weak<Lines> = Arc::downgrade(&lines);
        courtesy.tell(queue);
        Self(lines)
    }

    /// How many may be ready or taken at a time, and how busy it is. None is ever refused, and how long they wait is not
    /// told apart.
    pub fn load(&self) -> (usize, State) {
        let queue = self.queue();
        let Counts { running, waiting, waiting_shares } = queue.counts();
        let (refused_total, refused_share, waited, waits) = (0, 0, Duration::ZERO, 0);
        let state =
            State { running, waiting, waiting_shares, refused_total, refused_share, waited, waits };
        (queue.running_most(), state)
    }

    /// Has each step of `future` wait for its turn.
    pub fn of<F: Future>(&self, standing: Standing, future: F) -> InTurns<F> {
        let state = Mutex::new(Now { at: At::Rest, task: None });
        let step = Arc::new(Step { steps: self.clone(), standing, state });
        InTurns { future: Box::pin(future), waker: Waker::from(step.clone()), step }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Arc<Step>>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step was taken, and took so many nanoseconds.
    fn leave(&self, begun: Begun, spent: u64) {
        let next = self.queue().leave(begun, spent);
        self.are_due(next);
    }

    fn are_due(&self, mut next: Vec<(Begun, Arc<Step>)>) {
        // A turn of a task that has ended meanwhile goes to somebody else.
        while let Some((begun, step)) = next.pop() {
            if !step.is_due(begun) {
                next.extend(self.queue().leave(begun, 0));
            }
        }
    }
}

impl Narrow for Lines {
    fn widen(self: Arc<Self>) {
        let steps = Steps(self);
        let next = steps.queue().widen();
        steps.are_due(next);
    }
}

impl Standing {
    /// Begins as `party`'s.
    pub fn new(party: Party) -> Self {
        Self(Arc::new(Mutex::new(party)))
    }

    /// The next steps are `party`'s.
    pub fn set(&self, party: Party) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = party;
    }

    fn party(&self) -> Party {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    fn state(&self) -> MutexGuard<'_, Now> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets in line.
    fn enter(self: &Arc<Self>, state: &mut Now) {
        let party = self.standing.party();
        let mut queue = self.steps.queue();
        state.at = match queue.enter_now(party.share) {
            Some(begun) => At::Due(begun),
            None => match queue.wait(party, true, self.clone()) {
                Ok(ticket) => At::Waits(party, ticket),
                Err(_) => unreachable!("the patient are not refused"),
            },
        };
    }

    /// It is its turn. False: it is gone.
    fn is_due(&self, begun: Begun) -> bool {
        let mut state = self.state();
        let At::Waits(..) = state.at else { return false };
        state.at = At::Due(begun);
        let task = state.task.clone();
        drop(state);
        task.as_ref().map(Waker::wake_by_ref);
        true
    }
}

impl Wake for Step {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        match state.at {
            At::Rest => self.enter(&mut state),
            At::Runs => state.at = At::RunsAgain,
            At::Waits(..) | At::Due(_) | At::RunsAgain | At::Gone => {}
        }
        if let At::Due(_) = state.at {
            let task = state.task.clone();
            drop(state);
            task.as_ref().map(Waker::wake_by_ref);
        }
    }
}

/// A step that is being taken; it ends also when it panics.
struct Taken<'a> {
    step: &'a Arc<Step>,
    begun: Begun,
    start: Instant,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // First the others: what has happened meanwhile waits behind them.
        self.step.steps.leave(self.begun, nanos(self.start.elapsed()));
        let mut state = self.step.state();
        let again = matches!(state.at, At::RunsAgain);
        state.at = At::Rest;
        drop(state);
        if again {
            self.step.wake_by_ref();
        }
        held::breathe_after(BREATH);
    }
}

/// The turn to go on, if it has come.
fn take<'a>(step: &'a Arc<Step>, task: &Waker) -> Option<Taken<'a>> {
    let mut state = step.state();
    if !state.task.as_ref().is_some_and(|known| known.will_wake(task)) {
        state.task = Some(task.clone());
        // It has yet to begin.
        if let At::Rest = state.at {
            step.enter(&mut state);
        }
    }
    let At::Due(begun) = state.at else { return None };
    state.at = At::Runs;
    Some(Taken { step, begun, start: Instant::now() })
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, step, waker } = self.get_mut();
        let Some(_taken) = take(step, context.waker()) else { return Poll::Pending };
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl<F> Drop for InTurns<F> {
    fn drop(&mut self) {
        let at = std::mem::replace(&mut self.step.state().at, At::Gone);
        match at {
            At::Waits(party, ticket) => drop(self.step.steps.queue().cancel(party, ticket)),
            At::Due(begun) => self.step.steps.leave(begun, 0),
            At::Rest | At::Runs | At::RunsAgain | At::Gone => {}
        }
    }
}
