//! A flow's encrypted environment as a TUF target: its name, and what is signed about it.
//!
//! It is a target of its own beside the flow's bundle, found by its name, so that a new secret changes
//! nothing that is signed about the bundle.

use std::fmt;
use std::str::FromStr;

use colophon_model::{FlowId, Sha256, TenantSlug};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::{Entry, FactsSchema};
use crate::limits::MAX_ENVIRONMENT;
use crate::{Error, TargetName};

/// The name of a flow's encrypted environment: `<slug>.<flow>.env.age`. As flat as [`TargetName`], and
/// never the same as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName {
    slug: TenantSlug,
    flow: FlowId,
}

/// A text that does not name an encrypted environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name `<slug>.<flow>.env.age`")]
pub struct InvalidEnvName(String);

impl EnvName {
    /// The name of a flow's environment.
    pub const fn new(slug: TenantSlug, flow: FlowId) -> Self {
        Self { slug, flow }
    }

    /// The environment that belongs to a bundle.
    pub fn beside(bundle: &TargetName) -> Self {
        Self::new(bundle.slug().clone(), bundle.flow().clone())
    }

    /// Whose.
    pub const fn slug(&self) -> &TenantSlug {
        &self.slug
    }

    /// Of which flow.
    pub const fn flow(&self) -> &FlowId {
        &self.flow
    }

    /// The file name below `…/targets/` of the version with this SHA-256 (consistent snapshots,
    /// specification §6.2).
    pub fn file_name(&self, sha256: &Sha256) -> String {
        format!("{sha256}.{self}")
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.env.age", self.slug, self.flow)
    }
}

impl FromStr for EnvName {
    type Err = InvalidEnvName;
    fn from_str(text: &str) -> Result<Self, InvalidEnvName> {
        let invalid = || InvalidEnvName(text.chars().take(120).collect());
        let name = text.strip_suffix(".env.age").ok_or_else(invalid)?;
        let (slug, flow) = name.split_once('.').ok_or_else(invalid)?;
        Ok(Self {
            slug: slug.parse().map_err(|_| invalid())?,
            flow: flow.parse().map_err(|_| invalid())?,
        })
    }
}

impl TryFrom<String> for EnvName {
    type Error = InvalidEnvName;
    fn try_from(text: String) -> Result<Self, InvalidEnvName> {
        text.parse()
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.to_string()
    }
}

/// What is signed about one encrypted environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Size of the ciphertext, in bytes.
    pub length: u64,
    /// SHA-256 of the ciphertext. Of the plaintext nothing is signed: its digest would let anybody who
    /// reads the metadata try passwords.
    pub sha256: Sha256,
    /// Whose it is.
    pub custom: EnvFacts,
}

/// The word `env`: the only value that this type can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvKind {
    /// An encrypted environment.
    #[default]
    Env,
}

/// The member `colophon` of the target's `custom` object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFacts {
    /// Version of this format.
    pub schema: FactsSchema,
    /// What kind of target this is.
    pub kind: EnvKind,
    /// Whose.
    pub slug: TenantSlug,
    /// Of which flow.
    pub flow: FlowId,
    /// Rises with every change, over the whole life of the flow; an agent never goes back to a lower one.
    pub seq: u64,
}

impl EnvFile {
    /// Checks the size.
    ///
    /// # Errors
    /// [`Error::EnvTooLarge`] past [`MAX_ENVIRONMENT`].
    pub const fn check_limits(&self) -> Result<(), Error> {
        if self.length > MAX_ENVIRONMENT {
            return Err(Error::EnvTooLarge { value: self.length, limit: MAX_ENVIRONMENT });
        }
        Ok(())
    }

    /// Checks that `name` is the name of the environment that is described: a ciphertext that was
    /// signed for one flow is not another's.
    pub(crate) fn check_name(&self, name: &EnvName) -> Result<(), Error> {
        let described = EnvName::new(self.custom.slug.clone(), self.custom.flow.clone());
        if described == *name {
            return Ok(());
        }
        Err(Error::Misnamed { name: name.to_string(), described: described.to_string() })
    }

    /// This target as it is written.
    pub(crate) fn to_entry(&self) -> Entry<EnvFacts> {
        Entry::new(self.length, self.sha256, self.custom.clone())
    }

    /// Reads a target of this kind.
    pub(crate) fn from_json(json: Value) -> Result<Self, serde_json::Error> {
        let (length, sha256, custom) = Entry::<EnvFacts>::read(json)?;
        Ok(Self { length, sha256, custom })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_no_bundles() {
        let text = "acme-inc.order_intake.env.age";
        let name: EnvName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        assert_eq!((name.slug().as_str(), name.flow().as_str()), ("acme-inc", "order_intake"));
        assert!(text.parse::<TargetName>().is_err());
        let bundle: TargetName = "acme-inc.order_intake.python.zip".parse().unwrap();
        assert_eq!(EnvName::beside(&bundle), name);
        for bad in [
            "",
            "acme.env.age",
            "acme.flow.env",
            "acme.a.b.env.age",
            "acme/flow.env.age",
            "acme.flow.env.AGE",
            "acme.con.env.age",
            "Acme.flow.env.age",
            "acme..env.age",
        ] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }
}
