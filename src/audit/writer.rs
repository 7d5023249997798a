//! The task of a running server that writes down what was gathered, and signs checkpoints.

use std::time::Duration;

use colophon_model::UnixMillis;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::CommitError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{By, as_job, checkpoint_all};
use crate::app::SharedApp;
use crate::http::chain;
use crate::pipeline::Press;

/// How often it looks for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two checkpoints.
const CHECKPOINTS: Duration = Duration::from_hours(1);

/// The task of a running server.
pub struct AuditWriter {
    task: JoinSet<()>,
    app: SharedApp,
}

impl AuditWriter {
    /// Starts it, and writes down that the server serves.
    pub fn start(app: &SharedApp) -> Self {
        let mut task = JoinSet::new();
        let worker = app.clone();
        task.spawn(async move {
            blocking(&worker, |press| server(press, Action::ServerStart)).await;
            let mut signed = Instant::now();
            loop {
                sleep(LOOK).await;
                blocking(&worker, |press| press.write_gathered(false)).await;
                if signed.elapsed() >= CHECKPOINTS {
                    blocking(&worker, sign).await;
                    signed = Instant::now();
                }
            }
        });
        Self { task, app: app.clone() }
    }

    /// Ends it: writes down what waits and that the server stops, and signs for all of it.
    pub async fn stop(mut self) {
        self.task.shutdown().await;
        blocking(&self.app, |press| {
            press.write_gathered(true);
            server(press, Action::ServerStop);
            let lost = press.gathered.count();
            if lost > 0 {
                tracing::error!(
                    lost,
                    "acts end with the server that could not be written to the audit log"
                );
            }
            sign(press);
        })
        .await;
    }
}

/// Waits for its turn and is never turned away.
async fn blocking(app: &SharedApp, work: impl FnOnce(&Press) + Send + 'static) {
    let press = app.press.clone();
    if let Err(error) = app.reads.resume(move || as_job("audit", || work(&press))).await {
        tracing::warn!(%error, "the audit log was not written");
    }
}

fn server(press: &Press, action: Action) {
    let subject = Subject::new("server", env!("CARGO_PKG_VERSION"));
    press.write_down_or_keep(Chain::System, By::here().did(action, subject));
}

fn sign(press: &Press) {
    if let Err(error) = checkpoint_all(press) {
        tracing::warn!(error = %chain(&error), "checkpoints of the audit log were not all signed");
    }
}

impl Press {
    /// Writes down what was gathered and is due, or all of it. What cannot be written now, as on a full disk,
    /// waits for the next time; [`Gathered::behind_since`](super::Gathered::behind_since) tells of it.
    pub fn write_gathered(&self, all: bool) {
        let now = self.clock.now();
        if !all && !self.gathered.is_due(now) {
            return;
        }
        let was_behind = self.gathered.behind_since().is_some();
        let written = self.try_gathered((!all).then_some(now), now);
        self.gathered.note(now, written.is_ok());
        match written {
            Err(error) if !was_behind => {
                let error = chain(&error);
                tracing::warn!(%error, "the audit log cannot be written; what it lacks is kept and tried again");
            }
            Ok(()) if was_behind => tracing::info!("the audit log has what it lacked"),
            Ok(()) | Err(_) => {}
        }
    }

    /// Chains do not wait for each other: one that cannot be written keeps its acts, and the first error is told.
    fn try_gathered(&self, due: Option<UnixMillis>, now: UnixMillis) -> Result<(), CommitError> {
        // Where nothing can be written, many lines need not be made to find out.
        self.store.room()?;
        let mut told = Ok(());
        for (of, acts) in self.gathered.take(due) {
            if let Err(error) = self.write_down(of, &acts) {
                self.gathered.put_back(of, acts, now);
                told = told.and(Err(error));
            }
        }
        told
    }
}
