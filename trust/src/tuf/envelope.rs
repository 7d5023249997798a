//! Signed documents: writing them, reading them, counting valid signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use colophon_model::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::{self, flaw, own_canonical, to_canonical};
use super::{Body, Expires, Key, KeyId, MetaFile, RoleKeys, Root, SPEC_VERSION, Signed};
use crate::Error;
use crate::keys::RoleKey;

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
    pub(crate) fn new(version: NonZeroU64, expires: UnixMillis, body: T) -> Self {
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
#[derive(Debug, Clone)]
pub(crate) struct Document<T> {
    pub(crate) signed: Signed<T>,
    /// The exact bytes that were read.
    pub(crate) bytes: Vec<u8>,
    /// All of `signed`, what this program does not know included.
    json: Value,
    message: Vec<u8>,
    signatures: BTreeMap<KeyId, String>,
}

impl<T: Body> Document<T> {
    /// Reads at most what the role's bound allows. The message to verify is the canonical form of what
    /// was parsed, so that nothing is used that was not signed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let limit = T::ROLE.max_bytes();
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { role: T::ROLE, limit });
        }
        read(bytes).map_err(|source| Error::Malformed { role: T::ROLE, source })
    }

    /// Reads a file that another one announced: length and hashes, signatures by `verify`, version,
    /// expiry. The hashes come first, so that nothing unannounced is parsed.
    pub(crate) fn announced(
        bytes: &[u8],
        meta: &MetaFile,
        now: UnixMillis,
        verify: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        if !meta.announces(bytes) {
            return Err(Error::HashMismatch { role: T::ROLE });
        }
        let document = Self::parse(bytes)?;
        verify(&document)?;
        document.check_version(meta.version)?;
        document.check_expiry(now)?;
        Ok(document)
    }

    /// What the signed part says in the form that one kind of repository gives it.
    pub(crate) fn profile<'de, P: Deserialize<'de>>(&'de self) -> Result<P, Error> {
        P::deserialize(&self.json).map_err(|source| Error::Malformed { role: T::ROLE, source })
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

    /// Checks that the keys which `root` grants this file's role signed it.
    pub(crate) fn verify_by(&self, root: &Root) -> Result<(), Error> {
        self.verify(&root.keys, root.roles.of(T::ROLE))
    }

    /// The public key behind `id`, when it signed this document.
    fn signer(&self, id: &KeyId, key: &Key) -> Option<Vec<u8>> {
        let signature = self.signatures.get(id)?;
        if key.verifies(&self.message, signature) { key.material() } else { None }
    }

    /// Checks that the document is valid at `now`.
    pub(crate) fn check_expiry(&self, now: UnixMillis) -> Result<(), Error> {
        self.signed.expires.check(T::ROLE, now)
    }

    fn check_version(&self, expected: NonZeroU64) -> Result<(), Error> {
        let (expected, found) = (expected.get(), self.signed.version.get());
        if found == expected {
            return Ok(());
        }
        Err(Error::WrongVersion { role: T::ROLE, expected, found })
    }
}

impl<T: Body + AsRef<Root>> Document<T> {
    /// Checks that a root is signed by its own keys.
    pub(crate) fn verify_own(&self) -> Result<(), Error> {
        self.verify_by(self.signed.body.as_ref())
    }

    /// Checks that this root may come after `previous` (specification §5.3.4 to §5.3.5): signed by the
    /// keys of the root before it and by its own, exactly one version higher.
    pub(crate) fn check_follows(&self, previous: &Signed<T>) -> Result<(), Error> {
        self.verify_by(previous.body.as_ref())?;
        self.verify_own()?;
        self.check_version(previous.version.saturating_add(1))
    }
}

fn read<T: Body>(bytes: &[u8]) -> Result<Document<T>, serde_json::Error> {
    let envelope: Envelope<Value> = serde_json::from_value(canonical::from_slice(bytes)?)?;
    let (json, bytes) = (envelope.signed, bytes.to_vec());
    let message = to_canonical(&json)?;
    let signed = Signed::<T>::deserialize(&json)?;
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
    Ok(Document { signed, bytes, json, message, signatures })
}
