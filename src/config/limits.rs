//! The section `limits`: how much is taken on at a time, in total and of one tenant.

use std::num::NonZero;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use crate::fair::Bounds;

/// Bounds on requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest flow, in bytes. Over it: 413.
    pub body_bytes: usize,
    /// Builds that run at a time.
    pub builds: usize,
    /// Builds of one tenant that run at a time. 0: two for each processor, at least 4, at most half of `builds`.
    pub builds_per_tenant: usize,
    /// Reads and Git requests that run at a time.
    pub reads: usize,
    /// Reads and Git requests of one tenant that run at a time. 0: as many as there are processors, at
    /// least 2, at most half of `reads`.
    pub reads_per_tenant: usize,
    /// Requests of one kind that may wait for their turn. Over it: 503. As many bodies of deliveries are
    /// read at a time.
    pub waiting: usize,
    /// Requests of one kind and one tenant that may wait. Over it: 429.
    pub waiting_per_tenant: usize,
    /// Builds that use processors at a time, while others wait for the disk or for gates. 0: two for each
    /// processor, at least 4.
    pub computing: usize,
    /// Builds of one tenant that use processors at a time. 0: a quarter of `computing`.
    pub computing_per_tenant: usize,
    /// How long a signed download URL is valid, in seconds; at most 900.
    pub edge_url_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            builds: 64,
            builds_per_tenant: 0,
            reads: 64,
            reads_per_tenant: 0,
            waiting: 1024,
            waiting_per_tenant: 256,
            computing: 0,
            computing_per_tenant: 0,
            edge_url_seconds: 900,
        }
    }
}

impl Limits {
    /// How many builds run and wait.
    pub(crate) fn of_builds(&self) -> Bounds {
        self.bounds(self.builds, self.builds_of_tenant())
    }

    fn builds_of_tenant(&self) -> usize {
        let each = (2 * processors()).max(4).min(self.builds.div_ceil(2));
        unless_zero(self.builds_per_tenant, each)
    }

    /// How many reads run and wait.
    pub(crate) fn of_reads(&self) -> Bounds {
        let each = processors().max(2).min(self.reads.div_ceil(2));
        self.bounds(self.reads, unless_zero(self.reads_per_tenant, each))
    }

    /// How many builds use processors. Who waits for that is bounded before.
    pub(crate) fn of_processors(&self) -> Bounds {
        let running = unless_zero(self.computing, (2 * processors()).max(4));
        let each = unless_zero(self.computing_per_tenant, running.div_ceil(4));
        Bounds { running, running_each: each, waiting: 0, waiting_each: 0 }
    }

    /// How many bodies are read at a time: in total and for a network, and for what is claimed in one.
    pub(crate) fn of_bodies(&self) -> [Bounds; 2] {
        // With nothing waiting allowed, what runs is still read.
        let total = self.waiting.max(self.builds);
        [total.div_ceil(2), self.waiting_per_tenant.max(self.builds_of_tenant())]
            .map(|each| Bounds { running: total, running_each: each, waiting: 0, waiting_each: 0 })
    }

    const fn bounds(&self, running: usize, running_each: usize) -> Bounds {
        let (waiting, waiting_each) = (self.waiting, self.waiting_per_tenant);
        Bounds { running, running_each, waiting, waiting_each }
    }

    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=900).contains(&self.edge_url_seconds) {
            problems.push("`limits.edge_url_seconds` must be 1 to 900".to_owned());
        }
        if self.body_bytes < 1024 {
            problems.push("`limits.body_bytes` must be at least 1024".to_owned());
        }
        let counts = [("builds", self.builds), ("reads", self.reads)];
        for (name, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            problems.push(format!("`limits.{name}` must be at least 1"));
        }
        problems
    }
}

const fn unless_zero(set: usize, otherwise: usize) -> usize {
    if set == 0 { otherwise } else { set }
}

/// How many processors there are for the program, at least one.
pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tenant's storm leaves room for others in everything that is bounded.
    #[test]
    fn by_default_a_tenant_has_a_part_of_everything() {
        let limits = Limits::default();
        let [network, claim] = limits.of_bodies();
        for bounds in
            [limits.of_builds(), limits.of_reads(), limits.of_processors(), network, claim]
        {
            assert!(bounds.running_each * 2 <= bounds.running || bounds.running > 64, "{bounds:?}");
            assert!(bounds.running_each < bounds.running, "{bounds:?}");
            assert!(bounds.waiting == 0 || bounds.waiting_each < bounds.waiting, "{bounds:?}");
        }
    }

    /// Nothing waits, and builds are taken all the same.
    #[test]
    fn without_waiting_bodies_are_read() {
        let limits = Limits { waiting: 0, waiting_per_tenant: 0, ..Limits::default() };
        assert!(limits.of_bodies().iter().all(|b| b.running >= 64 && b.running_each >= 4));
    }
}
