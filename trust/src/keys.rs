//! A tenant's signing keys, derived from one seed.

use std::fmt;

use colophon_model::{Sha256, TenantUid};
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;

use crate::Role;
use crate::canonical::own_canonical;
use crate::metadata::{Key, KeyId, RoleKeys};

/// The secret from which every tenant's keys come. Never printed.
pub struct Seed([u8; 32]);

impl Seed {
    /// Wraps 32 bytes of a secure random source or a key derivation.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// How many root keys a tenant has.
pub(crate) const ROOT_KEYS: usize = 3;
/// How many of them must sign a root.
const ROOT_THRESHOLD: u32 = 2;

/// The Ed25519 keys of one tenant, one per role and three for root.
///
/// No two tenants share a key: with shared root keys, a repository of one tenant would pass as that
/// of another.
pub struct TenantKeys {
    uid: TenantUid,
    root: [RoleKey; ROOT_KEYS],
    targets: RoleKey,
    snapshot: RoleKey,
    timestamp: RoleKey,
}

impl TenantKeys {
    /// Derives the keys by HKDF-SHA256 (RFC 5869): salt `colophon tuf v1`, the seed as input
    /// keying material, and as info the label (`root/0`, `root/1`, `root/2`, `targets`,
    /// `snapshot`, `timestamp`), a zero byte and the 16 bytes of the tenant's uid.
    pub fn derive(seed: &Seed, uid: TenantUid) -> Self {
        let hkdf = Hkdf::<sha2::Sha256>::new(Some(b"colophon tuf v1"), &seed.0);
        let key = |label: &str| RoleKey::derive(&hkdf, label, uid);
        Self {
            uid,
            root: [key("root/0"), key("root/1"), key("root/2")],
            targets: key("targets"),
            snapshot: key("snapshot"),
            timestamp: key("timestamp"),
        }
    }

    /// Whose keys these are.
    pub const fn uid(&self) -> TenantUid {
        self.uid
    }

    /// The keys that sign for `role`.
    pub(crate) fn of(&self, role: Role) -> &[RoleKey] {
        match role {
            Role::Root => &self.root,
            Role::Targets => std::slice::from_ref(&self.targets),
            Role::Snapshot => std::slice::from_ref(&self.snapshot),
            Role::Timestamp => std::slice::from_ref(&self.timestamp),
        }
    }

    /// What a root says about `role`: the ids of its keys and how many must sign.
    pub(crate) fn grant(&self, role: Role) -> RoleKeys {
        let threshold = if role == Role::Root { ROOT_THRESHOLD } else { 1 };
        RoleKeys {
            keyids: self.of(role).iter().map(|key| key.id.clone()).collect(),
            threshold: threshold.try_into().expect("both thresholds are positive"),
        }
    }
}

impl fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantKeys({}, ..)", self.uid)
    }
}

/// One signing key with the id under which metadata names it.
pub(crate) struct RoleKey {
    pub(crate) id: KeyId,
    pub(crate) public: Key,
    secret: SigningKey,
}

impl RoleKey {
    fn derive(hkdf: &Hkdf<sha2::Sha256>, label: &str, uid: TenantUid) -> Self {
        let mut secret = [0; 32];
        hkdf.expand_multi_info(&[label.as_bytes(), &[0], uid.as_bytes()], &mut secret)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        let secret = SigningKey::from_bytes(&secret);
        let public = Key::ed25519(&secret.verifying_key());
        Self { id: key_id(&public), public, secret }
    }

    /// The signature over `message` in lower-case hex.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        hex::encode(self.secret.sign(message).to_bytes())
    }
}

/// The SHA-256 of the key object's canonical form (TUF 1.0 §4.2).
fn key_id(key: &Key) -> KeyId {
    KeyId(Sha256::of(&own_canonical(key)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8, uid: u8) -> TenantKeys {
        TenantKeys::derive(&Seed::new([seed; 32]), TenantUid::from_bytes([uid; 16]))
    }

    fn ids(keys: &TenantKeys) -> Vec<String> {
        let roles = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];
        roles.iter().flat_map(|role| keys.of(*role)).map(|key| key.id.0.clone()).collect()
    }

    /// A change of labels, salt or encoding would orphan every agent that has pinned a root.
    #[test]
    fn derivation_is_pinned() {
        assert_eq!(
            ids(&keys(1, 2))[0],
            "93ff0d3868c4f915108c6c076b4bbeba630b64916ab29d10d18ee0965efcc742"
        );
    }

    #[test]
    fn every_role_tenant_and_seed_has_keys_of_its_own() {
        let all: Vec<String> = [keys(1, 1), keys(1, 2), keys(2, 1)].iter().flat_map(ids).collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (18, 18));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Seed::new([7; 32])), "Seed(..)");
        assert!(!format!("{:?}", keys(1, 2)).contains("secret"));
    }
}
