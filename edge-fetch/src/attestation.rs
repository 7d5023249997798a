//! Whether a bundle is taken only with an attestation, and whose.
//!
//! The keys are pinned at enrolment in `attestation.pem`, or named in `edge-fetch.toml`. With keys, every bundle
//! must be attested; what cannot be checked is not taken.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use colophon_model::Sha256;
use colophon_trust::attest::{MAX_ENVELOPE, Policy, PublicKey, Refused};
use colophon_trust::{TargetFile, TargetName};
use serde::Deserialize;

use crate::disk;
use crate::{Cache, Error, Settings, Transport};

/// What `edge-fetch.toml` says about attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttestationRule {
    /// No bundle is taken without one.
    Require,
    /// None is asked for, whatever was pinned.
    Off,
}

/// Why a bundle counts as not attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestationFlaw {
    /// The signed metadata names none.
    #[error("the tenant has signed it without one")]
    None,
    /// The server does not have it.
    #[error("the server does not have it")]
    Missing,
    /// It is not the one that the signed metadata names.
    #[error("what the server sent is not the one that was signed")]
    Other,
    /// It does not satisfy the keys that were pinned.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Whose attestation every bundle must have.
#[derive(Debug)]
pub(crate) struct Required(Policy);

impl Required {
    /// What holds in a folder; `None` when attestations are not asked for. All of the keys must have signed.
    pub(crate) fn of(cache: &Cache) -> Result<Option<Self>, Error> {
        let settings = Settings::of(cache)?;
        if settings.attestation == Some(AttestationRule::Off) {
            return Ok(None);
        }
        let keys = keys(cache, &settings)?;
        let Some(all) = NonZeroUsize::new(keys.len()) else {
            return match settings.attestation {
                None => Ok(None),
                Some(_) => {
                    Err(no_key(cache.dir().join("edge-fetch.toml"), &"it names no key to require"))
                }
            };
        };
        let policy = Policy::new(&keys, all);
        policy.map(|policy| Some(Self(policy))).map_err(|error| no_key(pinned(cache), &error))
    }

    /// Checks that the bundle is attested: by the file that the signed metadata names, which must be about
    /// this very zip. One that was checked before is not asked for again.
    pub(crate) fn check<T: Transport>(
        &self,
        cache: &Cache,
        transport: &T,
        name: &TargetName,
        file: &TargetFile,
    ) -> Result<(), Error> {
        let refused = |source| Error::Unattested { name: name.clone(), source };
        let signed = file.custom.attestation.ok_or_else(|| refused(AttestationFlaw::None))?;
        let folder = cache.dir().join("state/attested");
        let path = folder.join(format!("{name}.json"));
        let stored = disk::read(&path)?.filter(|bytes| Sha256::of(bytes) == signed);
        let known = stored.is_some();
        let envelope = match stored {
            Some(envelope) => envelope,
            None => fetch(transport, &file.sha256).map_err(|error| match error {
                Error::NotFound { .. } => refused(AttestationFlaw::Missing),
                error => error,
            })?,
        };
        if Sha256::of(&envelope) != signed {
            return Err(refused(AttestationFlaw::Other));
        }
        self.0.verify_bundle(&envelope, &file.sha256).map_err(|flaw| refused(flaw.into()))?;
        if known {
            return Ok(());
        }
        disk::make_folder(&folder)?;
        disk::replace(&path, &envelope)
    }
}

/// The attestation of a zip, unchecked.
pub(crate) fn fetch<T: Transport>(transport: &T, zip: &Sha256) -> Result<Vec<u8>, Error> {
    let path = format!("bundles/{zip}/provenance.json");
    let answer = transport.get(&path, None).map_err(|error| error.at(&path))?;
    answer.expect(&path, &[200])?.read_up_to(&path, MAX_ENVELOPE as u64)
}

/// Those that the settings name, else those of the enrolment.
fn keys(cache: &Cache, settings: &Settings) -> Result<Vec<PublicKey>, Error> {
    let mut keys = Vec::new();
    for file in &settings.attestation_keys {
        keys.extend(attestation_keys(file)?);
    }
    let pinned = pinned(cache);
    if keys.is_empty() && disk::read(&pinned)?.is_some() {
        keys = attestation_keys(&pinned)?;
    }
    Ok(keys)
}

/// The public keys in a file: one or more in PEM (`SubjectPublicKeyInfo`), Ed25519 or P-256.
///
/// # Errors
/// [`Error::Input`] when there is none, or when one is something else.
pub fn attestation_keys(file: &Path) -> Result<Vec<PublicKey>, Error> {
    const END: &str = "-----END PUBLIC KEY-----";
    let bytes =
        std::fs::read(file).map_err(|source| Error::Input { path: file.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let blocks = text.split_inclusive(END).filter(|block| !block.trim().is_empty());
    let keys: Result<Vec<_>, _> =
        blocks.map(|block| PublicKey::from_pem(&format!("{}\n", block.trim()))).collect();
    match keys {
        Ok(keys) if keys.is_empty() => Err(no_key(file.to_owned(), &"it holds no public key")),
        Ok(keys) => Ok(keys),
        Err(error) => Err(no_key(file.to_owned(), &error)),
    }
}

/// Writes down whose attestations are required from now on: nobody's without keys.
pub(crate) fn pin(cache: &Cache, keys: &[PublicKey]) -> Result<(), Error> {
    if keys.is_empty() {
        return disk::remove(&pinned(cache));
    }
    let text: String = keys.iter().map(PublicKey::to_pem).collect();
    disk::replace(&pinned(cache), text.as_bytes())
}

fn pinned(cache: &Cache) -> PathBuf {
    cache.dir().join("attestation.pem")
}

fn no_key(path: PathBuf, why: &dyn ToString) -> Error {
    Error::Input { path, source: std::io::Error::other(why.to_string()) }
}
