//! Carries files to a place: tries again what may pass, writes over nothing, and holds little in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use colophon_model::Sha256;
use tokio::time::{Instant, sleep_until};

use super::bag::{Body, Item};
use super::error::{ExportError, Trouble};
use super::pace::Pace;
use super::place::{Failure, Place, Upload, Version};
use crate::keys::random_bytes;
use crate::tasks::Tasks;

/// What is larger goes in parts.
const WHOLE: u64 = 16 << 20;
/// Size of a part; S3 takes none below 5 MiB but the last.
const PART: usize = 8 << 20;

/// How often what failed is tried again, and how long it waits before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// Attempts in all.
    pub(super) attempts: u32,
    /// Most time before the second one; it doubles with each further one.
    pub(super) first: Duration,
}

/// Objects that are opened at a time, at most: as many as are read, so that none waits.
const OPENING: usize = 64;
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(20);
/// How often somebody who waits looks whether the program ends.
const BLINK: Duration = Duration::from_millis(200);

impl Retry {
    /// A random wait before attempt number `attempt` (from 1 on for the second), so that many who were sent away at
    /// once do not come back at once.
    fn wait(&self, attempt: u32) -> Duration {
        let most = self.first.saturating_mul(1 << attempt.min(16).saturating_sub(1)).min(LONGEST);
        let [random] = random_bytes::<1>().unwrap_or([255]);
        most.mul_f64(f64::from(random) / 510.0 + 0.5)
    }
}

/// Carries files to one place.
pub(super) struct Carrier<'a> {
    pub(super) place: &'a Place,
    folder: String,
    pace: Pace,
    retry: Retry,
    retries: AtomicU64,
    /// Where what is sealed is opened.
    pub(super) opening: Tasks,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It was written.
    Written,
    /// It was there.
    WasThere,
}

impl<'a> Carrier<'a> {
    /// To the folder of a tenant, or to the place itself when that is empty.
    pub(super) fn new(place: &'a Place, folder: String, per_second: u64, retry: Retry) -> Self {
        let retries = AtomicU64::new(0);
        let opening = Tasks::new(OPENING, 0);
        Self { place, folder, pace: Pace::new(per_second), retry, retries, opening }
    }

    /// The name at the place of what is named so in the folder.
    pub(super) fn key(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    /// How often something was tried again.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Does `work` again while what is wrong may pass.
    pub(super) async fn again<T>(
        &self,
        work: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            self.place.check_stop()?;
            match work().await {
                Err(Failure::Trouble(trouble))
                    if trouble.passing && attempt < self.retry.attempts =>
                {
                    tracing::debug!(error = %trouble, attempt, "the place failed; it is tried again");
                    self.pause(attempt).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Waits before another attempt.
    pub(super) async fn pause(&self, attempt: u32) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.rest(Instant::now() + self.retry.wait(attempt)).await;
    }

    /// Waits until `bytes` more may be sent.
    async fn pace(&self, bytes: u64) {
        if let Some(end) = self.pace.next(bytes) {
            self.rest(end).await;
        }
    }

    /// Who stops the program does not wait for it.
    async fn rest(&self, end: Instant) {
        while Instant::now() < end && self.place.check_stop().is_ok() {
            sleep_until(end.min(Instant::now() + BLINK)).await;
        }
    }

    /// Reads an object, if it is there.
    pub(super) async fn find(&self, key: &str) -> Result<Option<(Bytes, Version)>, ExportError> {
        match self.again(async || self.place.get_version(key).await).await {
            Ok(found) => Ok(Some(found)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.into_trouble(key).into()),
        }
    }

    /// Reads an object of at most `most` bytes, if it is there.
    pub(super) async fn find_within(
        &self,
        key: &str,
        most: u64,
    ) -> Result<Option<Bytes>, ExportError> {
        match self.again(async || self.place.get_within(key, most).await).await {
            Ok(found) => Ok(Some(found)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.into_trouble(key).into()),
        }
    }

    /// Writes a file of a bag where nothing is, or finds it there.
    pub(super) async fn item(&self, key: &str, item: &Item) -> Result<Put, ExportError> {
        match &item.body {
            Body::File(file) if item.length > WHOLE => self.parts(key, file, item).await,
            Body::File(file) => {
                let bytes = part(file, 0, WHOLE as usize).map_err(ExportError::Aside)?;
                self.bytes(key, bytes, item.sha256).await
            }
            Body::Bytes(bytes) => self.bytes(key, bytes.clone(), item.sha256).await,
        }
    }

    /// Writes bytes where nothing is, or finds them there. An answer that was lost looks like the latter: only what
    /// is there decides.
    pub(super) async fn bytes(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Sha256,
    ) -> Result<Put, ExportError> {
        let mut attempt = 1;
        loop {
            self.pace(bytes.len() as u64).await;
            match self.again(async || self.place.put_new(key, bytes.clone()).await).await {
                Ok(()) => return Ok(Put::Written),
                Err(Failure::There) => {}
                Err(failure) => return Err(failure.into_trouble(key).into()),
            }
            // Nothing may be there all the same: two writers at once can both be refused (409).
            if self.is_there(key, sha256).await? {
                return Ok(Put::WasThere);
            }
            if attempt >= self.retry.attempts {
                return Err(Failure::There.into_trouble(key).into());
            }
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    /// Whether the very file is there; an error when another one is. It may be of any size.
    async fn is_there(&self, key: &str, wanted: Sha256) -> Result<bool, ExportError> {
        let found = match self.again(async || self.place.measure(key).await).await {
            Ok((found, ..)) => found,
            Err(Failure::Missing) => return Ok(false),
            Err(failure) => return Err(failure.into_trouble(key).into()),
        };
        if found == wanted {
            Ok(true)
        } else {
            Err(ExportError::Taken { path: key.to_owned(), found, wanted })
        }
    }

    /// The same in parts. S3 completes an upload without a condition where `object_store` asks it to, so it is
    /// looked at before; whoever comes in between writes the same bytes under the same name.
    async fn parts(&self, key: &str, file: &File, item: &Item) -> Result<Put, ExportError> {
        let trouble = |failure: Failure| ExportError::from(failure.into_trouble(key));
        let put = if self.is_there(key, item.sha256).await? {
            Put::WasThere
        } else {
            let upload = self.again(async || self.place.begin(key).await).await.map_err(trouble)?;
            let sent = self.send(&upload, (key, file), item).await;
            if sent.is_err() {
                // The parts take room until somebody takes them away.
                upload.abort().await;
            }
            sent?;
            Put::Written
        };
        // Also what was there: the run that wrote it may have been cut before it was locked.
        self.again(async || self.place.lock_written(key).await).await.map_err(trouble)?;
        Ok(put)
    }

    /// Sends the parts and has them made an object.
    async fn send(
        &self,
        upload: &Upload,
        (key, file): (&str, &File),
        item: &Item,
    ) -> Result<(), ExportError> {
        let trouble = |failure: Failure| ExportError::from(failure.into_trouble(key));
        let (mut at, mut number) = (0, 0);
        while at < item.length {
            let bytes = part(file, at, PART).map_err(ExportError::Aside)?;
            at += bytes.len() as u64;
            self.pace(bytes.len() as u64).await;
            let sent = self.again(async || upload.part(number, bytes.clone()).await).await;
            sent.map_err(trouble)?;
            number += 1;
        }
        if let Err(failure) = self.again(async || upload.complete().await).await {
            // Its answer may have been lost; only what is there decides.
            return match self.is_there(key, item.sha256).await {
                Ok(true) => Ok(()),
                _ => Err(trouble(failure)),
            };
        }
        let found = self.again(async || self.place.look(key).await).await.map_err(trouble)?;
        if found.size != item.length {
            let text =
                format!("`{key}` has {} bytes there and should have {}", found.size, item.length);
            return Err(Trouble::new("export-damaged", text).into());
        }
        Ok(())
    }
}

/// At most `most` bytes of a file from `at` on.
fn part(mut file: &File, at: u64, most: usize) -> io::Result<Bytes> {
    file.seek(io::SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{ExportConfig, SecretsConfig};
    use crate::export::Options;
    use crate::secrets::Secrets;

    fn filled(byte: u8, length: usize) -> Item {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = vec![byte; length];
        file.write_all(&bytes).unwrap();
        let (sha256, length) = (Sha256::of(&bytes), length as u64);
        Item { path: "data/x".to_owned(), body: Body::File(Arc::new(file)), sha256, length }
    }

    /// A file above and below the bound arrives whole, is found there by whoever comes again, and is not written over by
    /// another one.
    #[tokio::test]
    async fn files_of_any_size_are_written_once() {
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        let url = "memory://upload-tests".parse().unwrap();
        let place =
            Place::open(&url, &ExportConfig::default(), &Options::default(), &secrets).unwrap();
        let carrier =
            Carrier::new(&place, String::new(), 0, Retry { attempts: 1, first: Duration::ZERO });
        for length in [0, 1000, WHOLE as usize, WHOLE as usize + 1, 2 * PART + WHOLE as usize + 7] {
            let key = format!("of/{length}");
            assert_eq!(carrier.item(&key, &filled(1, length)).await.unwrap(), Put::Written);
            let (sha256, found) = place.measure(&key).await.map_err(|_| ()).unwrap();
            assert_eq!((sha256, found), (filled(1, length).sha256, length as u64));
            assert_eq!(carrier.item(&key, &filled(1, length)).await.unwrap(), Put::WasThere);
            let other = carrier.item(&key, &filled(2, length.max(1))).await;
            assert!(matches!(other, Err(ExportError::Taken { .. })), "{length}: {other:?}");
        }
    }
}
