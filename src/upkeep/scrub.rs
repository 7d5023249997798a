//! Reading every blob from time to time.

use std::time::Duration;

use colophon_model::Digest;
use colophon_store::{Scrubbed, Unread};
use tokio::time::{Instant, sleep};

use super::{Waits, settle};
use crate::app::SharedApp;
use crate::units::Size;

/// How often in a round a part is tried again that the disk did not give. From then on it is left out.
const TRIES: u32 = 10;

/// Reads all blobs again and again, so much of them in a second.
pub(super) async fn scrub(app: SharedApp, rate: Size, waits: Waits) {
    if rate.get() == 0 {
        return;
    }
    loop {
        let start = Instant::now();
        if let Some(round) = scrub_all(&app, rate.get(), waits.again).await {
            tell(&round, start.elapsed());
        }
        sleep(waits.most.saturating_sub(start.elapsed())).await;
    }
}

/// What came of reading all blobs once.
#[derive(Debug, Default)]
struct Round {
    blobs: u64,
    bytes: u64,
    damaged: u64,
    unread: u64,
}

fn tell(round: &Round, took: Duration) {
    let Round { blobs, bytes, damaged, unread } = *round;
    let seconds = took.as_secs();
    if unread == 0 {
        tracing::info!(blobs, bytes, damaged, seconds, "read and verified every blob");
    } else {
        tracing::error!(blobs, bytes, damaged, unread, seconds, "not every blob could be read");
    }
}

/// Goes through all blobs once. `None`: the metadata cannot be read, which is logged.
async fn scrub_all(app: &SharedApp, rate: u64, again: Duration) -> Option<Round> {
    let (mut round, mut next, mut tries) = (Round::default(), None, TRIES);
    loop {
        let start = Instant::now();
        let part = match scrub_part(app, next, rate).await {
            Some(part) if part.unread.is_empty() || tries == 0 => part,
            None if tries == 0 => {
                tracing::error!(after = ?next, "blobs from there on are not verified; the next round begins anew");
                return None;
            }
            failed => {
                let unread = failed.and_then(|part| part.unread.into_iter().next());
                tracing::warn!(?unread, "a part of the blobs could not be read; it is tried again");
                tries -= 1;
                sleep(again).await;
                continue;
            }
        };
        round.add(&part);
        next = part.next;
        if next.is_none() {
            return Some(round);
        }
        let due = Duration::from_millis(part.bytes.saturating_mul(1000) / rate);
        sleep(due.saturating_sub(start.elapsed())).await;
    }
}

impl Round {
    fn add(&mut self, part: &Scrubbed) {
        for digest in &part.damaged {
            tracing::error!(%digest, "a blob is damaged; `colophon fsck --repair` may heal it");
        }
        // One for all of the page: there are many when the disk gives nothing.
        if let Some(Unread { blob, reason }) = part.unread.first() {
            let count = part.unread.len();
            tracing::error!(blob, reason, count, "blobs cannot be read, and are left out");
        }
        self.blobs += part.blobs;
        self.bytes += part.bytes;
        self.damaged += part.damaged.len() as u64;
        self.unread += part.unread.len() as u64;
    }
}

/// Reads the blobs after `after`, up to `bytes` of them.
async fn scrub_part(app: &SharedApp, after: Option<Digest>, bytes: u64) -> Option<Scrubbed> {
    let press = app.press.clone();
    // It waits while a job runs, rather than read beside it.
    let part = app.maintenance.resume(move || Ok(press.store.scrub(after, bytes)?)).await;
    settle("scrub", part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::TenantUid;
    use colophon_store::{Change, InvalidRow, PreparedBlob, Row, Table};

    use crate::upkeep::tests::app;

    /// A row of blobs whose key is no digest.
    struct Bad;

    impl Row for Bad {
        const TABLE: Table = Table::Blob;
        type Key = u64;

        fn encode(&self) -> Vec<u8> {
            Vec::new()
        }

        fn decode(_: &[u8]) -> Result<Self, InvalidRow> {
            Ok(Self)
        }
    }

    /// A row that is not what it should be must not keep what lies behind it from being verified, today and for ever.
    #[tokio::test]
    async fn a_round_goes_past_what_cannot_be_read() {
        let (app, _dir) = app();
        let mut change = Change::new();
        change.put(&0, &Bad).put(&(1 << 63), &Bad);
        for n in 0..600_u64 {
            let blob = PreparedBlob::new(&n.to_be_bytes()).unwrap();
            change.blob(TenantUid::from_bytes([1; 16]), blob);
        }
        app.press.store.commit(change).unwrap();
        let round = scrub_all(&app, 1 << 20, Duration::from_millis(1)).await.unwrap();
        assert_eq!((round.blobs, round.unread, round.damaged), (600, 2, 0));
    }
}
