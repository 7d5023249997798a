//! The task of a running server that writes the log of deliveries.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::SharedApp;

/// How long an entry waits for others, unless there are many: what a crash may lose came within this.
const WAIT: Duration = Duration::from_millis(500);

/// The task of a running server.
pub struct DeliveryFlush {
    task: JoinSet<()>,
    app: SharedApp,
}

impl DeliveryFlush {
    /// Starts it.
    pub fn start(app: &SharedApp) -> Self {
        let mut task = JoinSet::new();
        let worker = app.clone();
        task.spawn(async move {
            loop {
                let _ = timeout(WAIT, worker.press.deliveries.crowded()).await;
                flush(&worker).await;
            }
        });
        Self { task, app: app.clone() }
    }

    /// Ends it, and writes what waits.
    pub async fn stop(mut self) {
        self.task.shutdown().await;
        flush(&self.app).await;
        let lost = self.app.press.deliveries.waiting();
        if lost > 0 {
            tracing::warn!(
                lost,
                "deliveries were not logged: the disk is full, and the server ends"
            );
        }
    }
}

async fn flush(app: &SharedApp) {
    if !app.press.deliveries.is_waiting() {
        return;
    }
    let press = app.press.clone();
    if let Err(error) = app.reads.resume(move || press.deliveries.flush(&press.store)).await {
        tracing::warn!(%error, "deliveries were not logged");
    }
}
