//! What was read from the store and still stands.

use std::hash::Hash;

use colophon_model::TenantUid;
use colophon_store::{Store, View};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::made::{OVERHEAD, Weigh, empty};

/// Things that views showed, each good for the era that it was read in: when anything is taken away from
/// anybody, such as a token, all of them are read again. What is a tenant's has the tenant in its key, so
/// that no tenant can tell by the time an answer takes what others have.
#[derive(Debug)]
pub struct Standing<K, V>(Cache<K, Entry<V>, Weight>);

#[derive(Debug, Clone)]
struct Entry<V> {
    era: u64,
    tenant: TenantUid,
    value: V,
}

#[derive(Debug, Clone)]
struct Weight;

impl<K, V: Weigh> Weighter<K, Entry<V>> for Weight {
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        entry.value.weight() + OVERHEAD
    }
}

impl<K: Eq + Hash + Clone, V: Weigh + Clone> Standing<K, V> {
    /// Keeps about `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self(empty(bytes, Weight))
    }

    /// What was kept at `key`, when it still stands. It reads no file and waits for nobody, so it may be
    /// asked on any thread.
    pub fn get(&self, store: &Store, key: &K) -> Option<V> {
        let entry = self.0.get(key)?;
        // Asked for last: what stands now is good for a request that has not been answered.
        (entry.era == store.era()).then_some(entry.value)
    }

    /// Keeps what `view` showed of `tenant`, unless it does not stand any more.
    pub fn keep(&self, (store, view): (&Store, &View), tenant: TenantUid, key: &K, value: V) {
        let Some(era) = view.era() else { return };
        self.0.insert(key.clone(), Entry { era, tenant, value });
        // The tenant may have been erased, and forgotten, just before this came to be kept.
        if store.era() != era {
            self.0.remove_if(key, |entry| entry.era == era);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.retain(|_, entry| entry.tenant != tenant);
    }
}
