//! A tenant's signing keys, derived from one seed.

use std::fmt;

use colophon_model::{Sha256, TenantUid};
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};

use crate::Role;
use crate::tuf::canonical::own_canonical;
use crate::tuf::{Key, KeyId};

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

/// The Ed25519 keys of one tenant, one per role and three for root, as a server makes them.
///
/// No two tenants share a key: with shared root keys, a repository of one tenant would pass as that
/// of another.
#[derive(Debug)]
pub struct TenantKeys {
    pub(crate) root: RootKeys,
    pub(crate) online: OnlineKeys,
}

impl TenantKeys {
    /// Derives the keys of generation 0 by HKDF-SHA256 (RFC 5869): salt `colophon tuf v1`, the seed
    /// as input keying material, and as info the label (`root/0`, `root/1`, `root/2`, `targets`,
    /// `snapshot`, `timestamp`), a zero byte and the 16 bytes of the tenant's uid.
    pub fn derive(seed: &Seed, uid: TenantUid) -> Self {
        Self::derive_at(seed, uid, Generations::default())
    }

    /// The same with online keys of other generations. Root keys have one generation only.
    pub fn derive_at(seed: &Seed, uid: TenantUid, generations: Generations) -> Self {
        let (root, online) =
            (RootKeys::on_server(seed, uid), OnlineKeys::derive(seed, uid, generations));
        Self { root, online }
    }

    /// Whose keys these are.
    pub const fn uid(&self) -> TenantUid {
        self.root.uid
    }

    /// The keys that sign what changes.
    pub const fn online(&self) -> &OnlineKeys {
        &self.online
    }
}

/// How often each online key was replaced by a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generations {
    /// The key of targets.
    pub targets: u32,
    /// The key of snapshot.
    pub snapshot: u32,
    /// The key of timestamp.
    pub timestamp: u32,
}

/// The keys of a tenant that are always on the server: all but those of root.
pub struct OnlineKeys {
    uid: TenantUid,
    targets: RoleKey,
    snapshot: RoleKey,
    timestamp: RoleKey,
}

impl OnlineKeys {
    /// Derives the keys as [`TenantKeys::derive`] does. The label of generation n > 0 is followed by
    /// `/n`.
    pub fn derive(seed: &Seed, uid: TenantUid, generations: Generations) -> Self {
        let hkdf = Hkdf::<sha2::Sha256>::new(Some(SERVER_SALT), &seed.0);
        let key = |role: Role, generation: u32| match generation {
            0 => RoleKey::derive(&hkdf, role.as_str(), uid),
            later => RoleKey::derive(&hkdf, &format!("{role}/{later}"), uid),
        };
        Self {
            uid,
            targets: key(Role::Targets, generations.targets),
            snapshot: key(Role::Snapshot, generations.snapshot),
            timestamp: key(Role::Timestamp, generations.timestamp),
        }
    }

    /// Their public halves, which a root grants their roles.
    pub fn public(&self) -> OnlinePublic {
        OnlinePublic {
            targets: self.targets.public.clone(),
            snapshot: self.snapshot.public.clone(),
            timestamp: self.timestamp.public.clone(),
        }
    }

    pub(crate) const fn targets(&self) -> &RoleKey {
        &self.targets
    }

    pub(crate) const fn snapshot(&self) -> &RoleKey {
        &self.snapshot
    }

    pub(crate) const fn timestamp(&self) -> &RoleKey {
        &self.timestamp
    }
}

impl fmt::Debug for OnlineKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnlineKeys({}, ..)", self.uid)
    }
}

/// The public halves of a tenant's online keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlinePublic {
    pub(crate) targets: Key,
    pub(crate) snapshot: Key,
    pub(crate) timestamp: Key,
}

impl OnlinePublic {
    /// The keys by role, each with its id, for people to compare.
    pub fn ids(&self) -> [(Role, String); 3] {
        [
            (Role::Targets, key_id(&self.targets).0),
            (Role::Snapshot, key_id(&self.snapshot).0),
            (Role::Timestamp, key_id(&self.timestamp).0),
        ]
    }
}

const SERVER_SALT: &[u8] = b"colophon tuf v1";
const CEREMONY_SALT: &[u8] = b"colophon root ceremony v1";

/// Root keys of one tenant: all three, or those whose seeds are at hand.
pub(crate) struct RootKeys {
    uid: TenantUid,
    pub(crate) keys: Vec<RoleKey>,
}

impl RootKeys {
    fn on_server(seed: &Seed, uid: TenantUid) -> Self {
        let hkdf = Hkdf::<sha2::Sha256>::new(Some(SERVER_SALT), &seed.0);
        let keys = (0..ROOT_KEYS).map(|n| RoleKey::derive(&hkdf, &format!("root/{n}"), uid));
        Self { uid, keys: keys.collect() }
    }

    /// The key of each seed of a ceremony: HKDF-SHA256 with salt `colophon root ceremony v1` and as
    /// info `root`, a zero byte and the uid. The order of the seeds does not matter.
    pub(crate) fn of_seeds(seeds: &[Seed], uid: TenantUid) -> Self {
        let key = |seed: &Seed| {
            let hkdf = Hkdf::<sha2::Sha256>::new(Some(CEREMONY_SALT), &seed.0);
            RoleKey::derive(&hkdf, Role::Root.as_str(), uid)
        };
        Self { uid, keys: seeds.iter().map(key).collect() }
    }
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKeys({}, ..)", self.uid)
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
pub(crate) fn key_id(key: &Key) -> KeyId {
    KeyId(Sha256::of(&own_canonical(key)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8, uid: u8) -> TenantKeys {
        TenantKeys::derive(&Seed::new([seed; 32]), TenantUid::from_bytes([uid; 16]))
    }

    fn ids(keys: &TenantKeys) -> Vec<String> {
        let root = keys.root.keys.iter().map(|key| key.id.0.clone());
        root.chain(online_ids(&keys.online)).collect()
    }

    fn online_ids(keys: &OnlineKeys) -> [String; 3] {
        keys.public().ids().map(|(_, id)| id)
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

    /// A new generation is another key, of that role alone; generation 0 is what it always was.
    #[test]
    fn a_generation_replaces_one_key() {
        let at = |timestamp| {
            let generations = Generations { timestamp, ..Generations::default() };
            let seed = Seed::new([1; 32]);
            online_ids(&OnlineKeys::derive(&seed, TenantUid::from_bytes([2; 16]), generations))
        };
        assert_eq!(at(0), online_ids(&keys(1, 2).online));
        assert_eq!(at(0)[..2], at(1)[..2]);
        assert!(at(0)[2] != at(1)[2] && at(1)[2] != at(2)[2]);
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Seed::new([7; 32])), "Seed(..)");
        assert!(!format!("{:?}", keys(1, 2)).contains("secret"));
    }
}
