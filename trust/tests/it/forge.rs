//! A second, independent writer of TUF metadata: plain JSON values signed with keys that the test
//! holds, so that a test can say anything that an attacker with some of the keys could.

use std::num::NonZeroU64;

use colophon_model::{Digest, EdgeRuntime, Sha256, UnixMillis};
use colophon_trust::{
    BundleFacts, Channel, FactsSchema, RootChain, TargetFile, TrustedRoot, TrustedTimestamp,
};
use ed25519_dalek::{Signer, SigningKey};
use serde::Serialize;
use serde_json::{Value, json};

/// The time at which tests run: 2026-11-21T12:00:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis::new(1_795_262_400_000);
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn version(version: u64) -> NonZeroU64 {
    NonZeroU64::new(version).unwrap()
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = olpc_cjson::CanonicalFormatter::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).unwrap();
    out
}

pub(crate) fn public(key: &SigningKey) -> Value {
    let hex = hex::encode(key.verifying_key().as_bytes());
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex}})
}

pub(crate) fn id(key: &SigningKey) -> String {
    Sha256::of(&canonical(&public(key))).to_string()
}

/// The file with a signature by each key, under the key's own id.
pub(crate) fn sign(signed: &Value, keys: &[&SigningKey]) -> Vec<u8> {
    let named: Vec<(String, &SigningKey)> = keys.iter().map(|key| (id(key), *key)).collect();
    sign_as(signed, &named)
}

/// The file with signatures under ids of the test's choice.
pub(crate) fn sign_as(signed: &Value, keys: &[(String, &SigningKey)]) -> Vec<u8> {
    let message = canonical(signed);
    let signature = |(id, key): &(String, &SigningKey)| json!({"keyid": id, "sig": hex::encode(key.sign(&message).to_bytes())});
    let signatures: Vec<Value> = keys.iter().map(signature).collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
}

/// A repository whose keys the test holds: root 1, 2, 3; targets 4; snapshot 5; timestamp 6.
pub(crate) struct Forge {
    pub(crate) root: [SigningKey; 3],
    pub(crate) targets: SigningKey,
    pub(crate) snapshot: SigningKey,
    pub(crate) timestamp: SigningKey,
    pub(crate) tenant: &'static str,
}

impl Forge {
    pub(crate) fn new(tenant: &'static str) -> Self {
        let root = [key(1), key(2), key(3)];
        Self { root, targets: key(4), snapshot: key(5), timestamp: key(6), tenant }
    }

    /// The `signed` part of a root.
    pub(crate) fn root_value(&self, version: u64) -> Value {
        let all = self.root.iter().chain([&self.targets, &self.snapshot, &self.timestamp]);
        let keys: serde_json::Map<_, _> = all.map(|key| (id(key), public(key))).collect();
        let role = |key: &SigningKey| json!({"keyids": [id(key)], "threshold": 1});
        let root_ids: Vec<String> = self.root.iter().map(id).collect();
        json!({
            "_type": "root", "spec_version": "1.0.31", "version": version,
            "expires": NOW.plus(DAY).rfc3339_seconds(), "consistent_snapshot": true,
            "x-colophon-tenant": self.tenant, "x-colophon-uid": "00".repeat(16),
            "x-colophon-roots": "server", "keys": keys,
            "roles": {
                "root": {"keyids": root_ids, "threshold": 2},
                "targets": role(&self.targets),
                "snapshot": role(&self.snapshot),
                "timestamp": role(&self.timestamp),
            },
        })
    }

    pub(crate) fn root_keys(&self) -> [&SigningKey; 2] {
        [&self.root[0], &self.root[2]]
    }

    pub(crate) fn root_bytes(&self, version: u64) -> Vec<u8> {
        sign(&self.root_value(version), &self.root_keys())
    }

    pub(crate) fn chain(&self) -> RootChain {
        RootChain::pinned(&self.root_bytes(1), &self.tenant.parse().unwrap()).unwrap()
    }

    pub(crate) fn trusted(&self) -> TrustedRoot {
        self.chain().finish(NOW).unwrap()
    }

    pub(crate) fn targets_bytes(&self, version: u64, targets: &Value) -> Vec<u8> {
        sign(&file("targets", version, "targets", targets), &[&self.targets])
    }

    pub(crate) fn snapshot_bytes(
        &self,
        version: u64,
        targets_version: u64,
        targets: &[u8],
    ) -> Vec<u8> {
        let meta = json!({"targets.json": describe(targets_version, targets)});
        sign(&file("snapshot", version, "meta", &meta), &[&self.snapshot])
    }

    pub(crate) fn timestamp_bytes(
        &self,
        version: u64,
        snapshot_version: u64,
        snapshot: &[u8],
    ) -> Vec<u8> {
        let meta = json!({"snapshot.json": describe(snapshot_version, snapshot)});
        sign(&file("timestamp", version, "meta", &meta), &[&self.timestamp])
    }

    /// A timestamp that names `snapshot`, verified.
    pub(crate) fn timestamp(&self, version: u64, snapshot: &[u8]) -> TrustedTimestamp {
        let bytes = self.timestamp_bytes(version, version, snapshot);
        self.trusted().timestamp(&bytes, None, NOW).unwrap()
    }
}

/// The `signed` part of a file that is valid for a day.
pub(crate) fn file(role: &str, version: u64, field: &str, body: &Value) -> Value {
    json!({
        "_type": role, "spec_version": "1.0.31", "version": version,
        "expires": NOW.plus(DAY).rfc3339_seconds(), field: body,
    })
}

pub(crate) fn describe(version: u64, bytes: &[u8]) -> Value {
    let sha256 = Sha256::of(bytes).to_string();
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": sha256}})
}

/// A bundle of `slug` that holds `zip`.
pub(crate) fn bundle(slug: &str, flow: &str, seq: u64, zip: &[u8]) -> TargetFile {
    TargetFile {
        length: zip.len() as u64,
        sha256: Sha256::of(zip),
        custom: BundleFacts {
            schema: FactsSchema,
            slug: slug.parse().unwrap(),
            flow: flow.parse().unwrap(),
            channel: Channel::Stable,
            version: format!("1.0.{seq}"),
            seq,
            runtime: EdgeRuntime::Python,
            os: vec!["linux".to_owned(), "windows".to_owned()],
            cpu_arch: vec!["x86_64".to_owned()],
            requirements: vec!["playwright==1.55.0".to_owned()],
            tree: Digest::of(zip),
            unpacked: zip.len() as u64 * 3,
            files: 2,
            min_seq: None,
            attestation: None,
        },
    }
}
