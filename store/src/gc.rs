//! Garbage collection: what no row names is condemned, deleted a grace later, and its space given
//! back.
//!
//! 1. Mark, on one snapshot: which blobs the rows of each tenant name.
//! 2. Condemn the memberships that nothing names; lift the sentence of those that are named again.
//! 3. Delete memberships condemned in an earlier pass, if they are still condemned in the deleting
//!    transaction: whatever names a blob again lifts its sentence in its own transaction.
//! 4. Delete blobs that no tenant is a member of, between two groups of the writer, so that no
//!    change is half way to naming one. What rests on one of them is stored by itself before.
//! 5. Move what lives in mostly dead segments, and remove those once no lease can read them.
//!
//! Correct whatever the clock says: the grace only gives time to notice a mistake.

mod compact;
mod detach;
mod mark;
mod sweep;

pub(crate) use compact::{Compaction, Retired};
pub(crate) use detach::{Detached, Unreadable, Way, commit as commit_detached, detach};
pub(crate) use mark::orphans;
pub(crate) use sweep::delete_blobs;

use colophon_model::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::progress::{Progress, Report};
use crate::space::is_full;
use crate::{Error, Pace, Store};

/// Metadata up to this size, in bytes, is left as it is.
const SMALL_METADATA: u64 = 64 << 20;

/// How a collection goes about it.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// The time.
    pub now: UnixMillis,
    /// How long a blob stays condemned before it is deleted, in milliseconds.
    pub grace_millis: u64,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Sealed segments with a smaller share of live bytes are compacted, in percent.
    pub compact_below: u32,
    /// The metadata is written anew when less of its file is live, in percent, and it is larger than
    /// 64 MiB. Builds wait while it is copied, some seconds per gigabyte. 0: never.
    pub rewrite_below: u32,
    /// Most bytes that compaction moves in this pass.
    pub budget_bytes: u64,
    /// How much of the time it takes.
    pub pace: Pace,
}

impl GcOptions {
    /// A day's grace, segments under half live compacted, metadata under 60 % live written anew, all
    /// the time it needs.
    pub const fn at(now: UnixMillis) -> Self {
        Self {
            now,
            grace_millis: 24 * 60 * 60 * 1000,
            dry_run: false,
            compact_below: 50,
            rewrite_below: 60,
            budget_bytes: u64::MAX,
            pace: Pace::FULL,
        }
    }
}

/// What a collection found and did; with `dry_run`, what it would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Blobs in the store before.
    pub blobs: u64,
    /// Their size before compression, in bytes.
    pub blob_bytes: u64,
    /// Their size as they are stored, in bytes: frames in segments, and payloads in the metadata.
    pub stored_bytes: u64,
    /// Blobs of them that are stored as what differs from another.
    pub deltas: u64,
    /// Memberships (a blob of a tenant) that rows name.
    pub reached: u64,
    /// Memberships that became condemned.
    pub condemned: u64,
    /// Memberships that were condemned and are named again.
    pub resurrected: u64,
    /// Memberships that stay condemned until their grace is over.
    pub waiting: u64,
    /// Memberships that were deleted.
    pub released: u64,
    /// Memberships due for deletion that a reader from before this pass still holds.
    pub deferred: u64,
    /// Blobs that were stored by themselves, since what they rested on was to go.
    pub detached: u64,
    /// Blobs that were deleted.
    pub deleted: u64,
    /// Encoded bytes of those.
    pub deleted_bytes: u64,
    /// Tenants whose blobs were left alone because a damaged row or tree hides what they name.
    pub held_tenants: u64,
    /// Blobs that rows name and the store does not have. `fsck` says which.
    pub missing: u64,
    /// Segments that were emptied and given up.
    pub compacted_segments: u64,
    /// Segments that were to be emptied and that the disk did not give whole. They stay.
    pub unreadable_segments: u64,
    /// Live bytes that were moved out of them.
    pub moved_bytes: u64,
    /// Bytes of segment files that come back, those that wait for a reader included.
    pub freed_bytes: u64,
    /// Segments given up that a reader still holds.
    pub retired_segments: u64,
    /// Size of the metadata before, in bytes.
    pub metadata_bytes: u64,
    /// What of it is live.
    pub metadata_live_bytes: u64,
    /// Whether it was written anew.
    pub metadata_rewritten: bool,
}

impl Store {
    /// Collects garbage once.
    ///
    /// # Errors
    /// [`Error::Busy`] while other maintenance runs. Any other error leaves what was done so far,
    /// which is safe, and the next pass goes on from there.
    pub fn gc(&self, options: &GcOptions, report: Report<'_>) -> Result<GcReport, Error> {
        let _turn = self.maintenance()?;
        report(Progress::begin("marking"));
        let barrier = self.leases().barrier();
        let marked = mark::mark(&self.view()?, options)?;
        let mut found = marked.report(options.dry_run);
        if !options.dry_run {
            sweep::sweep(self, &marked, &barrier, options, report, &mut found)?;
        }
        let compaction = Compaction {
            below: options.compact_below,
            budget_bytes: options.budget_bytes,
            dry_run: options.dry_run,
            pace: options.pace,
        };
        compaction.run(self, report, &mut found)?;
        self.rewrite_sparse_metadata(options, report, &mut found)?;
        Ok(found)
    }

    /// redb gives no page back to the file system: what was deleted is only used again.
    fn rewrite_sparse_metadata(
        &self,
        options: &GcOptions,
        report: Report<'_>,
        found: &mut GcReport,
    ) -> Result<(), Error> {
        let usage = self.rows().usage().map_err(Error::Read)?;
        (found.metadata_bytes, found.metadata_live_bytes) = (usage.total, usage.live);
        let sparse =
            usage.live.saturating_mul(100) < usage.total * u64::from(options.rewrite_below);
        found.metadata_rewritten = sparse && usage.total > SMALL_METADATA;
        if found.metadata_rewritten && !options.dry_run {
            report(Progress::begin("rewriting metadata"));
            self.rewrite_metadata()?;
        }
        Ok(())
    }

    /// Copies all rows to a new file while builds wait.
    pub(crate) fn rewrite_metadata(&self) -> Result<(), Error> {
        let fits = self.writer().alone(|committer| match committer.kv.rewrite() {
            Err(error) if is_full(&error) => Ok(false),
            done => done.map(|()| true),
        })?;
        if fits { Ok(()) } else { Err(self.refusal().into()) }
    }
}
