//! Retention: what is kept for a time only. Build tags and the bundles of builds that are no flow's
//! current one end; the branch, the records and every file that they name stay.

use std::collections::BTreeSet;

use colophon_model::audit::Chain;
use colophon_model::{
    BuildRecord, BuildTag, FailedTag, Sha256, Stamp, TagObject, TenantUid, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::rows::{
    AttemptRow, BuildNumber, BundleAlias, DeliveryBody, DeliveryClaim, DeliveryRow, EdgeRepo,
    EventRow, FlowHead, QuotaStamp, RefRow, SignedFile, TenantHead, TufFile,
};
use crate::{Change, CommitError, Error, Store, View, audit, outbox};

/// Versions of a tenant's TUF metadata that are kept for agents that have just read an older
/// `timestamp.json`. Every `root.json` is kept: an agent walks through all of them.
const TUF_VERSIONS: u64 = 16;
/// Most rows that one transaction deletes.
const BATCH: usize = 1024;

/// What is expired, and whether to delete it.
#[derive(Debug, Clone, Copy)]
pub struct PurgeOptions {
    /// The time.
    pub now: UnixMillis,
    /// How long a build's tags and bundle are kept, in milliseconds.
    pub keep_millis: u64,
    /// The window of the quota, in milliseconds: what was counted before it is not asked for again.
    pub quota_window_millis: u64,
    /// How long the name of a delivery stays claimed, in milliseconds.
    pub claim_millis: u64,
    /// How long deliveries are told of, in milliseconds.
    pub delivery_millis: u64,
    /// How long bodies of deliveries that were refused are kept, in milliseconds.
    pub body_millis: u64,
    /// How long it is known where acts came from, in milliseconds.
    pub origin_millis: u64,
    /// How long events and attempts to deliver them are kept, in milliseconds.
    pub event_millis: u64,
    /// Say what would go, and delete nothing.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReport {
    /// Expired `bld/` and `build-failed/` tags.
    pub tags: u64,
    /// Bundles of expired builds: they can be asked for no more. Their trees stay.
    pub bundles: u64,
    /// Superseded files of the TUF repository.
    pub tuf_files: u64,
    /// Marks of builds that have left the quota's window.
    pub quota_stamps: u64,
    /// Names of deliveries.
    pub claims: u64,
    /// Deliveries in the log.
    pub deliveries: u64,
    /// Bodies of deliveries that were refused.
    pub refused_bodies: u64,
    /// Addresses that acts in the audit log came from.
    pub origins: u64,
    /// Events, and attempts to deliver them.
    #[serde(default)]
    pub events: u64,
}

impl PurgeReport {
    /// Rows in all.
    pub const fn total(&self) -> u64 {
        self.tags
            + self.bundles
            + self.tuf_files
            + self.quota_stamps
            + self.claims
            + self.deliveries
            + self.refused_bodies
            + self.origins
            + self.events
    }

    /// Adds another tenant's report.
    pub const fn add(&mut self, other: &Self) {
        self.tags += other.tags;
        self.bundles += other.bundles;
        self.tuf_files += other.tuf_files;
        self.quota_stamps += other.quota_stamps;
        self.claims += other.claims;
        self.deliveries += other.deliveries;
        self.refused_bodies += other.refused_bodies;
        self.origins += other.origins;
        self.events += other.events;
    }
}

impl Store {
    /// Deletes what is expired of tenant `uid`. A tenant that does not exist has nothing.
    pub fn purge(&self, uid: TenantUid, options: &PurgeOptions) -> Result<PurgeReport, Error> {
        // One after the other: both take the tenant's lane.
        let mut total = self.purge_rows(uid, options)?;
        total.origins = self.forget_origins(Chain::Tenant(uid), options)?;
        Ok(total)
    }

    fn purge_rows(&self, uid: TenantUid, options: &PurgeOptions) -> Result<PurgeReport, Error> {
        let mut total = PurgeReport::default();
        loop {
            let lane = self.lane(uid);
            let view = lane.settled()?;
            let Some(plan) = Plan::make(&view, uid, options)? else { return Ok(total) };
            if plan.found.total() == 0 || options.dry_run {
                total.add(&plan.found);
                return Ok(total);
            }
            match lane.submit(plan.change).wait() {
                Ok(()) => total.add(&plan.found),
                Err(CommitError::Conflict(_)) => {} // a build came in between: look again
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Store {
    /// Forgets where acts of one chain came from, as [`Store::purge`] does for a tenant's.
    pub fn forget_origins(&self, chain: Chain, options: &PurgeOptions) -> Result<u64, Error> {
        let ended = (options.now, options.origin_millis);
        audit::forget_origins(self, chain, ended, options.dry_run)
    }
}

/// Deletions that fit in one transaction, or all of them in a dry run.
struct Plan<'a> {
    view: &'a View,
    uid: TenantUid,
    options: &'a PurgeOptions,
    change: Change,
    found: PurgeReport,
}

impl<'a> Plan<'a> {
    fn make(
        view: &'a View,
        uid: TenantUid,
        options: &'a PurgeOptions,
    ) -> Result<Option<Self>, Error> {
        let Some(head) = view.get::<TenantHead>(&uid)? else { return Ok(None) };
        let mut change = Change::new();
        // Every build replaces the head, so none of what is deleted came back in between.
        change.use_reserve().expect(&uid, Some(&head));
        let mut plan = Self { view, uid, options, change, found: PurgeReport::default() };
        plan.tags()?;
        plan.bundles()?;
        plan.tuf_files(&head)?;
        plan.quota_stamps(&head)?;
        plan.claims()?;
        plan.deliveries()?;
        plan.refused_bodies()?;
        plan.events()?;
        if plan.found.tags > 0 {
            outbox::refs_changed(&mut plan.change, view, uid, options.now)?;
        }
        Ok(Some(plan))
    }

    fn is_expired(&self, at: UnixMillis) -> bool {
        at.plus(self.options.keep_millis) <= self.options.now
    }

    fn has_room(&self) -> bool {
        self.options.dry_run || self.found.total() < BATCH as u64
    }

    fn tags(&mut self) -> Result<(), Error> {
        self.tags_in("bld/", |tag| tag.parse().ok().map(|tag: BuildTag| tag.stamp()))?;
        self.tags_in("build-failed/", |tag| tag.parse().ok().map(|tag: FailedTag| tag.stamp()))
    }

    /// Names of tags in a folder sort by time, so the first that is young ends the search.
    fn tags_in(
        &mut self,
        folder: &str,
        stamp: impl Fn(&str) -> Option<Stamp>,
    ) -> Result<(), Error> {
        let prefix = format!("refs/tags/{folder}");
        let from = (self.uid, prefix.clone());
        for row in self.view.scan::<RefRow>(&self.uid).starting_at(&from) {
            let ((_, name), row) = row?;
            let tag = name.strip_prefix("refs/tags/").filter(|_| name.starts_with(&prefix));
            let Some(stamp) = tag.and_then(&stamp) else { break };
            if !self.is_expired(stamp.time()) || !self.has_room() {
                break;
            }
            self.change.delete::<RefRow>(&(self.uid, name));
            self.change.delete::<TagObject>(&(self.uid, row.oid));
            self.found.tags += 1;
        }
        Ok(())
    }

    fn bundles(&mut self) -> Result<(), Error> {
        let kept = self.kept_bundles()?;
        for row in self.view.scan::<BundleAlias>(&self.uid) {
            let (key, _) = row?;
            if !kept.contains(&key.1) && self.has_room() {
                self.change.delete::<BundleAlias>(&key);
                self.found.bundles += 1;
            }
        }
        Ok(())
    }

    /// Bundles that are current, and those of builds that are young.
    fn kept_bundles(&self) -> Result<BTreeSet<Sha256>, Error> {
        let mut kept = BTreeSet::new();
        for row in self.view.scan::<FlowHead>(&self.uid) {
            kept.extend(row?.1.edge.map(|edge| edge.output.sha256));
        }
        for row in self.view.scan::<BuildNumber>(&self.uid).descending() {
            let build = row?.1.build;
            let Some(record) = self.view.get::<BuildRecord>(&(self.uid, build))? else { continue };
            if self.is_expired(record.stamp.time()) {
                break;
            }
            kept.extend(record.outputs.iter().filter_map(|o| Some(o.edge.as_ref()?.sha256)));
        }
        Ok(kept)
    }

    fn tuf_files(&mut self, head: &TenantHead) -> Result<(), Error> {
        let of = |file: fn(&EdgeRepo) -> SignedFile| {
            let newest = head.edge.as_ref().map_or(head.tuf_version, |e| file(e).version.get());
            newest.saturating_sub(TUF_VERSIONS)
        };
        let (targets, snapshot) = (of(|edge| edge.targets), of(|edge| edge.snapshot));
        for row in self.view.scan::<TufFile>(&self.uid) {
            let (key, _) = row?;
            let superseded = match replaced(&key.1) {
                Some((version, "targets.json")) => version < targets,
                Some((version, _)) => version < snapshot,
                None => false,
            };
            if superseded && self.has_room() {
                self.change.delete::<TufFile>(&key);
                self.found.tuf_files += 1;
            }
        }
        Ok(())
    }

    /// Marks that no check will read: older than two windows, so that a clock that steps back by
    /// less than a window changes nothing.
    fn quota_stamps(&mut self, head: &TenantHead) -> Result<(), Error> {
        for target in head.quota.keys() {
            for row in self.view.scan::<QuotaStamp>(&(self.uid, *target)) {
                let (key, stamp) = row?;
                let ends = stamp.at.plus(self.options.quota_window_millis.saturating_mul(2));
                if ends > self.options.now || !self.has_room() {
                    break;
                }
                self.change.delete::<QuotaStamp>(&key);
                self.found.quota_stamps += 1;
            }
        }
        Ok(())
    }

    /// They sort by time, so the first that is young ends the search.
    fn deliveries(&mut self) -> Result<(), Error> {
        for row in self.view.scan::<DeliveryRow>(&self.uid) {
            let (key, delivery) = row?;
            let ends = delivery.at.plus(self.options.delivery_millis);
            if ends > self.options.now || !self.has_room() {
                break;
            }
            self.change.delete::<DeliveryRow>(&key);
            self.found.deliveries += 1;
        }
        Ok(())
    }

    /// A body goes with its delivery at the latest.
    fn refused_bodies(&mut self) -> Result<(), Error> {
        let keep = self.options.body_millis.min(self.options.delivery_millis);
        for row in self.view.scan::<DeliveryBody>(&self.uid) {
            let (key, _) = row?;
            if key.1.time().plus(keep) > self.options.now || !self.has_room() {
                break;
            }
            self.change.delete::<DeliveryBody>(&key);
            self.found.refused_bodies += 1;
        }
        Ok(())
    }

    /// Both sort by time. An event that is still to be sent then is so old that nobody waits for it.
    fn events(&mut self) -> Result<(), Error> {
        let keep = self.options.event_millis;
        for row in self.view.scan::<EventRow>(&self.uid) {
            let (key, _) = row?;
            if key.1.time().plus(keep) > self.options.now || !self.has_room() {
                break;
            }
            self.change.delete::<EventRow>(&key);
            self.found.events += 1;
        }
        for row in self.view.scan::<AttemptRow>(&self.uid) {
            let (key, _) = row?;
            if key.1.time().plus(keep) > self.options.now || !self.has_room() {
                break;
            }
            self.change.delete::<AttemptRow>(&key);
            self.found.events += 1;
        }
        Ok(())
    }

    fn claims(&mut self) -> Result<(), Error> {
        for row in self.view.scan::<DeliveryClaim>(&self.uid) {
            let (key, claim) = row?;
            let ended = claim.at.plus(self.options.claim_millis) <= self.options.now;
            if ended && self.has_room() {
                self.change.delete::<DeliveryClaim>(&key);
                self.found.claims += 1;
            }
        }
        Ok(())
    }
}

/// Version and rest of the name of a file that a newer one replaces. Roots are never replaced.
fn replaced(name: &str) -> Option<(u64, &str)> {
    let (version, role) = name.split_once('.')?;
    let version = version.parse().ok()?;
    matches!(role, "targets.json" | "snapshot.json").then_some((version, role))
}
