//! Reading every blob from time to time.

use std::time::Duration;

use colophon_model::Digest;
use colophon_store::Scrubbed;
use tokio::time::{Instant, sleep};

use super::{Waits, settle};
use crate::app::SharedApp;
use crate::units::Size;

/// Reads all blobs again and again, so much of them in a second.
pub(super) async fn scrub(app: SharedApp, rate: Size, waits: Waits) {
    if rate.get() == 0 {
        return;
    }
    loop {
        let start = Instant::now();
        if let Some(done) = scrub_all(&app, rate.get()).await {
            tracing::info!(
                blobs = done.blobs,
                bytes = done.bytes,
                damaged = done.damaged.len(),
                seconds = start.elapsed().as_secs(),
                "read and verified every blob"
            );
        }
        sleep(waits.most.saturating_sub(start.elapsed())).await;
    }
}

async fn scrub_all(app: &SharedApp, rate: u64) -> Option<Scrubbed> {
    let mut total = Scrubbed::default();
    loop {
        let start = Instant::now();
        let part = scrub_part(app, total.next, rate).await?;
        total.blobs += part.blobs;
        total.bytes += part.bytes;
        total.damaged.extend(part.damaged);
        total.next = part.next;
        if total.next.is_none() {
            return Some(total);
        }
        let due = Duration::from_millis(part.bytes.saturating_mul(1000) / rate);
        sleep(due.saturating_sub(start.elapsed())).await;
    }
}

/// Reads the blobs after `after`, up to `bytes` of them.
async fn scrub_part(app: &SharedApp, after: Option<Digest>, bytes: u64) -> Option<Scrubbed> {
    let press = app.press.clone();
    // It waits while a job runs, rather than read beside it.
    let part = app.maintenance.resume(move || Ok(press.store.scrub(after, bytes)?)).await;
    let part = settle("scrub", part)?;
    for digest in &part.damaged {
        tracing::error!(%digest, "a blob is damaged; `colophon fsck --repair` may heal it");
    }
    Some(part)
}
