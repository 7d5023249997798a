//! Deliveries that are being worked on, by their names: the second of two at the same time is told so.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use colophon_model::{Digest, TenantUid};

/// A tenant and the digest of a delivery's name.
type Name = (TenantUid, Digest);

/// The names that are in work in this process. Between processes the check in the build's transaction
/// decides.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashSet<Name>>);

/// A delivery in work; when it is dropped, the name is free.
#[derive(Debug)]
pub struct Flight<'a> {
    flights: &'a Flights,
    name: Name,
}

impl Flights {
    /// Begins work on a delivery. `None`: one of this name is in work.
    pub fn begin(&self, tenant: TenantUid, claim: Digest) -> Option<Flight<'_>> {
        let name = (tenant, claim);
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        begun.then_some(Flight { flights: self, name })
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut names = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_work_once_per_tenant_and_free_afterwards() {
        let flights = Flights::default();
        let (one, two) = (TenantUid::from_bytes([1; 16]), TenantUid::from_bytes([2; 16]));
        let claim = Digest::of(b"msg_1");
        let first = flights.begin(one, claim);
        assert!(first.is_some());
        assert!(flights.begin(one, claim).is_none());
        assert!(flights.begin(two, claim).is_some(), "another tenant's is another name");
        drop(first);
        assert!(flights.begin(one, claim).is_some());
    }
}
