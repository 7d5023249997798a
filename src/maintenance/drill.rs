//! The restore drill: an export is restored aside, compared and checked, and thrown away. What came of it is in the
//! tenant's audit log.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use colophon_model::audit::{Action, Chain, Outcome, Subject};
use colophon_model::{Oid, TenantSlug};
use colophon_store::rows::{ExportDrill, TenantRow};
use colophon_store::{Change, Report};
use serde::{Deserialize, Serialize};

use super::import::check;
use super::{Job, JobError, Site, tenant};
use crate::app::open_aside;
use crate::audit::By;
use crate::config::Config;
use crate::export::envelope::{Identity, Opener};
use crate::export::{
    ExportError, ExportKeys, Finding, Imported, Options, Place, PlaceUrl, RestoreError,
    RestoreOptions, identity_file, import, is_past, survey,
};

/// Restores exports for trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// Where they lie.
    pub from: PlaceUrl,
    /// Whose; none means every tenant's.
    #[serde(default)]
    pub tenants: Vec<TenantSlug>,
    /// What is said of the place beside its URL.
    #[serde(default)]
    pub options: Options,
}

/// What came of the drills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillReport {
    /// From where.
    pub from: PlaceUrl,
    /// Each tenant.
    pub tenants: Vec<Drilled>,
    /// Requests that the place was asked.
    pub requests: u64,
}

/// What came of one tenant's drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drilled {
    /// Whose.
    pub tenant: TenantSlug,
    /// The stable code of what went wrong; none when all is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong; empty when all is good. At most a hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Bags that were restored.
    pub bags: u64,
    /// Builds.
    pub builds: u64,
    /// Lines of the audit log.
    pub lines: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Refs that lead where they should.
    pub refs: u64,
    /// The commit at the tip of the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Oid>,
    /// How long it took.
    pub millis: Millis,
}

/// How long each part of a drill took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Millis {
    /// Checking the export.
    pub verify: u64,
    /// Restoring it.
    pub restore: u64,
    /// Checking what was restored.
    pub check: u64,
}

impl Drilled {
    /// Whether the export can be restored, and is what it should be.
    pub const fn is_good(&self) -> bool {
        self.code.is_none()
    }
}

impl Job for Drill {
    type Outcome = DrillReport;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<DrillReport, JobError> {
        let place =
            Place::open_there(&self.from, &site.config.export, &self.options, &site.press.secrets);
        let place = place.map_err(ExportError::from)?;
        let tenants = self.tenants(site)?;
        let mut done = Vec::with_capacity(tenants.len());
        for tenant in &tenants {
            done.push(drill(site, &place, tenant, report)?);
        }
        Ok(DrillReport { from: self.from.clone(), tenants: done, requests: place.traffic().0 })
    }
}

impl Drill {
    fn tenants(&self, site: Site<'_>) -> Result<Vec<TenantRow>, JobError> {
        let view = site.press.store.view()?;
        if self.tenants.is_empty() {
            let rows = view.scan::<TenantRow>(&());
            return Ok(rows.map(|row| row.map(|(_, tenant)| tenant)).collect::<Result<_, _>>()?);
        }
        self.tenants.iter().map(|slug| tenant(&view, slug)).collect()
    }
}

/// Most problems that are told.
const TOLD: usize = 100;

/// Restores the export of `tenant` at `place` in a folder beside the data, compares it with the export and with the
/// store that it is of, checks it as `fsck` and `audit verify` do, and deletes it. What came of it, good or not, is
/// written to the tenant's audit log. One maintenance job runs at a time, so one drill does.
///
/// # Errors
/// When the audit log cannot be written. What is wrong with the export is in the report.
pub fn drill(
    site: Site<'_>,
    place: &Place,
    tenant: &TenantRow,
    report: Report<'_>,
) -> Result<Drilled, JobError> {
    let mut done = Drilled {
        tenant: tenant.slug.clone(),
        code: None,
        problems: Vec::new(),
        bags: 0,
        builds: 0,
        lines: 0,
        blobs: 0,
        bytes: 0,
        refs: 0,
        tip: None,
        millis: Millis::default(),
    };
    let aside = Aside::make(&site.config.data);
    let tried = match &aside {
        Ok(aside) => attempt(site, place, tenant, (aside.0.as_path(), &mut done), report),
        Err(error) => Err(failure("drill-folder", &error.to_string())),
    };
    drop(aside);
    if let Err(Failure { code, problem }) = tried {
        (done.code, done.problems) = (Some(code), vec![problem]);
    } else if !done.problems.is_empty() {
        done.code = Some("drill-differs".to_owned());
        done.problems.truncate(TOLD);
    }
    write_down(site, place, tenant, &done)?;
    Ok(done)
}

/// Why a drill came to nothing.
struct Failure {
    code: String,
    problem: String,
}

fn failure(code: &str, problem: &str) -> Failure {
    Failure { code: code.to_owned(), problem: problem.to_owned() }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        failure(error.code(), &error.told())
    }
}

fn attempt(
    site: Site<'_>,
    place: &Place,
    tenant: &TenantRow,
    (dir, done): (&Path, &mut Drilled),
    report: Report<'_>,
) -> Result<(), Failure> {
    let own = identity_file(site.press, tenant, None);
    let own = own.map_err(|error| failure(error.code(), &error.told()))?;
    let own = own.and_then(|file| Identity::parse_all(&file.text).ok()).unwrap_or_default();
    let opener = Opener::new(own);
    // What is restored for trial exports nothing: it needs no keys.
    let export_keys = ExportKeys::Leave;
    let options =
        RestoreOptions { compare: true, opener, export_keys, ..RestoreOptions::default() };
    let with = (Some(&site.press.keys), &options);
    let begun = Instant::now();
    let found = survey(place, Some(&tenant.slug), &site.config.export, with, report)?;
    done.millis.verify = millis(begun);
    let Some(from) = found.first() else {
        return Err(failure("export-missing", "there is no export of the tenant"));
    };
    is_past(site.press, from)?;
    let begun = Instant::now();
    let made = open_aside(site.config, site.press, dir);
    let aside = made.map_err(|error| failure("drill-folder", &format!("{error:#}")))?;
    let here = (&aside, &site.config.export, dir);
    let restored = import(here, place, from, &options, report)?;
    done.millis.restore = millis(begun);
    count(done, restored);
    let begun = Instant::now();
    let config = Config { data: dir.to_owned(), ..site.config.clone() };
    let problems = check(Site { press: &aside, config: &config }, report);
    done.problems.extend(problems.map_err(|error| failure("drill-check", &error.to_string()))?);
    done.millis.check = millis(begun);
    Ok(())
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn count(done: &mut Drilled, from: Imported) {
    let Imported { bags, builds, lines, blobs, bytes, tip, compared, .. } = from;
    (done.bags, done.builds, done.lines, done.blobs) = (bags, builds, lines, blobs);
    (done.bytes, done.tip) = (bytes, tip);
    let compared = compared.unwrap_or_default();
    done.refs = compared.refs;
    let told = |Finding { at, problem }: &Finding| format!("`{at}` {problem}");
    done.problems.extend(compared.findings.iter().map(told));
}

fn write_down(
    site: Site<'_>,
    place: &Place,
    tenant: &TenantRow,
    done: &Drilled,
) -> Result<(), JobError> {
    let act = By::here().did(Action::ExportDrill, Subject::new("place", place.url()));
    let act = act.with("bags", done.bags).with("builds", done.builds).with("lines", done.lines);
    let act = act.with("blobs", done.blobs).with("refs", done.refs).with("bytes", done.bytes);
    let Millis { verify, restore, check } = done.millis;
    let act = act.with("millis", verify + restore + check);
    let act = match (&done.code, done.problems.first()) {
        (Some(code), why) => {
            let why: String = why.map_or_else(String::new, |why| why.chars().take(500).collect());
            act.came_to(Outcome::Failed(code.clone())).with("why", why)
        }
        (None, _) => act,
    };
    let (press, key) = (site.press, (tenant.uid, place.id()));
    press.metrics.drilled(done.is_good());
    let tried = press.clock.now();
    let before = press.store.view()?.get::<ExportDrill>(&key)?.and_then(|row| row.good);
    let good = if done.is_good() { Some(tried) } else { before };
    let mut change = Change::new();
    change.put(&key, &ExportDrill { tried, good });
    let written = press.write(change, Chain::Tenant(tenant.uid), &[act]);
    Ok(written.map_err(colophon_store::Error::from)?)
}

/// The folder of a drill. What one that was killed has left is taken away by the next.
struct Aside(PathBuf);

impl Aside {
    fn make(data: &Path) -> std::io::Result<Self> {
        forget_drill(data)?;
        let dir = folder(data);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "the folder of a drill was not deleted; the next one does it");
        }
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("drill")
}

/// Takes away what a drill that was killed has left in a data directory: all of a tenant is there.
///
/// # Errors
/// When it cannot be deleted.
pub(crate) fn forget_drill(data: &Path) -> std::io::Result<()> {
    remove(&folder(data))
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
