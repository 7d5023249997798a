//! What follows a build: work that its transaction asks for, and that is done after it.

use colophon_model::{TenantUid, UnixMillis};
use colophon_store::rows::Effect;
use colophon_store::{Change, Error, View, outbox};

use super::Press;

impl Press {
    /// Adds to `change`, which makes a build, that it is to be pushed to the tenant's mirror, and exported.
    pub(super) fn follow(
        &self,
        change: &mut Change,
        view: &View,
        tenant: TenantUid,
        now: UnixMillis,
    ) -> Result<(), Error> {
        outbox::refs_changed(change, view, tenant, now)?;
        if self.export_builds {
            outbox::request(change, view, tenant, Effect::Export, now)?;
        }
        Ok(())
    }
}
