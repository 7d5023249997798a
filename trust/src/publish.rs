//! The server's side: the files of each new version, signed together or in part.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{Sha256, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::bundle::Entry;
use crate::keys::RoleKey;
use crate::metadata::{Hashes, MetaFile, Snapshot, SnapshotMeta, Status, Targets, Timestamp};
use crate::tuf::{Body, Signed, TimestampMeta};
use crate::{
    BundleFacts, EnvFacts, EnvFile, EnvName, Error, OnlineKeys, Role, TargetFile, TargetName,
    TenantKeys,
};

const DAY: u64 = 24 * 60 * 60 * 1000;

impl Role {
    /// How long a file of this role is valid, in milliseconds.
    pub const fn lifetime(self) -> u64 {
        DAY * match self {
            Self::Root => 365,
            Self::Targets => 90,
            Self::Snapshot => 30,
            Self::Timestamp => 7,
        }
    }
}

/// Files that were signed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Names relative to `…/tuf/`, with their bytes: `<version>.targets.json`,
    /// `<version>.snapshot.json`, and `timestamp.json`, which replaces the one before. Those that
    /// were not signed anew are not there.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The versions of the three files that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of the targets file.
    pub targets: NonZeroU64,
    /// Of the snapshot.
    pub snapshot: NonZeroU64,
    /// Of the timestamp.
    pub timestamp: NonZeroU64,
}

impl Versions {
    /// The same version for each of them.
    pub const fn all(version: NonZeroU64) -> Self {
        Self { targets: version, snapshot: version, timestamp: version }
    }
}

/// What a targets file says of the tenant.
#[derive(Debug, Clone, Copy)]
pub enum Listing<'a> {
    /// These are current.
    Current {
        /// Bundles.
        bundles: &'a BTreeMap<TargetName, TargetFile>,
        /// Encrypted environments.
        envs: &'a BTreeMap<EnvName, EnvFile>,
    },
    /// The tenant is archived: agents take its flows away.
    Archived,
}

/// Signs version `version` of the repository with keys of generation 0, all three files under the
/// same version: [`sign_all`].
///
/// # Errors
/// As [`sign_all`].
pub fn publish(
    keys: &TenantKeys,
    version: NonZeroU64,
    targets: &BTreeMap<TargetName, TargetFile>,
    now: UnixMillis,
) -> Result<Published, Error> {
    let listing = Listing::Current { bundles: targets, envs: &BTreeMap::new() };
    sign_all(keys.online(), Versions::all(version), listing, now)
}

/// Signs all three files: targets valid for 90 days from `now`, snapshot for 30, timestamp for 7.
/// Each version must be above the one before. The same arguments give the same bytes.
///
/// # Errors
/// [`Error::BundleTooLarge`], [`Error::EnvTooLarge`] and [`Error::Misnamed`] for a target that agents would refuse, and
/// [`Error::Unpublishable`] for so many of them that a file would be past its bound.
pub fn sign_all(
    keys: &OnlineKeys,
    versions: Versions,
    listing: Listing<'_>,
    now: UnixMillis,
) -> Result<Published, Error> {
    let targets = make(keys.targets(), versions.targets, now, contents(listing)?)?;
    let rest = sign_snapshot(keys, versions, &targets, now)?;
    let first = (Role::Targets.file_name(versions.targets), targets);
    Ok(Published { files: std::iter::once(first).chain(rest.files).collect() })
}

/// Signs a snapshot and a timestamp over the targets file `targets`, which has its version already.
///
/// # Errors
/// As [`sign_all`].
pub fn sign_snapshot(
    keys: &OnlineKeys,
    versions: Versions,
    targets: &[u8],
    now: UnixMillis,
) -> Result<Published, Error> {
    let body = Snapshot { meta: SnapshotMeta { targets: describe(versions.targets, targets) } };
    let snapshot = make(keys.snapshot(), versions.snapshot, now, body)?;
    let rest = sign_timestamp(keys, versions, &snapshot, now)?;
    let first = (Role::Snapshot.file_name(versions.snapshot), snapshot);
    Ok(Published { files: std::iter::once(first).chain(rest.files).collect() })
}

/// Signs a timestamp over the snapshot `snapshot`, which has its version already.
///
/// # Errors
/// As [`sign_all`].
pub fn sign_timestamp(
    keys: &OnlineKeys,
    versions: Versions,
    snapshot: &[u8],
    now: UnixMillis,
) -> Result<Published, Error> {
    let meta = TimestampMeta { snapshot: describe(versions.snapshot, snapshot) };
    let timestamp = make(keys.timestamp(), versions.timestamp, now, Timestamp { meta })?;
    Ok(Published { files: vec![(Role::Timestamp.file_name(versions.timestamp), timestamp)] })
}

/// A target of one kind or the other, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Listed {
    Bundle(Entry<BundleFacts>),
    Env(Entry<EnvFacts>),
}

fn contents(listing: Listing<'_>) -> Result<Targets<Listed>, Error> {
    let Listing::Current { bundles, envs } = listing else {
        return Ok(Targets { targets: BTreeMap::new(), status: Some(Status::archived()) });
    };
    for (name, file) in bundles {
        file.check_limits()?;
        file.check_name(name)?;
    }
    for (name, file) in envs {
        file.check_limits()?;
        file.check_name(name)?;
    }
    let bundles = bundles.iter().map(|(name, f)| (name.to_string(), Listed::Bundle(f.to_entry())));
    let envs = envs.iter().map(|(name, f)| (name.to_string(), Listed::Env(f.to_entry())));
    Ok(Targets { targets: bundles.chain(envs).collect(), status: None })
}

/// A signed file, unless agents would refuse it for its size. Then no other file is signed that names
/// it.
fn make<T: Body>(
    key: &RoleKey,
    version: NonZeroU64,
    now: UnixMillis,
    body: T,
) -> Result<Vec<u8>, Error> {
    let expires = now.plus(T::ROLE.lifetime());
    let file = Signed::new(version, expires, body).sign(std::slice::from_ref(key));
    check_size(T::ROLE, file.len() as u64)?;
    Ok(file)
}

fn check_size(role: Role, size: u64) -> Result<(), Error> {
    let limit = role.max_bytes();
    if size > limit { Err(Error::Unpublishable { role, size, limit }) } else { Ok(()) }
}

fn describe(version: NonZeroU64, bytes: &[u8]) -> MetaFile {
    let hashes = Hashes { sha256: Sha256::of(bytes) };
    MetaFile { version, length: bytes.len() as u64, hashes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_METADATA, MAX_TIMESTAMP};

    /// The snapshot and the timestamp are small whatever they name, so that only here a size past
    /// their bounds can be had.
    #[test]
    fn each_role_has_its_bound() {
        for (role, most) in [
            (Role::Targets, MAX_METADATA),
            (Role::Snapshot, MAX_METADATA),
            (Role::Timestamp, MAX_TIMESTAMP),
        ] {
            assert!(check_size(role, most).is_ok());
            let error = check_size(role, most + 1).unwrap_err();
            let Error::Unpublishable { role: found, size, limit } = error else {
                panic!("{error:?}");
            };
            assert_eq!((found, size, limit), (role, most + 1, most));
        }
    }
}
