//! The audit log as the service keeps it: who acts, acts that are gathered before they are written down,
//! checkpoints, and the check of it all.
//!
//! An act that changes something is written down in its own transaction ([`colophon_store::audit::append`]). One
//! that changes nothing (an unchanged flow, a read, a refused credential) is gathered with its like and written down a
//! little later ([`Gathered`]): a log must not make reading as costly as writing.

mod by;
mod checkpoint;
mod gather;
mod read;
mod verify;

pub use by::By;
pub use checkpoint::{checkpoint_all, origin_of};
pub use gather::{Gathered, Window};
pub use read::{Page, Shown, Wanted, lines, newest_checkpoint, page};
pub use verify::{ChainReport, Verified, verify, verify_lines};

use colophon_model::audit::{Act, Chain};
use colophon_store::{Change, CommitError, Error, View, audit};

use crate::pipeline::Press;

impl Press {
    /// Writes `acts` down in their chain, which is all there is to do.
    ///
    /// # Errors
    /// When the store cannot be read or has stopped, or the disk is full.
    pub fn write_down(&self, chain: Chain, acts: &[Act]) -> Result<(), Error> {
        loop {
            let lane = self.store.lane(chain.uid());
            let (view, mut change) = (lane.view()?, Change::new());
            if !self.has_chain(&view, chain)? {
                return Ok(()); // the tenant was erased meanwhile, and its log with it
            }
            audit::append(&mut change, &view, chain, acts, self.clock.now())?;
            match lane.submit(change).wait() {
                Err(CommitError::Conflict(_)) => {} // another act came first
                done => return Ok(done?),
            }
        }
    }

    fn has_chain(&self, view: &View, chain: Chain) -> Result<bool, Error> {
        match chain {
            Chain::System => Ok(true),
            Chain::Tenant(uid) => Ok(view.get::<colophon_store::rows::SlugOf>(&uid)?.is_some()),
        }
    }
}
