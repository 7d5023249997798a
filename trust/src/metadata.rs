//! The four metadata files of a TUF 1.0 repository (specification §4), in colophon's profile:
//! consistent snapshots, no delegations, lengths and SHA-256 always present.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The version of the TUF specification that the files declare.
pub(crate) const SPEC_VERSION: &str = "1.0.31";

/// A top-level role, and the file it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Names the keys of all roles, its own included.
    Root,
    /// Lists the bundles.
    Targets,
    /// Names the current targets file.
    Snapshot,
    /// Names the current snapshot; the only file that changes in place.
    Timestamp,
}

impl Role {
    /// The word used in file names and in the `_type` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// The name of version `version` of this role's file, relative to `…/tuf/`.
    pub(crate) fn file_name(self, version: NonZeroU64) -> String {
        match self {
            Self::Timestamp => "timestamp.json".to_owned(),
            Self::Root | Self::Targets | Self::Snapshot => format!("{version}.{self}.json"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What all four files have in common, around what each has of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Signed<T> {
    #[serde(rename = "_type")]
    pub(crate) role: Role,
    pub(crate) spec_version: String,
    pub(crate) version: NonZeroU64,
    pub(crate) expires: Expires,
    #[serde(flatten)]
    pub(crate) body: T,
}

/// Ties the contents of a file to its role, so that one cannot be read as another.
pub(crate) trait Body: Serialize + for<'de> Deserialize<'de> {
    const ROLE: Role;
}

/// The keys of every role, and whose repository this is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Root {
    pub(crate) consistent_snapshot: Always,
    pub(crate) keys: BTreeMap<KeyId, Key>,
    pub(crate) roles: Grants,
    #[serde(rename = "x-colophon-roots")]
    pub(crate) made_on: String,
    /// None in a root that was made before the tenant had a name.
    #[serde(rename = "x-colophon-tenant", skip_serializing_if = "Option::is_none", default)]
    pub(crate) tenant: Option<TenantSlug>,
    #[serde(rename = "x-colophon-uid")]
    pub(crate) uid: TenantUid,
}

impl Body for Root {
    const ROLE: Role = Role::Root;
}

/// The current targets file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
}

impl Body for Snapshot {
    const ROLE: Role = Role::Snapshot;
}

/// The one file that a snapshot of this profile lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotMeta {
    #[serde(rename = "targets.json")]
    pub(crate) targets: MetaFile,
}

/// The current snapshot file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timestamp {
    pub(crate) meta: TimestampMeta,
}

impl Body for Timestamp {
    const ROLE: Role = Role::Timestamp;
}

/// The one file that a timestamp lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TimestampMeta {
    #[serde(rename = "snapshot.json")]
    pub(crate) snapshot: MetaFile,
}

/// The bundles, by name. They are read as untyped entries, so that one of a kind that an older agent
/// does not know leaves the others readable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Targets<E> {
    pub(crate) targets: BTreeMap<String, E>,
    /// What holds for the whole tenant, if it is not in use as usual.
    #[serde(rename = "x-colophon-status", skip_serializing_if = "Option::is_none", default)]
    pub(crate) status: Option<Status>,
}

/// A word about the tenant. Those that this program does not know are for newer agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(String);

impl Status {
    const ARCHIVED: &str = "archived";

    /// Agents take the tenant's flows away.
    pub(crate) fn archived() -> Self {
        Self(Self::ARCHIVED.to_owned())
    }

    pub(crate) fn is_archived(&self) -> bool {
        self.0 == Self::ARCHIVED
    }
}

impl<E: Serialize + for<'de> Deserialize<'de>> Body for Targets<E> {
    const ROLE: Role = Role::Targets;
}

/// What one file says about the next: version, length in bytes and hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MetaFile {
    pub(crate) version: NonZeroU64,
    pub(crate) length: u64,
    pub(crate) hashes: Hashes,
}

/// The hashes of a file. Only SHA-256: python-tuf refuses algorithms that it does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hashes {
    pub(crate) sha256: Sha256,
}

/// Which keys sign for each role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grants {
    pub(crate) root: RoleKeys,
    pub(crate) targets: RoleKeys,
    pub(crate) snapshot: RoleKeys,
    pub(crate) timestamp: RoleKeys,
}

impl Grants {
    pub(crate) fn of(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Root => &self.root,
            Role::Targets => &self.targets,
            Role::Snapshot => &self.snapshot,
            Role::Timestamp => &self.timestamp,
        }
    }
}

/// The keys of one role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleKeys {
    pub(crate) keyids: BTreeSet<KeyId>,
    pub(crate) threshold: NonZeroU32,
}

/// The name of a key in a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct KeyId(pub(crate) String);

/// A public key of any kind. Ed25519 keys are used, and ECDSA keys on P-256, since that is what
/// hardware security modules have; this program signs with the former only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    keytype: String,
    keyval: Value,
    scheme: String,
}

const ED25519: &str = "ed25519";
/// The type of keys on any curve of NIST (specification §4.2); the scheme tells which.
const ECDSA: &str = "ecdsa";
const ECDSA_P256: &str = "ecdsa-sha2-nistp256";

impl Key {
    pub(crate) fn ed25519(key: &VerifyingKey) -> Self {
        Self {
            keytype: ED25519.to_owned(),
            keyval: serde_json::json!({ "public": hex::encode(key.as_bytes()) }),
            scheme: ED25519.to_owned(),
        }
    }

    /// A key that TUF knows as `ecdsa-sha2-nistp256`, by its PEM.
    pub(crate) fn p256(pem: &str) -> Self {
        Self {
            keytype: "ecdsa".to_owned(),
            keyval: serde_json::json!({ "public": pem }),
            scheme: "ecdsa-sha2-nistp256".to_owned(),
        }
    }

    /// The key as bytes that are the same for the same key, however it is spelled; `None` for a key of
    /// another kind, or none at all.
    pub(crate) fn material(&self) -> Option<Vec<u8>> {
        Some(match self.verifier()? {
            VerifierKey::Ed25519(key) => key.as_bytes().to_vec(),
            VerifierKey::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        })
    }

    /// Whether `signature`, in hex, is this key's over `message`. For Ed25519, weak keys and signatures
    /// that can be changed without the secret are refused (`verify_strict`).
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        match self.verifier() {
            Some(VerifierKey::Ed25519(key)) => ed25519_dalek::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Some(VerifierKey::P256(key)) => p256::ecdsa::Signature::from_der(&signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            None => false,
        }
    }

    fn verifier(&self) -> Option<VerifierKey> {
        let public = self.keyval.get("public")?.as_str()?;
        match (self.keytype.as_str(), self.scheme.as_str()) {
            (ED25519, ED25519) => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(public, &mut bytes).ok()?;
                VerifyingKey::from_bytes(&bytes).ok().map(VerifierKey::Ed25519)
            }
            (ECDSA, ECDSA_P256) => {
                p256::ecdsa::VerifyingKey::from_public_key_pem(public).ok().map(VerifierKey::P256)
            }
            _ => None,
        }
    }
}

/// A key that signatures can be checked with.
enum VerifierKey {
    Ed25519(VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// The JSON value `true`: a repository without consistent snapshots is not one of ours.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub(crate) struct Always;

impl TryFrom<bool> for Always {
    type Error = &'static str;
    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("`consistent_snapshot` must be true") }
    }
}

impl From<Always> for bool {
    fn from(_: Always) -> Self {
        true
    }
}

/// When a file stops being valid: RFC 3339 in UTC with whole seconds (specification §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expires(pub(crate) UnixMillis);

impl Serialize for Expires {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339_seconds())
    }
}

impl<'de> Deserialize<'de> for Expires {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_expires(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!("`{text}` is not a time `yyyy-mm-ddThh:mm:ssZ`"))
        })
    }
}

fn parse_expires(text: &str) -> Option<Expires> {
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", text).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let expires = UnixMillis::new(zoned.timestamp().as_millisecond().try_into().ok()?);
    // One spelling per instant: the parser above also takes one-digit months and the like.
    (expires.rfc3339_seconds() == text).then_some(Expires(expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tuf_spelling_of_a_time_is_read() {
        let good = parse_expires("2026-11-21T12:00:00Z").unwrap();
        assert_eq!(good.0.get(), 1_795_262_400_000);
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T12:00:00",
            "2026-11-21T12:00:00+00:00",
            "2026-11-21T12:00:00.5Z",
            "2026-1-21T12:00:00Z",
            "2026-13-21T12:00:00Z",
            "1969-12-31T23:59:59Z",
            " 2026-11-21T12:00:00Z",
        ] {
            assert!(parse_expires(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_read_and_never_used() {
        for json in [
            r#"{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"x"}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519ph","keyval":{"public":""}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{}}"#,
            r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}"#,
        ] {
            assert!(serde_json::from_str::<Key>(json).unwrap().material().is_none(), "{json}");
        }
    }
}
