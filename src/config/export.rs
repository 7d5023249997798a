//! The section `export`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::export::{Lock, LockMode, Options, Place, PlaceUrl, Recipient, recipient_problem};
use crate::secrets::SecretRef;
use crate::units::{Size, Span};

/// How what tenants built is exported for auditors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct ExportConfig {
    /// Where the server exports to by itself. None: nowhere.
    pub to: Vec<PlaceUrl>,
    /// How often it does. 0: not by the clock.
    pub every: Span,
    /// Whether it does after builds too.
    pub after_builds: bool,
    /// How long it waits for further builds after one, so that many come into one bag.
    pub settle: Span,
    /// How often an export is restored for trial, each in its turn. 0: never.
    pub drill_every: Span,
    /// Exports at a time.
    pub workers: usize,
    /// URL of the store, for one that is not Amazon's. None: `AWS_ENDPOINT_URL`, else Amazon's.
    pub endpoint: Option<String>,
    /// The region that requests are signed for. None: `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket is named in the path of URLs, which every store takes, or in the host.
    pub path_style: bool,
    /// Whether `http://` is allowed to other machines too.
    pub plain_http: bool,
    /// The id of an access key. None: credentials are found as AWS tools find them.
    pub access_key: Option<String>,
    /// Where its secret is found, such as `env:NAME`; never the secret.
    pub secret_key: Option<String>,
    /// How the store encrypts what it keeps.
    pub encryption: Encryption,
    /// The key for `kms`. None: the store's own.
    pub kms_key: Option<String>,
    /// Whether what is exported from now on is encrypted here, with a key for each tenant.
    pub encrypt: bool,
    /// Where copies of those keys are put, encrypted for `recipients`. None: this server alone has them.
    pub keys: Option<PlaceUrl>,
    /// Who can read those copies: age recipients, keys of Vault's transit engine (`vault:…`) and of AWS KMS (`awskms:…`).
    pub recipients: Vec<Recipient>,
    /// How objects are locked. None: they are not.
    pub lock: Option<LockMode>,
    /// For how long they are locked.
    pub lock_for: Span,
    /// Requests at a time.
    pub concurrency: usize,
    /// Bytes sent in a second. 0: as many as go.
    pub bytes_per_second: Size,
    /// How long the store may say nothing before a request counts as failed.
    pub request_timeout: Span,
    /// How often a request that failed is tried, the first time among them.
    pub attempts: u32,
    /// Builds in one bag at most.
    pub builds_per_bag: u64,
}

/// How the store encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// As the bucket says.
    None,
    /// With keys of the store (SSE-S3).
    S3,
    /// With keys of a key management service (SSE-KMS).
    Kms,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            every: Span::hours(1),
            after_builds: false,
            settle: Span::seconds(10),
            drill_every: Span::seconds(0),
            workers: 2,
            endpoint: None,
            region: None,
            path_style: true,
            plain_http: false,
            access_key: None,
            secret_key: None,
            encryption: Encryption::None,
            kms_key: None,
            encrypt: false,
            keys: None,
            recipients: Vec::new(),
            lock: None,
            lock_for: Span::days(30),
            concurrency: 8,
            bytes_per_second: Size::bytes(0),
            request_timeout: Span::seconds(30),
            attempts: 6,
            builds_per_bag: 1000,
        }
    }
}

impl ExportConfig {
    /// How objects are locked.
    pub fn lock(&self) -> Option<Lock> {
        self.lock.map(|mode| Lock { mode, keep: self.lock_for.get() })
    }

    /// Places inside of a folder, such as the data directory.
    pub(super) fn problems_in(&self, data: &Path) -> Vec<String> {
        let inside = |url: &&PlaceUrl| matches!(url, PlaceUrl::File(at) if at.starts_with(data));
        let text = |url| format!("`export.to`: `{url}` is inside the data directory");
        self.to.iter().filter(inside).map(text).collect()
    }

    /// Whether builds ask to be exported.
    pub const fn follows_builds(&self) -> bool {
        self.after_builds && !self.to.is_empty()
    }

    /// Whether copies of keys are encrypted by the vault of `secrets.vault`.
    pub(super) fn needs_vault(&self) -> bool {
        self.recipients.iter().any(|recipient| matches!(recipient, Recipient::Transit(_)))
    }

    /// What is wrong with where and when the server exports by itself.
    fn schedule_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |wrong: bool, text: String| {
            if wrong {
                problems.push(text);
            }
        };
        let every = self.every.millis();
        check((1..60_000).contains(&every), "`export.every` must be 0s, or at least 1 min".into());
        let drills = self.drill_every.millis();
        check(
            (1..60_000).contains(&drills),
            "`export.drill_every` must be 0s, or at least 1 min".into(),
        );
        check(
            drills > 0 && self.to.is_empty(),
            "`export.drill_every` is set, and `export.to` says nowhere".into(),
        );
        check(self.settle > Span::hours(1), "`export.settle` must be no more than 1 h".into());
        check(!(1..=16).contains(&self.workers), "`export.workers` must be 1 to 16".into());
        check(
            !self.to.is_empty() && every == 0 && !self.after_builds,
            "`export.to` is set, and `export.every` and `export.after_builds` say never".into(),
        );
        for (index, url) in self.to.iter().enumerate() {
            check(
                matches!(url, PlaceUrl::Memory(_)),
                format!("`export.to`: `{url}` is gone with the process"),
            );
            check(self.to[..index].contains(url), format!("`export.to` has `{url}` twice"));
            let named = Place::id_of(url, self, &Options::default());
            check(
                named.is_err(),
                format!(
                    "`export.to`: {}",
                    named.map_or_else(|trouble| trouble.to_string(), |_| String::new())
                ),
            );
        }
        problems
    }

    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.schedule_problems();
        let mut check = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        check(!(1..=64).contains(&self.concurrency), "`export.concurrency` must be 1 to 64");
        check(!(1..=20).contains(&self.attempts), "`export.attempts` must be 1 to 20");
        check(
            !(1..=10_000).contains(&self.builds_per_bag),
            "`export.builds_per_bag` must be 1 to 10000",
        );
        check(self.request_timeout.get().is_zero(), "`export.request_timeout` must be more than 0");
        check(
            self.lock.is_some() && self.lock_for.get().is_zero(),
            "`export.lock_for` must be more than 0",
        );
        // What Amazon S3 takes at most.
        check(self.lock_for > Span::days(36_500), "`export.lock_for` must be no more than 36500 d");
        let beside = |keys: &PlaceUrl| self.to.iter().any(|to| to.overlaps(keys));
        check(
            self.keys.as_ref().is_some_and(beside),
            "`export.keys` must be apart from every place in `export.to`",
        );
        check(
            self.access_key.is_some() != self.secret_key.is_some(),
            "`export.access_key` and `export.secret_key` are given together",
        );
        check(
            self.keys.is_some() == self.recipients.is_empty(),
            "`export.keys` and `export.recipients` are given together",
        );
        check(
            self.recipients.iter().enumerate().any(|(at, one)| self.recipients[..at].contains(one)),
            "`export.recipients` has one twice",
        );
        for recipient in &self.recipients {
            if let Some(problem) = recipient_problem(recipient, self) {
                problems.push(format!("`export.recipients`: {problem}"));
            }
        }
        if let Some(Err(error)) = self.secret_key.as_ref().map(|text| text.parse::<SecretRef>()) {
            problems.push(format!("`export.secret_key`: {error}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret in the file would be printed by `check-config`.
    #[test]
    fn a_secret_is_named_by_its_place_and_both_halves_are_given() {
        let config =
            ExportConfig { secret_key: Some("wJalrXUt".to_owned()), ..ExportConfig::default() };
        let problems = config.problems().join("\n");
        assert!(
            problems.contains("given together") && problems.contains("export.secret_key"),
            "{problems}"
        );
        assert!(!problems.contains("wJalr"), "{problems}");
        let bounds = ExportConfig {
            concurrency: 0,
            attempts: 0,
            builds_per_bag: 0,
            ..ExportConfig::default()
        };
        assert_eq!(bounds.problems().len(), 3);
    }

    /// A schedule that never exports, or exports to nowhere, is a mistake that nobody would see.
    #[test]
    fn a_schedule_that_does_nothing_is_refused() {
        let to = |urls: &[&str]| urls.iter().map(|url| url.parse().unwrap()).collect();
        let good = ExportConfig { to: to(&["s3://evidence/a"]), ..ExportConfig::default() };
        assert!(good.problems().is_empty() && !good.follows_builds());
        let after = ExportConfig { every: Span::seconds(0), after_builds: true, ..good.clone() };
        assert!(after.problems().is_empty() && after.follows_builds());
        for (bad, word) in [
            (ExportConfig { every: Span::seconds(0), ..good.clone() }, "never"),
            (ExportConfig { every: Span::seconds(1), ..good.clone() }, "`export.every`"),
            (ExportConfig { workers: 0, ..good.clone() }, "`export.workers`"),
            (ExportConfig { settle: Span::hours(2), ..good.clone() }, "`export.settle`"),
            (
                ExportConfig { drill_every: Span::seconds(1), ..good.clone() },
                "`export.drill_every`",
            ),
            (ExportConfig { drill_every: Span::days(1), ..ExportConfig::default() }, "nowhere"),
            (ExportConfig { to: to(&["memory://x"]), ..good.clone() }, "gone with the process"),
            (
                ExportConfig {
                    keys: Some("s3://evidence".parse().unwrap()),
                    recipients: vec![
                        crate::export::envelope::Identity::from_secret([1; 32]).id().into(),
                    ],
                    ..good.clone()
                },
                "apart",
            ),
            (ExportConfig { lock_for: Span::days(36_501), ..good.clone() }, "`export.lock_for`"),
            (ExportConfig { to: to(&["s3://abc", "s3://abc/"]), ..good.clone() }, "twice"),
            (
                ExportConfig { endpoint: Some("http://s3.example.com".to_owned()), ..good },
                "not encrypted",
            ),
        ] {
            let problems = bad.problems();
            assert!(problems.len() == 1 && problems[0].contains(word), "{word}: {problems:?}");
        }
        let inside = ExportConfig { to: to(&["file:///srv/data/x"]), ..ExportConfig::default() };
        assert_eq!(inside.problems_in(Path::new("/srv/data")).len(), 1);
        assert!(inside.problems_in(Path::new("/srv/dat")).is_empty());
    }
}
