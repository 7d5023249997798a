//! How long the stages of a build took.

use std::time::{Duration, Instant};

/// Time spent in each stage. A stage that ran twice counts twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Parsing and planning.
    pub receive: Stage,
    /// Rendering, in-process gates and bundling.
    pub render: Stage,
    /// Gates outside of the compiler, and waiting for a place among them.
    pub gates: Stage,
    /// The lane, and waiting until the transaction is durable.
    pub commit: Stage,
}

impl Timing {
    /// The stages that there were, by name, in seconds.
    pub fn seconds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let stages = [
            ("received", self.receive),
            ("render", self.render),
            ("test", self.gates),
            ("commit", self.commit),
        ];
        stages
            .into_iter()
            .map(|(name, Stage(took))| (name, took.as_secs_f64()))
            .filter(|s| s.1 > 0.0)
    }
}

/// Time spent in one stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stage(Duration);

impl Stage {
    /// Runs `work` and adds the time it took.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0 += start.elapsed();
        result
    }

    /// Milliseconds, with microseconds behind the point.
    pub fn millis(self) -> f64 {
        (self.0.as_secs_f64() * 1e6).round() / 1e3
    }
}
