//! What is counted of each request and each delivery, found without making labels: these come tens of thousands of
//! times a second, and there are few kinds of them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{Answered, Delivered};

/// Kinds by their names, of which one text is not known before. Whoever asks for one that is not there makes it;
/// two who do so at the same time make the same.
#[derive(Debug)]
pub(super) struct Kinds<K>(RwLock<HashMap<String, Vec<K>>>);

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K> Kinds<K> {
    /// Counts with the kind of this name that `is_it` says.
    pub(super) fn with(
        &self,
        name: &str,
        is_it: impl Fn(&K) -> bool,
        make: impl FnOnce() -> K,
        count: impl Fn(&K),
    ) {
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get(name).and_then(|kinds| kinds.iter().find(|k| is_it(k))) {
            return count(kind);
        }
        drop(kinds);
        let kind = make();
        count(&kind);
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(name.to_owned()).or_default().push(kind);
    }
}

/// Answers of one method and status, of one route.
#[derive(Debug)]
pub(super) struct AnswerKind {
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) requests: Counter,
    pub(super) seconds: Histogram,
    pub(super) bytes: Counter,
}

impl AnswerKind {
    pub(super) fn is_of(&self, it: &Answered<'_>) -> bool {
        self.method == it.method && self.status == it.status
    }

    pub(super) fn count(&self, it: &Answered<'_>) {
        self.requests.inc();
        self.seconds.observe(it.took.as_secs_f64());
        self.bytes.inc_by(it.bytes);
    }
}

/// Deliveries of one outcome and target, of one tenant or of all.
#[derive(Debug)]
pub(super) struct DeliveryKind {
    pub(super) outcome: &'static str,
    pub(super) target: &'static str,
    pub(super) builds: Counter,
    pub(super) seconds: Histogram,
}

impl DeliveryKind {
    pub(super) fn is_of(&self, it: &Delivered<'_>) -> bool {
        self.outcome == it.outcome && self.target == it.target
    }

    pub(super) fn count(&self, it: &Delivered<'_>) {
        self.builds.inc();
        self.seconds.observe(it.took.as_secs_f64());
    }
}
