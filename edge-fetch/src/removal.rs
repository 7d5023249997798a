//! What an archived tenant leaves behind: nothing but the enrolment.

use colophon_model::FlowId;

use crate::{Cache, Error, disk, gc};

/// Removes every flow, and all that was downloaded; returns the flows. The enrolment, the pinned root
/// and the verified metadata stay, so that an older repository is still refused, and a tenant that is
/// restored is followed. A removal that is cut off is finished by the next one.
pub(crate) fn remove_flows(cache: &Cache) -> Result<Vec<FlowId>, Error> {
    let flows = cache.flows()?;
    for flow in &flows {
        let folder = cache.flow(flow);
        // First what says that something is active, so that nothing half removed is.
        disk::remove(&folder.join("state.json"))?;
        disk::remove(&folder.join("current"))?;
        // Or a power cut could bring the pointer back and not what it names.
        disk::sync_folder(&folder)?;
        disk::remove_folder(&folder)?;
    }
    gc::remove_downloads(cache)?;
    Ok(flows)
}
