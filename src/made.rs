//! What is made when it is asked for, once for all who ask at the same time, and kept while there is
//! room.

use std::hash::Hash;
use std::sync::Arc;

use axum::body::Bytes;
use colophon_model::{Digest, TenantUid};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Things of all tenants. The tenant is in the key so that no tenant can tell by the time an answer
/// takes what others have.
#[derive(Debug)]
pub struct Made<K, V>(Cache<(TenantUid, K), V, Weight>);

/// What takes memory.
pub trait Weigh {
    /// How many bytes, about.
    fn weight(&self) -> u64;
}

impl Weigh for Bytes {
    fn weight(&self) -> u64 {
        self.len() as u64
    }
}

/// No more than what holds it.
impl Weigh for Digest {
    fn weight(&self) -> u64 {
        0
    }
}

/// A fact that is told by its key alone.
impl Weigh for () {
    fn weight(&self) -> u64 {
        0
    }
}

impl<T: Weigh> Weigh for Arc<T> {
    fn weight(&self) -> u64 {
        self.as_ref().weight()
    }
}

/// What an entry takes besides what is in it.
pub(crate) const OVERHEAD: u64 = 256;
/// Entries that there is room for before the tables grow.
const EXPECTED: usize = 256;

#[derive(Debug, Clone)]
struct Weight;

impl<K, V: Weigh> Weighter<(TenantUid, K), V> for Weight {
    fn weight(&self, _: &(TenantUid, K), made: &V) -> u64 {
        made.weight() + OVERHEAD
    }
}

impl<K: Eq + Hash + Clone, V: Weigh + Clone> Made<K, V> {
    /// Keeps about `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self(empty(bytes, Weight))
    }

    /// Keeps about `bytes` of what is asked for once or twice, soon after it came to be kept, and hardly ever again.
    pub fn passing(bytes: u64) -> Self {
        Self(with_hot(bytes, Weight, PASSING))
    }

    /// What `make` gives, or gave before. Whoever asks for one that is being made waits for it, without a
    /// thread.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept of them.
    pub async fn get<E>(
        &self,
        tenant: TenantUid,
        key: K,
        make: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        self.0.get_or_insert_async(&(tenant, key), make).await
    }

    /// The same for what is made quickly, on the thread at hand.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept of them.
    pub fn get_now<E>(
        &self,
        tenant: TenantUid,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        self.0.get_or_insert_with(&(tenant, key), make)
    }

    /// What was made before, if it is still kept. It waits for nobody.
    pub fn kept(&self, tenant: TenantUid, key: K) -> Option<V> {
        self.0.get(&(tenant, key))
    }

    /// Keeps what was made elsewhere, unless it does not stand any more by the time that it is kept.
    pub fn keep_while(&self, tenant: TenantUid, key: K, made: V, stands: impl FnOnce() -> bool) {
        let key = (tenant, key);
        self.0.insert(key.clone(), made);
        if !stands() {
            self.0.remove(&key);
        }
    }

    /// Forgets one thing. What is kept of others stays.
    pub fn lose(&self, tenant: TenantUid, key: K) {
        self.0.remove(&(tenant, key));
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.retain(|(uid, _), _| *uid != tenant);
    }
}

/// In one shard: among several, each would be too small for a large bundle.
pub(crate) fn empty<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: u64,
    weight: W,
) -> Cache<K, V, W> {
    with_hot(bytes, weight, LASTING)
}

/// What part of the room is for what was asked for again.
const LASTING: f64 = 0.97;
/// The same where most is asked for only once.
const PASSING: f64 = 0.1;

fn with_hot<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: u64,
    weight: W,
    hot: f64,
) -> Cache<K, V, W> {
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(EXPECTED)
        .weight_capacity(bytes)
        .hot_allocation(hot)
        .build()
        .expect("both capacities are given");
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    Cache::with_options(options, weight, hasher, lifecycle)
}
