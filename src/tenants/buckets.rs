//! Where a tenant's things lie in buckets, by the configuration: for who writes policies or looks for them there.

use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};

use crate::artifacts;
use crate::config::Config;
use crate::export::layout;

/// A tenant's folders in buckets. Each ends with a slash, so that a policy for one is for no other tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Buckets {
    /// Of its bundles for agents; left out when `edge.artifacts` is not set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bundles: Option<String>,
    /// Of its exports for auditors, in the order of `export.to`; left out when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exports: Vec<String>,
}

impl Buckets {
    /// Where they are for the tenant of that name.
    pub fn of(config: &Config, slug: &TenantSlug) -> Self {
        let bundles = config.edge.artifacts.as_ref();
        let exports = config.export.to.iter();
        Self {
            bundles: bundles.map(|place| format!("{place}/{}", artifacts::folder(slug))),
            exports: exports.map(|place| format!("{place}/{}/", layout::tenant(slug))).collect(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.bundles.is_none() && self.exports.is_empty()
    }

    /// Each with what it is for.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let bundles = self.bundles.iter().map(|folder| ("bundles", folder.as_str()));
        bundles.chain(self.exports.iter().map(|folder| ("exports", folder.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told is where things are put, and a prefix of it is no prefix of another tenant's.
    #[test]
    fn folders_end_where_a_name_does() {
        let slug: TenantSlug = "acme".parse().unwrap();
        assert!(Buckets::of(&Config::default(), &slug).is_empty());
        let mut config = Config::default();
        config.edge.artifacts = Some("s3://edge-artifacts".parse().unwrap());
        config.export.to = vec!["s3://evidence/a".parse().unwrap()];
        let told = Buckets::of(&config, &slug);
        let named: Vec<_> = told.named().collect();
        let (bundles, exports) = ("s3://edge-artifacts/acme/", "s3://evidence/a/v1/acme/");
        assert_eq!(named, [("bundles", bundles), ("exports", exports)]);
    }
}
