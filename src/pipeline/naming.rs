//! Which id a flow has within its tenant.

use colophon_compiler::Plan;
use colophon_model::{FlowId, TenantUid};
use colophon_store::View;
use colophon_store::rows::{FlowClaim, FlowOwner};

use super::BuildError;

/// Ids tried before giving up. Each is a 32-bit hash: a second collision is an attack, a third one
/// does not happen.
const ATTEMPTS: u32 = 16;

/// The id that the flow was given at its first build, or the one it would be given now: the
/// Builder's own slug, else one made from the name, else that with a hash of where it comes from.
pub(super) fn flow_id(view: &View, uid: TenantUid, plan: &Plan) -> Result<FlowId, BuildError> {
    let origin = (uid, plan.source(), plan.native.clone());
    if let Some(FlowClaim { flow }) = view.get::<FlowClaim>(&origin)? {
        return Ok(flow);
    }
    let wanted = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
    let hashed = |n| wanted.disambiguated(plan.source(), &plan.native, n);
    for id in std::iter::once(wanted.clone()).chain((0..ATTEMPTS).map(hashed)) {
        if view.get::<FlowOwner>(&(uid, id.clone()))?.is_none() {
            return Ok(id);
        }
    }
    Err(BuildError::NoFreeName { wanted })
}
