//! How often tenants had said what would become of a delivery.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::quota::Rule;

/// Times of dry runs that were compiled, by tenant: as many as builds of a target may be in a window. They write
/// nothing, so they are counted in memory, from zero after a start.
#[derive(Debug, Default)]
pub(super) struct DryRuns(Mutex<HashMap<TenantUid, VecDeque<UnixMillis>>>);

impl DryRuns {
    /// Counts one more at `now`.
    ///
    /// # Errors
    /// When there were too many: the time from which one more fits.
    pub(super) fn charge(
        &self,
        tenant: TenantUid,
        rule: Rule,
        now: UnixMillis,
    ) -> Result<(), UnixMillis> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = all.entry(tenant).or_default();
        let ends = |at: UnixMillis| at.plus(rule.window_millis);
        while times.front().is_some_and(|at| ends(*at) <= now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() as u64 >= rule.limit.get() => Err(ends(*first)),
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }

    /// Forgets a tenant.
    pub(super) fn forget(&self, tenant: TenantUid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    /// No more than the rule says in any window, whoever else asks.
    #[test]
    fn a_window_holds_so_many() {
        let runs = DryRuns::default();
        let rule = Rule { limit: NonZeroU64::new(2).unwrap(), window_millis: 100 };
        let tenants = [1, 2].map(|n| TenantUid::from_bytes([n; 16]));
        let at = UnixMillis::new;
        assert_eq!(runs.charge(tenants[0], rule, at(0)), Ok(()));
        assert_eq!(runs.charge(tenants[0], rule, at(50)), Ok(()));
        assert_eq!(runs.charge(tenants[0], rule, at(99)), Err(at(100)));
        assert_eq!(runs.charge(tenants[1], rule, at(99)), Ok(()));
        assert_eq!(runs.charge(tenants[0], rule, at(100)), Ok(()));
        assert_eq!(runs.charge(tenants[0], rule, at(149)), Err(at(150)));
        runs.forget(tenants[0]);
        assert_eq!(runs.charge(tenants[0], rule, at(149)), Ok(()));
    }
}
