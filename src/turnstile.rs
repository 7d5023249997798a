//! How much one tenant may keep busy at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use colophon_model::TenantUid;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A turnstile for each tenant, through which so many requests pass at a time. Tenants do not wait
/// for each other.
#[derive(Debug)]
pub struct Turnstiles {
    width: usize,
    patience: Duration,
    open: Mutex<HashMap<TenantUid, Weak<Semaphore>>>,
}

/// Held by a request until it is answered to its end.
#[derive(Debug)]
pub struct Passage {
    _permit: OwnedSemaphorePermit,
    /// Keeps the turnstile while somebody is inside.
    _turnstile: Arc<Semaphore>,
}

impl Turnstiles {
    /// Lets `width` requests of a tenant in at a time; others wait for `patience`.
    pub fn new(width: usize, patience: Duration) -> Self {
        Self { width: width.max(1), patience, open: Mutex::default() }
    }

    /// Waits for a place; `None` when there was none in time.
    pub async fn pass(&self, tenant: TenantUid) -> Option<Passage> {
        let turnstile = self.turnstile(tenant);
        let permit = tokio::time::timeout(self.patience, turnstile.clone().acquire_owned()).await;
        Some(Passage { _permit: permit.ok()?.ok()?, _turnstile: turnstile })
    }

    fn turnstile(&self, tenant: TenantUid) -> Arc<Semaphore> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turnstile) = open.get(&tenant).and_then(Weak::upgrade) {
            return turnstile;
        }
        open.retain(|_, turnstile| turnstile.strong_count() > 0);
        let turnstile = Arc::new(Semaphore::new(self.width));
        open.insert(tenant, Arc::downgrade(&turnstile));
        turnstile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantUid = TenantUid::from_bytes([1; 16]);
    const B: TenantUid = TenantUid::from_bytes([2; 16]);

    #[tokio::test]
    async fn a_busy_tenant_waits_and_others_do_not() {
        let turnstiles = Turnstiles::new(2, Duration::ZERO);
        let first = turnstiles.pass(A).await;
        let second = turnstiles.pass(A).await;
        assert!(first.is_some() && second.is_some());
        assert!(turnstiles.pass(A).await.is_none(), "nobody left");
        assert!(turnstiles.pass(B).await.is_some());
        drop(first);
        assert!(turnstiles.pass(A).await.is_some());
    }

    #[tokio::test]
    async fn turnstiles_that_nobody_uses_are_forgotten() {
        let turnstiles = Turnstiles::new(1, Duration::ZERO);
        drop(turnstiles.pass(A).await);
        let _inside = turnstiles.pass(B).await;
        assert_eq!(turnstiles.open.lock().unwrap().len(), 1);
    }
}
