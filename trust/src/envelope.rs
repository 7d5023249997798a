//! Signed documents: writing them, reading them, counting valid signatures.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{self, flaw, own_canonical, to_canonical};
use crate::keys::RoleKey;
use crate::metadata::{Body, Expires, Key, KeyId, RoleKeys, SPEC_VERSION, Signed};
use crate::{Error, Role};

/// The outer object of every file (specification §4.2.1).
#[derive(Serialize, Deserialize)]
struct Envelope<S> {
    signatures: Vec<KeySignature>,
    signed: S,
}

#[derive(Serialize, Deserialize)]
struct KeySignature {
    keyid: KeyId,
    /// Lower-case hex of the raw signature.
    sig: String,
}

impl<T: Body> Signed<T> {
    /// Version `version` of a file, as this program writes them.
    pub(crate) fn new(version: std::num::NonZeroU64, expires: UnixMillis, body: T) -> Self {
        let (role, spec_version) = (T::ROLE, SPEC_VERSION.to_owned());
        Self { role, spec_version, version, expires: Expires(expires), body }
    }

    /// The file's bytes, signed by every key in `keys`. The same value gives the same bytes: fields
    /// are in the order of declaration, maps are sorted, and Ed25519 needs no randomness.
    pub(crate) fn sign(&self, keys: &[RoleKey]) -> Vec<u8> {
        let message = own_canonical(self);
        let sign = |key: &RoleKey| KeySignature { keyid: key.id.clone(), sig: key.sign(&message) };
        let envelope = Envelope { signatures: keys.iter().map(sign).collect(), signed: self };
        serde_json::to_vec(&envelope).expect("metadata types hold only string keys")
    }
}

/// A file that was read but is not trusted yet.
pub(crate) struct Document<T> {
    pub(crate) signed: Signed<T>,
    message: Vec<u8>,
    signatures: BTreeMap<KeyId, String>,
}

impl<T: Body> Document<T> {
    /// Reads at most what the role's bound allows. The message to verify is the canonical form of what was parsed,
    /// so that nothing is used that was not signed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let limit = T::ROLE.max_bytes();
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { role: T::ROLE, limit });
        }
        read(bytes).map_err(|source| Error::Malformed { role: T::ROLE, source })
    }

    /// Checks that enough distinct keys of `grant` signed this document.
    ///
    /// Key material is counted, not key ids: one key under two ids is one signature
    /// (specification §5, "unique keys").
    pub(crate) fn verify(
        &self,
        keys: &BTreeMap<KeyId, Key>,
        grant: &RoleKeys,
    ) -> Result<(), Error> {
        let valid: BTreeSet<Vec<u8>> =
            grant.keyids.iter().filter_map(|id| self.signer(id, keys.get(id)?)).collect();
        if valid.len() >= grant.threshold.get() as usize {
            return Ok(());
        }
        let (valid, needed) = (valid.len(), grant.threshold.get());
        Err(Error::Threshold { role: T::ROLE, valid, needed })
    }

    /// The public key behind `id`, when it signed this document.
    fn signer(&self, id: &KeyId, key: &Key) -> Option<Vec<u8>> {
        let signature = self.signatures.get(id)?;
        if key.verifies(&self.message, signature) { key.material() } else { None }
    }

    /// Checks that the document is valid at `now`.
    pub(crate) fn check_expiry(&self, now: UnixMillis) -> Result<(), Error> {
        check_expiry(T::ROLE, self.signed.expires, now)
    }
}

pub(crate) fn check_expiry(role: Role, expires: Expires, now: UnixMillis) -> Result<(), Error> {
    if expires.0 > now { Ok(()) } else { Err(Error::Expired { role, expires: expires.0 }) }
}

fn read<T: Body>(bytes: &[u8]) -> Result<Document<T>, serde_json::Error> {
    let envelope: Envelope<Value> = serde_json::from_value(canonical::from_slice(bytes)?)?;
    let message = to_canonical(&envelope.signed)?;
    let signed: Signed<T> = serde_json::from_value(envelope.signed)?;
    if signed.role != T::ROLE {
        return Err(flaw(format_args!("it is `{}` metadata", signed.role)));
    }
    if signed.spec_version.split('.').next() != Some("1") {
        return Err(flaw(format_args!("unknown spec_version `{}`", signed.spec_version)));
    }
    let count = envelope.signatures.len();
    let signatures: BTreeMap<_, _> =
        envelope.signatures.into_iter().map(|s| (s.keyid, s.sig)).collect();
    if signatures.len() < count {
        return Err(flaw("two signatures name the same key"));
    }
    Ok(Document { signed, message, signatures })
}
