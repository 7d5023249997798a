//! Tenants, made again from their exports.

use std::borrow::Cow;

use colophon_model::{TenantSlug, TenantUid};
use colophon_store::Report;
use colophon_store::rows::{ImportRow, TenantRow};
use colophon_trust::attest::PublicKey;
use serde::{Deserialize, Serialize};

use super::{AuditVerify, Fsck, Job, JobError, Site};
use crate::export::envelope::{Identity, Opener};
use crate::export::{
    ExportError, ExportKeys, Imported, Options, Place, PlaceUrl, RestoreError, RestoreOptions,
    Surveyed, check_free, import, survey,
};

/// Restores tenants from an export.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the job")]
pub struct Import {
    /// Where it lies: the place that was exported to, or a tenant's folder in it.
    pub from: PlaceUrl,
    /// Whose; none means all that are there.
    #[serde(default)]
    pub tenants: Vec<TenantSlug>,
    /// What is said of the place beside its URL.
    #[serde(default)]
    pub options: Options,
    /// The public key that must have signed it, in PEM. None: that of the server's master key.
    #[serde(default)]
    pub key: Option<String>,
    /// Believe the key that lies at the place.
    #[serde(default)]
    pub key_as_found: bool,
    /// Age identities that open what is sealed, as `colophon export identity` gives them.
    #[serde(default)]
    pub identity: Identities,
    /// Seal what is exported from here with a new key. Those that were given are kept for what they sealed.
    #[serde(default)]
    pub new_export_key: bool,
    /// Compare what was restored with the export, and check the store.
    #[serde(default)]
    pub verify: bool,
    /// Check the export, and write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take away what imports that were cut have left, and import nothing.
    #[serde(default)]
    pub discard: bool,
}

/// A text with age identities. It is not shown.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identities(String);

impl Identities {
    /// Those of a file, or of several.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Opens with them.
    fn opener(&self) -> Result<Opener, RestoreError> {
        if self.0.is_empty() {
            return Ok(Opener::default());
        }
        let identities = Identity::parse_all(&self.0);
        Ok(Opener::new(identities.map_err(|error| RestoreError::Identity(error.to_string()))?))
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identities(…)")
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// From where.
    pub from: PlaceUrl,
    /// Each tenant.
    pub tenants: Vec<Imported>,
    /// Tenants that could not be restored. Asked for one tenant alone, that is an error of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedImport>,
    /// Imports that were cut and are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<Discarded>,
    /// What the check of the store, and of its audit log, has found; empty when nothing, or when it was not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Requests that the place was asked.
    pub requests: u64,
}

/// A tenant that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImport {
    /// Whose.
    pub tenant: TenantSlug,
    /// The stable code of the problem.
    pub code: Cow<'static, str>,
    /// Why.
    pub problem: String,
}

/// An import that was cut and is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// Whose it would have been.
    pub tenant: TenantSlug,
    /// Rows that are gone.
    pub rows: u64,
}

impl ImportReport {
    /// Whether all that was asked for is there and as it should be.
    pub fn is_good(&self) -> bool {
        let same =
            |one: &Imported| one.compared.as_ref().is_none_or(|found| found.findings.is_empty());
        self.failed.is_empty() && self.problems.is_empty() && self.tenants.iter().all(same)
    }
}

impl Job for Import {
    type Outcome = ImportReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<ImportReport, JobError> {
        let mut done = ImportReport {
            from: self.from.clone(),
            tenants: Vec::new(),
            failed: Vec::new(),
            discarded: Vec::new(),
            problems: Vec::new(),
            requests: 0,
        };
        if self.discard {
            done.discarded = self.discard(site, report)?;
            return Ok(done);
        }
        let place = self.place(site)?;
        // All of it is checked before any of it is written.
        let found = self.survey(site, &place, report)?;
        let view = site.press.store.view()?;
        found.iter().try_for_each(|one| check_free(site.press, &view, one.tenant()))?;
        drop(view);
        let own = site.press.keys.export_key().public().id();
        for from in &found {
            if self.dry_run {
                let same_key = from.verified.key == own;
                done.tenants.push(Imported::preview(from, same_key, self.new_export_key));
                continue;
            }
            let config = (site.press, &site.config.export, site.config.data.as_path());
            match import(config, &place, from, &self.restore_options()?, report) {
                Ok(one) => done.tenants.push(one),
                Err(error) if found.len() == 1 => return Err(error.into()),
                Err(error) => done.failed.push(failed(from.tenant(), &error)),
            }
        }
        if self.verify && !self.dry_run {
            done.problems = check(site, report)?;
        }
        done.requests = place.traffic().0;
        Ok(done)
    }
}

fn failed(tenant: &TenantRow, error: &RestoreError) -> FailedImport {
    tracing::warn!(tenant = %tenant.slug, code = error.code(), "the import failed");
    FailedImport { tenant: tenant.slug.clone(), code: error.code().into(), problem: error.told() }
}

impl Import {
    /// The place, opened.
    pub fn place(&self, site: Site<'_>) -> Result<Place, JobError> {
        let config = &site.config.export;
        let place = Place::open_there(&self.from, config, &self.options, &site.press.secrets);
        Ok(place.map_err(ExportError::from)?)
    }

    fn survey(
        &self,
        site: Site<'_>,
        place: &Place,
        report: Report<'_>,
    ) -> Result<Vec<Surveyed>, JobError> {
        let options = self.restore_options()?;
        let with = (Some(&site.press.keys), &options);
        let look = |slug| survey(place, slug, &site.config.export, with, report);
        if self.tenants.is_empty() {
            return Ok(look(None)?);
        }
        let mut found = Vec::new();
        for slug in &self.tenants {
            found.extend(look(Some(slug))?);
        }
        Ok(found)
    }

    /// How it is to be restored.
    pub fn restore_options(&self) -> Result<RestoreOptions, JobError> {
        let key = self.key.as_deref().map(PublicKey::from_pem).transpose();
        let key = key.map_err(|_| RestoreError::UntrustedKey { claimed: None })?;
        let (key_as_found, compare) = (self.key_as_found, self.verify);
        let export_keys = if self.new_export_key { ExportKeys::Replace } else { ExportKeys::Keep };
        let opener = self.identity.opener()?;
        Ok(RestoreOptions { key, key_as_found, compare, opener, export_keys })
    }

    fn discard(&self, site: Site<'_>, report: Report<'_>) -> Result<Vec<Discarded>, JobError> {
        let store = &site.press.store;
        let rows = store.view()?.scan::<ImportRow>(&()).collect::<Result<Vec<_>, _>>()?;
        let mut gone = Vec::new();
        for (uid, ImportRow { slug, .. }) in rows {
            if !self.tenants.is_empty() && !self.tenants.contains(&slug) {
                continue;
            }
            let uid: TenantUid = uid;
            if let Some(erased) = store.discard_import(uid, site.press.clock.now(), report)? {
                gone.push(Discarded { tenant: slug, rows: erased.rows });
            }
        }
        Ok(gone)
    }
}

/// What a check of the store and of its audit log finds.
pub(super) fn check(site: Site<'_>, report: Report<'_>) -> Result<Vec<String>, JobError> {
    let found = Fsck::default().run(site, report)?;
    let told = found.problems.iter().filter(|problem| !problem.repaired);
    let mut problems: Vec<String> = told
        .map(|problem| format!("{} {}: {}", problem.code, problem.place, problem.message))
        .collect();
    let chains = AuditVerify::default().run(site, report)?.chains;
    for chain in chains {
        problems.extend(chain.problems.iter().map(|text| format!("audit {}: {text}", chain.chain)));
    }
    Ok(problems)
}
