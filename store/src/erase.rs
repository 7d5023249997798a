//! Erasing a tenant: its rows, and every byte that only it reached.
//!
//! What is deleted from redb stays in pages that are free, and what is deleted from a segment stays
//! in the file. So at the end all segments with anything dead in them are emptied and removed, and
//! the metadata is written anew. A row in `erasure-1` remembers what is not finished; it names the
//! tenant only until the tenant's rows are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use colophon_model::audit::{Act, Chain};
use colophon_model::{Digest, TenantSlug, TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::blob::{Condemned, Member};
use crate::damage::Quarantined;
use crate::fsck;
use crate::gc::{self, Compaction, GcReport};
use crate::progress::{Progress, Report};
use crate::row::{Row, key_bytes, mark_row};
use crate::rows::json_row;
use crate::rows::{AuditHead, HookRow, ImportRow, SlugOf, TenantHead, TenantRow, TokenRow};
use crate::{Change, CommitError, Error, KeyRange, Order, Pace, Store, Table, View, audit};

/// Tables whose keys begin with a tenant's uid.
const TENANT_TABLES: &[Table] = &[
    Table::Slug,
    Table::TenantHead,
    Table::Planted,
    Table::FirstCommit,
    Table::FlowHead,
    Table::FlowGone,
    Table::FlowClaim,
    Table::FlowOwner,
    Table::SeenPlan,
    Table::Build,
    Table::BuildNumber,
    Table::Ref,
    // Behind the refs: erasing them is a change of theirs.
    Table::RefChanges,
    Table::GitLog,
    Table::GitOid,
    Table::GitTag,
    Table::TufFile,
    Table::BundleAlias,
    Table::BundleTree,
    Table::QuotaStamp,
    Table::TokenUsed,
    Table::Agent,
    Table::Mirror,
    Table::MirrorState,
    Table::MirrorTag,
    Table::Outbox,
    Table::ExportPlace,
    Table::ExportBlob,
    Table::Artifact,
    Table::Upload,
    Table::Import,
    Table::FormerKey,
    Table::ExportKey,
    Table::ExportState,
    Table::ExportDrill,
    Table::AuditLine,
    Table::AuditHead,
    Table::AuditOrigin,
    Table::AuditCheckpoint,
    Table::Webhook,
    Table::DeliveryClaim,
    Table::Delivery,
    Table::DeliveryBody,
    Table::Pull,
    Table::Endpoint,
    Table::EndpointState,
    Table::Event,
    Table::Send,
    Table::Hold,
    Table::Attempt,
];
/// Rows that one transaction deletes.
const BATCH: usize = 512;
/// How long to wait for readers that still hold a segment.
const READERS: Duration = Duration::from_mins(1);

/// An erasure that is not finished. The key is a number without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erasure {
    /// Whose rows are still to be deleted, if they are.
    tenant: Option<TenantUid>,
    /// When it began.
    started: UnixMillis,
}

json_row!(Erasure, Erasure, u64);

/// Marks a slug that was a tenant's, by a digest of it. The value is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetiredSlug;

mark_row!(RetiredSlug, RetiredSlug, Digest);

/// `blake3("colophon retired slug v1" ‖ slug)`. It keeps the name out of the files, not from someone
/// who tries names.
fn retired_key(slug: &TenantSlug) -> Digest {
    Digest::of(&[b"colophon retired slug v1".as_slice(), slug.as_str().as_bytes()].concat())
}

/// What an erasure removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Rows of the tenant.
    pub rows: u64,
    /// Blobs that the tenant had.
    pub memberships: u64,
    /// Blobs that nobody else had, or that nobody had at all.
    pub blobs: u64,
    /// Encoded bytes of those.
    pub blob_bytes: u64,
    /// Segments that were emptied and removed.
    pub segments: u64,
}

impl Store {
    /// Erases the tenant `slug` and all that only it reached, and never gives the name again.
    /// `None` when there is no such tenant.
    ///
    /// `act` is written down in the system's chain, with the end of the tenant's chain, which is erased too.
    ///
    /// A build of the tenant that is under way meets a conflict. Builds of other tenants wait while
    /// the metadata is written anew.
    ///
    /// # Errors
    /// [`Error::Readers`] when a reader still holds a segment after a minute. Whatever the error,
    /// the tenant is gone for its users once the first transaction is through, and
    /// [`Self::resume_erasures`] does the rest.
    pub fn erase(
        &self,
        slug: &TenantSlug,
        act: &Act,
        now: UnixMillis,
        report: Report<'_>,
    ) -> Result<Option<Erased>, Error> {
        let _turn = self.maintenance()?;
        let Some(tenant) = self.view()?.get::<TenantRow>(slug)? else { return Ok(None) };
        let Some(number) = self.begin_erasure(&tenant, act, now)? else { return Ok(None) };
        let erasure = Erasure { tenant: Some(tenant.uid), started: now };
        self.finish_erasure(number, erasure, report).map(Some)
    }

    /// Takes away what an import that was not finished has left of `tenant`, as an erasure does; the name may be
    /// given again. `None` when there is no such import.
    ///
    /// # Errors
    /// As [`Self::erase`].
    pub fn discard_import(
        &self,
        tenant: TenantUid,
        now: UnixMillis,
        report: Report<'_>,
    ) -> Result<Option<Erased>, Error> {
        let _turn = self.maintenance()?;
        let view = self.view()?;
        let Some(row) = view.get::<ImportRow>(&tenant)? else { return Ok(None) };
        let number = next_erasure(&view)?;
        // A view is a reader, which the end of an erasure waits for.
        drop(view);
        let erasure = Erasure { tenant: Some(tenant), started: now };
        let mut change = Change::new();
        change.use_reserve();
        change.expect::<SlugOf>(&tenant, None).expect::<TenantHead>(&tenant, None);
        change.expect(&tenant, Some(&row)).delete::<ImportRow>(&tenant);
        change.expect(&number, None::<&Erasure>).put(&number, &erasure);
        self.commit(change)?;
        self.finish_erasure(number, erasure, report).map(Some)
    }

    /// Finishes erasures that were interrupted; returns how many. One that cannot go on keeps no other's rows from
    /// being deleted.
    ///
    /// # Errors
    /// The first that was met. What could be done of all of them is done.
    pub fn resume_erasures(&self, report: Report<'_>) -> Result<usize, Error> {
        let _turn = self.maintenance()?;
        let open: Vec<(u64, Erasure)> =
            self.view()?.scan::<Erasure>(&()).collect::<Result<_, _>>()?;
        let (mut told, mut ready) = (Ok(open.len()), Vec::with_capacity(open.len()));
        for (number, erasure) in open {
            match self.erase_tenant((number, erasure), &mut Erased::default(), report) {
                Ok(()) => ready.push(number),
                Err(error) => told = told.and(Err(error)),
            }
        }
        if !ready.is_empty()
            && let Err(error) = self.erase_bytes(&ready, &mut Erased::default(), report)
        {
            told = told.and(Err(error));
        }
        told
    }

    /// When each erasure began that is not finished, in the order in which they began.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_erasures(&self) -> Result<Vec<UnixMillis>, Error> {
        let view = self.view()?;
        view.scan::<Erasure>(&()).map(|row| Ok(row?.1.started)).collect()
    }

    /// Whether a tenant of this name was erased, so that the name may not be given again.
    pub fn is_retired(&self, slug: &TenantSlug) -> Result<bool, Error> {
        Ok(self.view()?.get::<RetiredSlug>(&retired_key(slug))?.is_some())
    }

    /// Takes the tenant away from everyone who asks for it, in one transaction. `None` when it is gone.
    fn begin_erasure(
        &self,
        tenant: &TenantRow,
        act: &Act,
        now: UnixMillis,
    ) -> Result<Option<u64>, Error> {
        loop {
            let lane = self.lane(tenant.uid);
            let view = lane.settled()?;
            // Its row may have changed since it was found.
            let row = view.get::<TenantRow>(&tenant.slug)?.filter(|row| row.uid == tenant.uid);
            let Some(tenant) = row else { return Ok(None) };
            if tenant.held.is_some() {
                return Err(Error::Held);
            }
            let number = next_erasure(&view)?;
            let erasure = Erasure { tenant: Some(tenant.uid), started: now };
            let mut change = Change::new();
            change.use_reserve();
            change.expect(&number, None::<&Erasure>).put(&number, &erasure);
            change.put(&retired_key(&tenant.slug), &RetiredSlug);
            change.expect(&tenant.slug, Some(&tenant)).delete::<TenantRow>(&tenant.slug);
            change.delete::<SlugOf>(&tenant.uid).delete::<TenantHead>(&tenant.uid);
            delete_keys(&view, tenant.uid, &mut change)?;
            audit::append(&mut change, &view, Chain::System, &[ended(&view, &tenant, act)?], now)?;
            match lane.submit(change).wait() {
                Ok(()) => return Ok(Some(number)),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn finish_erasure(
        &self,
        number: u64,
        erasure: Erasure,
        report: Report<'_>,
    ) -> Result<Erased, Error> {
        let mut erased = Erased::default();
        self.erase_tenant((number, erasure), &mut erased, report)?;
        self.erase_bytes(&[number], &mut erased, report)?;
        Ok(erased)
    }

    /// Deletes all that names the tenant, unless that is done.
    fn erase_tenant(
        &self,
        (number, erasure): (u64, Erasure),
        erased: &mut Erased,
        report: Report<'_>,
    ) -> Result<(), Error> {
        let Some(tenant) = erasure.tenant else { return Ok(()) };
        erased.rows = self.erase_rows(tenant, report)?;
        erased.memberships = self.erase_memberships(tenant, report)?;
        let mut change = Change::new();
        change.use_reserve().put(&number, &Erasure { tenant: None, ..erasure });
        Ok(self.commit(change)?)
    }

    /// Ends the erasures with these numbers, whose rows are gone: no byte is left that nobody has.
    fn erase_bytes(
        &self,
        numbers: &[u64],
        erased: &mut Erased,
        report: Report<'_>,
    ) -> Result<(), Error> {
        self.erase_blobs(erased, report)?;
        report(Progress::begin("rewriting segments"));
        erased.segments = self.rewrite_segments(report)?;
        report(Progress::begin("rewriting metadata"));
        self.rewrite_metadata()?;
        let mut change = Change::new();
        change.use_reserve();
        for number in numbers {
            change.delete::<Erasure>(number);
        }
        Ok(self.commit(change)?)
    }

    fn erase_rows(&self, tenant: TenantUid, report: Report<'_>) -> Result<u64, Error> {
        let mut rows = 0;
        let prefix = KeyRange::prefix(&key_bytes(&tenant));
        for &table in TENANT_TABLES {
            loop {
                let view = self.view()?;
                let page = view.snapshot().range(table, &prefix, Order::Ascending, BATCH);
                let page = page.map_err(Error::Read)?;
                if page.is_empty() {
                    break;
                }
                rows += page.len() as u64;
                self.delete_rows(page.into_iter().map(|(key, _)| (table, key)))?;
                report(Progress { stage: "erasing rows", done: rows, total: None });
            }
        }
        // A token or hook that was made while the erasure began.
        let mut change = Change::new();
        delete_keys(&self.view()?, tenant, change.use_reserve())?;
        self.commit(change)?;
        Ok(rows)
    }

    fn erase_memberships(&self, tenant: TenantUid, report: Report<'_>) -> Result<u64, Error> {
        let mut keys = Vec::new();
        for table in [Member::TABLE, Condemned::TABLE] {
            let view = self.view()?;
            let scanned = view.snapshot().visit(table, &KeyRange::prefix(b""), &mut |key, _| {
                if key.ends_with(tenant.as_bytes()) {
                    keys.push((table, key.to_vec()));
                }
                true
            });
            scanned.map_err(Error::Read)?;
        }
        let members = keys.iter().filter(|(table, _)| *table == Member::TABLE).count() as u64;
        for (n, batch) in keys.chunks(BATCH).enumerate() {
            self.delete_rows(batch.iter().cloned())?;
            report(Progress::new("erasing names", (n * BATCH) as u64, keys.len() as u64));
        }
        Ok(members)
    }

    fn delete_rows(&self, keys: impl Iterator<Item = (Table, Vec<u8>)>) -> Result<(), Error> {
        let mut change = Change::new();
        change.use_reserve().batch.writes.extend(keys.map(|key| (key, None)));
        Ok(self.commit(change)?)
    }

    /// Deletes every blob that nobody has, bytes that no blob names, and what is known of damage to
    /// blobs that are gone or of what they rested on.
    fn erase_blobs(&self, erased: &mut Erased, report: Report<'_>) -> Result<(), Error> {
        let orphans = gc::orphans(&self.view()?)?;
        if gc::detach(self, &orphans, gc::Unreadable::GiveUp, Pace::FULL)?.is_full {
            return Err(self.refusal().into());
        }
        let deleted = gc::delete_blobs(self, &orphans, Pace::FULL, report)?;
        (erased.blobs, erased.blob_bytes) = (deleted.blobs, deleted.bytes);
        let view = self.view()?;
        let (mut change, mut gone) = (Change::new(), BTreeSet::new());
        change.use_reserve();
        for row in view.scan::<Quarantined>(&()) {
            let (digest, _) = row?;
            if view.scan::<Member>(&digest).next().is_none() {
                change.delete::<Quarantined>(&digest);
                gone.insert(digest);
            }
        }
        for number in fsck::stray_inline(&view)? {
            change.batch.writes.insert((Table::Inline, key_bytes(&number)), None);
        }
        for pair in fsck::stray_rests(&view)? {
            change.batch.writes.insert((Table::Rests, key_bytes(&pair)), None);
        }
        self.commit(change)?;
        self.damage().set(&BTreeSet::new(), &gone);
        Ok(())
    }

    /// Empties and removes every segment with a dead byte in it.
    fn rewrite_segments(&self, report: Report<'_>) -> Result<u64, Error> {
        self.writer().alone(|committer| committer.segments.seal())?;
        let compaction =
            Compaction { below: 100, budget_bytes: u64::MAX, dry_run: false, pace: Pace::FULL };
        let mut found = GcReport::default();
        compaction.run(self, report, &mut found)?;
        if found.unreadable_segments > 0 {
            return Err(Error::Unreadable { segments: found.unreadable_segments });
        }
        self.wait_for_readers(READERS)?;
        Ok(found.compacted_segments)
    }

    /// Waits until every segment that was given up is removed.
    fn wait_for_readers(&self, limit: Duration) -> Result<(), Error> {
        if self.remove_retired()? > 0 {
            self.leases().barrier().wait(limit);
            let left = self.remove_retired()?;
            if left > 0 {
                return Err(Error::Readers { segments: left });
            }
        }
        Ok(())
    }
}

/// A number for an erasure that no other has.
fn next_erasure(view: &View) -> Result<u64, Error> {
    let last = view.scan::<Erasure>(&()).descending().next().transpose()?;
    Ok(last.map_or(1, |(last, _)| last + 1))
}

/// The act of an erasure with what ends by it.
fn ended(view: &View, tenant: &TenantRow, act: &Act) -> Result<Act, Error> {
    let chain = view.get::<AuditHead>(&tenant.uid)?.unwrap_or_default().0;
    Ok(act.clone().with("lines", chain.seq).with("root", chain.peaks.root()))
}

/// Deletes the tenant's tokens and hooks, which are found by what they are named.
fn delete_keys(view: &View, tenant: TenantUid, change: &mut Change) -> Result<(), Error> {
    for row in view.scan::<HookRow>(&()) {
        let (key, hook) = row?;
        if hook.tenant == tenant {
            change.delete::<HookRow>(&key);
        }
    }
    for row in view.scan::<TokenRow>(&()) {
        let (key, token) = row?;
        if token.tenant == tenant {
            change.delete::<TokenRow>(&key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new table is either a tenant's, and then erased, or listed here with the reason why not.
    #[test]
    fn every_table_of_tenants_is_erased() {
        let others = [
            (Table::Blob, "by having no member"),
            (Table::Inline, "with its blob"),
            (Table::Member, "by the end of the key"),
            (Table::Condemned, "by the end of the key"),
            (Table::Quarantine, "with its blob"),
            (Table::Rests, "with the blob that rests"),
            (Table::Sequence, "not of a tenant"),
            (Table::Erasure, "names no tenant at the end"),
            (Table::RetiredSlug, "a digest that keeps the name taken"),
            (Table::PoolRoot, "a used uid keeps the root from being taken twice"),
            (Table::Tenant, "in the first transaction"),
            (Table::Token, "by the row's tenant"),
            (Table::Hook, "by the row's tenant"),
            (Table::ShredRecord, "names the tenant by its pseudonym, and ends with its record"),
        ];
        for table in Table::ALL {
            let erased = TENANT_TABLES.contains(table);
            let other = others.iter().any(|(other, _)| other == table);
            assert!(erased != other, "{table}");
        }
    }
}
