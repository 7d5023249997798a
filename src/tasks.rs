//! The one door from async code to blocking code.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::request::{self, About};

/// Runs blocking work of one kind, at most so much at a time, with a bounded queue before it.
#[derive(Debug)]
pub struct Tasks {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// How much may run, and be admitted.
    most: (usize, usize),
}

/// How busy one kind of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// What runs.
    pub running: usize,
    /// What was admitted and does not run yet.
    pub waiting: usize,
    /// How much may run.
    pub most: usize,
}

/// A place in the queue, held from before a request's body is read until its work is done.
#[derive(Debug)]
pub struct Place {
    running: Arc<Semaphore>,
    admitted: OwnedSemaphorePermit,
}

/// Why work did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The queue is full: try again shortly.
    #[error("too many requests are waiting")]
    Busy,
    /// The work panicked, or the program is stopping.
    #[error("the task stopped unexpectedly")]
    Stopped,
}

impl Tasks {
    /// Runs up to `running` at a time and lets `waiting` more queue.
    pub fn new(running: usize, waiting: usize) -> Self {
        let running = running.max(1);
        Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running.saturating_add(waiting))),
            most: (running, running.saturating_add(waiting)),
        }
    }

    /// How busy it is at this moment.
    pub fn load(&self) -> Load {
        let (most, places) = self.most;
        let running = most.saturating_sub(self.running.available_permits());
        let admitted = places.saturating_sub(self.admitted.available_permits());
        Load { running, waiting: admitted.saturating_sub(running), most }
    }

    /// Takes a place in the queue, or says that there is none.
    pub fn admit(&self) -> Result<Place, TaskError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| TaskError::Busy)?;
        Ok(Place { running: self.running.clone(), admitted })
    }

    /// Takes a place as soon as there is one, or says after `patience` that there is none.
    pub async fn admit_within(&self, patience: Duration) -> Result<Place, TaskError> {
        let admitted = tokio::time::timeout(patience, self.admitted.clone().acquire_owned());
        let admitted = admitted.await.map_err(|_| TaskError::Busy)?;
        let admitted = admitted.map_err(|_| TaskError::Stopped)?;
        Ok(Place { running: self.running.clone(), admitted })
    }

    /// Takes a place and runs `work` in it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        self.admit()?.run(work).await
    }

    /// Runs the next piece of work that was admitted before, such as a chunk of a stream: it waits
    /// for its turn and is never turned away.
    pub async fn resume<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        spawn(&self.running, (), work).await
    }
}

impl Place {
    /// Runs `work` on a blocking thread within the current span. When the caller goes away, work
    /// that has begun runs to its end all the same, and keeps its place until then.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        spawn(&self.running, self.admitted, work).await
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door that all others go through")]
async fn spawn<T: Send + 'static>(
    running: &Arc<Semaphore>,
    admitted: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskError> {
    let running = running.clone().acquire_owned().await.map_err(|_| TaskError::Stopped)?;
    let (span, about) = (tracing::Span::current(), About::current());
    let task = move || {
        let _place = (admitted, running);
        request::within(about, || span.in_scope(work))
    };
    tokio::task::spawn_blocking(task).await.map_err(|_| TaskError::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

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
        assert_eq!(tasks.load(), Load { running: 1, waiting: 0, most: 1 });
        assert!(matches!(tasks.run(|| ()).await, Err(TaskError::Busy)));
        let next = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.resume(|| 7).await }
        });
        release.send(()).unwrap();
        busy.await.unwrap();
        assert!(matches!(next.await.unwrap(), Ok(7)));
        assert!(tasks.run(|| ()).await.is_ok(), "room again");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own() {
        let tasks = Tasks::new(1, 1);
        let result = tasks.run(|| panic!("on purpose")).await;
        assert!(matches!(result, Err(TaskError::Stopped)));
        assert!(tasks.run(|| ()).await.is_ok(), "its place is free again");
    }
}
