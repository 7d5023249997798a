//! Twenty tenants and a server.

use std::path::PathBuf;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colophon::keys::MasterKey;

use super::credentials::{Credentials, Operator};
use super::draw::Flow;
use super::ledger::Ledger;
use super::plan::Plan;
use super::site::Site;
use super::watch::Watched;
use super::{check, deliver};
use crate::support::numbers::Numbers;

const TENANTS: usize = 20;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dir: tempfile::TempDir,
    pub(super) site: Site,
    pub(super) operator: Operator,
    pub(super) tenants: Vec<Tenant>,
    pub(super) watched: Watched,
    /// Goes up when tags begin to be purged, and when they are: odd meanwhile.
    pub(super) purges: AtomicU64,
    next: AtomicU64,
    begun: Instant,
}

pub(super) struct Tenant {
    pub(super) slug: String,
    pub(super) hook: String,
    pub(super) root: String,
    pub(super) held: RwLock<Credentials>,
    pub(super) ledger: Ledger,
    /// What its workers left behind.
    pub(super) flows: RwLock<Vec<Flow>>,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let site = Site::start(&data, plan.quota, &mut Numbers::from_seed(plan.seed));
        let keys = MasterKey::load(&data).unwrap().unwrap();
        let operator = Operator::new(&keys);
        let tenants = (0..TENANTS).map(|n| Tenant::new(&site, &operator, &keys, n)).collect();
        Self {
            plan,
            dir,
            site,
            operator,
            tenants,
            watched: Watched::default(),
            purges: AtomicU64::new(0),
            next: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Numbers of one worker of this kind.
    pub(super) fn numbers(&self, kind: u64, number: usize) -> Numbers {
        Numbers::from_seed(self.plan.seed ^ (kind << 48) ^ ((number as u64 + 1) << 32))
    }

    /// A name that no delivery of this run had before.
    pub(super) fn fresh_id(&self) -> String {
        format!("soak-{}", self.next.fetch_add(1, Ordering::SeqCst))
    }

    /// Every fifth tenant builds as fast as it can, by two hands, until its quota is used up.
    pub(super) fn is_hot(index: usize) -> bool {
        index.is_multiple_of(5)
    }

    pub(super) fn workers_of(index: usize) -> usize {
        if Self::is_hot(index) { 2 } else { 1 }
    }

    /// Whether a tenant may make another build now: those that are not hot spread theirs, and stay below the
    /// quota to the end.
    pub(super) fn may_build(&self, index: usize) -> bool {
        let (length, passed) = (self.plan.length.as_millis(), self.begun.elapsed().as_millis());
        let bound = u128::from(self.plan.quota) * 85 * passed.min(length) / (100 * length) + 2;
        Self::is_hot(index) || u128::from(self.tenants[index].ledger.used("cloud")) < bound
    }

    /// Kills the server as planned, starts it again at once, and looks at what is there, while the load goes on.
    pub(super) fn kill_now_and_then(&self, begun: Instant) {
        let mut checked = check::Checked::default();
        for at in &self.plan.kills {
            self.wait_until(begun + *at);
            self.site.kill();
            self.site.count("kills");
            self.site.revive();
            check::after_a_restart(self, &mut checked);
        }
        self.wait_until(begun + self.plan.length);
    }

    fn wait_until(&self, time: Instant) {
        while let left = time.saturating_duration_since(Instant::now())
            && left > Duration::ZERO
            && self.site.pause(left)
        {}
    }
}

impl Tenant {
    fn new(site: &Site, operator: &Operator, keys: &MasterKey, number: usize) -> Self {
        let slug = format!("tenant-{number}");
        let (made, hook) = operator.tenant(site, &slug);
        Self {
            root: made["root"].as_str().unwrap().to_owned(),
            held: RwLock::new(Credentials::new(keys, &made)),
            ledger: Ledger::default(),
            flows: RwLock::default(),
            slug,
            hook,
        }
    }

    /// A token of this kind that is good now.
    pub(super) fn token(&self, kind: &str) -> String {
        self.held.read().unwrap().token(kind).text.clone()
    }

    /// Credentials of a reader.
    pub(super) fn bearer(&self, kind: &str) -> deliver::Bearer {
        vec![("authorization", format!("Bearer {}", self.token(kind)))]
    }
}
