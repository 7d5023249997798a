//! The guard against a clock that is wrong: the latest moment at which metadata was found valid.

use colophon_model::UnixMillis;

use crate::disk;
use crate::{Cache, Error};

/// How far the clock may step back between runs, in milliseconds: an hour.
const TOLERANCE: u64 = 60 * 60 * 1000;

/// Refuses a clock that is far behind an earlier run's. One that is far ahead finds the metadata
/// expired, and is not remembered.
pub(crate) fn check(cache: &Cache, now: UnixMillis) -> Result<(), Error> {
    match latest(cache)? {
        Some(latest) if now.get().saturating_add(TOLERANCE) < latest.get() => {
            Err(Error::ClockBack { now, latest })
        }
        _ => Ok(()),
    }
}

/// Remembers `now`, a moment at which all metadata was valid; it never sinks. This bounds a wrong
/// clock to the days that a timestamp is valid.
pub(crate) fn remember(cache: &Cache, now: UnixMillis) -> Result<(), Error> {
    // Once a minute is often enough, and spares the disk.
    let recent = |latest: UnixMillis| now.get() < latest.get().saturating_add(60_000);
    if latest(cache)?.is_some_and(recent) {
        return Ok(());
    }
    disk::replace(&cache.clock_path(), format!("{}\n", now.get()).as_bytes())
}

/// A file that is not one of ours says nothing.
fn latest(cache: &Cache) -> Result<Option<UnixMillis>, Error> {
    let bytes = disk::read(&cache.clock_path())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim().parse().ok().map(UnixMillis::new))
}
