//! Work that is due by the clock: a few pieces at a time, who waits longest first, and never two at a time
//! about the same thing. Pushes to mirrors, reads from builders and deliveries to endpoints go by it.
//!
//! Whether something is due is for the store and the clock to say, so that a restart goes on where the last
//! run ended; here is only what is being worked on.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::http::chain;
use crate::tasks::TaskError;

/// How often is looked for what is due: one read, of nothing as a rule.
const LOOK: Duration = Duration::from_millis(500);

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

    /// What is due and not `busy`, in its turn, and no more than there is room for beside what is.
    fn due(&self, busy: HashSet<Self::About>) -> impl Future<Output = Vec<Self::Due>> + Send;

    /// Does a piece of work to its end, whatever that is.
    fn work(&self, due: Self::Due) -> impl Future<Output = ()> + Send;
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
        let mut task = JoinSet::new();
        task.spawn(see_to(Arc::new(duty)));
        Self(task)
    }

    /// Starts nothing more, and waits for nothing: what is begun is begun again at the next start.
    pub(crate) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn see_to<D: Duty>(duty: Arc<D>) {
    let mut running: JoinSet<()> = JoinSet::new();
    let mut busy: HashMap<Id, D::About> = HashMap::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(ended) = running.join_next_with_id() => {
                // A piece that panicked leaves its place too.
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(%error, "{} ended unexpectedly", D::WHAT);
                        error.id()
                    }
                };
                busy.remove(&id);
            }
            _ = looks.tick() => {
                for due in duty.due(busy.values().cloned().collect()).await {
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

        async fn due(&self, busy: HashSet<u32>) -> Vec<u32> {
            self.things.iter().copied().filter(|thing| !busy.contains(thing)).collect()
        }

        async fn work(&self, thing: u32) {
            {
                let mut log = self.log.lock().unwrap();
                log.twice |= !log.at_work.insert(thing);
                log.begun.push(thing);
            }
            self.begun.notify_one();
            if thing == 0 {
                self.log.lock().unwrap().at_work.remove(&thing);
                panic!("on purpose");
            }
            self.go_on.notified().await;
            self.log.lock().unwrap().at_work.remove(&thing);
        }
    }

    /// A piece that hangs or panics neither keeps others waiting nor its own place.
    #[tokio::test]
    async fn a_thing_is_worked_on_once_at_a_time_and_a_panic_frees_it() {
        let (log, begun, go_on) =
            (Arc::<Mutex<Log>>::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let duty = Always {
            things: vec![0, 7],
            log: log.clone(),
            begun: begun.clone(),
            go_on: go_on.clone(),
        };
        let schedule = Schedule::start(duty);
        let count = |thing: u32| log.lock().unwrap().begun.iter().filter(|b| **b == thing).count();
        while count(0) < 3 {
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
}
