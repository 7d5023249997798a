//! What the server has acknowledged, written down outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use colophon_model::Digest;
use serde_json::Value;

/// A build that an answer has named as made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) id: String,
    pub(super) flow: String,
    pub(super) key: String,
    pub(super) commit: String,
    /// Over the outputs as the answer told them.
    pub(super) outputs: Digest,
    pub(super) targets: Vec<String>,
    /// Whether the quota has paid for it.
    pub(super) counted: bool,
}

impl Acknowledged {
    /// Of the view of a build, as deliveries are answered with it.
    pub(super) fn new(view: &Value, counted: bool) -> Self {
        let text = |member: &str| view[member].as_str().unwrap().to_owned();
        let outputs = view["outputs"].as_array().unwrap();
        Self {
            id: text("id"),
            flow: text("flow"),
            key: text("key"),
            commit: text("commit"),
            outputs: outputs_of(view),
            targets: outputs.iter().map(|o| o["target"].as_str().unwrap().to_owned()).collect(),
            counted,
        }
    }
}

/// Digest over a view's outputs, without the URLs, which are new each time.
pub(super) fn outputs_of(view: &Value) -> Digest {
    let mut outputs = view["outputs"].clone();
    for output in outputs.as_array_mut().into_iter().flatten() {
        if let Some(edge) = output.get_mut("edge").and_then(Value::as_object_mut) {
            edge.remove("edge_url");
            edge.remove("edge_url_expires");
        }
    }
    Digest::of(outputs.to_string().as_bytes())
}

/// What is known of one tenant.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    built: BTreeMap<String, Acknowledged>,
    /// In the order of the acknowledgements.
    order: Vec<String>,
    /// Builds that no-ops and replays were answered with.
    named: BTreeSet<String>,
    /// Which build each delivery with an id has led to.
    deliveries: BTreeMap<String, String>,
    /// How often the quota was said to be used up.
    over_quota: u64,
}

impl Ledger {
    /// Notes a build. Whoever is told of it twice must be told the same.
    pub(super) fn built(&self, build: Acknowledged) -> Result<(), String> {
        let mut inner = self.inner.lock().unwrap();
        let id = build.id.clone();
        match inner.built.get(&id) {
            None => {
                inner.order.push(id.clone());
                inner.built.insert(id, build);
                Ok(())
            }
            Some(known) if *known == build => Ok(()),
            Some(known) => Err(format!("build {id} was {known:?} and is {build:?}")),
        }
    }

    /// Notes that `delivery` has led to `build`. It must not lead to another one, ever.
    pub(super) fn led(&self, delivery: &str, build: &str) -> Result<(), String> {
        let mut inner = self.inner.lock().unwrap();
        let known = inner.deliveries.entry(delivery.to_owned()).or_insert_with(|| build.to_owned());
        if known == build {
            return Ok(());
        }
        Err(format!("delivery {delivery} has made {known} and {build}"))
    }

    /// Notes a build that an answer has named without saying that it was made now.
    pub(super) fn named(&self, build: &str) {
        self.inner.lock().unwrap().named.insert(build.to_owned());
    }

    pub(super) fn over_quota(&self) {
        self.inner.lock().unwrap().over_quota += 1;
    }

    pub(super) fn was_over_quota(&self) -> bool {
        self.inner.lock().unwrap().over_quota > 0
    }

    /// Everything acknowledged until now, in order.
    pub(super) fn all(&self) -> Vec<Acknowledged> {
        let inner = self.inner.lock().unwrap();
        inner.order.iter().map(|id| inner.built[id].clone()).collect()
    }

    /// Builds that answers have named in passing.
    pub(super) fn all_named(&self) -> BTreeSet<String> {
        self.inner.lock().unwrap().named.clone()
    }

    /// Builds for `target` that the quota has paid for.
    pub(super) fn used(&self, target: &str) -> u64 {
        let inner = self.inner.lock().unwrap();
        let counts = |b: &&Acknowledged| b.counted && b.targets.iter().any(|t| t == target);
        inner.built.values().filter(counts).count() as u64
    }
}
