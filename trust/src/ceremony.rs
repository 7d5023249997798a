//! Roots whose keys never touch the server: what a ceremony is asked for, what it signs, and what the
//! server checks before it takes the result.
//!
//! A ceremony's root names a tenant by its uid alone, since it is made before the tenant has a name.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use colophon_model::{TenantUid, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::keys::{ROOT_KEYS, RootKeys};
use crate::metadata::Root;
use crate::root::{NewRoot, OFFLINE_ROOTS, ROOT_THRESHOLD};
use crate::tuf::envelope::Document;
use crate::tuf::{Key, Signed};
use crate::{Error, OnlinePublic, Role, Seed};

/// Why a root was not signed in a ceremony, or not taken from one.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// A new root needs all three keys, since it names them.
    #[error("the first root of a tenant needs three different seeds; there are {found}")]
    Seeds {
        /// Different seeds at hand.
        found: usize,
    },
    /// The seeds are not those that made the root before.
    #[error("{found} of the seeds belong to root {version} of tenant {uid}; two are needed")]
    OtherSeeds {
        /// Whose root.
        uid: TenantUid,
        /// The version of the root before.
        version: u64,
        /// Seeds that belong to it.
        found: usize,
    },
    /// A root before that was made on a server cannot be followed by one of a ceremony.
    #[error("root {version} of tenant {uid} was not made in a ceremony")]
    NotOffline {
        /// Whose root.
        uid: TenantUid,
        /// Its version.
        version: u64,
    },
    /// Not two of at least three different keys.
    #[error("the root of tenant {uid} must have at least three keys of which two sign")]
    Grant {
        /// Whose root.
        uid: TenantUid,
    },
    /// The root grants its online roles to other keys than those of this server.
    #[error("the root of tenant {uid} has other online keys than this server")]
    OtherServer {
        /// Whose root.
        uid: TenantUid,
    },
    /// The root is of another tenant than the one before.
    #[error("the root is of tenant {found}, not of {expected}")]
    OtherTenant {
        /// The tenant of the root before.
        expected: TenantUid,
        /// The tenant of the root.
        found: TenantUid,
    },
    /// The root is not valid TUF metadata, or lacks signatures.
    #[error(transparent)]
    Trust(#[from] Error),
}

/// One root that a ceremony is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRequest {
    /// The tenant, or the one that there will be.
    pub uid: TenantUid,
    /// The keys that the server signs with day by day.
    pub online: OnlinePublic,
    /// The root to follow, its exact text; none for a first one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<String>,
}

impl RootRequest {
    /// The root, valid for 365 days from `now` and signed by the key of each seed.
    ///
    /// # Errors
    /// When the seeds are too few, or others than those of the root before.
    pub fn sign(&self, seeds: &[Seed], now: UnixMillis) -> Result<OfflineRoot, CeremonyError> {
        let mut signers = RootKeys::of_seeds(seeds, self.uid);
        signers.keys.sort_by(|a, b| a.id.cmp(&b.id));
        signers.keys.dedup_by(|a, b| a.id == b.id);
        let previous = self.previous.as_ref().map(|text| parse(text.as_bytes())).transpose()?;
        let (version, root_keys) = match &previous {
            None => (NonZeroU64::MIN, first_keys(&signers)?),
            Some(previous) => self.keys_after(&previous.signed, &mut signers)?,
        };
        let tenant = previous.and_then(|previous| previous.signed.body.tenant);
        let (uid, online) = (self.uid, &self.online);
        let new = NewRoot { uid, tenant, made_on: OFFLINE_ROOTS, root_keys: &root_keys, online };
        let expires = now.plus(Role::Root.lifetime());
        OfflineRoot::check(&Signed::<Root>::new(version, expires, new.into()).sign(&signers.keys))
    }

    /// The version and the root keys after `previous`; leaves the seeds' keys that belong to it.
    fn keys_after(
        &self,
        previous: &Signed<Root>,
        signers: &mut RootKeys,
    ) -> Result<(NonZeroU64, Vec<Key>), CeremonyError> {
        let (uid, version, body) = (self.uid, previous.version, &previous.body);
        check_uid(uid, body.uid)?;
        signers.keys.retain(|key| body.tuf.roles.root.keyids.contains(&key.id));
        let found = signers.keys.len();
        if found < ROOT_THRESHOLD.get() as usize {
            return Err(CeremonyError::OtherSeeds { uid, version: version.get(), found });
        }
        let keys =
            body.tuf.roles.root.keyids.iter().filter_map(|id| body.tuf.keys.get(id).cloned());
        Ok((version.saturating_add(1), keys.collect()))
    }
}

fn first_keys(signers: &RootKeys) -> Result<Vec<Key>, CeremonyError> {
    let found = signers.keys.len();
    if found != ROOT_KEYS {
        return Err(CeremonyError::Seeds { found });
    }
    Ok(signers.keys.iter().map(|key| key.public.clone()).collect())
}

/// A root of a ceremony: signed by two of its own three keys or more.
#[derive(Debug, Clone)]
pub struct OfflineRoot {
    root: Signed<Root>,
    bytes: Vec<u8>,
}

impl OfflineRoot {
    /// Checks the root's form and its own signatures.
    ///
    /// # Errors
    /// Every way in which it can be no such root.
    pub fn check(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let document = parse(bytes)?;
        document.verify_own()?;
        let root = document.signed;
        let (uid, version, grant) = (root.body.uid, root.version.get(), &root.body.tuf.roles.root);
        if root.body.made_on != OFFLINE_ROOTS {
            return Err(CeremonyError::NotOffline { uid, version });
        }
        let keys: BTreeSet<_> =
            grant.keyids.iter().filter_map(|id| root.body.tuf.keys.get(id)?.material()).collect();
        if grant.threshold != ROOT_THRESHOLD || keys.len() < ROOT_KEYS {
            return Err(CeremonyError::Grant { uid });
        }
        Ok(Self { root, bytes: bytes.to_vec() })
    }

    /// Checks that the online roles belong to `keys` and to nobody else.
    ///
    /// # Errors
    /// [`CeremonyError::OtherServer`].
    pub fn check_online(&self, keys: &OnlinePublic) -> Result<(), CeremonyError> {
        let body = &self.root.body;
        let expected = NewRoot {
            uid: body.uid,
            tenant: None,
            made_on: OFFLINE_ROOTS,
            root_keys: &[],
            online: keys,
        };
        let expected = Root::from(expected);
        let same = |role| {
            let grant = body.tuf.roles.of(role);
            let known = |id| body.tuf.keys.get(id) == expected.tuf.keys.get(id);
            grant == expected.tuf.roles.of(role) && grant.keyids.iter().all(known)
        };
        if [Role::Targets, Role::Snapshot, Role::Timestamp].into_iter().all(same) {
            return Ok(());
        }
        Err(CeremonyError::OtherServer { uid: body.uid })
    }

    /// Checks that agents which trust `previous` will follow this root.
    ///
    /// # Errors
    /// When it is of another tenant, has another version, or lacks signatures of the keys before.
    pub fn check_follows(&self, previous: &[u8]) -> Result<(), CeremonyError> {
        let previous = parse(previous)?.signed;
        check_uid(previous.body.uid, self.uid())?;
        parse(&self.bytes)?.check_follows(&previous)?;
        if self.root.body.tenant == previous.body.tenant {
            return Ok(());
        }
        Err(CeremonyError::OtherTenant { expected: previous.body.uid, found: self.uid() })
    }

    /// Whose root.
    pub const fn uid(&self) -> TenantUid {
        self.root.body.uid
    }

    /// Its version; 1 is the one that agents pin.
    pub const fn version(&self) -> NonZeroU64 {
        self.root.version
    }

    /// When it ends.
    pub const fn expires(&self) -> UnixMillis {
        self.root.expires.0
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn parse(bytes: &[u8]) -> Result<Document<Root>, Error> {
    Document::parse(bytes)
}

fn check_uid(expected: TenantUid, found: TenantUid) -> Result<(), CeremonyError> {
    if expected == found { Ok(()) } else { Err(CeremonyError::OtherTenant { expected, found }) }
}
