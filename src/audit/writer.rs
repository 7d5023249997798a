//! The task of a running server that writes down what was gathered, and signs checkpoints.

use std::time::Duration;

use colophon_model::audit::{Action, Chain, Subject};
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
    if let Err(error) = press.write_down(Chain::System, &[By::here().did(action, subject)]) {
        tracing::warn!(error = %chain(&error), "the audit log was not written");
    }
}

fn sign(press: &Press) {
    if let Err(error) = checkpoint_all(press) {
        tracing::warn!(error = %chain(&error), "checkpoints of the audit log were not all signed");
    }
}

impl Press {
    /// Writes down what was gathered and is due, or all of it. What cannot be written now, as on a full disk,
    /// is lost, and the log of the program says how much.
    pub fn write_gathered(&self, all: bool) {
        let now = (!all).then(|| self.clock.now());
        for (of, acts) in self.gathered.take(now) {
            if let Err(error) = self.write_down(of, &acts) {
                let count: u64 = acts.iter().map(|act| act.count).sum();
                tracing::warn!(error = %chain(&error), chain = %of, count, "acts were not written down");
            }
        }
    }
}
