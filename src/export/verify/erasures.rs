//! Statements that the tenant was erased.

use colophon_trust::attest::PublicKey;
use serde::{Deserialize, Serialize};

use super::Check;
use crate::export::envelope::KeyId;
use crate::export::erasure::ErasureRecord;
use crate::export::error::ExportError;
use crate::export::head::Head;
use crate::export::layout;

/// What the name of a signature ends with.
const SIGNATURE: &str = ".sig";

/// That the tenant was erased, as a signed statement in the place says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedExport {
    /// The key that was destroyed.
    pub key: KeyId,
    /// Keys of before that were destroyed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_keys: Vec<KeyId>,
    /// When that began, RFC 3339.
    pub began: String,
    /// When it was done; left out when that was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    /// Copies of the key that could not be destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// Whether it was given up, as the tenant's audit log says afterwards: the tenant is there still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub came_to_nothing: bool,
}

impl Check<'_> {
    /// Reads the statements, each of which must be signed and about this tenant. The one that it is done takes the place of the
    /// one that it began.
    pub(super) async fn erasures(
        &mut self,
        head: &Head,
        key: &PublicKey,
    ) -> Result<(), ExportError> {
        let carrier = self.carrier;
        let folder = carrier.key(layout::ERASURES);
        let listed = carrier.again(async || carrier.place.list(&folder).await).await;
        let listed = listed.map_err(|failure| failure.into_trouble(layout::ERASURES))?;
        let before = carrier.key("").len();
        let names = listed.iter().filter_map(|name| name.get(before..));
        for name in names.filter(|name| !name.ends_with(SIGNATURE)) {
            let Some(bytes) = self.get(name).await? else { continue };
            let signature_at = format!("{name}{SIGNATURE}");
            let Some(signature) = self.get(&signature_at).await? else { continue };
            if !key.verifies(&bytes, &signature) {
                self.found.wrong(signature_at, format!("is no signature of key {}", key.id()));
                continue;
            }
            match read(&bytes, head, &self.given_up) {
                Some(erased) => {
                    self.found.erased.retain(|one| one.began != erased.began);
                    self.found.erased.push(erased);
                }
                None => self.found.wrong(name, "is no statement about this tenant's erasure"),
            }
        }
        Ok(())
    }
}

/// `given_up` has the times at which an erasure was.
fn read(bytes: &[u8], head: &Head, given_up: &[String]) -> Option<ErasedExport> {
    let record: ErasureRecord = serde_json::from_slice(bytes).ok()?;
    let ours = record.format == ErasureRecord::FORMAT
        && (&record.tenant.slug, record.tenant.uid) == (&head.tenant.slug, head.tenant.uid);
    let left = record
        .keys
        .into_iter()
        .flat_map(|fate| fate.left.into_iter().map(move |what| format!("{}: {what}", fate.place)));
    let given_up = given_up.iter().any(|time| *time >= record.began);
    let former = record.former_keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>();
    ours.then_some(ErasedExport {
        key: record.key.parse().ok()?,
        former_keys: former?,
        came_to_nothing: record.finished.is_none() && given_up,
        began: record.began,
        finished: record.finished,
        left: left.collect(),
    })
}
