//! Where the time of builds went, as the server tells in its answers.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::table::{Table, median, number};

#[derive(Deserialize)]
struct Answer {
    timing_ms: Timing,
}

/// Milliseconds.
#[derive(Clone, Copy, Deserialize)]
struct Timing {
    receive: f64,
    render: f64,
    gates: f64,
    commit: f64,
    total: f64,
}

impl Timing {
    /// What is none of the stages: HTTP, the signature, waiting for a thread, and the answer.
    fn rest(&self) -> f64 {
        self.total - self.receive - self.render - self.gates - self.commit
    }
}

/// The stages of the builds that were answered.
#[derive(Default)]
pub(crate) struct Stages(Mutex<Vec<Timing>>);

impl Stages {
    /// Takes an answer.
    pub(crate) fn see(&self, answer: &[u8]) {
        if let Ok(answer) = serde_json::from_slice::<Answer>(answer) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer.timing_ms);
        }
    }

    /// Adds a row of medians to a table of [`columns`].
    pub(crate) fn row(&self, name: &str, table: &mut Table) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |part: fn(&Timing) -> f64| number(median(all.iter().map(part)));
        table.add([
            name.to_owned(),
            all.len().to_string(),
            of(|t| t.receive),
            of(|t| t.render),
            of(|t| t.gates),
            of(|t| t.commit),
            of(Timing::rest),
            of(|t| t.total),
        ]);
    }
}

/// A table of stages without rows.
pub(crate) fn table() -> Table {
    Table::new(&["stage, ms", "builds", "received", "render", "gates", "commit", "rest", "total"])
}
