//! Lanes: one per tenant, where builds are prepared one after the other, each resting on the one
//! before, without waiting for it to be durable.
//!
//! A lane is a cache. What makes a build right is that its change checks the rows it rests on: when
//! a change fails, those that rest on it fail by their own checks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use colophon_model::TenantUid;

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::writer::{Answer, Ticket};
use crate::{Change, CommitError, Error, Store, View};

/// All lanes that are in use.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<TenantUid, InUse>>);

#[derive(Default)]
struct InUse {
    shared: Arc<Shared>,
    places: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    held: bool,
    /// How many wait until it is not.
    waiting: usize,
    /// Changes that are submitted and not answered, oldest first.
    pending: Vec<Arc<Change>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self) {
        let mut state = self.state();
        state.waiting += 1;
        let held = self.released.wait_while(state, |state| state.held);
        let mut state = held.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.held = true;
    }

    /// Whether it is held now: not while another holds it, nor before those who wait.
    fn hold_now(&self) -> bool {
        let mut state = self.state();
        let is_free = !state.held && state.waiting == 0;
        state.held |= is_free;
        is_free
    }

    fn release(&self) {
        self.state().held = false;
        self.released.notify_one();
    }

    fn answered(&self, change: &Arc<Change>) {
        self.state().pending.retain(|other| !Arc::ptr_eq(other, change));
        self.answered.notify_all();
    }
}

impl Lanes {
    pub(crate) fn hold(lanes: &Arc<Self>, store: Store, tenant: TenantUid) -> Lane {
        let place = Place::take(lanes, tenant);
        place.shared.hold();
        Lane { store, held: Held(place) }
    }

    pub(crate) fn hold_now(lanes: &Arc<Self>, store: Store, tenant: TenantUid) -> Option<Lane> {
        let place = Place::take(lanes, tenant);
        place.shared.hold_now().then(|| Lane { store, held: Held(place) })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<TenantUid, InUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use of a lane; the last one takes the lane off the list.
struct Place {
    lanes: Arc<Lanes>,
    tenant: TenantUid,
    shared: Arc<Shared>,
}

impl Place {
    fn take(lanes: &Arc<Lanes>, tenant: TenantUid) -> Self {
        let mut all = lanes.all();
        let lane = all.entry(tenant).or_default();
        lane.places += 1;
        Self { lanes: Arc::clone(lanes), tenant, shared: Arc::clone(&lane.shared) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut lane) = self.lanes.all().entry(self.tenant) {
            lane.get_mut().places -= 1;
            if lane.get().places == 0 {
                lane.remove();
            }
        }
    }
}

/// Releases the lane when dropped.
struct Held(Place);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.shared.release();
    }
}

/// A tenant's lane, held by one build at a time. Dropping it releases it.
pub struct Lane {
    store: Store,
    held: Held,
}

impl Lane {
    /// Whose lane this is.
    pub fn tenant(&self) -> TenantUid {
        self.held.0.tenant
    }

    /// The tenant's state including changes that are not durable yet. An answer that is not itself
    /// a change must not rest on it: see [`Self::settled`].
    pub fn view(&self) -> Result<View, Error> {
        // Pending changes first: one that commits in between is then seen twice, not never.
        let pending = self.held.0.shared.state().pending.clone();
        self.store.view_over(pending)
    }

    /// Waits until all changes of the tenant are durable or refused, and returns the state then.
    pub fn settled(&self) -> Result<View, Error> {
        let shared = &self.held.0.shared;
        drop(shared.answered.wait_while(shared.state(), |state| !state.pending.is_empty()));
        self.store.view()
    }

    /// Queues `change` and releases the lane: the tenant's next build sees it at once.
    ///
    /// The change must expect every row it rests on, usually the one tenant head. Blocks only while
    /// a thousand changes are waiting.
    pub fn submit(self, change: Change) -> Ticket {
        let (ticket, answer) = Ticket::new();
        self.submit_with(change, answer);
        ticket
    }

    /// As [`Self::submit`]; `answer` is called once, when the change is durable or refused, on the
    /// writer's thread or, after that has ended, on this one. It must not block, panic or submit.
    pub fn submit_with(
        self,
        change: Change,
        answer: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let change = Arc::new(change);
        let place = Place::take(&self.held.0.lanes, self.tenant());
        place.shared.state().pending.push(Arc::clone(&change));
        let answered = Arc::clone(&change);
        let answer = Answer::new(move |result| {
            place.shared.answered(&answered);
            answer(result);
        });
        self.store.writer().submit(change, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who does not wait gets a lane that is free, and does not go before those who wait.
    #[test]
    fn a_lane_that_is_free_is_held_at_once() {
        let (store, tenant) = (Store::in_memory().unwrap(), TenantUid::from_bytes([1; 16]));
        let lane = store.lane_now(tenant).unwrap();
        assert!(store.lane_now(tenant).is_none());
        drop(lane);
        let lane = store.lane(tenant);
        assert!(store.lane_now(tenant).is_none());
        drop(lane);
        assert!(store.lane_now(tenant).is_some());
        let shared = Shared {
            state: Mutex::new(State { waiting: 1, ..State::default() }),
            ..Shared::default()
        };
        assert!(!shared.hold_now());
        shared.state().waiting = 0;
        assert!(shared.hold_now());
    }

    /// The list of lanes does not grow with the number of tenants ever seen.
    #[test]
    fn unused_lanes_are_forgotten() {
        let store = Store::in_memory().unwrap();
        for n in 0..100 {
            let lane = store.lane(TenantUid::from_bytes([n; 16]));
            lane.submit(Change::new()).wait().unwrap();
        }
        let lane = store.lane(TenantUid::from_bytes([0; 16]));
        let lanes = Arc::clone(&lane.held.0.lanes);
        drop(lane);
        drop(store); // the writer has dropped its answers
        assert!(lanes.all().is_empty());
    }
}
