//! The smoke gate: one Python process that has imported what generated modules import, and forks a
//! child for every build (`worker.py`).

mod wire;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use colophon_compiler::Compiled;

pub(super) use worker::Worker;

use super::folder::{Folder, Writer};
use super::{Finding, Gates};

/// Workers that one build may take down before it is refused.
const ATTEMPTS: usize = 3;

/// The smoke test of a build. `None`: it has none.
pub(super) fn test_of(compiled: &Compiled) -> Option<String> {
    let mut paths = compiled.cloud.iter().map(|(path, _)| path.as_str());
    paths.find(|path| path.starts_with("tests/smoke/test_")).map(str::to_owned)
}

/// Bounds on one smoke test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Longest time.
    pub(super) time: Duration,
    /// Memory beyond the worker's, in bytes.
    pub(super) memory: u64,
}

impl Gates {
    /// Tests a build. When the worker ends meanwhile the test is made again, since another build may
    /// have been the cause.
    pub(super) fn smoke(&self, compiled: &Compiled, test: &str) -> Result<Finding, String> {
        let bounds = Bounds { time: self.config.timeout.get(), memory: self.config.memory.get() };
        for _ in 0..ATTEMPTS {
            let worker = self.worker()?;
            let folder = Folder::new(worker.home(), compiled.cloud.iter(), Writer::Nobody)
                .map_err(|e| format!("no folder in `{}`: {e}", worker.home().display()))?;
            let Some(verdict) = worker.test(folder.path(), test, bounds) else {
                self.worker.forget(|kept| Arc::ptr_eq(kept, &worker));
                continue;
            };
            self.renew(&worker);
            return Ok(Finding { words: verdict.err(), sandbox: worker.sandbox.clone() });
        }
        let worker = self.worker()?;
        let words = Some("the worker ended each time that this build was tested".to_owned());
        Ok(Finding { words, sandbox: worker.sandbox.clone() })
    }

    /// Starts a fresh worker when this one has done its part. Others go on with the old one meanwhile.
    fn renew(&self, worker: &Worker) {
        if worker.is_due(self.config.runs) {
            match self.start_worker() {
                Ok(fresh) => self.worker.replace(fresh),
                Err(reason) => tracing::warn!(reason, "the smoke worker was not replaced"),
            }
        }
    }
}
