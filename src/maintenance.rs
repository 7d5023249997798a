//! Maintenance jobs: what an operator asks for, as JSON, done here or by the server that holds the
//! data directory.

mod audit;
mod backup;
mod ceremony;
mod compliance;
mod drill;
mod edge;
mod erase;
mod export;
mod export_key;
mod fsck;
mod gc;
mod import;
mod purge;
mod rebuild;
mod recompile;
mod shred;

use std::borrow::Cow;
use std::path::PathBuf;

use colophon_model::TenantSlug;
use colophon_model::audit::{Action, Chain, Outcome, Subject};
use colophon_store::rows::TenantRow;
use colophon_store::{Progress, Report, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::audit::By;
use crate::config::Config;
use crate::export::{ExportError, RestoreError};
use crate::feed::pool::PoolError;
use crate::feed::rotate::RotateError;
use crate::pipeline::{BuildError, Press};
use crate::projection::RebuildError;

pub use audit::{AuditCheckpoint, AuditVerify, Checkpointed};
pub use backup::{BackedUp, Backup};
pub use ceremony::{ImportRoots, RequestRoots};
pub use compliance::{Export, ExportReport, FailedExport};
pub use drill::{Drill, DrillReport, Drilled, Millis, drill};
pub use edge::{
    Archive, EndingRoot, FailedTenant, Resign, ResignReport, Rollback, RolledBack, Rotate, chosen,
};
pub use erase::{ERASURE_TYPE, Erase, ErasureReport, Outside, Statement};
pub use export::{Exported, GitBundle, GitExport, OutError};
pub use export_key::{ExportIdentity, ExportKeyRotated, Revealed, RotateExportKey};
pub use fsck::Fsck;
pub use gc::Gc;
pub use import::{Discarded, FailedImport, Identities, Import, ImportReport};
pub use purge::{Purge, Purged};
pub use rebuild::GitRebuild;
pub use recompile::{FailedFlow, Recompile, RecompileReport};
pub use shred::records::write_missing as write_missing_records;
pub use shred::{RecordFate, Shredded};

/// A job and what it was asked to do.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// What came of it.
    type Outcome: Serialize + DeserializeOwned + Send + 'static;

    /// Largest job as JSON that a server takes, in bytes.
    const MAX_REQUEST: usize = 16 * 1024;

    /// How the audit log calls it, if it is one that the log tells of as a whole. What is written down for a
    /// tenant is so where it is done.
    fn act(&self) -> Option<(Action, Subject)> {
        None
    }

    /// Does the job to its end. Blocks. Whoever wants it written down calls [`perform`].
    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Self::Outcome, JobError>;
}

/// Does the job to its end, and writes down that it was done.
///
/// # Errors
/// Those of the job. What cannot be written now is written later, see [`Press::write_down_or_keep`].
pub fn perform<J: Job>(
    job: &J,
    site: Site<'_>,
    report: Report<'_>,
) -> Result<J::Outcome, JobError> {
    let done = job.run(site, report);
    if let Some((action, subject)) = job.act() {
        let act = By::here().did(action, subject);
        let act = match &done {
            Ok(_) => act,
            Err(error) => act.came_to(Outcome::Failed("job-failed".to_owned())).with("why", error),
        };
        site.press.write_down_or_keep(Chain::System, act);
    }
    done
}

/// Where a job is done.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The store, the keys and the time.
    pub press: &'a Press,
    /// The configuration that holds there.
    pub config: &'a Config,
}

/// Why a job was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    Unknown(TenantSlug),
    /// The tenant was erased before.
    #[error("tenant `{0}` has been erased already")]
    Erased(TenantSlug),
    /// An erasure was not confirmed.
    #[error(
        "erasing tenant `{slug}` cannot be undone and is confirmed by its name; what was given is \
         `{given}`"
    )]
    Unconfirmed {
        /// The tenant.
        slug: TenantSlug,
        /// What was given in place of its name.
        given: String,
    },
    /// The tenant is under legal hold.
    #[error("tenant `{0}` is under legal hold; `colophon tenant release {0}` lifts it")]
    Held(TenantSlug),
    /// What would let somebody read the tenant's exports after its erasure could not be destroyed.
    #[error(
        "tenant `{slug}` was not erased, since its sealed exports would not be shredded by it: {}; when that is to be \
         done by hand, `--leave-keys` goes on and says so in the report",
        .left.join("; ")
    )]
    KeysLeft {
        /// The tenant.
        slug: TenantSlug,
        /// What is there still, or could not be written, and why.
        left: Vec<String>,
    },
    /// The tenant's exports have no key.
    #[error(
        "nothing of tenant `{0}` was exported sealed, so there is no key; `export.encrypt` turns that on"
    )]
    NoKey(TenantSlug),
    /// The tenant's exports have keys, and not that one.
    #[error("nothing of tenant `{0}` was exported sealed with key {1}")]
    OtherKey(TenantSlug, String),
    /// A directory that a server cannot find without knowing where the caller stands.
    #[error("`{0}` is not an absolute path")]
    Relative(PathBuf),
    /// A backup or an export inside of what it is made from.
    #[error(
        "`{dir}` is inside the data directory `{data}`; name a path outside, best on another disk"
    )]
    Inside {
        /// The directory.
        dir: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
    /// A rebuild with templates that the server does not have.
    #[error("the server compiles with other templates than those named; start it again with these")]
    OtherTemplates,
    /// The threads that compile could not be started.
    #[error("the threads that compile could not be started")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// Flows could not be built again.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A tenant's Git objects were not made anew.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// A role was not given a new key.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// A ceremony cannot be asked, or its result not be taken.
    #[error(transparent)]
    Pool(Box<PoolError>),
    /// A repository or bundle was not written.
    #[error(transparent)]
    Out(#[from] OutError),
    /// What a tenant built was not exported.
    #[error("{}", .0.told())]
    Export(Box<ExportError>),
    /// A tenant was not restored from its export.
    #[error("{}", .0.told())]
    Import(Box<RestoreError>),
    /// A statement about the job could not be written.
    #[error("the report could not be encoded")]
    Encoding(#[from] serde_json::Error),
}

impl From<ExportError> for JobError {
    fn from(error: ExportError) -> Self {
        Self::Export(Box::new(error))
    }
}

impl From<RestoreError> for JobError {
    fn from(error: RestoreError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl From<PoolError> for JobError {
    fn from(error: PoolError) -> Self {
        Self::Pool(Box::new(error))
    }
}

/// The tenant of that name.
fn tenant(view: &View, slug: &TenantSlug) -> Result<TenantRow, JobError> {
    view.get::<TenantRow>(slug)?.ok_or_else(|| JobError::Unknown(slug.clone()))
}

/// One line of a job that a server does: steps, and at the end what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line<T> {
    /// How far it is.
    Progress(Step),
    /// What came of it; the last line.
    Result(T),
    /// Why nothing came of it, as a problem (RFC 9457); the last line.
    Error(serde_json::Value),
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is being done, a short phrase.
    pub stage: Cow<'static, str>,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, as far as it is known.
    pub total: Option<u64>,
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        let Progress { stage, done, total } = progress;
        Self { stage: stage.into(), done, total }
    }
}
