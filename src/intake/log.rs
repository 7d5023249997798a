//! The log of deliveries. A delivery that leads to a build is written in the build's transaction; the
//! others wait here and are written together, so that none of them costs a commit of its own.
//!
//! What waits is lost by a crash: at most what came within half a second. On a full disk it waits until there
//! is room, within bounds. What is lost changes nothing but the log, and is counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use colophon_model::{BuildRecord, TenantUid};
use colophon_store::rows::{DeliveryBody, DeliveryKey, DeliveryRow, SlugOf, TenantRow};
use colophon_store::{Change, CommitError, PreparedBlob, Store, View};
use tokio::sync::Notify;

use crate::fair;
use crate::http::chain;

/// Most entries that wait.
const WAITING: usize = 16 * 1024;
/// With so many waiting, they are written before their time: what comes meanwhile is to find room.
const CROWD: usize = WAITING / 4;
/// About how many entries are written in one commit: a build that comes meanwhile waits for it.
const AT_ONCE: usize = 128;
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
        let row = self.clone().unchanged("built", record);
        if record.failure.is_some() {
            let code = Some("gate-failed".to_owned());
            DeliveryRow { outcome: "refused".to_owned(), status: self.gate_status, code, ..row }
        } else {
            DeliveryRow { status: 201, ..row }
        }
    }

    /// The row of a delivery that is answered with the build `record`, which was there before.
    pub(crate) fn unchanged(self, outcome: &str, record: &BuildRecord) -> DeliveryRow {
        let (flow, build) = (Some(record.flow.clone()), Some(record.id));
        let (outcome, micros) = (outcome.to_owned(), self.micros());
        DeliveryRow { outcome, status: 200, flow, build, micros, ..self.row }
    }

    /// The row of a delivery that was refused.
    pub(crate) fn refused(self, status: u16, code: &str) -> DeliveryRow {
        let (outcome, code, micros) = ("refused".to_owned(), Some(code.to_owned()), self.micros());
        DeliveryRow { outcome, status, code, micros, ..self.row }
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
    /// Many wait.
    crowd: Notify,
    /// Held while what waited is on its way into the store.
    writing: Mutex<()>,
    /// Deliveries whose senders wait no longer, while they are worked on.
    running: Mutex<HashMap<(TenantUid, DeliveryKey), DeliveryRow>>,
    /// Entries that were never written, since the start.
    dropped: AtomicU64,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// Entries that there was no room for.
    lost: u64,
}

impl Waiting {
    /// Takes an entry, unless there are too many; without its body when there are too many bytes.
    fn push(&mut self, mut entry: Entry) {
        if self.entries.len() >= WAITING {
            self.lost += 1;
            return;
        }
        let bytes = entry.body.as_ref().map_or(0, Bytes::len);
        if self.bytes + bytes > WAITING_BYTES {
            entry.body = None;
        } else {
            self.bytes += bytes;
        }
        self.entries.push(entry);
    }
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
    pub fn push(&self, entry: Entry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(entry);
        let count = waiting.entries.len();
        drop(waiting);
        if count == CROWD {
            self.crowd.notify_one();
        }
    }

    /// Waits until so many wait that they are to be written at once.
    pub(crate) async fn crowded(&self) {
        self.crowd.notified().await;
    }

    /// Whether anything waits to be written.
    pub fn is_waiting(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        !waiting.entries.is_empty() || waiting.lost > 0
    }

    /// How many deliveries were never logged since the start, since there was no room for them to wait, the tenant's
    /// rows cannot be read or the store has stopped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many wait to be written.
    pub fn waiting(&self) -> u64 {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).entries.len() as u64
    }

    /// Writes what waits, a change for each tenant, and not too much at a time. While the disk is full all of it
    /// goes on waiting, and whatever comes when as much waits as may is not logged. What another thread is writing is waited for, so that whatever
    /// was pushed before this began is in the store when it returns.
    pub fn flush(&self, store: &Store) {
        // It waits for others and for lanes, which nobody with a turn on a processor may do.
        fair::aside(|| self.write(store));
    }

    fn write(&self, store: &Store) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { entries, lost, .. } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(lost, "deliveries were not logged: too many waited to be");
        }
        let mut tenants: BTreeMap<TenantUid, VecDeque<Entry>> = BTreeMap::new();
        for entry in entries {
            tenants.entry(entry.tenant.uid).or_default().push_back(entry);
        }
        while !tenants.is_empty() && self.write_some(store, &mut tenants) {}
        self.give_back(tenants);
    }

    /// What could not be written waits on, before what has come meanwhile. What there is no room for is lost:
    /// the newest.
    fn give_back(&self, tenants: BTreeMap<TenantUid, VecDeque<Entry>>) {
        let mut entries: Vec<Entry> = tenants.into_values().flatten().collect();
        if entries.is_empty() {
            return;
        }
        entries.sort_by_key(|entry| entry.row.at);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { entries: later, lost, .. } = std::mem::take(&mut *waiting);
        waiting.lost = lost;
        entries.into_iter().chain(later).for_each(|entry| waiting.push(entry));
    }

    /// Writes some of each tenant's. A build that comes meanwhile waits for these, and not for the thousands of a
    /// tenant whose deliveries change nothing. Says whether it makes sense to go on; what was not written because
    /// the disk is full is among `tenants` again.
    fn write_some(
        &self,
        store: &Store,
        tenants: &mut BTreeMap<TenantUid, VecDeque<Entry>>,
    ) -> bool {
        let most = AT_ONCE.div_ceil(tenants.len());
        let Some(change) = together(tenants, most) else {
            return self.write_apart(store, tenants, most);
        };
        let rows = tenants.values().map(|entries| entries.len().min(most)).sum();
        let result = store.commit(change);
        if matches!(result, Err(CommitError::Conflict(_))) {
            // A tenant was erased meanwhile: nothing of it is written, and all of the others'.
            return self.write_apart(store, tenants, most);
        }
        let done = self.is_done(rows, result);
        if done {
            for entries in tenants.values_mut() {
                entries.drain(..most.min(entries.len()));
            }
            tenants.retain(|_, entries| !entries.is_empty());
        }
        done
    }

    /// The same with a change for each tenant, in its lane. A tenant whose rows cannot be read loses what waits of it,
    /// since that would wait for ever, and nobody else does.
    fn write_apart(
        &self,
        store: &Store,
        tenants: &mut BTreeMap<TenantUid, VecDeque<Entry>>,
        most: usize,
    ) -> bool {
        let mut tickets = Vec::with_capacity(tenants.len());
        tenants.retain(|uid, entries| {
            let some: Vec<&Entry> = entries.iter().take(most).collect();
            let lane = store.lane(*uid);
            match lane.view().and_then(|view| change(&view, self.bounds, &some)) {
                Ok(change) => tickets.push((*uid, some.len(), lane.submit(change))),
                Err(error) => {
                    self.lose(entries.len(), &error);
                    return false;
                }
            }
            true
        });
        let mut has_room = true;
        for (uid, rows, ticket) in tickets {
            if !self.is_done(rows, ticket.wait()) {
                has_room = false;
            } else if let Some(entries) = tenants.get_mut(&uid) {
                entries.drain(..rows);
            }
        }
        tenants.retain(|_, entries| !entries.is_empty());
        has_room
    }

    fn lose(&self, rows: usize, error: &dyn std::error::Error) {
        self.dropped.fetch_add(rows as u64, Ordering::Relaxed);
        tracing::warn!(rows, error = %chain(error), "deliveries were not logged");
    }

    /// Whether nothing more is to be done about so many rows. They are while the disk is full.
    fn is_done(&self, rows: usize, result: Result<(), CommitError>) -> bool {
        match result {
            // A conflict: the tenant was erased meanwhile.
            Ok(()) | Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Full { .. }) => return false,
            Err(error) => self.lose(rows, &error),
        }
        true
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

/// The first rows of all tenants in one change, which costs a small part of one for each. `None`: some have bodies,
/// of which those that go are found in the lane.
fn together(tenants: &BTreeMap<TenantUid, VecDeque<Entry>>, most: usize) -> Option<Change> {
    let mut change = Change::new();
    for (uid, entries) in tenants {
        let slug = entries.front()?.tenant.slug.clone();
        change.expect(uid, Some(&SlugOf { slug }));
        for entry in entries.iter().take(most) {
            if entry.body.is_some() {
                return None;
            }
            change.put(&(*uid, entry.key), &entry.row);
        }
    }
    Some(change)
}

/// The rows of one tenant's entries.
fn change(
    view: &View,
    bounds: Bounds,
    entries: &[&Entry],
) -> Result<Change, colophon_store::Error> {
    let mut change = Change::new();
    let Some(first) = entries.first().copied() else { return Ok(change) };
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
    use colophon_store::{Disk, DiskFile, InvalidRow, Options, OsDisk, Row, Table, Watermarks};
    use std::io;
    use std::sync::Arc;

    /// A disk that has as much room as a test says.
    struct Tight {
        disk: OsDisk,
        free: AtomicU64,
    }

    impl Tight {
        fn new(dir: &std::path::Path) -> Self {
            Self { disk: OsDisk::open(dir, "a test").unwrap(), free: AtomicU64::new(u64::MAX) }
        }
    }

    impl Disk for Tight {
        fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.disk.open(name)
        }

        fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.disk.create(name)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.disk.rename(from, to)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.disk.remove(name)
        }

        fn list(&self, dir: &str) -> io::Result<Vec<String>> {
            self.disk.list(dir)
        }

        fn make_dir(&self, dir: &str) -> io::Result<()> {
            self.disk.make_dir(dir)
        }

        fn sync_dir(&self, dir: &str) -> io::Result<()> {
            self.disk.sync_dir(dir)
        }

        fn settle(&self, name: &str) -> io::Result<()> {
            self.disk.settle(name)
        }

        fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
            self.disk.reserve(name, len)
        }

        fn free(&self) -> io::Result<u64> {
            Ok(self.free.load(Ordering::SeqCst))
        }
    }

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
        log.flush(&store);
        assert!(store.explain(&row.body).unwrap().is_none(), "there is no such tenant");
        add_tenant(&store, &tenant);
        push();
        log.flush(&store);
        let written = store.view().unwrap().get::<DeliveryRow>(&(tenant.uid, key)).unwrap();
        assert_eq!(written, Some(row.clone()));
        assert!(store.explain(&row.body).unwrap().is_some());
    }

    /// Rows of many tenants are written together. One of them that was erased must not keep the others' from being
    /// written, nor be written itself.
    #[test]
    fn a_tenant_that_was_erased_takes_nothing_from_others() {
        let store = Store::in_memory().unwrap();
        let (tenant, row) = refused(&Bytes::new());
        let gone = TenantRow { uid: TenantUid::from_bytes([0; 16]), ..tenant.clone() };
        add_tenant(&store, &tenant);
        let log = DeliveryLog::default();
        let keys = [1, 2, 3].map(|n| DeliveryKey::new(UnixMillis::new(n), [0; 10]));
        for key in keys {
            for tenant in [&gone, &tenant] {
                let (tenant, row) = (tenant.clone(), row.clone());
                log.push(Entry { tenant, key, row, body: None });
            }
        }
        log.flush(&store);
        let view = store.view().unwrap();
        let written = |uid| view.scan::<DeliveryRow>(&uid).map(|row| row.unwrap().0.1).collect();
        assert_eq!((written(tenant.uid), written(gone.uid)), (keys.to_vec(), Vec::new()));
        assert_eq!((log.waiting(), log.dropped()), (0, 0));
    }

    /// The body of a delivery as damage leaves it.
    struct Bad;

    impl Row for Bad {
        const TABLE: Table = Table::DeliveryBody;
        type Key = (TenantUid, DeliveryKey);

        fn encode(&self) -> Vec<u8> {
            b"?".to_vec()
        }

        fn decode(_: &[u8]) -> Result<Self, InvalidRow> {
            Ok(Self)
        }
    }

    /// What of one tenant cannot be read costs nobody else a line of the log, and is counted as what it is.
    #[test]
    fn a_tenant_that_cannot_be_read_takes_nothing_from_others() {
        let store = Store::in_memory().unwrap();
        let body = Bytes::from_static(b"what came in");
        let (middle, row) = refused(&body);
        let tenants = [0, 1, 2].map(|byte| TenantRow {
            uid: TenantUid::from_bytes([byte; 16]),
            slug: format!("tenant-{byte}").parse().unwrap(),
            ..middle.clone()
        });
        for tenant in &tenants {
            add_tenant(&store, tenant);
        }
        let mut change = Change::new();
        change.put(&(middle.uid, DeliveryKey::new(row.at, [9; 10])), &Bad);
        store.commit(change).unwrap();
        let log = DeliveryLog::default();
        for n in 1..4 {
            for tenant in &tenants {
                let key = DeliveryKey::new(UnixMillis::new(n), [0; 10]);
                let (tenant, row, body) = (tenant.clone(), row.clone(), Some(body.clone()));
                log.push(Entry { tenant, key, row, body });
            }
        }
        log.flush(&store);
        let view = store.view().unwrap();
        let written = tenants.map(|tenant| view.scan::<DeliveryRow>(&tenant.uid).count());
        assert_eq!((written, log.waiting(), log.dropped()), ([3, 0, 3], 0, 3));
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
                    log.flush(&store);
                }
            });
            let lost = (0..2_000).find(|n| {
                let key = DeliveryKey::new(UnixMillis::new(*n), [0; 10]);
                let (tenant, row) = (tenant.clone(), row.clone());
                log.push(Entry { tenant, key, row, body: None });
                log.flush(&store);
                let view = store.view().unwrap();
                view.get::<DeliveryRow>(&(uid, key)).unwrap().is_none()
            });
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            lost
        });
        assert_eq!(lost, None);
    }

    /// A full disk loses nothing that there is memory for: it is written once there is room, in the order in which
    /// it came; what is over that is counted.
    #[test]
    fn what_a_full_disk_refuses_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Tight::new(dir.path()));
        let watermarks = Watermarks { low: 1 << 20, high: 2 << 20, reserve: 0 };
        let options = Options { watermarks, ..Options::default() };
        let store = Store::open_on(disk.clone(), &options).unwrap();
        let (tenant, row) = refused(&Bytes::new());
        add_tenant(&store, &tenant);
        disk.free.store(0, Ordering::SeqCst);
        let log = DeliveryLog::default();
        let push = |n: u64| {
            let (at, tenant) = (UnixMillis::new(n), tenant.clone());
            let (key, row) = (DeliveryKey::new(at, [0; 10]), DeliveryRow { at, ..row.clone() });
            log.push(Entry { tenant, key, row, body: None });
        };
        let many = WAITING as u64;
        (0..many - 1).for_each(push);
        log.flush(&store);
        assert_eq!((log.waiting(), log.dropped()), (many - 1, 0));
        (many - 1..many + 9).for_each(push);
        log.flush(&store);
        assert_eq!((log.waiting(), log.dropped()), (many, 9));
        disk.free.store(u64::MAX, Ordering::SeqCst);
        log.flush(&store);
        let view = store.view().unwrap();
        let written = view.scan::<DeliveryRow>(&tenant.uid).map(|row| row.unwrap().1.at.get());
        assert!(written.eq(0..many), "all that waited, in order");
        assert_eq!((log.waiting(), log.dropped()), (0, 9));
    }

    /// A storm of deliveries is not lost for want of room while there is a store that would take them.
    #[tokio::test]
    async fn many_that_wait_are_not_left_waiting() {
        let store = Store::in_memory().unwrap();
        let (tenant, row) = refused(&Bytes::new());
        add_tenant(&store, &tenant);
        let log = DeliveryLog::default();
        let push = |n: u64| {
            let (tenant, row) = (tenant.clone(), row.clone());
            let key = DeliveryKey::new(UnixMillis::new(n), [0; 10]);
            log.push(Entry { tenant, key, row, body: None });
        };
        let soon = std::time::Duration::from_millis(1);
        (1..CROWD as u64).for_each(push);
        assert!(tokio::time::timeout(soon, log.crowded()).await.is_err(), "there is time");
        push(CROWD as u64);
        log.crowded().await;
        log.flush(&store);
        assert_eq!((log.waiting(), log.dropped()), (0, 0));
        assert!(tokio::time::timeout(soon, log.crowded()).await.is_err(), "once");
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
