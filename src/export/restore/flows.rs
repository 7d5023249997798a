//! What the flows are after their builds: the rows that decide about the next delivery.

use std::collections::BTreeMap;

use colophon_model::{BuildKind, BuildRecord, EdgeManifest, FlowId};
use colophon_store::rows::{EdgeHead, FlowGone, FlowHead};

use crate::export::edge::Floor;
use crate::projection::commits;

/// Flows that stand, and flows that were deleted.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub(super) heads: BTreeMap<FlowId, FlowHead>,
    pub(super) gone: BTreeMap<FlowId, FlowGone>,
}

/// What of a flow goes on through its builds.
#[derive(Default)]
struct Before {
    revision: Option<u64>,
    edge_seq: u64,
    ordered: Option<colophon_model::UnixMillis>,
}

impl Flows {
    /// Takes one more build, in the order of their numbers. `manifest` is what its bundle says of itself.
    pub(super) fn after(&mut self, record: &BuildRecord, manifest: Option<EdgeManifest>) {
        if record.failure.is_some() {
            return;
        }
        let flow = record.flow.clone();
        let head = self.heads.remove(&flow);
        let gone = self.gone.remove(&flow);
        let before = before(head.as_ref(), gone.as_ref());
        if record.kind == BuildKind::Deletion {
            self.gone.insert(flow, deleted(record, &before));
            return;
        }
        let edge = record.outputs.iter().find_map(|output| output.edge.clone()).zip(manifest);
        let edge = edge.map(|(output, manifest)| EdgeHead { output, manifest });
        // A rebuild and a rollback leave the order of deliveries as it is.
        let moves = matches!(record.kind, BuildKind::Delivery | BuildKind::Reverted { .. });
        let head = FlowHead {
            build: record.id,
            key: record.key,
            plan: record.plan,
            body: record.body,
            revision: record.revision.max(before.revision),
            manifest: commits::flow_manifest(record),
            edge_seq: edge.as_ref().map_or(0, |edge| edge.output.seq).max(before.edge_seq),
            edge,
            min_seq: None,
            env: None,
            env_seq: 0,
            ordered: before.ordered.max(moves.then_some(record.received)),
        };
        self.heads.insert(flow, head);
    }

    /// Lets agents not go below what they were told.
    pub(super) fn raise(&mut self, floors: &BTreeMap<FlowId, Floor>) {
        for (flow, floor) in floors {
            if let Some(head) = self.heads.get_mut(flow) {
                (head.min_seq, head.env_seq) = (floor.min_seq, floor.env_seq);
            }
            if let Some(gone) = self.gone.get_mut(flow) {
                gone.env_seq = floor.env_seq;
            }
        }
    }
}

fn before(head: Option<&FlowHead>, gone: Option<&FlowGone>) -> Before {
    match (head, gone) {
        (Some(FlowHead { revision, edge_seq, ordered, .. }), _)
        | (None, Some(FlowGone { revision, edge_seq, ordered, .. })) => {
            Before { revision: *revision, edge_seq: *edge_seq, ordered: *ordered }
        }
        (None, None) => Before::default(),
    }
}

fn deleted(record: &BuildRecord, before: &Before) -> FlowGone {
    FlowGone {
        build: record.id,
        revision: before.revision,
        edge_seq: before.edge_seq,
        env_seq: 0,
        ordered: before.ordered.max(Some(record.received)),
    }
}
