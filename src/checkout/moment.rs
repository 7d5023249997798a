//! What time it is, in the form that files have.

use std::time::{Duration, SystemTime};

use crate::clock::{Clock as _, SystemClock};

/// Now, to the millisecond.
pub(super) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock.now().get())
}
