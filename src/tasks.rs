//! The one door from async code to blocking code.

use std::time::Duration;

use colophon_model::TenantUid;

use crate::fair::{self, Bounds, Entered, Fair, Full, Party, Refused, Share, State, Turn};
use crate::telemetry::request::{self, About, party};

/// Runs blocking work of one kind, at most so much at a time, with a bounded queue before it in which
/// tenants take turns.
#[derive(Debug)]
pub struct Tasks {
    places: Fair,
    /// Turns on processors, when the work takes them as it goes.
    processors: Option<Fair>,
}

/// How busy one kind of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How much may run.
    pub most: usize,
    /// What runs and waits, and what was refused.
    pub state: State,
}

/// A place in the queue, held until its work is done.
#[derive(Debug)]
pub struct Place {
    entered: Entered,
    processors: Option<(Fair, Party)>,
}

/// Why work did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The queue is full: try again shortly.
    #[error("too many requests are waiting")]
    Busy(Duration),
    /// As much of this tenant waits as may; others are served.
    #[error("too many requests of this tenant are waiting")]
    BusyTenant(Duration),
    /// The work panicked, or the program is stopping.
    #[error("the task stopped unexpectedly")]
    Stopped,
}

impl From<Refused> for TaskError {
    fn from(Refused { full, again }: Refused) -> Self {
        match full {
            Full::Total => Self::Busy(again),
            Full::Share => Self::BusyTenant(again),
        }
    }
}

impl From<fair::Ended> for TaskError {
    fn from(_: fair::Ended) -> Self {
        Self::Stopped
    }
}

impl Tasks {
    /// Runs up to `running` at a time and lets `waiting` more queue, without bounds for one tenant.
    pub fn new(running: usize, waiting: usize) -> Self {
        Self::within(Bounds::total(running, waiting))
    }

    /// Runs what `bounds` allow.
    pub fn within(bounds: Bounds) -> Self {
        Self::over(Fair::new(bounds))
    }

    /// Runs what a queue allows.
    pub const fn over(places: Fair) -> Self {
        Self { places, processors: None }
    }

    /// The same, where work needs a turn among `processors` too.
    #[must_use]
    pub fn on(self, processors: Fair) -> Self {
        Self { processors: Some(processors), ..self }
    }

    /// How busy it is at this moment.
    pub fn load(&self) -> Load {
        Load { most: self.places.most(), state: self.places.state() }
    }

    /// Takes a place in the queue, for whom the request that is being answered here is from, or says that
    /// there is none.
    pub fn admit(&self) -> Result<Place, TaskError> {
        let party = party();
        let entered = self.places.enter(party)?;
        Ok(self.place(entered, party))
    }

    /// Takes a place as soon as there is one, or says after `patience` that there is none.
    pub async fn admit_within(&self, patience: Duration) -> Result<Place, TaskError> {
        let party = party();
        let turn = self.places.enter_patiently(party).turn();
        let turn = tokio::time::timeout(patience, turn).await;
        let turn = turn.map_err(|_| TaskError::Busy(patience))??;
        Ok(self.place(Entered::Now(turn), party))
    }

    /// Takes a place and runs `work` in it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        self.admit()?.run(work).await
    }

    /// Takes a place and runs `work` in it, as `share`'s, which has proven who it is.
    pub async fn run_for<T: Send + 'static>(
        &self,
        share: Share,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let party = Party::of(share);
        self.place(self.places.enter(party)?, party).run(work).await
    }

    /// Runs the next piece of work that was admitted before, or the server's own: it waits for its turn
    /// and is never turned away.
    pub async fn resume<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        self.resume_for(party().share, work).await
    }

    /// The same for whom it is known to be for.
    pub async fn resume_for<T: Send + 'static>(
        &self,
        share: Share,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let party = Party::of(share);
        self.place(self.places.enter_patiently(party), party).run(work).await
    }

    /// A turn for what `share` wants done on the thread at hand, when it has nothing else under way here and a place is
    /// free.
    pub fn alone(&self, share: Share) -> Option<Turn> {
        self.places.enter_now(share).filter(Turn::is_alone)
    }

    /// Finds out with `prove` which tenant work is for, and then runs it as that tenant's: on the same
    /// thread when that tenant is the next anyhow, else in its turn.
    pub async fn run_proven<
        P: Send + 'static,
        T: Send + 'static,
        E: From<TaskError> + Send + 'static,
    >(
        &self,
        prove: impl FnOnce() -> Result<(TenantUid, P), E> + Send + 'static,
        work: impl FnOnce(P) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let stranger = party();
        let turn = match &self.processors {
            Some(queue) => {
                let turn = queue.enter_patiently(stranger).turn().await;
                Some(turn.map_err(TaskError::from)?)
            }
            None => None,
        };
        let places = self.places.clone();
        let begin = move || {
            let (tenant, proven) = prove()?;
            let share = Share::Tenant(tenant);
            let Some(place) = places.enter_now(share) else {
                drop(turn);
                return Ok::<_, E>(Step::Waits(share, proven, work));
            };
            match turn.map(|turn| turn.hand_over(share)) {
                Some(None) => Ok(Step::Placed(place, share, proven, work)),
                Some(Some(turn)) => Ok(Step::Done(fair::holding(turn, || {
                    let _place = place;
                    work(proven)
                }))),
                None => {
                    let _place = place;
                    Ok(Step::Done(work(proven)))
                }
            }
        };
        let (place, share, proven, work) = match spawn(begin).await?? {
            Step::Done(done) => return done,
            Step::Placed(place, share, proven, work) => (Entered::Now(place), share, proven, work),
            Step::Waits(share, proven, work) => {
                let entered = self.places.enter(Party::of(share)).map_err(TaskError::from)?;
                (entered, share, proven, work)
            }
        };
        self.place(place, Party::of(share)).run(move || work(proven)).await.map_err(E::from)?
    }

    fn place(&self, entered: Entered, party: Party) -> Place {
        let processors = self.processors.clone().map(|processors| (processors, party));
        Place { entered, processors }
    }
}

/// How far work has come once it is known whose it is.
enum Step<P, W, T> {
    Done(T),
    /// It may begin, and waits for a processor.
    Placed(Turn, Share, P, W),
    /// It waits for others of its tenant.
    Waits(Share, P, W),
}

impl Place {
    /// Runs `work` on a blocking thread within the current span. When the caller goes away, work
    /// that has begun runs to its end all the same, and keeps its place until then.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let place = self.entered.turn().await?;
        let Some((processors, party)) = self.processors else {
            return spawn(move || {
                place.begin_here();
                let _place = place;
                work()
            })
            .await;
        };
        let turn = processors.enter_patiently(party).turn().await?;
        let held = move || {
            let _place = place;
            fair::holding(turn, work)
        };
        spawn(held).await
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door that all others go through")]
async fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskError> {
    let (span, about) = (tracing::Span::current(), About::current());
    let task = move || request::within(about, || span.in_scope(work));
    tokio::task::spawn_blocking(task).await.map_err(|_| TaskError::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};

    /// Starts work that holds the only thread until the sender is used.
    async fn occupy(tasks: &Arc<Tasks>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, wait) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let tasks = tasks.clone();
        let work = move || {
            let _ = started.send(());
            wait.recv().unwrap();
        };
        let handle = tokio::spawn(async move { tasks.run(work).await.unwrap() });
        running.await.unwrap();
        (release, handle)
    }

    #[tokio::test]
    async fn a_full_queue_turns_new_work_away_and_lets_admitted_work_wait() {
        let tasks = Arc::new(Tasks::new(1, 0));
        let (release, busy) = occupy(&tasks).await;
        let Load { most, state } = tasks.load();
        assert_eq!((state.running, state.waiting, most), (1, 0, 1));
        assert!(matches!(tasks.run(|| ()).await, Err(TaskError::Busy(_))));
        let next = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.resume(|| 7).await }
        });
        release.send(()).unwrap();
        busy.await.unwrap();
        assert!(matches!(next.await.unwrap(), Ok(7)));
        assert!(tasks.run(|| ()).await.is_ok(), "room again");
        assert_eq!(tasks.load().state.refused_total, 1);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own() {
        let processors = Fair::new(Bounds::total(1, 0));
        let tasks = Tasks::new(1, 1).on(processors.clone());
        let result = tasks.run(|| panic!("on purpose")).await;
        assert!(matches!(result, Err(TaskError::Stopped)));
        assert!(tasks.run(|| ()).await.is_ok(), "its place is free again");
        assert_eq!(processors.state().running, 0);
    }

    fn tenant(n: u8) -> TenantUid {
        TenantUid::from_bytes([n; 16])
    }

    /// Once it is known whose work is, it counts as that tenant's: it waits behind that tenant's own, and for
    /// nobody else's.
    #[tokio::test]
    async fn what_is_proven_to_be_a_tenants_waits_for_that_tenant_alone() {
        let each = Bounds { running: 4, running_each: 1, waiting: 4, waiting_each: 0 };
        let tasks = Arc::new(Tasks::within(each).on(Fair::new(Bounds::total(4, 0))));
        let (release, wait) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let tasks = tasks.clone();
            let work = move |()| {
                let _ = started.send(());
                wait.recv().unwrap();
                Ok::<_, TaskError>(fair::share())
            };
            async move { tasks.run_proven(|| Ok((tenant(1), ())), work).await }
        });
        running.await.unwrap();
        let work = |()| Ok::<_, TaskError>(fair::share());
        let again = tasks.run_proven(|| Ok((tenant(1), ())), work).await;
        assert!(matches!(again, Err(TaskError::BusyTenant(_))), "{again:?}");
        let other = tasks.run_proven(|| Ok((tenant(2), ())), work).await;
        assert_eq!(other.unwrap(), Share::Tenant(tenant(2)));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), Share::Tenant(tenant(1)));
        assert!(tasks.run_proven(|| Ok((tenant(1), ())), work).await.is_ok());
    }

    /// What is done on the thread at hand counts as its tenant's, and a tenant that has work under way waits as ever.
    #[tokio::test]
    async fn a_tenant_that_has_nothing_else_under_way_gets_a_turn_at_hand() {
        let tasks = Arc::new(Tasks::within(Bounds::total(2, 1)));
        let share = Share::Tenant(tenant(1));
        let turn = tasks.alone(share).unwrap();
        assert_eq!(tasks.load().state.running, 1);
        assert!(tasks.alone(share).is_none(), "it has one");
        assert!(tasks.alone(Share::Tenant(tenant(2))).is_some());
        let (release, busy) = occupy(&tasks).await;
        assert!(tasks.alone(Share::Tenant(tenant(2))).is_none(), "no place is free");
        drop(turn);
        assert!(tasks.alone(share).is_some());
        release.send(()).unwrap();
        busy.await.unwrap();
        assert_eq!(tasks.load().state.running, 0);
    }
}
