//! The server's side: a tenant's first root, and the three files of each new version.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{Sha256, TenantSlug, UnixMillis};

use crate::metadata::{
    Always, Body, Grants, Hashes, MetaFile, Root, Signed, Snapshot, SnapshotMeta, Targets,
    Timestamp, TimestampMeta,
};
use crate::{Error, Role, TargetFile, TargetName, TenantKeys};

/// What a root says in `x-colophon-roots` when its keys were made on the server. Everything that
/// shows a tenant says so, since a server that is taken over can then replace roots.
pub const SERVER_ROOTS: &str = "server";

const DAY: u64 = 24 * 60 * 60 * 1000;

/// How long a file of `role` is valid, in milliseconds.
const fn lifetime(role: Role) -> u64 {
    DAY * match role {
        Role::Root => 365,
        Role::Targets => 90,
        Role::Snapshot => 30,
        Role::Timestamp => 7,
    }
}

/// The bytes of `1.root.json`, signed by all three root keys and valid for 365 days from `now`.
///
/// Agents pin these bytes when they enrol.
pub fn initial_root(keys: &TenantKeys, tenant: &TenantSlug, now: UnixMillis) -> Vec<u8> {
    let roles = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];
    let all = roles.iter().flat_map(|role| keys.of(*role));
    let root = Root {
        consistent_snapshot: Always,
        keys: all.map(|key| (key.id.clone(), key.public.clone())).collect(),
        roles: Grants {
            root: keys.grant(Role::Root),
            targets: keys.grant(Role::Targets),
            snapshot: keys.grant(Role::Snapshot),
            timestamp: keys.grant(Role::Timestamp),
        },
        made_on: SERVER_ROOTS.to_owned(),
        tenant: tenant.clone(),
        uid: keys.uid(),
    };
    let expires = now.plus(lifetime(Role::Root));
    Signed::new(NonZeroU64::MIN, expires, root).sign(keys.of(Role::Root))
}

/// The files of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Names relative to `…/tuf/`, with their bytes: `<version>.targets.json`,
    /// `<version>.snapshot.json`, and `timestamp.json`, which replaces the one before.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Signs version `version` of the repository: targets valid for 90 days from `now`, snapshot for
/// 30, timestamp for 7. All three files carry the same version, so each version is higher than the
/// one before for every role. The same arguments give the same bytes.
///
/// # Errors
/// [`Error::BundleTooLarge`] and [`Error::Misnamed`] for a target that agents would refuse, and
/// [`Error::Unpublishable`] for so many of them that a file would be past its bound.
pub fn publish(
    keys: &TenantKeys,
    version: NonZeroU64,
    targets: &BTreeMap<TargetName, TargetFile>,
    now: UnixMillis,
) -> Result<Published, Error> {
    for (name, file) in targets {
        file.check_limits()?;
        file.check_name(name)?;
    }
    let entries = targets.iter().map(|(name, file)| (name.to_string(), file.to_entry()));
    let targets = make(keys, version, now, Targets { targets: entries.collect() })?;
    let snapshot = Snapshot { meta: SnapshotMeta { targets: describe(version, &targets) } };
    let snapshot = make(keys, version, now, snapshot)?;
    let timestamp = Timestamp { meta: TimestampMeta { snapshot: describe(version, &snapshot) } };
    let timestamp = make(keys, version, now, timestamp)?;
    Ok(Published {
        files: vec![
            (Role::Targets.file_name(version), targets),
            (Role::Snapshot.file_name(version), snapshot),
            (Role::Timestamp.file_name(version), timestamp),
        ],
    })
}

/// A signed file, unless agents would refuse it for its size. Then no other file is signed that names
/// it.
fn make<T: Body>(
    keys: &TenantKeys,
    version: NonZeroU64,
    now: UnixMillis,
    body: T,
) -> Result<Vec<u8>, Error> {
    let expires = now.plus(lifetime(T::ROLE));
    let file = Signed::new(version, expires, body).sign(keys.of(T::ROLE));
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
