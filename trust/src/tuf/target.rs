//! What is signed about one target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use super::percent_encoded;

const SHA256: &str = "sha256";
const SHA512: &str = "sha512";

/// A file that a repository offers (specification §4.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its size, in bytes.
    pub length: u64,
    /// Its hashes.
    pub hashes: Hashes,
}

impl Target {
    /// Whether `bytes` are this target.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.length && self.hashes.match_all(bytes)
    }

    /// Where the target `path` lies, relative to the repository's URL of targets. With consistent
    /// snapshots a hash is put before the last part of the path (§6.2).
    pub fn url_path(&self, path: &str, consistent_snapshot: bool) -> String {
        let mut parts: Vec<_> = path.split('/').map(percent_encoded).collect();
        if let Some(name) = parts.last_mut()
            && consistent_snapshot
        {
            *name = format!("{}.{name}", self.hashes.preferred());
        }
        parts.join("/")
    }
}

/// Hashes by algorithm, at least one of them SHA-256 or SHA-512, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Hashes(BTreeMap<String, String>);

impl Hashes {
    /// Whether every hash of a known algorithm is that of `bytes`.
    pub fn match_all(&self, bytes: &[u8]) -> bool {
        self.0.iter().all(|(algorithm, expected)| match algorithm.as_str() {
            SHA256 => *expected == hex::encode(Sha256::digest(bytes)),
            SHA512 => *expected == hex::encode(Sha512::digest(bytes)),
            _ => true,
        })
    }

    /// The one for file names.
    fn preferred(&self) -> &str {
        let known = self.0.get(SHA256).or_else(|| self.0.get(SHA512));
        known.expect("the constructor asks for one of the two")
    }
}

impl TryFrom<BTreeMap<String, String>> for Hashes {
    type Error = &'static str;
    fn try_from(hashes: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        let known = |algorithm| hashes.contains_key(algorithm);
        if known(SHA256) || known(SHA512) {
            Ok(Self(hashes))
        } else {
            Err("there is neither a sha256 nor a sha512")
        }
    }
}

impl From<Hashes> for BTreeMap<String, String> {
    fn from(hashes: Hashes) -> Self {
        hashes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(list: &[(&str, &str)]) -> Option<Hashes> {
        let map: BTreeMap<_, _> = list.iter().map(|(a, h)| ((*a).into(), (*h).into())).collect();
        map.try_into().ok()
    }

    /// One that is wrong is enough to refuse, and one that nobody can compute is not enough to accept.
    #[test]
    fn every_known_hash_counts_and_one_must_be_known() {
        let right = hex::encode(Sha256::digest(b"x"));
        let long = hex::encode(Sha512::digest(b"x"));
        assert!(hashes(&[("sha256", &right)]).unwrap().match_all(b"x"));
        assert!(hashes(&[("sha512", &long)]).unwrap().match_all(b"x"));
        assert!(hashes(&[("sha256", &right), ("blake9", "?")]).unwrap().match_all(b"x"));
        assert!(!hashes(&[("sha256", &right), ("sha512", &right)]).unwrap().match_all(b"x"));
        assert!(!hashes(&[("sha256", "")]).unwrap().match_all(b"x"));
        assert!(hashes(&[("blake9", &right)]).is_none());
        assert!(hashes(&[]).is_none());
    }

    #[test]
    fn the_hash_goes_before_the_last_part_of_a_path() {
        let hashes = hashes(&[("sha512", "b"), ("sha256", "a")]).unwrap();
        let target = Target { length: 1, hashes };
        assert_eq!(target.url_path("x.zip", true), "a.x.zip");
        assert_eq!(target.url_path("d/e/x.zip", true), "d/e/a.x.zip");
        assert_eq!(target.url_path("d/x?.zip", false), "d/x%3F.zip");
    }
}
