//! Names of everything in an export. Below the place that was named, each tenant has a folder; in it are one folder
//! for each bag, the blobs, the keys, and `HEAD.json`.

use std::fmt;
use std::str::FromStr;

use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use colophon_store::rows::Document;
use serde::{Deserialize, Serialize};

/// Version of the layout, in the path of every tenant.
pub const VERSION: &str = "v1";
/// Names the newest bag.
pub const HEAD: &str = "HEAD.json";
/// The folder of bags.
pub const EXPORTS: &str = "exports";
/// The folder of blobs.
pub const BLOBS: &str = "blobs/sha256";
/// The folder of public keys.
pub const KEYS: &str = "keys/pub";
/// Who signs commits, in the form of ssh-keygen(1), "ALLOWED SIGNERS".
pub const SIGNERS: &str = "keys/allowed_signers";
/// The declaration of a bag (RFC 8493 §2.1.1).
pub const BAGIT: &str = "bagit.txt";
/// What a bag says of itself (RFC 8493 §2.2.2).
pub const INFO: &str = "bag-info.txt";
/// Checksums of the payload (RFC 8493 §2.1.3).
pub const MANIFEST: &str = "manifest-sha256.txt";
/// Checksums of all other files (RFC 8493 §2.2.1).
pub const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";
/// The signature over the tag manifest, written last: a bag without it is none.
pub const SIGNATURE: &str = "tagmanifest-sha256.txt.sig";
/// The tenant, as far as a bag tells something new of it.
pub const TENANT: &str = "data/tenant.json";
/// A line for each build.
pub const BUILDS: &str = "data/builds.jsonl";
/// A line for each name of a blob.
pub const BLOB_LIST: &str = "data/blobs.txt";
/// A line for each object below the blobs' folder that a sealed bag names, without what it is.
pub const OBJECTS: &str = "data/objects.txt";
/// The folder of statements about erasures, beside the bags.
pub const ERASURES: &str = "erasure";
/// What the name of a sealed file ends with.
pub const SEALED: &str = ".age";
/// What could not be taken along any more.
pub const OMITTED: &str = "data/omitted.txt";
/// The Git objects that are new.
pub const MIRROR: &str = "data/mirror.bundle";
/// What of the edge repository no build tells.
pub const EDGE: &str = "data/edge.json";
/// The signed end of the audit log.
pub const CHECKPOINT: &str = "data/audit/checkpoint";

/// The folder of a tenant.
pub fn tenant(slug: &TenantSlug) -> String {
    format!("{VERSION}/{slug}")
}

/// Where a blob lies: by the SHA-256 of the object.
pub fn blob(sha256: &Sha256) -> String {
    let hex = sha256.to_string();
    format!("{BLOBS}/{}/{hex}", &hex[..2])
}

/// Where a public key lies, by its id.
pub fn key(id: &str) -> String {
    format!("{KEYS}/{id}.pem")
}

/// Where it is said how to check all of it, by the checksum of that text.
pub fn guide(sha256: &Sha256) -> String {
    format!("VERIFY-{}.md", &sha256.to_string()[..16])
}

/// The part of the audit log that begins with line `first`.
pub fn audit(first: u64) -> String {
    format!("data/audit/{first:010}.jsonl")
}

/// What was done and hashes of the lines of that part, without the names in them: the log of a sealed bag, as far as it is for
/// everybody.
pub fn acts(first: u64) -> String {
    format!("data/audit/{first:010}.acts.jsonl")
}

/// Where copies of a tenant's key lie, below the place for keys.
pub fn copies(tenant: TenantUid) -> String {
    format!("{VERSION}/{tenant}")
}

/// The statement about an erasure at a time; `begun` before anything was destroyed, and without it after.
pub fn erasure(time: UnixMillis, begun: bool) -> String {
    let stamp = time.rfc3339().replace(['-', ':', '.'], "");
    format!("{ERASURES}/{stamp}{}.json", if begun { ".begun" } else { "" })
}

/// The signed statement about the bundle whose zip has this checksum.
pub fn attestation(zip: &Sha256) -> String {
    format!("data/attestations/{zip}.dsse.json")
}

/// The signature for minisign of that zip.
pub fn minisig(zip: &Sha256) -> String {
    format!("data/attestations/{zip}.minisig")
}

/// The bill of materials of that zip.
pub fn sbom(zip: &Sha256) -> String {
    format!("data/sbom/{zip}.cdx.json")
}

/// The documents about the bundle whose zip has that checksum, and where they lie.
pub fn documents(zip: &Sha256) -> [(Document, String); 3] {
    [
        (Document::Provenance, attestation(zip)),
        (Document::Sbom, sbom(zip)),
        (Document::Minisig, minisig(zip)),
    ]
}

/// What a document is called in [`OMITTED`].
pub(super) const fn word(kind: Document) -> &'static str {
    match kind {
        Document::Provenance => "attestation",
        Document::Sbom => "sbom",
        Document::Minisig => "minisig",
    }
}

/// The label of the key that files of a bag are sealed with in `bag-info.txt`; a bag without it is plain.
pub const ENCRYPTION_KEY: &str = "Encryption-Key";
/// The label of the text that says how to check the export, in `bag-info.txt`: checksum and path.
pub const GUIDE: &str = "Guide";
/// The label of a public key in `bag-info.txt`: checksum and path.
pub const PUBLIC_KEY: &str = "Public-Key";
/// The label of the bag before in `bag-info.txt`.
pub const PREVIOUS_NAME: &str = "Previous-Export-Name";

/// Name of a bag: the time of the newest fact in it, and its number. Names sort as the bags follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BagName(String);

/// A text that names no bag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no bag: `yyyyMMddTHHmmssSSSZ-<number of 8 digits>`")]
pub struct InvalidBagName(String);

/// Digits of the number.
const DIGITS: usize = 8;

impl BagName {
    /// The name of bag number `sequence`, whose newest fact is of `time`.
    pub fn new(time: UnixMillis, sequence: u64) -> Self {
        let stamp = time.rfc3339().replace(['-', ':', '.'], "");
        Self(format!("{stamp}-{sequence:08}"))
    }

    /// The bag's number.
    pub fn sequence(&self) -> u64 {
        self.0.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    /// The folder.
    pub fn folder(&self) -> String {
        format!("{EXPORTS}/{}", self.0)
    }

    /// Where a file of the bag lies.
    pub fn file(&self, path: &str) -> String {
        format!("{EXPORTS}/{}/{path}", self.0)
    }
}

impl fmt::Display for BagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BagName {
    type Err = InvalidBagName;
    fn from_str(text: &str) -> Result<Self, InvalidBagName> {
        let shape = text.split_once('-').is_some_and(|(stamp, number)| {
            let digits = |text: &str, count| {
                text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
            };
            let (date, time) = stamp.split_once('T').unwrap_or_default();
            let time = time.strip_suffix('Z').unwrap_or_default();
            digits(date, 8)
                && digits(time, 9)
                && number.len() >= DIGITS
                && digits(number, number.len())
        });
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBagName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for BagName {
    type Error = InvalidBagName;
    fn try_from(text: String) -> Result<Self, InvalidBagName> {
        text.parse()
    }
}

impl From<BagName> for String {
    fn from(name: BagName) -> Self {
        name.0
    }
}

/// What a root of the tenant's TUF repository is called in [`BLOB_LIST`].
pub(super) fn root(name: &str) -> String {
    format!("{ROOTS}{name}")
}

/// Whether that is the name of a root.
pub(super) fn is_root(name: &str) -> bool {
    name.starts_with(ROOTS)
}

const ROOTS: &str = "tuf/";

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are part of the format: others read them.
    #[test]
    fn names_are_pinned() {
        let name = BagName::new(UnixMillis::new(1_795_262_400_007), 12);
        assert_eq!(name.to_string(), "20261121T120000007Z-00000012");
        assert_eq!((name.to_string().parse(), name.sequence()), (Ok(name.clone()), 12));
        assert_eq!(name.file(MIRROR), "exports/20261121T120000007Z-00000012/data/mirror.bundle");
        let sha256 = Sha256::from_bytes([0xab; 32]);
        assert_eq!(blob(&sha256), format!("blobs/sha256/ab/{}", "ab".repeat(32)));
        assert_eq!(audit(1), "data/audit/0000000001.jsonl");
    }

    #[test]
    fn other_folders_are_no_bags() {
        for bad in [
            "",
            "x",
            "20261121T120000007Z-1",
            "20261121T120000007-00000001",
            "../20261121T120000007Z-00000001",
        ] {
            assert!(bad.parse::<BagName>().is_err(), "{bad}");
        }
    }
}
