//! The one door from async code to blocking code.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Runs blocking work of one kind, at most so much at a time, with a bounded queue before it.
#[derive(Debug)]
pub struct Tasks {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// Why work did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The queue is full: try again shortly.
    #[error("too many requests are waiting")]
    Busy,
    /// The work panicked.
    #[error("the task stopped unexpectedly")]
    Panicked,
}

impl Tasks {
    /// Runs up to `running` at a time and lets `waiting` more queue.
    pub fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running.max(1))),
            admitted: Arc::new(Semaphore::new(running.max(1).saturating_add(waiting))),
        }
    }

    /// Runs `work` on a blocking thread within the current span. When the caller goes away, work
    /// that has begun runs to its end all the same, and keeps its place until then.
    #[expect(clippy::disallowed_methods, reason = "this is the door that all others go through")]
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| TaskError::Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| TaskError::Busy)?;
        let span = tracing::Span::current();
        let task = move || {
            let _place = (admitted, running);
            span.in_scope(work)
        };
        tokio::task::spawn_blocking(task).await.map_err(|_| TaskError::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_full_queue_turns_work_away() {
        let tasks = Arc::new(Tasks::new(1, 0));
        let (release, wait) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let busy = tokio::spawn({
            let tasks = tasks.clone();
            async move {
                tasks
                    .run(move || {
                        let _ = started.send(());
                        wait.recv()
                    })
                    .await
            }
        });
        running.await.unwrap();
        assert!(matches!(tasks.run(|| ()).await, Err(TaskError::Busy)));
        release.send(()).unwrap();
        busy.await.unwrap().unwrap().unwrap();
        assert!(tasks.run(|| ()).await.is_ok(), "room again");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own() {
        let tasks = Tasks::new(1, 1);
        let result = tasks.run(|| panic!("on purpose")).await;
        assert!(matches!(result, Err(TaskError::Panicked)));
    }
}
