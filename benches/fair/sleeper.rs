//! What the system alone does to somebody who waits: a thread of usual priority that sleeps a millisecond, over and
//! over, asks nobody for anything, and takes how much later than that it runs again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;

const SLEEP: Duration = Duration::from_millis(1);

/// A thread that sleeps.
pub(crate) struct Sleeper {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Sleeper {
    pub(crate) fn start() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = std::thread::spawn(move || {
            let mut late = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let from = Instant::now();
                std::thread::sleep(SLEEP);
                late.push(from.elapsed().saturating_sub(SLEEP));
            }
            late
        });
        Self { ended, thread }
    }

    /// Ends it. Says how late it was each time.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<Duration>> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sleeper panicked"))
    }
}
