//! The key that a tenant's exports are sealed with. The store keeps it encrypted with a key that the master key gives; never
//! does it lie in the place that is exported to. When the row is gone, so is what was sealed with it.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use colophon_model::TenantUid;
use colophon_model::audit::{Action, Subject};
use colophon_store::rows::{ExportKey, SlugOf, TenantRow};
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

/// A tenant's key, as it is kept.
pub(super) struct Kept {
    /// Its row.
    pub(super) row: ExportKey,
    /// The key.
    pub(super) identity: Identity,
}

/// The tenant's key, if it has one.
///
/// # Errors
/// [`ExportError::Key`] when it cannot be opened with this server's master key.
pub(super) fn find(press: &Press, tenant: TenantUid) -> Result<Option<Kept>, ExportError> {
    let Some(row) = press.store.view()?.get::<ExportKey>(&tenant)? else { return Ok(None) };
    let identity = open(&press.keys, tenant, &row).ok_or(ExportError::Key)?;
    Ok(Some(Kept { row, identity }))
}

/// The id of a tenant's key and the key as a file that `age -i` reads, if it has one.
///
/// # Errors
/// [`ExportError::Key`] when it cannot be opened with this server's master key.
pub fn identity_file(
    press: &Press,
    tenant: &TenantRow,
) -> Result<Option<(KeyId, Zeroizing<String>)>, ExportError> {
    let kept = find(press, tenant.uid)?;
    Ok(kept.map(|kept| (kept.identity.id(), kept.file(tenant))))
}

/// Takes `identity` for the key of a tenant that has none, as when a lost server is restored; whether it was taken. One that is there
/// is not replaced.
///
/// # Errors
/// When the store refuses.
pub fn adopt(press: &Press, tenant: &TenantRow, identity: &Identity) -> Result<bool, ExportError> {
    let row = row(press, tenant, identity)?;
    commit(press, tenant, None, &row, Action::KeyCreate)
}

fn row(press: &Press, tenant: &TenantRow, identity: &Identity) -> Result<ExportKey, ExportError> {
    Ok(ExportKey {
        id: identity.id().to_string(),
        sealed: seal(&press.keys, tenant.uid, identity)?,
        made: press.clock.now(),
        copies: Vec::new(),
    })
}

impl Kept {
    /// The key as a file that `age -i` reads, and which says whose it is.
    pub(super) fn file(&self, tenant: &TenantRow) -> Zeroizing<String> {
        let (TenantRow { slug, uid, .. }, ExportKey { id, made, .. }) = (tenant, &self.row);
        let (made, secret) = (made.rfc3339_seconds(), self.identity.to_text());
        Zeroizing::new(format!(
            "# exports of tenant {slug} ({uid})\n# created: {made}\n# public key: {id}\n{}\n",
            secret.as_str()
        ))
    }
}

/// The tenant's key, which is made when there is none.
pub(super) fn ensure(press: &Press, tenant: &TenantRow) -> Result<Kept, ExportError> {
    for _ in 0..ATTEMPTS {
        if let Some(kept) = find(press, tenant.uid)? {
            return Ok(kept);
        }
        let identity = Identity::generate().map_err(|_| ExportError::Key)?;
        let row = row(press, tenant, &identity)?;
        if commit(press, tenant, None, &row, Action::KeyCreate)? {
            return Ok(Kept { row, identity });
        }
    }
    Err(ExportError::Key)
}

/// Puts a row in place of another and writes down why; whether that could be done: the row is still that other one, and the
/// tenant was not erased.
pub(super) fn commit(
    press: &Press,
    tenant: &TenantRow,
    before: Option<&ExportKey>,
    row: &ExportKey,
    action: Action,
) -> Result<bool, ExportError> {
    let lane = press.lane(tenant.uid);
    let view = lane.settled()?;
    let mut change = Change::new();
    change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    change.expect(&tenant.uid, before).put(&tenant.uid, row);
    let what = (action, Subject::new("key", &row.id));
    audit::done(&mut change, &view, tenant.uid, what, press.clock.now())?;
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

fn open(keys: &MasterKey, tenant: TenantUid, row: &ExportKey) -> Option<Identity> {
    let bytes = BASE64.decode(row.sealed.as_bytes()).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
    let payload = Payload { msg: sealed, aad: row.id.as_bytes() };
    let secret = cipher(keys, tenant).decrypt(Nonce::from_slice(nonce), payload).ok()?;
    let secret = Zeroizing::new(secret);
    let identity = Identity::from_secret(secret.as_slice().try_into().ok()?);
    (identity.id().to_string() == row.id).then_some(identity)
}

#[cfg(test)]
mod tests {
    use colophon_model::UnixMillis;

    use super::*;

    /// What the store keeps is nothing without the master key, and opens for the tenant and the id that it was sealed for.
    #[test]
    fn a_key_is_kept_encrypted() {
        let (keys, identity) = (MasterKey::from_bytes([1; 32]), Identity::from_secret([2; 32]));
        let [tenant, other] = [[1; 16], [2; 16]].map(TenantUid::from_bytes);
        let row = ExportKey {
            id: identity.id().to_string(),
            sealed: seal(&keys, tenant, &identity).unwrap(),
            made: UnixMillis::new(1),
            copies: Vec::new(),
        };
        let bytes = BASE64.decode(row.sealed.as_bytes()).unwrap();
        assert!(!bytes.windows(32).any(|at| at == identity.secret()));
        assert_eq!(open(&keys, tenant, &row).unwrap().id(), identity.id());
        assert!(open(&keys, other, &row).is_none());
        assert!(open(&MasterKey::from_bytes([3; 32]), tenant, &row).is_none());
        let swapped = ExportKey { id: Identity::from_secret([4; 32]).id().to_string(), ..row };
        assert!(open(&keys, tenant, &swapped).is_none());
    }
}
