//! What happens at this moment, and what has just ended, in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::DeliveryKey;
use serde::Serialize;
use tokio::sync::watch;

use super::{Stage, Watch};

/// Deliveries that are remembered after their end, of all tenants: at most 5 stages each, some hundred bytes
/// as a rule. What is forgotten is read from the store.
const RECENT: usize = 1_024;

type Name = (TenantUid, DeliveryKey);

/// How far deliveries are. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Hub>);

#[derive(Debug, Default)]
struct Hub {
    state: Mutex<State>,
    /// Whether the server is about to end.
    stopped: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<Name, Vec<Stage>>,
    recent: HashMap<Name, Vec<Stage>>,
    /// Names in `recent`, the oldest first.
    order: VecDeque<Name>,
    listeners: HashMap<TenantUid, Weak<watch::Sender<()>>>,
}

/// What memory knows of one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The stages that it has reached, by rank.
    pub stages: Vec<Stage>,
    /// Whether that is all.
    pub ended: bool,
}

/// A delivery that is worked on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// Its name.
    pub delivery: DeliveryKey,
    /// When it was received.
    pub at: String,
    /// The last stage that it has reached.
    pub stage: &'static str,
    /// The flow's display name, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Progress {
    /// Tells of a delivery from now on, until the track is ended or dropped.
    pub fn begin(&self, tenant: TenantUid, delivery: DeliveryKey, at: UnixMillis) -> Track {
        let name = (tenant, delivery);
        let accepted = Stage::accepted(Some(delivery), at);
        let mut state = self.0.lock();
        state.running.insert(name, vec![accepted]);
        state.changed(tenant);
        drop(state);
        Track { hub: self.0.clone(), name }
    }

    /// What is remembered of a delivery.
    pub fn of(&self, tenant: TenantUid, delivery: DeliveryKey) -> Option<Told> {
        let (state, name) = (self.0.lock(), (tenant, delivery));
        let running = state.running.get(&name).map(|stages| (stages, false));
        let known = running.or_else(|| state.recent.get(&name).map(|stages| (stages, true)));
        known.map(|(stages, ended)| Told { stages: stages.clone(), ended })
    }

    /// The tenant's deliveries that are worked on, the oldest first.
    pub fn running(&self, tenant: TenantUid) -> Vec<Running> {
        let state = self.0.lock();
        let first = (tenant, DeliveryKey::new(UnixMillis::new(0), [0; 10]));
        let own = state.running.range(first..).take_while(|((uid, _), _)| *uid == tenant);
        own.map(|((_, key), stages)| Running::new(*key, stages)).collect()
    }

    /// Says that something of a tenant has changed: a stage, or its list of builds.
    pub fn changed(&self, tenant: TenantUid) {
        self.0.lock().changed(tenant);
    }

    /// Hears of every change of the tenant from now on, as long as it is kept.
    pub fn listen(&self, tenant: TenantUid) -> Listener {
        let mut state = self.0.lock();
        let known = state.listeners.get(&tenant).and_then(Weak::upgrade);
        let sender = known.unwrap_or_else(|| {
            state.listeners.retain(|_, sender| sender.strong_count() > 0);
            let sender = Arc::new(watch::Sender::new(()));
            state.listeners.insert(tenant, Arc::downgrade(&sender));
            sender
        });
        let changes = sender.subscribe();
        Listener { changes, _sender: sender }
    }

    /// Forgets a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        let mut state = self.0.lock();
        state.recent.retain(|(uid, _), _| *uid != tenant);
        state.order.retain(|(uid, _)| *uid != tenant);
        state.changed(tenant);
    }

    /// Ends every stream, for good.
    pub fn stop(&self) {
        self.0.stopped.send_replace(true);
    }

    /// Whether streams have ended for good.
    pub fn has_stopped(&self) -> bool {
        *self.0.stopped.borrow()
    }

    /// Hears that they are to end.
    pub fn stops(&self) -> Stops {
        Stops(self.0.stopped.subscribe())
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stage that was reached before is not reached again when work is repeated.
    fn tell(&self, name: Name, stage: Stage) {
        let mut all = self.lock();
        let Some(stages) = all.running.get_mut(&name) else { return };
        if stages.last().is_none_or(|last| last.rank() < stage.rank()) {
            stages.push(stage);
            all.changed(name.0);
        }
    }

    /// Takes the delivery from those that run; with an `end` it is remembered.
    fn end(&self, name: Name, end: Option<Stage>) {
        let mut state = self.lock();
        let Some(mut stages) = state.running.remove(&name) else { return };
        if let Some(end) = end {
            stages.push(end);
            state.remember(name, stages);
        }
        state.changed(name.0);
    }
}

impl State {
    fn changed(&self, tenant: TenantUid) {
        if let Some(sender) = self.listeners.get(&tenant).and_then(Weak::upgrade) {
            sender.send_replace(());
        }
    }

    fn remember(&mut self, name: Name, stages: Vec<Stage>) {
        if self.recent.insert(name, stages).is_none() {
            self.order.push_back(name);
        }
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}

impl Running {
    fn new(delivery: DeliveryKey, stages: &[Stage]) -> Self {
        let name = stages.iter().find_map(|stage| match stage {
            Stage::Compiled { name, .. } => Some(name.clone()),
            _ => None,
        });
        let at = delivery.time().rfc3339();
        Self { delivery, at, stage: stages.last().map_or("accepted", Stage::word), name }
    }
}

/// A delivery that is told of until this is dropped.
#[derive(Debug)]
pub struct Track {
    hub: Arc<Hub>,
    name: Name,
}

impl Track {
    /// Tells of the delivery's stages.
    pub fn watch(&self) -> Watch {
        let (hub, name) = (self.hub.clone(), self.name);
        Watch::new(move |stage| hub.tell(name, stage))
    }

    /// Tells how it ended.
    pub fn end(self, end: Stage) {
        self.hub.end(self.name, Some(end));
    }
}

impl Drop for Track {
    /// Without an end the delivery comes to one later, or it is the server's fault that there is none.
    fn drop(&mut self) {
        let fault = std::thread::panicking().then(|| Stage::Failed {
            status: Some(500),
            code: "internal".to_owned(),
            flow: None,
            build: None,
        });
        self.hub.end(self.name, fault);
    }
}

/// Hears of the changes of one tenant.
#[derive(Debug)]
pub struct Listener {
    changes: watch::Receiver<()>,
    /// Keeps the tenant's others hearing, too.
    _sender: Arc<watch::Sender<()>>,
}

impl Listener {
    /// Waits for a change since the last one that was waited for. None is lost in between.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await; // cannot be: the sender is kept here
        }
    }
}

/// Hears that streams are to end.
#[derive(Debug, Clone)]
pub struct Stops(watch::Receiver<bool>);

impl Stops {
    /// Waits until streams are to end.
    pub async fn stopped(&mut self) {
        // In error the hub is gone, and so is the server.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantUid = TenantUid::from_bytes([1; 16]);
    const B: TenantUid = TenantUid::from_bytes([2; 16]);

    fn key(n: u64) -> DeliveryKey {
        DeliveryKey::new(UnixMillis::new(n), [0; 10])
    }

    fn noop() -> Stage {
        Stage::Noop { outcome: "noop".to_owned(), flow: None, build: None }
    }

    fn begin(progress: &Progress, tenant: TenantUid, n: u64) -> Track {
        progress.begin(tenant, key(n), UnixMillis::new(n))
    }

    #[test]
    fn stages_are_told_once_and_in_order_and_kept_after_the_end() {
        let progress = Progress::default();
        let track = begin(&progress, A, 1);
        let watch = track.watch();
        let gated = || Stage::Gated { passed: true, gates: Vec::new() };
        watch.tell(gated);
        watch.tell(gated);
        watch.tell(|| Stage::accepted(None, UnixMillis::new(9)));
        let ranks = |told: Option<Told>| {
            let told = told.unwrap();
            (told.stages.iter().map(Stage::rank).collect::<Vec<_>>(), told.ended)
        };
        assert_eq!(ranks(progress.of(A, key(1))), (vec![1, 3], false));
        assert!(progress.of(B, key(1)).is_none(), "another tenant's");
        track.end(noop());
        assert_eq!(ranks(progress.of(A, key(1))), (vec![1, 3, 5], true));
        assert!(progress.running(A).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_forgets_an_erased_tenant() {
        let progress = Progress::default();
        begin(&progress, B, 0).end(noop());
        for n in 1..=RECENT as u64 + 10 {
            begin(&progress, A, n).end(noop());
        }
        assert_eq!(progress.0.lock().recent.len(), RECENT);
        assert!(progress.of(B, key(0)).is_none() && progress.of(A, key(1)).is_none());
        progress.forget(A);
        let state = progress.0.lock();
        assert!(state.recent.is_empty() && state.order.is_empty());
    }

    /// Work that is not at its end when the track goes is still to come, and not at its end.
    #[test]
    fn a_track_that_is_dropped_tells_no_end() {
        let progress = Progress::default();
        drop(begin(&progress, A, 1));
        assert!(progress.of(A, key(1)).is_none());
    }

    /// A stream must end even if the build's thread has died.
    #[test]
    fn a_panic_ends_in_failure() {
        let progress = Progress::default();
        let at = progress.clone();
        let died = std::thread::spawn(move || {
            let _track = begin(&at, A, 1);
            panic!("on purpose");
        });
        assert!(died.join().is_err());
        let told = progress.of(A, key(1)).unwrap();
        assert!(told.ended && told.stages.last().unwrap().word() == "failed");
    }

    #[tokio::test]
    async fn a_listener_hears_of_its_tenant_alone_and_misses_nothing_between_two_looks() {
        let progress = Progress::default();
        let mut listener = progress.listen(A);
        let mut other = progress.listen(B);
        progress.changed(A);
        progress.changed(A);
        listener.changed().await;
        let silent = |listener: Listener| {
            let mut listener = listener;
            async move {
                tokio::select! { biased; () = listener.changed() => false, () = std::future::ready(()) => true }
            }
        };
        assert!(silent(listener).await, "both were heard of");
        progress.changed(B);
        other.changed().await;
        let _third = progress.listen(TenantUid::from_bytes([3; 16]));
        let known = progress.0.lock().listeners.len();
        assert_eq!(known, 2, "the first, which nobody holds any more, is forgotten");
    }
}
