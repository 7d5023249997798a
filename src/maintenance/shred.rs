//! Crypto-shredding: what was exported sealed cannot be taken back from where it is locked, so its key is destroyed.

pub(super) mod records;

use colophon_model::UnixMillis;
use colophon_model::audit::{Action, Chain, Outcome, Subject};
use colophon_store::rows::{ExportKey, ExportPlace, ShredPlace, ShredRecord, TenantRow};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Erase, JobError, Site};
use crate::audit::By;
use crate::export::{self, ErasureRecord, KeyFate, Registrar, Shredder};

/// What became of the key of a tenant's sealed exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shredded {
    /// The key: an age recipient.
    pub key: String,
    /// Keys of before, destroyed too, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_keys: Vec<String>,
    /// Each place where copies of it lay.
    pub keys: Vec<KeyFate>,
    /// Each place that was exported to, and whether the statement about the erasure lies there.
    pub records: Vec<RecordFate>,
    /// That statement, to be put below `erasure/` by hand where it does not.
    pub record: String,
    /// Its signature, base64.
    pub signature: String,
}

/// Whether a statement was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFate {
    /// The place.
    pub place: String,
    /// Why it was not; left out when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A shredding that was begun: no copy of the key is left, but the store's own.
pub(super) struct Shred<'a> {
    site: Site<'a>,
    tenant: &'a TenantRow,
    key: &'a ExportKey,
    registrar: Registrar<'a>,
    record: ErasureRecord,
    /// What the store remembers, so that the record is completed whatever happens.
    row: ShredRecord,
    places: Vec<ShredPlace>,
}

impl<'a> Shred<'a> {
    /// Says beside what was exported that the erasure begins, and destroys every copy of the key.
    ///
    /// # Errors
    /// [`JobError::KeysLeft`] when one of these cannot be done, unless `leave_keys` was asked for. The tenant is as it was then.
    pub(super) fn begin(
        site: Site<'a>,
        (tenant, key): (&'a TenantRow, &'a ExportKey),
        job: &Erase,
        exports: &[ExportPlace],
        began: UnixMillis,
    ) -> Result<Self, JobError> {
        let config = &site.config.export;
        let registrar = Registrar::new(site.press, config)?;
        let sealed = exports.iter().filter(|place| place.sealed > 0);
        let places: Vec<_> = sealed.map(place).collect();
        let record = ErasureRecord {
            approved_by: job.approved_by.clone(),
            began: began.rfc3339(),
            by: by(),
            finished: None,
            format: ErasureRecord::FORMAT,
            former_keys: key.former.iter().map(|former| former.id.clone()).collect(),
            key: key.id.clone(),
            keys: Vec::new(),
            tenant: export::Erased { slug: tenant.slug.clone(), uid: tenant.uid },
        };
        let row = records::remember(site, tenant.uid, began, &places)?;
        let mut shred = Self { site, tenant, key, registrar, record, row, places };
        let left = shred.announce();
        if !left.is_empty() && !job.leave_keys {
            shred.came_to_nothing()?;
            return Err(JobError::KeysLeft { slug: tenant.slug.clone(), left });
        }
        let left = shred.destroy_copies()?;
        if !left.is_empty() && !job.leave_keys {
            shred.give_up()?;
            return Err(JobError::KeysLeft { slug: tenant.slug.clone(), left });
        }
        Ok(shred)
    }

    /// Writes the statement that it begins; returns where it could not be written.
    fn announce(&self) -> Vec<String> {
        let fates = write(&self.registrar, &self.places, (self.row.began, &self.record));
        let unwritten = fates.into_iter().filter_map(|fate| {
            let problem = fate.problem?;
            Some(format!("no record can be written to {}: {problem}", fate.place))
        });
        unwritten.collect()
    }

    /// Destroys copies of the keys; returns what is left of them.
    fn destroy_copies(&mut self) -> Result<Vec<String>, JobError> {
        let shredder = Shredder::new(self.site.press, &self.site.config.export, self.tenant)?;
        self.record.keys = shredder.destroy_copies(self.key);
        records::keep_fates(self.site, &mut self.row, &self.record.keys)?;
        let left = self.record.keys.iter().flat_map(|fate| {
            fate.left.iter().map(|what| format!("a copy of its key at {}: {what}", fate.place))
        });
        Ok(left.collect())
    }

    /// The tenant stays.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn give_up(self) -> Result<(), JobError> {
        forget_copies(self.site, (self.tenant, self.key), &self.record.keys)?;
        self.came_to_nothing()
    }

    fn came_to_nothing(mut self) -> Result<(), JobError> {
        came_to_nothing(self.site, self.tenant)?;
        self.row.places.clear();
        records::set(self.site, &self.row)
    }

    /// Says beside what was exported that it is done.
    ///
    /// # Errors
    /// When the store refuses. The tenant is erased.
    pub(super) fn finish(mut self, finished: UnixMillis) -> Result<Shredded, JobError> {
        self.row.finished = Some(finished);
        records::set(self.site, &self.row)?;
        records::complete(&mut self.record, finished);
        let records = write(&self.registrar, &self.places, (self.row.began, &self.record));
        let failed = |place: &ShredPlace| {
            records.iter().any(|fate| fate.place == place.url && fate.problem.is_some())
        };
        self.row.places.retain(failed);
        records::set(self.site, &self.row)?;
        let record = self.record.encode();
        let signature = self.site.press.keys.export_key().sign(&record);
        Ok(Shredded {
            key: self.record.key,
            former_keys: self.record.former_keys,
            keys: self.record.keys,
            records,
            record: String::from_utf8_lossy(&record).into_owned(),
            signature: BASE64.encode(&signature),
        })
    }
}

/// Copies were destroyed, and the tenant stays: the next export puts them again where they should be.
fn forget_copies(
    site: Site<'_>,
    (tenant, key): (&TenantRow, &ExportKey),
    fates: &[KeyFate],
) -> Result<(), JobError> {
    Ok(Shredder::new(site.press, &site.config.export, tenant)?.forget_copies(key, fates)?)
}

/// Writes it down in the tenant's log, so that a bag follows what was said to begin: by that readers know that the
/// tenant is there still.
fn came_to_nothing(site: Site<'_>, tenant: &TenantRow) -> Result<(), JobError> {
    let act = By::here().did(Action::TenantErase, Subject::new("tenant", &tenant.slug));
    let act = act.came_to(Outcome::Failed("export-keys-left".to_owned()));
    let done = site.press.write_down(Chain::Tenant(tenant.uid), &[act]);
    Ok(done.map_err(colophon_store::Error::from)?)
}

fn place(row: &ExportPlace) -> ShredPlace {
    let (url, endpoint, region) = (row.url.clone(), row.endpoint.clone(), row.region.clone());
    ShredPlace { url, endpoint, region }
}

fn write(
    registrar: &Registrar<'_>,
    places: &[ShredPlace],
    (began, record): (UnixMillis, &ErasureRecord),
) -> Vec<RecordFate> {
    let one = |place: &ShredPlace| RecordFate {
        place: place.url.clone(),
        problem: registrar.write(place, began, record).err().map(|error| error.told()),
    };
    places.iter().map(one).collect()
}

/// The kind of credential that the job is done with.
fn by() -> String {
    let act = By::here().did(Action::TenantErase, Subject::new("tenant", ""));
    serde_json::to_value(act.actor.kind)
        .ok()
        .and_then(|kind| kind.as_str().map(str::to_owned))
        .unwrap_or_default()
}
