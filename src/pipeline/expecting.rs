//! Whether a flow is as somebody expects it who changes it.

use colophon_model::FlowId;
use colophon_store::View;
use colophon_store::rows::{FlowHead, TenantRow};

use super::BuildError;
use crate::expected::Expected;

/// Refuses when the flow's current build is none of those expected. Call it in the lane of the tenant.
pub(super) fn check_expected(
    view: &View,
    tenant: &TenantRow,
    flow: &FlowId,
    expected: &Expected,
) -> Result<(), BuildError> {
    if *expected == Expected::Anything {
        return Ok(());
    }
    let head = view.get::<FlowHead>(&(tenant.uid, flow.clone()))?;
    let head = head.ok_or_else(|| BuildError::NoFlow { flow: flow.clone() })?;
    if expected.is_met(Some(&head.build.to_string())) {
        return Ok(());
    }
    Err(BuildError::Unexpected { flow: flow.clone() })
}
