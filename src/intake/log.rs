//! The log of deliveries. A delivery that leads to a build is written in the build's transaction; the
//! others wait here and are written together, so that none of them costs a commit of its own.
//!
//! What waits is lost by a crash: at most what came within half a second. What is lost changes nothing but
//! the log.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use colophon_model::{BuildRecord, TenantUid};
use colophon_store::rows::{DeliveryBody, DeliveryKey, DeliveryRow, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, PreparedBlob, Store, View};

use crate::fair;

/// Most entries that wait.
const WAITING: usize = 16 * 1024;
/// About how many entries are written in one commit.
const AT_ONCE: usize = 256;
/// Most bytes of bodies that wait. Over it an entry is written without its body.
const WAITING_BYTES: usize = 64 << 20;

/// How much is kept of what was refused, for each tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bodies.
    pub bodies: usize,
    /// Most bytes of them.
    pub bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bodies: 100, bytes: 16 << 20 }
    }
}

/// A delivery as far as it is known before anything becomes of it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name.
    pub key: DeliveryKey,
    /// What came in.
    pub row: DeliveryRow,
    /// When the request began.
    pub start: Instant,
    /// Status of the answer when a gate refuses the build.
    pub gate_status: u16,
}

impl Draft {
    /// The row of a delivery that led to the build `record`, made or refused by a gate.
    pub(crate) fn built(&self, record: &BuildRecord) -> DeliveryRow {
        let row = self.ended(record);
        if record.failure.is_some() {
            let code = Some("gate-failed".to_owned());
            DeliveryRow { outcome: "refused".to_owned(), status: self.gate_status, code, ..row }
        } else {
            DeliveryRow { outcome: "built".to_owned(), status: 201, ..row }
        }
    }

    /// The row of a delivery that is answered with the build `record`, which was there before.
    pub(crate) fn unchanged(&self, outcome: &str, record: &BuildRecord) -> DeliveryRow {
        DeliveryRow { outcome: outcome.to_owned(), status: 200, ..self.ended(record) }
    }

    /// The row of a delivery that was refused.
    pub(crate) fn refused(&self, status: u16, code: &str) -> DeliveryRow {
        DeliveryRow {
            outcome: "refused".to_owned(),
            status,
            code: Some(code.to_owned()),
            micros: self.micros(),
            ..self.row.clone()
        }
    }

    fn ended(&self, record: &BuildRecord) -> DeliveryRow {
        let (flow, build) = (Some(record.flow.clone()), Some(record.id));
        DeliveryRow { flow, build, micros: self.micros(), ..self.row.clone() }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A row that waits.
#[derive(Debug)]
pub struct Entry {
    /// Whose.
    pub tenant: TenantRow,
    /// Its name.
    pub key: DeliveryKey,
    /// What became of it.
    pub row: DeliveryRow,
    /// What came in, if it is to be kept.
    pub body: Option<Bytes>,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub struct DeliveryLog {
    waiting: Mutex<Waiting>,
    /// Held while what waited is on its way into the store.
    writing: Mutex<()>,
    /// Deliveries whose senders wait no longer, while they are worked on.
    running: Mutex<HashMap<(TenantUid, DeliveryKey), DeliveryRow>>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// Entries that there was no room for.
    lost: u64,
}

impl DeliveryLog {
    /// A log that keeps so much of what was refused.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Tells of a delivery as long as it is worked on.
    pub(crate) fn begin(&self, tenant: TenantUid, draft: &Draft) -> Running<'_> {
        let name = (tenant, draft.key);
        let row = DeliveryRow { outcome: "running".to_owned(), status: 202, ..draft.row.clone() };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(name, row);
        Running { log: self, name }
    }

    /// A delivery that is worked on, if it is told of.
    pub(crate) fn running(&self, tenant: TenantUid, key: DeliveryKey) -> Option<DeliveryRow> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&(tenant, key)).cloned()
    }

    /// Lets an entry wait to be written. Never blocks on the store.
    pub fn push(&self, mut entry: Entry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.entries.len() >= WAITING {
            waiting.lost += 1;
            return;
        }
        let bytes = entry.body.as_ref().map_or(0, Bytes::len);
        if waiting.bytes + bytes > WAITING_BYTES {
            entry.body = None;
        } else {
            waiting.bytes += bytes;
        }
        waiting.entries.push(entry);
    }

    /// Whether anything waits to be written.
    pub fn is_waiting(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        !waiting.entries.is_empty() || waiting.lost > 0
    }

    /// Writes what waits, a change for each tenant, and not too much at a time. A change that is
    /// refused, on a full disk perhaps, is lost. What another thread is writing is waited for, so that whatever
    /// was pushed before this began is in the store when it returns.
    pub fn flush(&self, store: &Store) -> Result<(), colophon_store::Error> {
        // It waits for others and for lanes, which nobody with a turn on a processor may do.
        fair::aside(|| self.write(store))
    }

    fn write(&self, store: &Store) -> Result<(), colophon_store::Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { entries, lost, .. } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            tracing::warn!(lost, "deliveries were not logged: too many came at a time");
        }
        let mut tenants: BTreeMap<TenantUid, VecDeque<Entry>> = BTreeMap::new();
        for entry in entries {
            tenants.entry(entry.tenant.uid).or_default().push_back(entry);
        }
        while !tenants.is_empty() {
            self.write_some(store, &mut tenants)?;
        }
        Ok(())
    }

    /// Writes some of each tenant's. A build that comes meanwhile waits for these, and not for the thousands of a
    /// tenant whose deliveries change nothing.
    fn write_some(
        &self,
        store: &Store,
        tenants: &mut BTreeMap<TenantUid, VecDeque<Entry>>,
    ) -> Result<(), colophon_store::Error> {
        let most = AT_ONCE.div_ceil(tenants.len());
        let mut tickets = Vec::with_capacity(tenants.len());
        for (uid, entries) in tenants.iter_mut() {
            let some: Vec<Entry> = entries.drain(..entries.len().min(most)).collect();
            let lane = store.lane(*uid);
            let change = change(&lane.view()?, self.bounds, &some)?;
            tickets.push((some.len(), lane.submit(change)));
        }
        tenants.retain(|_, entries| !entries.is_empty());
        for (rows, ticket) in tickets {
            match ticket.wait() {
                // The tenant was erased meanwhile.
                Ok(()) | Err(CommitError::Conflict(_)) => {}
                Err(error) => tracing::warn!(rows, %error, "deliveries were not logged"),
            }
        }
        Ok(())
    }
}

/// A delivery that is told of until this is dropped.
pub(crate) struct Running<'a> {
    log: &'a DeliveryLog,
    name: (TenantUid, DeliveryKey),
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.log.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.name);
    }
}

/// The rows of one tenant's entries.
fn change(view: &View, bounds: Bounds, entries: &[Entry]) -> Result<Change, colophon_store::Error> {
    let mut change = Change::new();
    let Some(first) = entries.first() else { return Ok(change) };
    let uid = first.tenant.uid;
    let slug = SlugOf { slug: first.tenant.slug.clone() };
    // A change that meets a conflict may leave bytes behind, and of an erased tenant none must be left. The
    // erasure goes through the same lane, so what the view shows holds.
    if view.get::<SlugOf>(&uid)?.as_ref() != Some(&slug) {
        return Ok(change);
    }
    change.expect(&uid, Some(&slug));
    let mut kept = Vec::new();
    for entry in entries {
        change.put(&(uid, entry.key), &entry.row);
        let size = entry.row.size;
        if let Some(body) = entry.body.as_ref().filter(|_| size <= bounds.bytes) {
            kept.push((entry.key, DeliveryBody { digest: entry.row.body, size }, body));
        }
    }
    if kept.is_empty() {
        return Ok(change);
    }
    let news = kept.iter().map(|(key, body, _)| (*key, *body));
    let before = view.scan::<DeliveryBody>(&uid).map(|row| row.map(|((_, key), body)| (key, body)));
    let mut all: BTreeMap<_, _> = before.collect::<Result<_, _>>()?;
    all.extend(news);
    for key in excess(&all, bounds) {
        all.remove(&key);
        change.delete::<DeliveryBody>(&(uid, key));
    }
    for (key, row, body) in kept.iter().filter(|(key, ..)| all.contains_key(key)) {
        change.put(&(uid, *key), row).blob(uid, PreparedBlob::new(body)?);
    }
    Ok(change)
}

/// The oldest bodies that go, so that the rest is within bounds.
fn excess(all: &BTreeMap<DeliveryKey, DeliveryBody>, bounds: Bounds) -> Vec<DeliveryKey> {
    let (mut count, mut bytes) = (all.len(), all.values().map(|body| body.size).sum::<u64>());
    let mut gone = Vec::new();
    for (key, body) in all {
        if count <= bounds.bodies && bytes <= bounds.bytes {
            break;
        }
        gone.push(*key);
        count -= 1;
        bytes -= body.size;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{CodePolicy, Digest, UnixMillis};
    use colophon_store::rows::RootsOrigin;

    /// A refused delivery of a tenant, and the tenant.
    fn refused(body: &Bytes) -> (TenantRow, DeliveryRow) {
        let (uid, at) = (TenantUid::from_bytes([1; 16]), UnixMillis::new(1));
        let slug: colophon_model::TenantSlug = "acme-inc".parse().unwrap();
        let (policy, roots) = (CodePolicy::None, RootsOrigin::Server);
        let (suspended, archived, held) = (None, None, None);
        let tenant = TenantRow { uid, slug, created: at, policy, roots, suspended, archived, held };
        let row = DeliveryRow {
            at,
            by: "token".to_owned(),
            secret: None,
            from: None,
            id: None,
            signed: None,
            replay_of: None,
            body: Digest::of(body),
            size: body.len() as u64,
            outcome: "refused".to_owned(),
            status: 422,
            code: None,
            flow: None,
            build: None,
            micros: 0,
        };
        (tenant, row)
    }

    fn add_tenant(store: &Store, tenant: &TenantRow) {
        let mut change = Change::new();
        change.put(&tenant.uid, &SlugOf { slug: tenant.slug.clone() });
        store.commit(change).unwrap();
    }

    /// What waits when a tenant is erased must not bring a byte of it back.
    #[test]
    fn nothing_is_written_of_a_tenant_that_was_erased() {
        let store = Store::in_memory().unwrap();
        let body = Bytes::from_static(b"what came in");
        let (tenant, row) = refused(&body);
        let key = DeliveryKey::new(row.at, [0; 10]);
        let log = DeliveryLog::default();
        let push = || {
            let (tenant, row, body) = (tenant.clone(), row.clone(), Some(body.clone()));
            log.push(Entry { tenant, key, row, body });
        };
        push();
        log.flush(&store).unwrap();
        assert!(store.explain(&row.body).unwrap().is_none(), "there is no such tenant");
        add_tenant(&store, &tenant);
        push();
        log.flush(&store).unwrap();
        let written = store.view().unwrap().get::<DeliveryRow>(&(tenant.uid, key)).unwrap();
        assert_eq!(written, Some(row.clone()));
        assert!(store.explain(&row.body).unwrap().is_some());
    }

    /// The server writes by itself all the time. Who reads must not find that a delivery, neither worked on nor
    /// waiting any more, is not there yet.
    #[test]
    fn what_another_thread_is_writing_is_waited_for() {
        let store = Store::in_memory().unwrap();
        let (tenant, row) = refused(&Bytes::new());
        let uid = tenant.uid;
        add_tenant(&store, &tenant);
        let (log, done) = (DeliveryLog::default(), std::sync::atomic::AtomicBool::new(false));
        let lost = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    log.flush(&store).unwrap();
                }
            });
            let lost = (0..2_000).find(|n| {
                let key = DeliveryKey::new(UnixMillis::new(*n), [0; 10]);
                let (tenant, row) = (tenant.clone(), row.clone());
                log.push(Entry { tenant, key, row, body: None });
                log.flush(&store).unwrap();
                let view = store.view().unwrap();
                view.get::<DeliveryRow>(&(uid, key)).unwrap().is_none()
            });
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            lost
        });
        assert_eq!(lost, None);
    }

    #[test]
    fn the_oldest_bodies_go_first() {
        let key = |n: u64| DeliveryKey::new(UnixMillis::new(n), [0; 10]);
        let body = |size| DeliveryBody { digest: Digest::of(b"x"), size };
        let all: BTreeMap<_, _> = (0..4).map(|n| (key(n), body(10))).collect();
        let gone = |bodies, bytes| excess(&all, Bounds { bodies, bytes }).len();
        assert_eq!(gone(4, 40), 0);
        assert_eq!(excess(&all, Bounds { bodies: 3, bytes: 40 }), [key(0)]);
        assert_eq!(gone(4, 39), 1);
        assert_eq!(gone(0, 40), 4);
    }
}
