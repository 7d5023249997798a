//! What is told of builds after they were made: lists, files, differences, and what the gates said. For HTTP
//! and the command line alike.

mod diff;
mod files;
mod list;
mod log;

use colophon_model::{BuildId, BuildRecord, TenantUid};
use colophon_store::{Error, View};

pub use diff::{Change, Diff, DiffFile, Omitted, Side};
pub use files::{BuildFile, BuildFiles};
pub use list::{BuildFilter, BuildPage, BuildSummary, Kind, Outcome, PAGE};
pub use log::{BuildLog, GateLog};

/// The tenant's build with this id.
pub fn find(view: &View, tenant: TenantUid, id: BuildId) -> Result<Option<BuildRecord>, Error> {
    view.get::<BuildRecord>(&(tenant, id))
}
