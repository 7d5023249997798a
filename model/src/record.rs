//! What is remembered of a build: facts, immutable, the source of everything that is derived.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactPath, BuildKey, BuildTag, Digest, EdgeRuntime, FailedTag, FileMode, FlowId, FlowSource,
    NativeFlowId, Oid, Sha256, Signatures, SshSignature, Stamp, Target, TenantUid, UnixMillis,
};

/// A build's identifier: 32 hex digits.
///
/// `blake3::derive_key("colophon build id v1", tenant uid ‖ build number as u64 LE ‖ key)`, cut to
/// 16 bytes. The tenant's uid is random, so an id cannot be guessed from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId([u8; 16]);

impl BuildId {
    /// The id of a tenant's build number `number` with `key`.
    pub fn derive(tenant: TenantUid, number: u64, key: &BuildKey) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("colophon build id v1");
        hasher.update(tenant.as_bytes()).update(&number.to_le_bytes()).update(key.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }

    /// Wraps the bytes of a row.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::digest::write_hex(f, &self.0)
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// A text that is not a build id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a build id: 32 lower-case hex digits")]
pub struct InvalidBuildId(String);

impl FromStr for BuildId {
    type Err = InvalidBuildId;
    fn from_str(text: &str) -> Result<Self, InvalidBuildId> {
        let mut bytes = [0; 16];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(InvalidBuildId(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for BuildId {
    type Error = InvalidBuildId;
    fn try_from(text: String) -> Result<Self, InvalidBuildId> {
        text.parse()
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> Self {
        id.to_string()
    }
}

/// The record of one build. Immutable once committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildRecord {
    /// Its id.
    pub id: BuildId,
    /// Whose build.
    pub tenant: TenantUid,
    /// The tenant's count of builds, from 1.
    pub number: u64,
    /// Of which flow.
    pub flow: FlowId,
    /// The flow's display name.
    pub name: String,
    /// The builder it was drawn in.
    pub source: FlowSource,
    /// Its id there.
    pub native: NativeFlowId,
    /// Its revision there, when it has one.
    pub revision: Option<u64>,
    /// Identity of the outputs.
    pub key: BuildKey,
    /// Digest of the plan.
    pub plan: Digest,
    /// The JSON as received, a blob.
    pub body: Digest,
    /// Digest of the template set.
    pub templates: Digest,
    /// Version of the compiler.
    pub compiler: String,
    /// When the request was received.
    pub received: UnixMillis,
    /// The time in the tags and in the commit.
    pub stamp: Stamp,
    /// The commit on the tenant's branch.
    pub commit: Oid,
    /// The tags, one per target.
    pub tags: Vec<BuildTag>,
    /// What came out, one per target.
    pub outputs: Vec<Output>,
    /// Which gates ran, and what they said.
    pub gates: Vec<GateResult>,
    /// The branch's `manifest.json` with this build in it, a blob. Records of store format 1 do not
    /// say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest: Option<Digest>,
    /// The signatures of the commit and the tags. Without them, neither is signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signatures: Option<Signatures>,
    /// Set when a gate refused the build: then it has no tags and no outputs, and `commit` is the tip
    /// that stayed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// What led to it. Left out for a delivery.
    #[serde(skip_serializing_if = "BuildKind::is_delivery", default)]
    pub kind: BuildKind,
}

/// What led to a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildKind {
    /// A flow was delivered.
    #[default]
    Delivery,
    /// The tenant's flows were compiled again. Builds of one rebuild have numbers that follow each
    /// other, and share stamp, commit, tags, manifest and signatures.
    Rebuild {
        /// How many builds of the rebuild come before it.
        index: u32,
        /// How many builds the rebuild has; at least one.
        of: u32,
    },
    /// The flow was deleted. It has neither outputs nor tags.
    Deletion,
    /// Agents got an older bundle of the flow under a new number. Its other outputs are those of the
    /// build before, as are its flow and key.
    Rollback,
    /// Somebody went back to an earlier build of the flow: its outputs are those of that build.
    Reverted {
        /// The earlier build.
        to: BuildId,
    },
}

impl BuildKind {
    /// Whether a flow was delivered.
    pub const fn is_delivery(&self) -> bool {
        matches!(self, Self::Delivery)
    }
}

/// What a build made for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// For which target.
    pub target: Target,
    /// Digest of the tree of `files`.
    pub tree: Digest,
    /// The files on the tenant's branch.
    pub files: Vec<OutputFile>,
    /// The bundle, for target `edge`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge: Option<EdgeOutput>,
}

/// One file of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    /// Its path on the branch.
    pub path: ArtifactPath,
    /// Its mode.
    pub mode: FileMode,
    /// The address of its bytes.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

/// The bundle of an edge output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeOutput {
    /// Language of the scripts.
    pub runtime: EdgeRuntime,
    /// Digest of the bundle's tree (paths inside the bundle).
    pub tree: Digest,
    /// Of a build from before zips were rendered on demand: the blob that held it. Nothing reads it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zip: Option<Digest>,
    /// SHA-256 of the zip, which is not stored: `render` makes it from the tree.
    pub sha256: Sha256,
    /// Size of the zip, in bytes.
    pub length: u64,
    /// Sum of the sizes of the files in it.
    pub unpacked: u64,
    /// Number of files in it.
    pub files: u64,
    /// Which renderer made the zip: zlib output is only reproducible within one.
    pub render: String,
    /// Number in the version `1.0.<seq>`.
    pub seq: u64,
    /// The zip's name in the tenant's TUF repository.
    pub target_name: String,
    /// SHA-256 of the signed statement about who made it from what.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attestation: Option<Sha256>,
}

/// The result of one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateResult {
    /// The gate's name.
    pub name: String,
    /// What it said.
    pub status: GateStatus,
    /// How long it took, in microseconds. In-process gates do not say: they are part of rendering.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub micros: Option<u64>,
    /// How it was confined. In-process gates run nothing of a flow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sandbox: Option<SandboxReport>,
    /// The gate's own words: why it failed, or why it did not run. At most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub words: Option<String>,
}

impl GateResult {
    /// A gate that passed within this process.
    pub fn passed(name: &str) -> Self {
        let status = GateStatus::Passed;
        Self { name: name.to_owned(), status, micros: None, sandbox: None, words: None }
    }
}

/// What a gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateStatus {
    /// It ran and found nothing wrong.
    Passed,
    /// It ran and refused the build.
    Failed,
    /// It could not run, and was not required.
    Skipped,
}

/// How far the programs of a gate were confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxReport {
    /// The level.
    pub level: SandboxLevel,
    /// Parts that did not hold: `landlock`, `seccomp`, `namespaces`, `user`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub missing: Vec<String>,
}

/// A level of confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxLevel {
    /// None: the program could do what the server can.
    None,
    /// Some parts hold and some do not.
    Partial,
    /// Files, system calls and rights are bounded.
    Full,
}

/// What is remembered of a build that a gate refused. It changed nothing on the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its tag, on the tip that stayed.
    pub tag: FailedTag,
    /// The tag's signature.
    pub signature: Option<SshSignature>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildInputs;

    fn key() -> BuildKey {
        BuildKey::derive(&BuildInputs {
            plan: Digest::from_bytes([1; 32]),
            templates: Digest::from_bytes([2; 32]),
            compiler: "1",
            targets: &[Target::Cloud],
            options: b"",
        })
    }

    #[test]
    fn ids_differ_by_tenant_and_number_and_round_trip() {
        let tenant = TenantUid::from_bytes([7; 16]);
        let id = BuildId::derive(tenant, 1, &key());
        assert_ne!(id, BuildId::derive(tenant, 2, &key()));
        assert_ne!(id, BuildId::derive(TenantUid::from_bytes([8; 16]), 1, &key()));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("AB".repeat(16).parse::<BuildId>().is_err());
        assert!("ab".repeat(15).parse::<BuildId>().is_err());
    }

    /// Stored records must keep opening: this is a record as version 1 wrote it.
    #[test]
    fn a_stored_record_still_parses() {
        let id = BuildId::derive(TenantUid::from_bytes([7; 16]), 1, &key());
        let json = format!(
            r#"{{"id":"{id}","tenant":"{tenant}","number":1,"flow":"a","name":"A",
            "source":"builder","native":"n1","revision":3,"key":"{key}","plan":"{d}","body":"{d}",
            "templates":"{d}","compiler":"1","received":5,"stamp":6,"commit":"{oid}",
            "tags":["bld/acme/19700101000000006-cloud"],
            "outputs":[{{"target":"cloud","tree":"{d}","files":[{{"path":"a.py","mode":"regular",
            "digest":"{d}","size":1}}]}}],"gates":[{{"name":"parse","status":"passed"}}]}}"#,
            tenant = TenantUid::from_bytes([7; 16]),
            key = key(),
            d = Digest::of(b""),
            oid = Oid::from_bytes([3; 20]),
        );
        let record: BuildRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(record.outputs[0].files[0].path.as_str(), "a.py");
        let again: BuildRecord =
            serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(again, record);
    }
}
