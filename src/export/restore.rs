//! A tenant made again from its export, where there is none of that name (docs/export.md, "Restore").
//!
//! 1. [`survey`] checks the export as an auditor does, all of it, before anything is written.
//! 2. [`import`] writes rows and blobs under the tenant's uid. Nobody sees them: the tenant has no name and no head.
//!    A row (`import-1`) remembers what is under way, so that the next attempt goes on, or begins anew when the export
//!    is another one meanwhile.
//! 3. Git objects are made again from the records, with the signatures in them, and compared with the ids that the
//!    records and bundles name.
//! 4. The last transaction gives the tenant its name, and writes down that it was imported.
//!
//! What is read a second time is compared again with the hashes that were found good: whoever can write at the place
//! gains nothing by waiting.

mod begin;
mod blobs;
mod builds;
mod compare;
mod error;
mod finish;
mod first;
mod flows;
mod lines;
mod refs;
mod report;
mod source;
mod writer;

use colophon_model::TenantSlug;
use colophon_store::rows::{ExportKey, TenantRow};
use colophon_store::{Progress, Report};
use colophon_trust::attest::PublicKey;
use tokio::runtime::Runtime;

use super::envelope::{Identity, Opener};
use super::error::ExportError;
use super::keyring;
use super::layout;
use super::place::Place;
use super::verify::{Proven, Verified, VerifyOptions, examine, folders, reader};
use crate::config::ExportConfig;
use crate::keys::MasterKey;
use crate::pipeline::Press;
use crate::projection::Restore;
use begin::begin;
use builds::Builds;
use flows::Flows;
use source::Source;

pub use begin::check_free;
pub use compare::Compared;
pub use error::RestoreError;
pub use report::{Imported, Missing};

/// How an import is asked for.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The key that must have signed the export. None: that of the server's master key.
    pub key: Option<PublicKey>,
    /// Believe the key that lies at the place.
    pub key_as_found: bool,
    /// Compare what was restored with the export, and check the store.
    pub compare: bool,
    /// Opens what is sealed.
    pub opener: Opener,
    /// What becomes of the keys that sealed it.
    pub export_keys: ExportKeys,
}

/// What becomes of the keys that sealed what is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExportKeys {
    /// Sealed exports go on with the newest.
    #[default]
    Keep,
    /// Sealed exports go on with a new one; those are kept for what they sealed.
    Replace,
    /// They are not kept: nothing is exported from here.
    Leave,
}

/// An export that was checked and found good.
pub struct Surveyed {
    folder: String,
    /// What the check has found.
    pub verified: Verified,
    proven: Proven,
    tenant: TenantRow,
}

impl Surveyed {
    /// Whose.
    pub const fn tenant(&self) -> &TenantRow {
        &self.tenant
    }
}

/// Checks exports at `place`: that of `tenant`, or all. Writes nothing.
///
/// # Errors
/// [`RestoreError::NotGood`] when anything is wrong with one, [`RestoreError::UntrustedKey`] when nobody vouches for
/// the key.
pub fn survey(
    place: &Place,
    tenant: Option<&TenantSlug>,
    config: &ExportConfig,
    (keys, options): (Option<&MasterKey>, &RestoreOptions),
    report: Report<'_>,
) -> Result<Vec<Surveyed>, RestoreError> {
    runtime()?.block_on(async {
        let mut found = Vec::new();
        for folder in folders(place, tenant, config).await? {
            found.push(one(place, folder, config, (keys, options), report).await?);
        }
        Ok(found)
    })
}

async fn one(
    place: &Place,
    folder: String,
    config: &ExportConfig,
    (keys, options): (Option<&MasterKey>, &RestoreOptions),
    report: Report<'_>,
) -> Result<Surveyed, RestoreError> {
    let carrier = reader(place, folder.clone(), config);
    let own = keys.map(|keys| keys.export_key().public());
    let key = options.key.or(if options.key_as_found { None } else { own });
    if key.is_none() && !options.key_as_found {
        return Err(RestoreError::UntrustedKey { claimed: None });
    }
    let (concurrency, opener) = (config.concurrency, options.opener.clone());
    let how = VerifyOptions { key, percent: 100, concurrency, opener };
    let (verified, proven) = examine(&carrier, folder.clone(), &how, report).await?;
    let Some(proven) = proven.filter(|_| verified.is_clean()) else {
        return Err(error::not_good(&carrier, verified, options.key.is_none()).await);
    };
    let is_erased = verified.erased.iter().any(|erased| !erased.came_to_nothing);
    if let Some(erased) = verified.tenant.as_ref().filter(|_| is_erased) {
        return Err(RestoreError::Erased(erased.clone()));
    }
    if verified.unopened > 0 {
        // The first one that is missing.
        let missing = verified.sealed.iter().find(|key| !options.opener.has(key));
        let key = missing.map(ToString::to_string).unwrap_or_default();
        return Err(RestoreError::Sealed { at: folder, key });
    }
    let source = Source::new(&carrier, &options.opener);
    let tenant = source.tenant(&proven).await?;
    Ok(Surveyed { folder, verified, proven, tenant })
}

fn runtime() -> Result<Runtime, RestoreError> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(RestoreError::Aside)
}

/// Makes the tenant of an export that was found good. All of it is there when this returns, or nothing is to be seen.
///
/// # Errors
/// [`RestoreError`]. The next attempt goes on with what was written.
pub fn import(
    (press, config, aside): (&Press, &ExportConfig, &std::path::Path),
    place: &Place,
    from: &Surveyed,
    options: &RestoreOptions,
    report: Report<'_>,
) -> Result<Imported, RestoreError> {
    let done = write((press, config, aside), place, from, options, report);
    if done.as_ref().is_err_and(RestoreError::is_final) {
        // Nothing of what cannot become a tenant stays; what fails here stays until it is discarded.
        let uid = from.tenant.uid;
        if let Err(error) = press.store.discard_import(uid, press.clock.now(), report) {
            tracing::warn!(%error, "what is left of an import was not taken away");
        }
    }
    done
}

fn write(
    (press, config, aside): (&Press, &ExportConfig, &std::path::Path),
    place: &Place,
    from: &Surveyed,
    options: &RestoreOptions,
    report: Report<'_>,
) -> Result<Imported, RestoreError> {
    let runtime = runtime()?;
    let carrier = reader(place, from.folder.clone(), config);
    let source = Source::new(&carrier, &options.opener);
    let same_key = press.keys.export_key().public().id() == from.verified.key;
    let edge = runtime.block_on(source.edge(&from.proven))?.filter(|_| same_key);
    let begun = begin(press, place, from, edge.is_some(), report)?;
    let mut done = Imported::of(from, begun.resumed, same_key);
    let sealing = sealing_keys(press, from, options)?;
    done.export_key = sealing.as_ref().and_then(|row| row.id.parse().ok());
    runtime.block_on(first::first(press, &source, from))?;
    let rotations = runtime.block_on(lines::lines(press, &source, from, report))?;
    let mut builds = Builds::new(press, &source, from, config.concurrency);
    runtime.block_on(builds.run(report))?;
    (done.blobs, done.bytes) = (builds.written, builds.bytes);
    let flows: Flows = builds.flows;
    let tags = runtime.block_on(refs::tags(&source, from))?;
    let tip =
        from.proven.head.cursor.tip.ok_or_else(|| error::content(layout::HEAD, "names no tip"))?;
    if !same_key {
        let keys = runtime.block_on(source.keys(&from.proven))?;
        finish::former_keys(press, from, &keys)?;
    }
    let (store, tenant, count) = (&press.store, &from.tenant, from.proven.head.cursor.builds);
    let git = Restore { store, dir: aside, tenant, builds: count, tags: &tags, tip }.run(report)?;
    (done.objects, done.tags) = (git.objects.into(), git.tags);
    report(Progress { stage: "finishing", done: 0, total: None });
    done.edge_kept = finish::finish(
        press,
        place,
        from,
        finish::Facts { flows, objects: git.objects, edge, rotations, sealing, begun: &begun.row },
    )?;
    done.missing = report::missing(&done);
    if options.compare {
        done.compared = Some(compare::compare((press, &runtime), &source, from, &tags, report)?);
    }
    Ok(done)
}

/// The keys that sealed what is restored, as this server keeps them. None when nothing is sealed, or they are not to be kept.
fn sealing_keys(
    press: &Press,
    from: &Surveyed,
    options: &RestoreOptions,
) -> Result<Option<ExportKey>, RestoreError> {
    let held = from.verified.sealed.iter().filter_map(|key| options.opener.identity(key));
    let mut held: Vec<Identity> = held.cloned().collect();
    match options.export_keys {
        ExportKeys::Leave => return Ok(None),
        ExportKeys::Replace if !held.is_empty() => {
            held.push(Identity::generate().map_err(|_| ExportError::Key)?);
        }
        ExportKeys::Keep | ExportKeys::Replace => {}
    }
    let Some((current, former)) = held.split_last() else { return Ok(None) };
    let now = press.clock.now();
    Ok(Some(keyring::given(&press.keys, from.tenant.uid, (former, current), now)?))
}

/// Whether what was exported is of the past of this store.
///
/// # Errors
/// [`ExportError::Diverged`] when it is not.
pub fn is_past(press: &Press, from: &Surveyed) -> Result<(), RestoreError> {
    let view = press.store.view()?;
    Ok(super::increment::check_past(&view, &from.tenant, &from.proven.head.cursor)?)
}

/// Whether an object of the export belongs to the tenant, whatever is signed.
fn check(good: bool, at: impl Into<String>, problem: &str) -> Result<(), RestoreError> {
    if good { Ok(()) } else { Err(error::content(at, problem)) }
}

impl From<ExportError> for RestoreError {
    fn from(error: ExportError) -> Self {
        Self::Place(Box::new(error))
    }
}
