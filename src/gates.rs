//! How much one tenant may keep busy at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use colophon_model::TenantUid;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A gate for each tenant, through which so many requests pass at a time. Tenants do not wait for
/// each other.
#[derive(Debug)]
pub struct Gates {
    width: usize,
    patience: Duration,
    open: Mutex<HashMap<TenantUid, Weak<Semaphore>>>,
}

/// Held by a request until it is answered to its end.
#[derive(Debug)]
pub struct Passage {
    _permit: OwnedSemaphorePermit,
    /// Keeps the gate while somebody is inside.
    _gate: Arc<Semaphore>,
}

impl Gates {
    /// Lets `width` requests of a tenant in at a time; others wait for `patience`.
    pub fn new(width: usize, patience: Duration) -> Self {
        Self { width: width.max(1), patience, open: Mutex::default() }
    }

    /// Waits for a place; `None` when there was none in time.
    pub async fn pass(&self, tenant: TenantUid) -> Option<Passage> {
        let gate = self.gate(tenant);
        let permit = tokio::time::timeout(self.patience, gate.clone().acquire_owned()).await;
        Some(Passage { _permit: permit.ok()?.ok()?, _gate: gate })
    }

    fn gate(&self, tenant: TenantUid) -> Arc<Semaphore> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = open.get(&tenant).and_then(Weak::upgrade) {
            return gate;
        }
        open.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(self.width));
        open.insert(tenant, Arc::downgrade(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantUid = TenantUid::from_bytes([1; 16]);
    const B: TenantUid = TenantUid::from_bytes([2; 16]);

    #[tokio::test]
    async fn a_busy_tenant_waits_and_others_do_not() {
        let gates = Gates::new(2, Duration::ZERO);
        let first = gates.pass(A).await;
        let second = gates.pass(A).await;
        assert!(first.is_some() && second.is_some());
        assert!(gates.pass(A).await.is_none(), "nobody left");
        assert!(gates.pass(B).await.is_some());
        drop(first);
        assert!(gates.pass(A).await.is_some());
    }

    #[tokio::test]
    async fn gates_that_nobody_uses_are_forgotten() {
        let gates = Gates::new(1, Duration::ZERO);
        drop(gates.pass(A).await);
        let _inside = gates.pass(B).await;
        assert_eq!(gates.open.lock().unwrap().len(), 1);
    }
}
