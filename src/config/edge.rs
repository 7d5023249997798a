//! What an operator can set about edge agents.

use serde::{Deserialize, Serialize};

use super::ExportConfig;
use crate::place::PlaceUrl;
use crate::secrets::SecretRef;
use crate::units::{Size, Span};

/// How edge agents are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// Deltas and packs that are made at a time. Others wait.
    pub encoders: usize,
    /// Memory for deltas and packs that are asked for again and again.
    pub delta_cache: Size,
    /// Zips that are made from their trees at a time. Others wait.
    pub renders: usize,
    /// Memory for zips that are asked for again and again.
    pub zip_cache: Size,
    /// Memory for blobs that are asked for again and again. One over a sixteenth of it is not kept.
    pub blob_cache: Size,
    /// Whether a tenant is made only with a root from a ceremony.
    pub offline_roots: bool,
    /// The bucket that bundles are kept in too. None: agents and builders fetch them from the server alone.
    pub artifacts: Option<PlaceUrl>,
    /// How long a signed URL into the bucket is good: 1 s to 7 days, which is as long as S3 has it.
    pub artifact_url_lifetime: Span,
    /// Tenants whose bundles are brought there at a time.
    pub artifact_uploads: usize,
    /// Time between two comparisons of the bucket with what should lie there.
    pub artifact_check_every: Span,
    /// URL of the store. None: as for exports.
    pub artifact_endpoint: Option<String>,
    /// The region that requests are signed for. None: as for exports.
    pub artifact_region: Option<String>,
    /// URL under which others reach the store, when it is another: signed URLs name it.
    pub artifact_public_endpoint: Option<String>,
    /// The id of the access key that uploads. None: as for exports.
    pub artifact_access_key: Option<String>,
    /// Where its secret is found; never the secret.
    pub artifact_secret_key: Option<String>,
    /// The id of an access key that may only read, which URLs are signed with. None: the one that uploads.
    pub artifact_reader_key: Option<String>,
    /// Where its secret is found; never the secret.
    pub artifact_reader_secret: Option<String>,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            encoders: 2,
            delta_cache: Size::mib(64),
            renders: 2,
            zip_cache: Size::mib(64),
            blob_cache: Size::mib(64),
            offline_roots: false,
            artifacts: None,
            artifact_url_lifetime: Span::seconds(15 * 60),
            artifact_uploads: 4,
            artifact_check_every: Span::hours(24),
            artifact_endpoint: None,
            artifact_region: None,
            artifact_public_endpoint: None,
            artifact_access_key: None,
            artifact_secret_key: None,
            artifact_reader_key: None,
            artifact_reader_secret: None,
        }
    }
}

impl Edge {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let counts = [
            ("edge.encoders", self.encoders),
            ("edge.renders", self.renders),
            ("edge.artifact_uploads", self.artifact_uploads),
        ];
        let wrong = counts.into_iter().filter(|(_, count)| !(1..=64).contains(count));
        let mut problems: Vec<String> =
            wrong.map(|(name, _)| format!("`{name}` must be 1 to 64")).collect();
        if !(1_000..=LONGEST_URL).contains(&self.artifact_url_lifetime.millis()) {
            problems.push("`edge.artifact_url_lifetime` must be 1s to 7d".to_owned());
        }
        if self.artifact_check_every.millis() < 1_000 {
            problems.push("`edge.artifact_check_every` must be at least 1s".to_owned());
        }
        let pairs = [
            ("access_key", &self.artifact_access_key, "secret_key", &self.artifact_secret_key),
            (
                "reader_key",
                &self.artifact_reader_key,
                "reader_secret",
                &self.artifact_reader_secret,
            ),
        ];
        for (id, key, name, secret) in pairs {
            if key.is_some() != secret.is_some() {
                problems.push(format!(
                    "`edge.artifact_{id}` and `edge.artifact_{name}` are given together"
                ));
            }
            if let Some(Err(error)) = secret.as_ref().map(|text| text.parse::<SecretRef>()) {
                problems.push(format!("`edge.artifact_{name}`: {error}"));
            }
        }
        problems
    }

    /// How the bucket is reached by who uploads: as places of exports are, but for what is said here. Nothing is
    /// locked: what a purge takes away, and an erasure, must be able to go.
    pub fn artifact_writer(&self, export: &ExportConfig) -> ExportConfig {
        let or =
            |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        let mut config = ExportConfig {
            endpoint: or(&self.artifact_endpoint, &export.endpoint),
            region: or(&self.artifact_region, &export.region),
            lock: None,
            ..export.clone()
        };
        if self.artifact_access_key.is_some() {
            config.access_key.clone_from(&self.artifact_access_key);
            config.secret_key.clone_from(&self.artifact_secret_key);
        }
        config
    }

    /// The same as it is reached by who has a signed URL. None: there is no difference.
    pub fn artifact_reader(&self, export: &ExportConfig) -> Option<ExportConfig> {
        if self.artifact_public_endpoint.is_none() && self.artifact_reader_key.is_none() {
            return None;
        }
        let mut config = self.artifact_writer(export);
        if self.artifact_public_endpoint.is_some() {
            config.endpoint.clone_from(&self.artifact_public_endpoint);
        }
        if self.artifact_reader_key.is_some() {
            config.access_key.clone_from(&self.artifact_reader_key);
            config.secret_key.clone_from(&self.artifact_reader_secret);
        }
        Some(config)
    }
}

/// As long as S3 lets a URL be signed for, in milliseconds: 7 days.
const LONGEST_URL: u64 = 7 * 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL that S3 would refuse, or half of a key, is found before the server starts.
    #[test]
    fn what_a_bucket_cannot_do_is_said() {
        let good = Edge { artifact_url_lifetime: Span::days(7), ..Edge::default() };
        assert!(good.problems().is_empty(), "{:?}", good.problems());
        let bad = Edge {
            artifact_url_lifetime: Span::seconds(7 * 24 * 60 * 60 + 1),
            artifact_uploads: 0,
            artifact_check_every: Span::seconds(0),
            artifact_access_key: Some("id".to_owned()),
            artifact_reader_secret: Some("plainsecret".to_owned()),
            ..Edge::default()
        };
        let problems = bad.problems();
        assert_eq!(problems.len(), 6, "{problems:?}");
        assert!(!problems.join("").contains("plainsecret"), "{problems:?}");
    }

    /// What is set for exports holds for the bucket until it is said otherwise, but never a lock.
    #[test]
    fn the_bucket_is_reached_as_places_of_exports_are() {
        let export = ExportConfig {
            endpoint: Some("https://s3.example".to_owned()),
            access_key: Some("exporter".to_owned()),
            lock: Some(crate::place::LockMode::Compliance),
            ..ExportConfig::default()
        };
        let edge = Edge::default();
        let writer = edge.artifact_writer(&export);
        assert_eq!((writer.access_key.as_deref(), writer.lock), (Some("exporter"), None));
        assert_eq!(edge.artifact_reader(&export), None);
        let edge = Edge {
            artifact_access_key: Some("press".to_owned()),
            artifact_public_endpoint: Some("https://cdn.example".to_owned()),
            ..edge
        };
        let reader = edge.artifact_reader(&export).unwrap();
        assert_eq!(reader.endpoint.as_deref(), Some("https://cdn.example"));
        assert_eq!(reader.access_key.as_deref(), Some("press"));
    }
}
