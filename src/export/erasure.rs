//! What is left beside the bags when a tenant is erased: a signed statement that the key is destroyed. Two are written: before
//! anything is destroyed, so that a crash leaves no silence, and when it is done.

use axum::body::Bytes;
use colophon_model::audit::Action;
use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::{ExportKey, ExportPlace, TenantRow};
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

/// Writes statements about one erasure, and destroys copies of the key.
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
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(ExportError::Aside)?;
        Ok(Self { press, config, tenant, runtime })
    }

    /// Writes `record` to a place.
    ///
    /// # Errors
    /// When the place cannot be reached, or refuses it.
    pub fn write(
        &self,
        to: &ExportPlace,
        began: UnixMillis,
        record: &ErasureRecord,
    ) -> Result<(), ExportError> {
        let url = to.url.parse::<PlaceUrl>();
        let url = url.map_err(|_| Trouble::new("export-refused", format!("`{}`", to.url)))?;
        let options = Options { endpoint: to.endpoint.clone(), region: to.region.clone() };
        let place = Place::open(&url, self.config, &options, &self.press.secrets)?;
        let retry = Retry { attempts: self.config.attempts, first: super::run::FIRST_WAIT };
        let carrier = Carrier::new(&place, layout::tenant(&self.tenant.slug), 0, retry);
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

    /// Has the store forget that copies lie elsewhere: some were destroyed, and the tenant stays.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn forget_copies(&self, key: &ExportKey) -> Result<(), ExportError> {
        let row = ExportKey { copies: Vec::new(), ..key.clone() };
        keyring::commit(self.press, self.tenant, Some(key), &row, Action::KeyCopy).map(drop)
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

impl ErasureRecord {
    /// The version that is written.
    pub const FORMAT: u32 = 1;

    /// The bytes that are signed.
    pub fn encode(&self) -> Bytes {
        format!("{}\n", serde_json::to_value(self).unwrap_or_default()).into()
    }
}
