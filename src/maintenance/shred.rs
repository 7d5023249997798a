//! Crypto-shredding: what was exported sealed cannot be taken back from where it is locked, so its key is destroyed.

use colophon_model::UnixMillis;
use colophon_model::audit::{Action, Chain, Outcome, Subject};
use colophon_store::rows::{ExportKey, ExportPlace, TenantRow};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Erase, JobError, Site};
use crate::audit::By;
use crate::export::{self, ErasureRecord, KeyFate, Shredder};

/// What became of the key of a tenant's sealed exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shredded {
    /// The key: an age recipient.
    pub key: String,
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
    shredder: Shredder<'a>,
    places: Vec<ExportPlace>,
    record: ErasureRecord,
    began: UnixMillis,
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
        let shredder = Shredder::new(site.press, &site.config.export, tenant)?;
        let places: Vec<_> = exports.iter().filter(|place| place.sealed > 0).cloned().collect();
        let record = ErasureRecord {
            approved_by: job.approved_by.clone(),
            began: began.rfc3339(),
            by: by(),
            finished: None,
            format: ErasureRecord::FORMAT,
            key: key.id.clone(),
            keys: Vec::new(),
            tenant: export::Erased { slug: tenant.slug.clone(), uid: tenant.uid },
        };
        let mut shred = Self { site, tenant, key, shredder, places, record, began };
        let unwritten = shred.write().into_iter().filter_map(|fate| {
            let problem = fate.problem?;
            Some(format!("no record can be written to {}: {problem}", fate.place))
        });
        let unwritten: Vec<String> = unwritten.collect();
        if !unwritten.is_empty() && !job.leave_keys {
            shred.came_to_nothing()?;
            return Err(JobError::KeysLeft { slug: tenant.slug.clone(), left: unwritten });
        }
        let keys = shred.shredder.destroy_copies(key);
        let left = keys.iter().flat_map(|fate| {
            fate.left.iter().map(|what| format!("a copy of its key at {}: {what}", fate.place))
        });
        let left: Vec<String> = left.collect();
        if !left.is_empty() && !job.leave_keys {
            shred.give_up()?;
            return Err(JobError::KeysLeft { slug: tenant.slug.clone(), left });
        }
        shred.record.keys = keys;
        Ok(shred)
    }

    /// The tenant stays: the next export puts copies of the key again where they should be.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn give_up(&self) -> Result<(), JobError> {
        self.shredder.forget_copies(self.key)?;
        self.came_to_nothing()
    }

    /// Writes it down in the tenant's log, so that a bag follows what was said to begin: by that readers know that the
    /// tenant is there still.
    fn came_to_nothing(&self) -> Result<(), JobError> {
        let act = By::here().did(Action::TenantErase, Subject::new("tenant", &self.tenant.slug));
        let act = act.came_to(Outcome::Failed("export-keys-left".to_owned()));
        let done = self.site.press.write_down(Chain::Tenant(self.tenant.uid), &[act]);
        Ok(done.map_err(colophon_store::Error::from)?)
    }

    /// Says beside what was exported that it is done.
    pub(super) fn finish(mut self, finished: UnixMillis) -> Shredded {
        self.record.finished = Some(finished.rfc3339());
        let own = KeyFate { deleted: 1, left: Vec::new(), place: "store".to_owned() };
        self.record.keys.push(own);
        let records = self.write();
        let record = self.record.encode();
        let signature = self.site.press.keys.export_key().sign(&record);
        Shredded {
            key: self.record.key,
            keys: self.record.keys,
            records,
            record: String::from_utf8_lossy(&record).into_owned(),
            signature: BASE64.encode(&signature),
        }
    }

    fn write(&self) -> Vec<RecordFate> {
        let one = |place: &ExportPlace| RecordFate {
            place: place.url.clone(),
            problem: self
                .shredder
                .write(place, self.began, &self.record)
                .err()
                .map(|error| error.told()),
        };
        self.places.iter().map(one).collect()
    }
}

/// The kind of credential that the job is done with.
fn by() -> String {
    let act = By::here().did(Action::TenantErase, Subject::new("tenant", ""));
    serde_json::to_value(act.actor.kind)
        .ok()
        .and_then(|kind| kind.as_str().map(str::to_owned))
        .unwrap_or_default()
}
