//! The only place that asks what time it is.

use std::sync::Arc;

use colophon_model::UnixMillis;

/// Tells the time. The program runs on [`SystemClock`]; tests bring one of their own.
pub trait Clock: Send + Sync {
    /// The current time, UTC.
    fn now(&self) -> UnixMillis;
}

/// A clock that requests and jobs share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others go through")]
    fn now(&self) -> UnixMillis {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
