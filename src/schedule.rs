//! Work that is due by the clock: a few pieces at a time, who waits longest first, and never two at a time
//! about the same thing. Pushes to mirrors, reads from builders and deliveries to endpoints go by it.
//!
//! Whether something is due is for the store and the clock to say, so that a restart goes on where the last
//! run ended; here is only what is being worked on, and what came to nothing a moment ago.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use colophon_model::UnixMillis;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::http::chain;
use crate::tasks::TaskError;

/// How often is looked for what is due: one read, of nothing as a rule.
const LOOK: Duration = Duration::from_millis(500);
/// How long a piece is left alone that came to nothing. It is due as it was, and would be begun again at the next look,
/// before all others.
const REST: Duration = Duration::from_mins(1);

/// How far a clock may be set back, in milliseconds, by whoever keeps it right, before it counts as having been wrong.
const SET: u64 = 60_000;

/// When something is due that was put off until `next`, by `longest` milliseconds at most. What is further ahead was put
/// off while the clock was ahead (a machine whose clock was wrong when it started): it is due at once, and not only when
/// the clock is there again.
pub(crate) fn due_at(next: UnixMillis, now: UnixMillis, longest: u64) -> UnixMillis {
    if next > now.plus(longest).plus(SET) { now } else { next }
}

/// Whether that is so at `now`.
pub(crate) fn is_due(next: UnixMillis, now: UnixMillis, longest: u64) -> bool {
    due_at(next, now, longest) <= now
}

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// What came of it is written down, if anything was to be.
    Settled,
    /// Nothing is written down of it: the store did not take it, or it panicked.
    Unsettled,
}

/// What is not to be begun at a look.
#[derive(Debug)]
pub(crate) struct Taken<About> {
    /// What is being worked on: each has a place.
    pub(crate) busy: HashSet<About>,
    /// What came to nothing a moment ago. It has no place: others may use it.
    pub(crate) resting: HashSet<About>,
}

impl<About> Default for Taken<About> {
    fn default() -> Self {
        Self { busy: HashSet::new(), resting: HashSet::new() }
    }
}

impl<About: Eq + Hash> Taken<About> {
    /// Whether something is not to be begun.
    pub(crate) fn holds(&self, about: &About) -> bool {
        self.busy.contains(about) || self.resting.contains(about)
    }
}

/// A kind of work.
pub(crate) trait Duty: Send + Sync + 'static {
    /// A piece whose time has come.
    type Due: Send + 'static;
    /// What a piece is about: no two pieces about the same are worked on at a time.
    type About: Clone + Eq + Hash + Send + Sync + 'static;
    /// What is done, for the log.
    const WHAT: &'static str;

    /// What a piece is about.
    fn about(due: &Self::Due) -> Self::About;

    /// What is due and not `taken`, in its turn, and no more than there is room for beside what is busy.
    fn due(&self, taken: Taken<Self::About>) -> impl Future<Output = Vec<Self::Due>> + Send;

    /// Does a piece of work to its end, whatever that is.
    fn work(&self, due: Self::Due) -> impl Future<Output = Ended> + Send;
}

/// The task that sees to a duty.
#[derive(Debug)]
pub(crate) struct Schedule(JoinSet<()>);

impl Schedule {
    /// A schedule for which nothing is ever due.
    pub(crate) fn idle() -> Self {
        Self(JoinSet::new())
    }

    /// Starts seeing to `duty`.
    pub(crate) fn start(duty: impl Duty) -> Self {
        Self::resting(duty, REST)
    }

    /// The same, where what came to nothing is left alone for so long.
    fn resting(duty: impl Duty, rest: Duration) -> Self {
        let mut task = JoinSet::new();
        task.spawn(see_to(Arc::new(duty), rest));
        Self(task)
    }

    /// Starts nothing more, and waits for nothing: what is begun is begun again at the next start.
    pub(crate) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn see_to<D: Duty>(duty: Arc<D>, rest: Duration) {
    let mut running: JoinSet<Ended> = JoinSet::new();
    let mut busy: HashMap<Id, D::About> = HashMap::new();
    let mut resting: HashMap<D::About, Instant> = HashMap::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(ended) = running.join_next_with_id() => {
                // A piece that panicked leaves its place too.
                let (id, ended) = ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "{} ended unexpectedly", D::WHAT);
                    (error.id(), Ended::Unsettled)
                });
                if let Some(about) = busy.remove(&id)
                    && ended == Ended::Unsettled
                {
                    resting.insert(about, Instant::now());
                }
            }
            _ = looks.tick() => {
                resting.retain(|_, since| since.elapsed() < rest);
                let taken = Taken {
                    busy: busy.values().cloned().collect(),
                    resting: resting.keys().cloned().collect(),
                };
                for due in duty.due(taken).await {
                    let (about, worker) = (D::about(&due), duty.clone());
                    let task = running.spawn(async move { worker.work(due).await });
                    busy.insert(task.id(), about);
                }
            }
        }
    }
}

/// What a look at the store found. One that failed found nothing, and says so.
pub(crate) fn found<T>(
    what: &str,
    looked: Result<Result<Vec<T>, colophon_store::Error>, TaskError>,
) -> Vec<T> {
    match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "what is due of {what} could not be looked for");
            Vec::new()
        }
        Err(_) => Vec::new(), // the program is stopping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::sync::Notify;

    /// A clock that was years ahead when the machine started, and is right by now, keeps nothing waiting for years.
    #[test]
    fn what_is_put_off_for_longer_than_can_be_is_due() {
        let (now, longest) = (UnixMillis::new(1_000_000_000), 5_000);
        let due = |next| is_due(next, now, longest);
        assert!(due(UnixMillis::new(0)) && due(now));
        assert!(!due(now.plus(1)) && !due(now.plus(longest)));
        assert!(!due(now.plus(longest + SET)), "a clock that was set back a little was not wrong");
        assert!(due(now.plus(longest + SET + 1)) && due(UnixMillis::new(u64::MAX)));
        assert_eq!(due_at(now.plus(9), now, longest), now.plus(9));
    }

    /// Things that are always due; what is worked on; and how often.
    #[derive(Default)]
    struct Log {
        at_work: HashSet<u32>,
        begun: Vec<u32>,
        twice: bool,
    }

    struct Always {
        things: Vec<u32>,
        log: Arc<Mutex<Log>>,
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
    }

    impl Duty for Always {
        type Due = u32;
        type About = u32;
        const WHAT: &'static str = "a test";

        fn about(due: &u32) -> u32 {
            *due
        }

        async fn due(&self, taken: Taken<u32>) -> Vec<u32> {
            self.things.iter().copied().filter(|thing| !taken.holds(thing)).collect()
        }

        async fn work(&self, thing: u32) -> Ended {
            {
                let mut log = self.log.lock().unwrap();
                log.twice |= !log.at_work.insert(thing);
                log.begun.push(thing);
            }
            self.begun.notify_one();
            if thing == PANICS {
                self.log.lock().unwrap().at_work.remove(&thing);
                panic!("on purpose");
            }
            if thing != UNSETTLED {
                self.go_on.notified().await;
            }
            self.log.lock().unwrap().at_work.remove(&thing);
            if thing == UNSETTLED { Ended::Unsettled } else { Ended::Settled }
        }
    }

    const PANICS: u32 = 0;
    const UNSETTLED: u32 = 1;

    /// A piece that hangs or panics neither keeps others waiting nor its own place.
    #[tokio::test]
    async fn a_thing_is_worked_on_once_at_a_time_and_a_panic_frees_it() {
        let (log, begun, go_on) =
            (Arc::<Mutex<Log>>::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let duty = Always {
            things: vec![PANICS, 7],
            log: log.clone(),
            begun: begun.clone(),
            go_on: go_on.clone(),
        };
        let schedule = Schedule::resting(duty, Duration::ZERO);
        let count = |thing: u32| log.lock().unwrap().begun.iter().filter(|b| **b == thing).count();
        while count(PANICS) < 3 {
            begun.notified().await;
        }
        assert_eq!(count(7), 1, "it is still at work");
        go_on.notify_one();
        while count(7) < 2 {
            begun.notified().await;
        }
        schedule.stop().await;
        assert!(!log.lock().unwrap().twice);
    }

    /// What is due for ever, since nothing is ever written down of it, does not go before others at every look.
    #[tokio::test]
    async fn what_came_to_nothing_is_left_alone_while_others_go_on() {
        let (log, begun, go_on) =
            (Arc::<Mutex<Log>>::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let duty = Always {
            things: vec![PANICS, UNSETTLED, 7],
            log: log.clone(),
            begun: begun.clone(),
            go_on: go_on.clone(),
        };
        let schedule = Schedule::start(duty);
        let count = |thing: u32| log.lock().unwrap().begun.iter().filter(|b| **b == thing).count();
        while count(7) < 3 {
            begun.notified().await;
            go_on.notify_one();
        }
        schedule.stop().await;
        assert_eq!((count(PANICS), count(UNSETTLED)), (1, 1));
    }
}
