//! Bundles as TUF targets: their names, and what is signed about them.

use std::fmt;
use std::str::FromStr;

use colophon_model::{Digest, EdgeRuntime, FlowId, Sha256, TenantSlug};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::metadata::Hashes;

/// The name of a bundle in its tenant's repository: `<slug>.<flow>.<runtime>.zip`.
///
/// Flat, since TUF clients disagree on where the hash prefix goes in a name with a slash. The three
/// parts hold no dot, so the name has one reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName {
    slug: TenantSlug,
    flow: FlowId,
    runtime: EdgeRuntime,
}

/// A text that does not name a bundle of a kind this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a bundle name `<slug>.<flow>.<runtime>.zip`")]
pub struct InvalidTargetName(String);

impl TargetName {
    /// The name of a flow's bundle for a runtime.
    pub const fn new(slug: TenantSlug, flow: FlowId, runtime: EdgeRuntime) -> Self {
        Self { slug, flow, runtime }
    }

    /// Whose bundle.
    pub const fn slug(&self) -> &TenantSlug {
        &self.slug
    }

    /// Of which flow.
    pub const fn flow(&self) -> &FlowId {
        &self.flow
    }

    /// Language of the scripts.
    pub const fn runtime(&self) -> EdgeRuntime {
        self.runtime
    }

    /// The file name below `…/targets/` of the version with this SHA-256 (consistent snapshots,
    /// specification §6.2).
    pub fn file_name(&self, sha256: &Sha256) -> String {
        format!("{sha256}.{self}")
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.zip", self.slug, self.flow, self.runtime)
    }
}

impl FromStr for TargetName {
    type Err = InvalidTargetName;
    fn from_str(text: &str) -> Result<Self, InvalidTargetName> {
        let invalid = || InvalidTargetName(text.chars().take(120).collect());
        let mut parts = text.split('.');
        let [Some(slug), Some(flow), Some(runtime), Some("zip"), None] =
            std::array::from_fn(|_| parts.next())
        else {
            return Err(invalid());
        };
        Ok(Self {
            slug: slug.parse().map_err(|_| invalid())?,
            flow: flow.parse().map_err(|_| invalid())?,
            runtime: serde_json::from_value(Value::from(runtime)).map_err(|_| invalid())?,
        })
    }
}

impl TryFrom<String> for TargetName {
    type Error = InvalidTargetName;
    fn try_from(text: String) -> Result<Self, InvalidTargetName> {
        text.parse()
    }
}

impl From<TargetName> for String {
    fn from(name: TargetName) -> Self {
        name.to_string()
    }
}

/// What is signed about one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Size of the zip, in bytes.
    pub length: u64,
    /// SHA-256 of the zip.
    pub sha256: Sha256,
    /// What the agent needs to know before it downloads.
    pub custom: BundleFacts,
}

/// Version of the format of [`BundleFacts`]: 1, the only value that this type can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct FactsSchema;

impl FactsSchema {
    const VERSION: u32 = 1;
}

impl TryFrom<u32> for FactsSchema {
    type Error = String;
    fn try_from(version: u32) -> Result<Self, String> {
        if version == Self::VERSION { Ok(Self) } else { Err(format!("unknown schema {version}")) }
    }
}

impl From<FactsSchema> for u32 {
    fn from(_: FactsSchema) -> Self {
        FactsSchema::VERSION
    }
}

/// Which stream of versions a bundle belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The only one so far.
    #[default]
    Stable,
}

/// The member `colophon` of a target's `custom` object. All text in it is ASCII, so that every
/// implementation of canonical JSON agrees on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFacts {
    /// Version of this format.
    pub schema: FactsSchema,
    /// Whose bundle.
    pub slug: TenantSlug,
    /// Of which flow.
    pub flow: FlowId,
    /// Stream of versions.
    pub channel: Channel,
    /// Version for people, `1.0.<seq>`.
    pub version: String,
    /// Rises with every change of the bundle; an agent never goes back to a lower one.
    pub seq: u64,
    /// Language of the scripts.
    pub runtime: EdgeRuntime,
    /// Operating systems it runs on, in Rust's spelling.
    pub os: Vec<String>,
    /// CPU architectures it runs on, in Rust's spelling.
    pub cpu_arch: Vec<String>,
    /// Python requirements with exact versions.
    pub requirements: Vec<String>,
    /// Digest of the tree of unpacked files, as `blake3:<hex>` in JSON.
    #[serde(with = "tree_digest")]
    pub tree: Digest,
    /// Sum of the unpacked files' sizes, in bytes.
    pub unpacked: u64,
    /// How many files.
    pub files: u64,
    /// An agent never activates a lower `seq` of the flow again, not even by a local rollback. None: any
    /// generation that it has will do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_seq: Option<u64>,
    /// The envelope in which it is attested who made the bundle from what, as `sha256:<hex>` in JSON.
    #[serde(with = "attestation", skip_serializing_if = "Option::is_none", default)]
    pub attestation: Option<Sha256>,
}

impl BundleFacts {
    /// The name of the bundle that these facts describe.
    pub fn target_name(&self) -> TargetName {
        TargetName::new(self.slug.clone(), self.flow.clone(), self.runtime)
    }
}

/// `blake3:<hex>`: in a place where readers expect SHA-256, the algorithm is named.
mod tree_digest {
    use colophon_model::Digest;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    const PREFIX: &str = "blake3:";

    pub(super) fn serialize<S: Serializer>(tree: &Digest, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{PREFIX}{tree}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| D::Error::custom("no `blake3:`"))?;
        hex.parse().map_err(D::Error::custom)
    }
}

/// `sha256:<hex>`, as for the tree.
mod attestation {
    use colophon_model::Sha256;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    const PREFIX: &str = "sha256:";

    #[expect(clippy::ref_option, reason = "serde gives the field as it is")]
    pub(super) fn serialize<S: Serializer>(
        sum: &Option<Sha256>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        sum.map(|sum| format!("{PREFIX}{sum}")).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Sha256>, D::Error> {
        let text = String::deserialize(from)?;
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| D::Error::custom("no `sha256:`"))?;
        hex.parse().map(Some).map_err(D::Error::custom)
    }
}

/// A target as it stands in the JSON, with the facts of its kind.
#[derive(Serialize, Deserialize)]
pub(crate) struct Entry<F> {
    length: u64,
    hashes: Hashes,
    custom: Custom<F>,
}

#[derive(Serialize, Deserialize)]
struct Custom<F> {
    colophon: F,
}

impl<F: DeserializeOwned> Entry<F> {
    pub(crate) const fn new(length: u64, sha256: Sha256, facts: F) -> Self {
        Self { length, hashes: Hashes { sha256 }, custom: Custom { colophon: facts } }
    }

    /// Length, SHA-256 and facts.
    pub(crate) fn read(json: Value) -> Result<(u64, Sha256, F), serde_json::Error> {
        let Self { length, hashes, custom } = serde_json::from_value(json)?;
        Ok((length, hashes.sha256, custom.colophon))
    }
}

impl TargetFile {
    /// Checks that `name` is the name of the bundle that is described.
    pub(crate) fn check_name(&self, name: &TargetName) -> Result<(), Error> {
        let described = self.custom.target_name();
        if described == *name {
            return Ok(());
        }
        Err(Error::Misnamed { name: name.to_string(), described: described.to_string() })
    }

    /// This target as it is written.
    pub(crate) fn to_entry(&self) -> Entry<BundleFacts> {
        Entry::new(self.length, self.sha256, self.custom.clone())
    }

    /// Reads a target of a known kind.
    pub(crate) fn from_json(json: Value) -> Result<Self, serde_json::Error> {
        let (length, sha256, custom) = Entry::<BundleFacts>::read(json)?;
        Ok(Self { length, sha256, custom })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let text = "acme-inc.order_intake.python.zip";
        let name: TargetName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        assert_eq!((name.slug().as_str(), name.flow().as_str()), ("acme-inc", "order_intake"));
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "",
            "acme.flow.python",
            "acme.flow.python.zip.zip",
            "acme.flow.python.ZIP",
            "acme/flow.python.zip",
            "../x.flow.python.zip",
            "acme.flow.cobol.zip",
            "acme.con.python.zip",
            "Acme.flow.python.zip",
            "acme..python.zip",
        ] {
            assert!(bad.parse::<TargetName>().is_err(), "{bad}");
        }
    }
}
