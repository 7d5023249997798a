//! Which build key a body has: saves parsing a flow that is posted again unchanged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use colophon_model::{BuildKey, Digest, FlowId, TenantUid};

/// What is known of a body.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The flow it belongs to.
    pub(super) flow: FlowId,
    /// The key it compiles to.
    pub(super) key: BuildKey,
}

/// The tenant and the digest of the body: a tenant never profits from another's builds.
type Question = (TenantUid, Digest);

/// Entries per generation; two generations are kept, about 200 bytes an entry.
const GENERATION: usize = 8192;

/// A bounded cache in two generations: when the young one is full it becomes the old one, and
/// what was not asked for since is forgotten.
#[derive(Debug, Default)]
pub(super) struct Memo(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Question, Known>,
    old: HashMap<Question, Known>,
}

impl Memo {
    /// What is known of a body, if anything. It is only a hint: the flow's head decides.
    pub(super) fn recall(&self, question: &Question) -> Option<Known> {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = memo.young.get(question) {
            return Some(known.clone());
        }
        let known = memo.old.remove(question)?;
        memo.insert(*question, known.clone());
        Some(known)
    }

    /// Remembers a body.
    pub(super) fn remember(&self, question: Question, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(question, known);
    }

    /// Forgets everything of a tenant.
    pub(super) fn forget(&self, tenant: TenantUid) {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memo.young.retain(|(uid, _), _| *uid != tenant);
        memo.old.retain(|(uid, _), _| *uid != tenant);
    }
}

impl Generations {
    fn insert(&mut self, question: Question, known: Known) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{BuildInputs, Target};

    fn known(name: &str) -> Known {
        let inputs = BuildInputs {
            plan: Digest::of(b""),
            templates: Digest::of(b""),
            compiler: "1",
            targets: &[Target::Cloud],
            options: b"",
        };
        Known { flow: FlowId::from_name(name), key: BuildKey::derive(&inputs) }
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let memo = Memo::default();
        let tenant = TenantUid::from_bytes([1; 16]);
        let used = (tenant, Digest::of(b"used"));
        memo.remember(used, known("used"));
        for i in 0..3 * GENERATION {
            memo.remember((tenant, Digest::of(&i.to_le_bytes())), known("other"));
            assert!(memo.recall(&used).is_some());
        }
        let size = {
            let inner = memo.0.lock().unwrap();
            inner.young.len() + inner.old.len()
        };
        assert!(size <= 2 * GENERATION + 1, "{size}");
        assert!(memo.recall(&(TenantUid::from_bytes([2; 16]), used.1)).is_none(), "other tenant");
    }

    #[test]
    fn an_erased_tenant_is_forgotten_and_others_are_not() {
        let memo = Memo::default();
        let tenants = [TenantUid::from_bytes([1; 16]), TenantUid::from_bytes([2; 16])];
        for n in 0..2 * GENERATION {
            memo.remember((tenants[n % 2], Digest::of(&n.to_le_bytes())), known("some"));
        }
        memo.forget(tenants[0]);
        let inner = memo.0.lock().unwrap();
        assert!(!inner.old.is_empty() && !inner.young.is_empty());
        assert!(inner.old.keys().chain(inner.young.keys()).all(|(uid, _)| *uid == tenants[1]));
    }
}
