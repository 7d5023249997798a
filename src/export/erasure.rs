//! What is left beside the bags when a tenant is erased: a signed statement that the key is destroyed. Two are written: before
//! anything is destroyed, so that a crash leaves no silence, and when it is done.

use axum::body::Bytes;
use colophon_model::audit::{Action, Chain};
use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::{ExportKey, ShredPlace, TenantRow};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::copies;
use super::error::{ExportError, Trouble};
use super::place::{Options, Place, PlaceUrl};
use super::upload::{Carrier, Retry};
use super::{keyring, layout};
use crate::config::ExportConfig;
use crate::pipeline::Press;

/// What a statement says. In the place it is JSON in the form of RFC 8785 with a line break, and beside it lie the 64 bytes of an
/// Ed25519 signature over exactly that by the key that signs bags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureRecord {
    /// Who approved it, as the operator said; left out when nobody was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When it began, RFC 3339.
    pub began: String,
    /// The kind of credential that it was done with.
    pub by: String,
    /// When it was complete and durable, RFC 3339; left out in the statement that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    /// Version of the form: 1.
    pub format: u32,
    /// Keys of before that are destroyed too, the oldest first; left out when there was one key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_keys: Vec<String>,
    /// The key that is destroyed.
    pub key: String,
    /// What became of copies of the key. Empty in the statement that it began.
    pub keys: Vec<KeyFate>,
    /// Whose.
    pub tenant: Erased,
}

/// Whose export it is. The folder has the name already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// The tenant's name.
    pub slug: TenantSlug,
    /// The tenant's uid.
    pub uid: TenantUid,
}

/// What became of copies of a key at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFate {
    /// How many objects, versions and delete marks were deleted there.
    pub deleted: u64,
    /// What is there still, and why.
    pub left: Vec<String>,
    /// The place: `store` is the server's own.
    pub place: String,
}

/// Destroys copies of one tenant's keys.
pub struct Shredder<'a> {
    press: &'a Press,
    config: &'a ExportConfig,
    tenant: &'a TenantRow,
    runtime: Runtime,
}

impl<'a> Shredder<'a> {
    /// For that tenant.
    ///
    /// # Errors
    /// When no thread can be had for it.
    pub fn new(
        press: &'a Press,
        config: &'a ExportConfig,
        tenant: &'a TenantRow,
    ) -> Result<Self, ExportError> {
        Ok(Self { press, config, tenant, runtime: runtime()? })
    }

    /// Has the store forget copies that were destroyed, and remember what is left: the tenant stays.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn forget_copies(&self, key: &ExportKey, fates: &[KeyFate]) -> Result<(), ExportError> {
        let left = fates.iter().map(|fate| (fate.place.as_str(), fate.left.as_slice()));
        let row = copies::after_destroying(key, &left, self.press.clock.now());
        let action = Some(Action::KeyCopy);
        keyring::commit(self.press, self.tenant, Some(key), &row, action).map(drop)
    }

    /// Destroys every copy of the key that lies elsewhere.
    pub fn destroy_copies(&self, key: &ExportKey) -> Vec<KeyFate> {
        let done = copies::destroy(self.press, self.config, &self.runtime, self.tenant.uid, key);
        let fate = |(place, done)| match done {
            Ok(super::place::Destroyed { deleted, left }) => KeyFate { deleted, left, place },
            Err(Trouble { text, .. }) => KeyFate { deleted: 0, left: vec![text], place },
        };
        done.into_iter().map(fate).collect()
    }
}

/// Writes statements to places that were exported to.
pub struct Registrar<'a> {
    press: &'a Press,
    config: &'a ExportConfig,
    runtime: Runtime,
}

impl<'a> Registrar<'a> {
    /// With the server's credentials.
    ///
    /// # Errors
    /// When no thread can be had for it.
    pub fn new(press: &'a Press, config: &'a ExportConfig) -> Result<Self, ExportError> {
        Ok(Self { press, config, runtime: runtime()? })
    }

    /// Writes `record` to a place. The same one that is there already is as good as written.
    ///
    /// # Errors
    /// When the place cannot be reached, or refuses it.
    pub fn write(
        &self,
        to: &ShredPlace,
        began: UnixMillis,
        record: &ErasureRecord,
    ) -> Result<(), ExportError> {
        let place = self.open(to)?;
        let carrier = self.carrier(&place, layout::tenant(&record.tenant.slug));
        let bytes = record.encode();
        let signature = Bytes::copy_from_slice(&self.press.keys.export_key().sign(&bytes));
        let name = layout::erasure(began, record.finished.is_none());
        // The signature first: a statement without one would be a finding for ever, where it is locked.
        self.runtime.block_on(async {
            let (signed, sha256) = (carrier.key(&format!("{name}.sig")), Sha256::of(&signature));
            carrier.bytes(&signed, signature.clone(), sha256).await?;
            let sha256 = Sha256::of(&bytes);
            carrier.bytes(&carrier.key(&name), bytes.clone(), sha256).await.map(drop)
        })
    }

    /// The statement at a place that the erasure of a tenant, known by its pseudonym, began then; `None` when this server signed
    /// none there.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn begun(
        &self,
        at: &ShredPlace,
        (tenant, began): (&str, UnixMillis),
    ) -> Result<Option<ErasureRecord>, ExportError> {
        let place = self.open(at)?;
        let carrier = self.carrier(&place, String::new());
        let (key, name) = (self.press.keys.export_key().public(), layout::erasure(began, true));
        self.runtime.block_on(async {
            let folders = carrier.again(async || place.folders(layout::VERSION).await).await;
            let folders = folders.map_err(|failure| failure.into_trouble(layout::VERSION))?;
            for slug in folders {
                let path = format!("{}/{slug}/{name}", layout::VERSION);
                let Some(bytes) = carrier.find_within(&path, LARGEST).await? else { continue };
                let signature = carrier.find_within(&format!("{path}.sig"), LARGEST).await?;
                let signed = signature.is_some_and(|signature| key.verifies(&bytes, &signature));
                let record: Option<ErasureRecord> = serde_json::from_slice(&bytes).ok();
                let same = |record: &ErasureRecord| Chain::pseudonym(record.tenant.uid) == tenant;
                if let Some(record) = record.filter(same).filter(|_| signed) {
                    return Ok(Some(record));
                }
            }
            Ok(None)
        })
    }

    fn open(&self, at: &ShredPlace) -> Result<Place, ExportError> {
        let url = at.url.parse::<PlaceUrl>();
        let url = url.map_err(|_| Trouble::new("export-refused", format!("`{}`", at.url)))?;
        let options = Options { endpoint: at.endpoint.clone(), region: at.region.clone() };
        Ok(Place::open(&url, self.config, &options, &self.press.secrets)?)
    }

    fn carrier<'p>(&self, place: &'p Place, folder: String) -> Carrier<'p> {
        let retry = Retry { attempts: self.config.attempts, first: super::run::FIRST_WAIT };
        Carrier::new(place, folder, 0, retry)
    }
}

/// Largest statement that is read, in bytes.
const LARGEST: u64 = 1 << 20;

fn runtime() -> Result<Runtime, ExportError> {
    let made = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    made.map_err(ExportError::Aside)
}

impl ErasureRecord {
    /// The version that is written.
    pub const FORMAT: u32 = 1;

    /// The bytes that are signed.
    pub fn encode(&self) -> Bytes {
        format!("{}\n", serde_json::to_value(self).unwrap_or_default()).into()
    }
}
