//! The audit log as the service keeps it: who acts, acts that are gathered before they are written down,
//! checkpoints, and the check of it all.
//!
//! An act that changes something is written down in its own transaction ([`colophon_store::audit::append`]). One
//! that changes nothing (an unchanged flow, a read, a refused credential) is gathered with its like and written down a
//! little later ([`Gathered`]): a log must not make reading as costly as writing.

mod builds;
mod by;
mod checkpoint;
mod gather;
mod read;
mod requests;
mod verify;
mod writer;

pub use builds::builds_made;
pub use by::{By, as_job};
pub use checkpoint::{checkpoint_all, origin_of};
pub use gather::{Gathered, Window};
pub use read::{Page, Shown, Wanted, lines, newest_checkpoint, page};
pub use verify::{ChainReport, Verified, verify, verify_lines};
pub use writer::AuditWriter;

use colophon_model::audit::{Act, Action, Chain, Subject};
use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::SlugOf;
use colophon_store::{Change, CommitError, Error, Table, View, audit};

use crate::fair;
use crate::pipeline::Press;

/// Adds to `change`, which rests on `view`, that whoever is at work here did `action` to `subject` of a tenant.
///
/// # Errors
/// When the tenant's chain cannot be read.
pub fn done(
    change: &mut Change,
    view: &View,
    tenant: TenantUid,
    (action, subject): (Action, Subject),
    now: UnixMillis,
) -> Result<(), Error> {
    audit::append(change, view, Chain::Tenant(tenant), &[By::here().did(action, subject)], now)
}

impl Press {
    /// Writes `acts` down in their chain, which is all there is to do. A tenant that was erased meanwhile has
    /// no chain any more.
    ///
    /// # Errors
    /// When the store has stopped or the disk is full.
    pub fn write_down(&self, chain: Chain, acts: &[Act]) -> Result<(), CommitError> {
        self.write(Change::new(), chain, acts)
    }

    /// Does `change`, and writes `acts` down in the same transaction. A tenant that was erased meanwhile has no chain
    /// any more, and then nothing is done.
    ///
    /// # Errors
    /// As [`Self::write_down`]; a conflict is one of the change's own.
    pub(crate) fn write(
        &self,
        mut change: Change,
        chain: Chain,
        acts: &[Act],
    ) -> Result<(), CommitError> {
        if let Chain::Tenant(uid) = chain {
            let slug = self.store.view().and_then(|view| view.get::<SlugOf>(&uid));
            let Some(slug) = slug.map_err(audit::unreadable)? else { return Ok(()) };
            change.expect(&uid, Some(&slug));
        }
        let now = self.clock.now();
        // It waits for a lane, which nobody with a turn on a processor may do.
        match fair::aside(|| audit::commit(&self.store, chain, &change, acts, now)) {
            Err(CommitError::Conflict(at)) if at.table == Table::Slug => Ok(()), // erased in this moment
            done => done,
        }
    }

    /// Writes `act` down, which has been done already, and rarely is: on a full disk it may take of the reserve, as
    /// maintenance does. What cannot be written even so is gathered, and tried again.
    pub fn write_down_or_keep(&self, chain: Chain, act: Act) {
        let (mut change, acts) = (Change::new(), [act]);
        change.use_reserve();
        if let Err(error) = self.write(change, chain, &acts) {
            tracing::warn!(error = %crate::http::chain(&error), "the audit log was not written; it is tried again");
            self.gathered.put_back(chain, acts.into(), self.clock.now());
        }
    }
}
