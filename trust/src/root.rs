//! Roots: what a tenant's first one says, and the ones after it.

use std::num::{NonZeroU32, NonZeroU64};

use colophon_model::{TenantSlug, TenantUid, UnixMillis};

use crate::keys::key_id;
use crate::metadata::Root;
use crate::tuf::envelope::Document;
use crate::tuf::{self, Grants, Key, RoleKeys, Signed};
use crate::{Error, OnlinePublic, Role, TenantKeys};

/// What a root says in `x-colophon-roots` when its keys were made on the server. Everything that
/// shows a tenant says so, since a server that is taken over can then replace roots.
pub const SERVER_ROOTS: &str = "server";
/// What it says when its keys were made in a ceremony, away from the server.
pub const OFFLINE_ROOTS: &str = "offline";

/// How many root keys must sign a root.
pub(crate) const ROOT_THRESHOLD: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

/// The bytes of `1.root.json`, signed by all three root keys and valid for 365 days from `now`.
///
/// Agents pin these bytes when they enrol.
pub fn initial_root(keys: &TenantKeys, tenant: &TenantSlug, now: UnixMillis) -> Vec<u8> {
    let root_keys: Vec<Key> = keys.root.keys.iter().map(|key| key.public.clone()).collect();
    let body = NewRoot {
        uid: keys.uid(),
        tenant: Some(tenant.clone()),
        made_on: SERVER_ROOTS,
        root_keys: &root_keys,
        online: &keys.online.public(),
    };
    Signed::<Root>::new(NonZeroU64::MIN, now.plus(Role::Root.lifetime()), body.into())
        .sign(&keys.root.keys)
}

/// The root after `previous`, which was made on the server: one version higher, with the online keys
/// of `keys`, signed by the same root keys, valid for 365 days from `now`.
///
/// # Errors
/// When `previous` is no root, or none that these root keys may replace.
pub fn next_root(keys: &TenantKeys, previous: &[u8], now: UnixMillis) -> Result<Vec<u8>, Error> {
    let previous = Document::<Root>::parse(previous)?;
    let root_keys: Vec<Key> = keys.root.keys.iter().map(|key| key.public.clone()).collect();
    let body = NewRoot {
        uid: keys.uid(),
        tenant: previous.signed.body.tenant.clone(),
        made_on: SERVER_ROOTS,
        root_keys: &root_keys,
        online: &keys.online.public(),
    };
    let version = previous.signed.version.saturating_add(1);
    let bytes = Signed::<Root>::new(version, now.plus(Role::Root.lifetime()), body.into())
        .sign(&keys.root.keys);
    Document::<Root>::parse(&bytes)?.verify_by(&previous.signed.body.tuf)?;
    Ok(bytes)
}

/// What differs from root to root.
pub(crate) struct NewRoot<'a> {
    pub(crate) uid: TenantUid,
    pub(crate) tenant: Option<TenantSlug>,
    pub(crate) made_on: &'static str,
    pub(crate) root_keys: &'a [Key],
    pub(crate) online: &'a OnlinePublic,
}

impl From<NewRoot<'_>> for Root {
    fn from(new: NewRoot<'_>) -> Self {
        let OnlinePublic { targets, snapshot, timestamp } = new.online;
        let online = [targets, snapshot, timestamp];
        let all = new.root_keys.iter().chain(online);
        let grant = |keys: &[Key], threshold| RoleKeys {
            keyids: keys.iter().map(key_id).collect(),
            threshold,
        };
        let one = |key: &Key| grant(std::slice::from_ref(key), NonZeroU32::MIN);
        let tuf = tuf::Root {
            consistent_snapshot: true,
            keys: all.map(|key| (key_id(key), key.clone())).collect(),
            roles: Grants {
                root: grant(new.root_keys, ROOT_THRESHOLD),
                targets: one(targets),
                snapshot: one(snapshot),
                timestamp: one(timestamp),
            },
        };
        Self { tuf, made_on: new.made_on.to_owned(), tenant: new.tenant, uid: new.uid }
    }
}
