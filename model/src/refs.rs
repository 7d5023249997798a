//! Names of branches and tags: made from valid parts, parsed back to them.

use std::fmt;
use std::str::FromStr;

use crate::{Stamp, Target, TenantSlug};

/// A text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a ref name of colophon's")]
pub struct InvalidRef(pub(crate) String);

/// `tenant/<slug>`, the only branch of a tenant's repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantBranch(TenantSlug);

impl TenantBranch {
    /// The branch of `slug`.
    pub const fn new(slug: TenantSlug) -> Self {
        Self(slug)
    }

    /// The full name, `refs/heads/tenant/<slug>`.
    pub fn full_name(&self) -> String {
        format!("refs/heads/{self}")
    }
}

impl fmt::Display for TenantBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant/{}", self.0)
    }
}

impl FromStr for TenantBranch {
    type Err = InvalidRef;
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let slug = text.strip_prefix("tenant/").and_then(|s| s.parse().ok());
        slug.map(Self).ok_or_else(|| InvalidRef(text.chars().take(80).collect()))
    }
}

/// `bld/<slug>/<yyyyMMddHHmmssSSS>-<target>`, one tag per build and target.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct BuildTag {
    slug: TenantSlug,
    stamp: Stamp,
    target: Target,
}

impl BuildTag {
    /// The tag of a build of `slug` for `target`, made at `stamp`.
    pub const fn new(slug: TenantSlug, stamp: Stamp, target: Target) -> Self {
        Self { slug, stamp, target }
    }

    /// When the build was made.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What the build was for.
    pub const fn target(&self) -> Target {
        self.target
    }

    /// The full name, `refs/tags/bld/…`.
    pub fn full_name(&self) -> String {
        format!("refs/tags/{self}")
    }
}

impl fmt::Display for BuildTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bld/{}/{}-{}", self.slug, self.stamp, self.target)
    }
}

impl FromStr for BuildTag {
    type Err = InvalidRef;
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        parse_tag(text).ok_or_else(|| InvalidRef(text.chars().take(80).collect()))
    }
}

fn parse_tag(text: &str) -> Option<BuildTag> {
    let (slug, rest) = text.strip_prefix("bld/")?.split_once('/')?;
    let (stamp, target) = rest.split_once('-')?;
    let target = Target::ALL.into_iter().find(|t| t.as_str() == target)?;
    Some(BuildTag { slug: slug.parse().ok()?, stamp: stamp.parse().ok()?, target })
}

impl TryFrom<String> for BuildTag {
    type Error = InvalidRef;
    fn try_from(text: String) -> Result<Self, InvalidRef> {
        text.parse()
    }
}

impl From<BuildTag> for String {
    fn from(tag: BuildTag) -> Self {
        tag.to_string()
    }
}

/// `build-failed/<slug>/<yyyyMMddHHmmssSSS>`, one tag per build that a gate refused.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct FailedTag {
    slug: TenantSlug,
    stamp: Stamp,
}

impl FailedTag {
    /// The tag of a build of `slug` that was refused at `stamp`.
    pub const fn new(slug: TenantSlug, stamp: Stamp) -> Self {
        Self { slug, stamp }
    }

    /// When the build was refused.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The full name, `refs/tags/build-failed/…`.
    pub fn full_name(&self) -> String {
        format!("refs/tags/{self}")
    }
}

impl fmt::Display for FailedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "build-failed/{}/{}", self.slug, self.stamp)
    }
}

impl FromStr for FailedTag {
    type Err = InvalidRef;
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let parse = || {
            let (slug, stamp) = text.strip_prefix("build-failed/")?.split_once('/')?;
            Some(Self { slug: slug.parse().ok()?, stamp: stamp.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidRef(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for FailedTag {
    type Error = InvalidRef;
    fn try_from(text: String) -> Result<Self, InvalidRef> {
        text.parse()
    }
}

impl From<FailedTag> for String {
    fn from(tag: FailedTag) -> Self {
        tag.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnixMillis;

    #[test]
    fn names_round_trip() {
        let slug = TenantSlug::new("acme-inc").unwrap();
        let branch = TenantBranch::new(slug.clone());
        assert_eq!(branch.full_name(), "refs/heads/tenant/acme-inc");
        assert_eq!(branch.to_string().parse(), Ok(branch));

        let stamp = Stamp::after(None, UnixMillis::new(1_795_262_400_007));
        let failed = FailedTag::new(slug.clone(), stamp);
        assert_eq!(failed.full_name(), "refs/tags/build-failed/acme-inc/20261121120000007");
        assert_eq!(failed.to_string().parse(), Ok(failed));

        let tag = BuildTag::new(slug, stamp, Target::Edge);
        assert_eq!(tag.full_name(), "refs/tags/bld/acme-inc/20261121120000007-edge");
        assert_eq!(tag.to_string().parse(), Ok(tag));
    }

    #[test]
    fn foreign_names_are_refused() {
        for bad in ["main", "tenant/", "tenant/A", "tenant/a/../b", "refs/heads/tenant/a"] {
            assert!(bad.parse::<TenantBranch>().is_err(), "{bad}");
        }
        for bad in [
            "bld/a/20261121120000007",
            "bld/a/20261121120000007-mars",
            "bld/a/20261121-cloud",
            "bld/a/b/20261121120000007-cloud",
            "build/a/20261121120000007-cloud",
        ] {
            assert!(bad.parse::<BuildTag>().is_err(), "{bad}");
        }
        for bad in ["bld/a/20261121120000007", "build-failed/a/x", "build-failed/20261121120000007"]
        {
            assert!(bad.parse::<FailedTag>().is_err(), "{bad}");
        }
    }
}
