//! Whom a role that lists targets trusts with some of them (specification §4.5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pattern::Pattern;
use super::{Key, KeyId, Role, RoleKeys};

/// The roles that another one trusts, and their keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delegations {
    pub(crate) keys: BTreeMap<KeyId, Key>,
    #[serde(flatten)]
    to: Delegates,
}

/// Roles one by one, or bins that share all paths among them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "EitherDelegates", into = "EitherDelegates")]
enum Delegates {
    Roles(Vec<DelegatedRole>),
    Bins(Bins),
}

/// As it is written: two fields of which one is there.
#[derive(Serialize, Deserialize)]
struct EitherDelegates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<DelegatedRole>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    succinct_roles: Option<Bins>,
}

impl TryFrom<EitherDelegates> for Delegates {
    type Error = &'static str;
    fn try_from(either: EitherDelegates) -> Result<Self, Self::Error> {
        match (either.roles, either.succinct_roles) {
            (Some(roles), None) => Ok(Self::Roles(roles)),
            (None, Some(bins)) => Ok(Self::Bins(bins)),
            _ => Err("delegations need either `roles` or `succinct_roles`"),
        }
    }
}

impl From<Delegates> for EitherDelegates {
    fn from(delegates: Delegates) -> Self {
        match delegates {
            Delegates::Roles(roles) => Self { roles: Some(roles), succinct_roles: None },
            Delegates::Bins(bins) => Self { roles: None, succinct_roles: Some(bins) },
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct DelegatedRole {
    name: RoleName,
    #[serde(flatten)]
    grant: RoleKeys,
    terminating: bool,
    #[serde(flatten)]
    paths: Paths,
}

/// The name of a delegated role: any text but that of a top-level role, whose file it would replace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct RoleName(String);

impl RoleName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoleName {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        if Role::ALL.iter().any(|role| role.as_str() == name) {
            return Err("a delegated role has the name of a top-level role");
        }
        Ok(Self(name))
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

/// Which targets a role is trusted with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "EitherPaths", into = "EitherPaths")]
enum Paths {
    /// Those whose path fits a pattern.
    Patterns(Vec<Pattern>),
    /// Those of whose path the SHA-256, in hex, begins so.
    HashPrefixes(Vec<String>),
}

/// As it is written: two fields of which one is there.
#[derive(Serialize, Deserialize)]
struct EitherPaths {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<Pattern>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hash_prefixes: Option<Vec<String>>,
}

impl TryFrom<EitherPaths> for Paths {
    type Error = &'static str;
    fn try_from(either: EitherPaths) -> Result<Self, Self::Error> {
        match (either.paths, either.path_hash_prefixes) {
            (Some(patterns), None) => Ok(Self::Patterns(patterns)),
            (None, Some(prefixes)) => Ok(Self::HashPrefixes(prefixes)),
            _ => Err("a delegated role needs either `paths` or `path_hash_prefixes`"),
        }
    }
}

impl From<Paths> for EitherPaths {
    fn from(paths: Paths) -> Self {
        match paths {
            Paths::Patterns(patterns) => Self { paths: Some(patterns), path_hash_prefixes: None },
            Paths::HashPrefixes(prefixes) => {
                Self { paths: None, path_hash_prefixes: Some(prefixes) }
            }
        }
    }
}

impl Paths {
    fn cover(&self, path: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(path)),
            Self::HashPrefixes(prefixes) => {
                let hash = hex::encode(Sha256::digest(path));
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

/// Bins of equal rights: the first bits of the SHA-256 of a path say which is trusted with it (TAP 15).
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bins {
    #[serde(flatten)]
    grant: RoleKeys,
    bit_length: BitLength,
    name_prefix: String,
}

/// 1 to 32.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct BitLength(u32);

impl TryFrom<u32> for BitLength {
    type Error = &'static str;
    fn try_from(bits: u32) -> Result<Self, Self::Error> {
        if (1..=32).contains(&bits) { Ok(Self(bits)) } else { Err("`bit_length` is not 1 to 32") }
    }
}

impl From<BitLength> for u32 {
    fn from(bits: BitLength) -> Self {
        bits.0
    }
}

impl Bins {
    fn name_for(&self, path: &str) -> RoleName {
        let BitLength(bits) = self.bit_length;
        let hash: [u8; 32] = Sha256::digest(path).into();
        let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let (bin, width) = (first >> (32 - bits), bits.div_ceil(4) as usize);
        // It ends in `-` and a number, so it is no top-level role.
        RoleName(format!("{}-{bin:0width$x}", self.name_prefix))
    }
}

/// A role that is trusted with a path.
pub(super) struct Delegate<'a> {
    pub(super) name: RoleName,
    pub(super) grant: &'a RoleKeys,
    /// Whether no other role is to be asked for what this one does not have.
    pub(super) terminating: bool,
}

impl Delegations {
    /// The roles that are trusted with `path`, in their order of precedence.
    pub(super) fn for_path(&self, path: &str) -> Vec<Delegate<'_>> {
        match &self.to {
            Delegates::Roles(roles) => roles
                .iter()
                .filter(|role| role.paths.cover(path))
                .map(|role| Delegate {
                    name: role.name.clone(),
                    grant: &role.grant,
                    terminating: role.terminating,
                })
                .collect(),
            Delegates::Bins(bins) => {
                vec![Delegate { name: bins.name_for(path), grant: &bins.grant, terminating: true }]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn delegations(to: &Value) -> Result<Delegations, serde_json::Error> {
        let mut json = json!({ "keys": {} });
        json.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
        serde_json::from_value(json)
    }

    fn role(name: &str, key: &str, paths: &Value) -> Value {
        json!({ "name": name, "keyids": [], "threshold": 1, "terminating": false, key: paths })
    }

    fn names(delegations: &Delegations, path: &str) -> Vec<String> {
        delegations.for_path(path).into_iter().map(|delegate| delegate.name.into()).collect()
    }

    #[test]
    fn roles_are_found_by_pattern_and_by_hash_in_order() {
        let hash = hex::encode(Sha256::digest("a/b"));
        let delegations = delegations(&json!({ "roles": [
            role("by-hash", "path_hash_prefixes", &json!(["0", &hash[..3]])),
            role("other", "paths", &json!(["*"])),
            role("by-path", "paths", &json!(["x", "a/*"])),
        ]}));
        assert_eq!(names(&delegations.unwrap(), "a/b"), ["by-hash", "by-path"]);
    }

    /// The numbers are those that python-tuf computes.
    #[test]
    fn a_bin_is_named_by_the_first_bits_of_the_hash() {
        // The SHA-256 of "a" begins with ca978112.
        for (bits, expected) in [(1, "bin-1"), (4, "bin-c"), (5, "bin-19"), (32, "bin-ca978112")] {
            let bins = json!({
                "keyids": [], "threshold": 1, "bit_length": bits, "name_prefix": "bin",
            });
            let delegations = delegations(&json!({ "succinct_roles": bins })).unwrap();
            assert_eq!(names(&delegations, "a"), [expected]);
        }
    }

    #[test]
    fn delegations_that_could_mean_two_things_are_refused() {
        let bins = |bits: u32| json!({ "keyids": [], "threshold": 1, "bit_length": bits, "name_prefix": "b" });
        let mut both = role("a", "paths", &json!(["*"]));
        both["path_hash_prefixes"] = json!(["0"]);
        for bad in [
            json!({}),
            json!({ "roles": [], "succinct_roles": bins(4) }),
            json!({ "succinct_roles": bins(0) }),
            json!({ "succinct_roles": bins(33) }),
            json!({ "roles": [role("root", "paths", &json!(["*"]))] }),
            json!({ "roles": [role("targets", "paths", &json!(["*"]))] }),
            json!({ "roles": [role("a", "no-paths", &json!(["*"]))] }),
            json!({ "roles": [both] }),
        ] {
            assert!(delegations(&bad).is_err(), "{bad}");
        }
    }
}
