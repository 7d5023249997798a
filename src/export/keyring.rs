//! The keys that a tenant's exports are sealed with: one in use, and those of before. The store keeps them encrypted with a key
//! that the master key gives; never do they lie in the place that is exported to. When the row is gone, so is what was sealed with
//! them.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use colophon_model::audit::{Action, Subject};
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::{ExportKey, FormerExportKey, SlugOf, TenantRow};
use colophon_store::{Change, CommitError};
use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::envelope::{Identity, KeyId};
use super::error::ExportError;
use crate::audit;
use crate::keys::{MasterKey, random_bytes};
use crate::pipeline::Press;

/// Length of the nonce before what is encrypted.
const NONCE: usize = 12;
/// How often a change that met another one is prepared anew.
const ATTEMPTS: usize = 10;

/// A tenant's keys, as they are kept.
pub(super) struct Ring {
    /// Their row.
    pub(super) row: ExportKey,
    former: Vec<Identity>,
    current: Identity,
}

/// The tenant's keys, if it has any.
///
/// # Errors
/// [`ExportError::Key`] when one cannot be opened with this server's master key.
pub(super) fn find(press: &Press, tenant: TenantUid) -> Result<Option<Ring>, ExportError> {
    let Some(row) = press.store.view()?.get::<ExportKey>(&tenant)? else { return Ok(None) };
    let opened =
        |id: &str, sealed: &str| open(&press.keys, tenant, id, sealed).ok_or(ExportError::Key);
    let former = row.former.iter().map(|key| opened(&key.id, &key.sealed));
    let former = former.collect::<Result<_, _>>()?;
    let current = opened(&row.id, &row.sealed)?;
    Ok(Some(Ring { row, former, current }))
}

/// A tenant's keys as a file that `age -i` reads.
pub struct IdentityFile {
    /// What names them, the oldest first.
    pub keys: Vec<KeyId>,
    /// The file: a line for each with comments before it.
    pub text: Zeroizing<String>,
}

/// The tenant's keys, if it has any: all of them, or that of one id.
///
/// # Errors
/// [`ExportError::Key`] when one cannot be opened with this server's master key.
pub fn identity_file(
    press: &Press,
    tenant: &TenantRow,
    only: Option<&KeyId>,
) -> Result<Option<IdentityFile>, ExportError> {
    let Some(ring) = find(press, tenant.uid)? else { return Ok(None) };
    let wanted = |key: &&Identity| only.is_none_or(|only| *only == key.id());
    let (mut keys, mut text) = (Vec::new(), Zeroizing::new(String::new()));
    for key in ring.all().filter(wanted) {
        keys.push(key.id());
        text.push_str(&ring.file(tenant, key));
    }
    Ok((!keys.is_empty()).then_some(IdentityFile { keys, text }))
}

/// A tenant's new key, and the one that it takes the place of.
#[derive(Debug)]
pub struct Rotation {
    /// What is sealed with from now on.
    pub key: KeyId,
    /// What was sealed with until now. It is kept.
    pub former: KeyId,
}

/// Makes a new key for what is exported from now on, and writes that down. `None` when the tenant has none yet: the first one is
/// made with the first sealed export.
///
/// # Errors
/// When the store refuses, or the keys cannot be opened with this server's master key.
pub fn rotate(press: &Press, tenant: &TenantRow) -> Result<Option<Rotation>, ExportError> {
    for _ in 0..ATTEMPTS {
        let Some(ring) = find(press, tenant.uid)? else { return Ok(None) };
        let identity = Identity::generate().map_err(|_| ExportError::Key)?;
        let mut row = ring.row.clone();
        let ExportKey { id, sealed, made, .. } = ring.row.clone();
        let retired = press.clock.now();
        row.former.push(FormerExportKey { id, sealed, made, retired });
        (row.id, row.made) = (identity.id().to_string(), retired);
        row.sealed = seal(&press.keys, tenant.uid, &identity)?;
        if commit(press, tenant, Some(&ring.row), &row, Some(Action::KeyRotate))? {
            return Ok(Some(Rotation { key: identity.id(), former: ring.current.id() }));
        }
    }
    Err(ExportError::Key)
}

/// The row of keys that were given with an export, the one in use last, as this server keeps it.
///
/// # Errors
/// [`ExportError::Key`] without random bytes.
pub(super) fn given(
    keys: &MasterKey,
    tenant: TenantUid,
    (former, current): (&[Identity], &Identity),
    now: UnixMillis,
) -> Result<ExportKey, ExportError> {
    let mut row = fresh(keys, tenant, current, now)?;
    for identity in former {
        let sealed = seal(keys, tenant, identity)?;
        let id = identity.id().to_string();
        row.former.push(FormerExportKey { id, sealed, made: now, retired: now });
    }
    Ok(row)
}

fn fresh(
    keys: &MasterKey,
    tenant: TenantUid,
    identity: &Identity,
    made: UnixMillis,
) -> Result<ExportKey, ExportError> {
    Ok(ExportKey {
        id: identity.id().to_string(),
        sealed: seal(keys, tenant, identity)?,
        made,
        copies: Vec::new(),
        former: Vec::new(),
        leftovers: Vec::new(),
    })
}

impl Ring {
    /// Every key, the oldest first and the one in use last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Identity> {
        self.former.iter().chain([&self.current])
    }

    /// The one in use.
    pub(super) const fn current(&self) -> &Identity {
        &self.current
    }

    /// A key of it as a file that `age -i` reads, and which says whose it is.
    pub(super) fn file(&self, tenant: &TenantRow, key: &Identity) -> Zeroizing<String> {
        let TenantRow { slug, uid, .. } = tenant;
        let (id, secret) = (key.id().to_string(), key.to_text());
        let former = self.row.former.iter().find(|former| former.id == id);
        let made = former.map_or(self.row.made, |former| former.made).rfc3339_seconds();
        let until =
            former.map(|former| format!("# in use until: {}\n", former.retired.rfc3339_seconds()));
        Zeroizing::new(format!(
            "# exports of tenant {slug} ({uid})\n# created: {made}\n{}# public key: {id}\n{}\n",
            until.unwrap_or_default(),
            secret.as_str()
        ))
    }
}

/// The tenant's keys, the first of which is made when there is none.
pub(super) fn ensure(press: &Press, tenant: &TenantRow) -> Result<Ring, ExportError> {
    for _ in 0..ATTEMPTS {
        if let Some(ring) = find(press, tenant.uid)? {
            return Ok(ring);
        }
        let identity = Identity::generate().map_err(|_| ExportError::Key)?;
        let row = fresh(&press.keys, tenant.uid, &identity, press.clock.now())?;
        if commit(press, tenant, None, &row, Some(Action::KeyCreate))? {
            return Ok(Ring { row, former: Vec::new(), current: identity });
        }
    }
    Err(ExportError::Key)
}

/// Puts a row in place of another and writes down why, when that is worth a line; whether that could be done: the row is still
/// that other one, and the tenant was not erased.
pub(super) fn commit(
    press: &Press,
    tenant: &TenantRow,
    before: Option<&ExportKey>,
    row: &ExportKey,
    action: Option<Action>,
) -> Result<bool, ExportError> {
    let lane = press.lane(tenant.uid);
    let view = lane.settled()?;
    let mut change = Change::new();
    change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    change.expect(&tenant.uid, before).put(&tenant.uid, row);
    if let Some(action) = action {
        let what = (action, Subject::new("key", &row.id));
        audit::done(&mut change, &view, tenant.uid, what, press.clock.now())?;
    }
    match lane.submit(change).wait() {
        Ok(()) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => Err(colophon_store::Error::from(error).into()),
    }
}

fn cipher(keys: &MasterKey, tenant: TenantUid) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(Key::from_slice(&*keys.export_wrap_key(tenant)))
}

/// The nonce, and the secret encrypted; the id is bound to it.
fn seal(keys: &MasterKey, tenant: TenantUid, identity: &Identity) -> Result<String, ExportError> {
    let nonce: [u8; NONCE] = random_bytes().map_err(|_| ExportError::Key)?;
    let id = identity.id().to_string();
    let payload = Payload { msg: identity.secret(), aad: id.as_bytes() };
    let sealed = cipher(keys, tenant).encrypt(Nonce::from_slice(&nonce), payload);
    let sealed = sealed.map_err(|_| ExportError::Key)?;
    Ok(BASE64.encode(&[nonce.as_slice(), &sealed].concat()))
}

fn open(keys: &MasterKey, tenant: TenantUid, id: &str, sealed: &str) -> Option<Identity> {
    let bytes = BASE64.decode(sealed.as_bytes()).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
    let payload = Payload { msg: sealed, aad: id.as_bytes() };
    let secret = cipher(keys, tenant).decrypt(Nonce::from_slice(nonce), payload).ok()?;
    let secret = Zeroizing::new(secret);
    let identity = Identity::from_secret(secret.as_slice().try_into().ok()?);
    (identity.id().to_string() == id).then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the store keeps is nothing without the master key, and opens for the tenant and the id that it was sealed for.
    #[test]
    fn a_key_is_kept_encrypted() {
        let (keys, identity) = (MasterKey::from_bytes([1; 32]), Identity::from_secret([2; 32]));
        let [tenant, other] = [[1; 16], [2; 16]].map(TenantUid::from_bytes);
        let (id, sealed) = (identity.id().to_string(), seal(&keys, tenant, &identity).unwrap());
        let bytes = BASE64.decode(sealed.as_bytes()).unwrap();
        assert!(!bytes.windows(32).any(|at| at == identity.secret()));
        assert_eq!(open(&keys, tenant, &id, &sealed).unwrap().id(), identity.id());
        assert!(open(&keys, other, &id, &sealed).is_none());
        assert!(open(&MasterKey::from_bytes([3; 32]), tenant, &id, &sealed).is_none());
        let swapped = Identity::from_secret([4; 32]).id().to_string();
        assert!(open(&keys, tenant, &swapped, &sealed).is_none());
    }
}
