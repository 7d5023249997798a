//! An older bundle of a flow under a new number: a build of its own, which compiles nothing.
//!
//! The branch keeps the flow's files as they are, since they are what the flow compiles to; its manifest
//! says which bundle agents get. The next build that changes the flow goes forward again.

use colophon_model::{
    BuildId, BuildKind, BuildRecord, EdgeManifest, EdgeOutput, FlowId, Target, TenantUid, Tree,
    UnixMillis,
};
use colophon_store::rows::{
    BuildNumber, BundleAlias, BundleTree, Document, EdgeHead, FlowHead, TenantHead, TenantRow,
};
use colophon_store::{Change, PreparedBlob, View};

use super::branch::{Branch, Files};
use super::files::{manifest_file, manifest_path};
use super::{BuildError, Press};
use crate::audit::builds_made;
use crate::projection::commits::{self, BuildCommit};
use crate::zips;

impl Press {
    /// Publishes the files of bundle `to` of the flow under the next number; without `to` those of the
    /// newest one below the current that has other files. Free of quota. Blocks until it is durable.
    /// Returns the record, and the number of the bundle that it went back to.
    pub fn roll_back(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        to: Option<u64>,
    ) -> Result<(BuildRecord, u64), BuildError> {
        self.in_lane(tenant.uid, |view, _: &TenantHead| {
            let (change, record, to) = rollback(self, view, tenant, (flow, to), self.clock.now())?;
            Ok::<_, BuildError>((Some(change), (record, to)))
        })
    }
}

fn rollback(
    press: &Press,
    view: &View,
    tenant: &TenantRow,
    (flow, to): (&FlowId, Option<u64>),
    now: UnixMillis,
) -> Result<(Change, BuildRecord, u64), BuildError> {
    let mut branch = Branch::settle(view, tenant, now)?;
    let no_flow = || BuildError::NoFlow { flow: flow.clone() };
    let before = branch.flows.get(flow).cloned().ok_or_else(no_flow)?;
    let no_bundle = || BuildError::NoBundle { flow: flow.clone(), seq: to };
    let current = before.edge.as_ref().ok_or_else(no_bundle)?;
    let older = older(view, tenant.uid, flow, &current.output, to)?.ok_or_else(no_bundle)?;
    let manifest = bundle_manifest(view, tenant.uid, &older)?.ok_or_else(no_bundle)?;
    let to = older.seq;
    let output = EdgeOutput { seq: before.edge_seq + 1, ..older };
    let standing = view.get::<BuildRecord>(&(tenant.uid, before.build))?.ok_or_else(no_flow)?;
    let mut record = record(&branch, standing, &output, now);
    let head = FlowHead {
        build: record.id,
        manifest: commits::flow_manifest(&record),
        edge_seq: output.seq,
        edge: Some(EdgeHead { output, manifest }),
        ..before
    };
    branch.flows.insert(flow.clone(), head.clone());
    let mut change = Change::new();
    put_commit(press, view, &mut change, &branch, &mut record)?;
    let uid = tenant.uid;
    if let Some(edge) = &head.edge {
        change.put(&(uid, edge.output.tree), &BundleTree);
        sign_again(press, view, &mut change, (tenant, flow), &edge.output)?;
    }
    change.put::<FlowHead>(&(uid, flow.clone()), &head);
    change.put::<BuildRecord>(&(uid, record.id), &record);
    change.put::<BuildNumber>(&(uid, record.number), &BuildNumber { build: record.id });
    builds_made(&mut change, view, std::slice::from_ref(&record), now)?;
    press.announce(&mut change, view, tenant, std::slice::from_ref(&record))?;
    Ok((change, record, to))
}

/// The zip's signature names the number of the bundle: it is made again for the new one. What says who
/// made the files from what, and of what they are, stays.
fn sign_again(
    press: &Press,
    view: &View,
    change: &mut Change,
    (tenant, flow): (&TenantRow, &FlowId),
    output: &EdgeOutput,
) -> Result<(), BuildError> {
    let key = (tenant.uid, output.sha256);
    let Some(before) = view.get::<BundleAlias>(&key)? else { return Ok(()) };
    press.artifacts.request(change, view, key, press.clock.now())?;
    let zip = zips::make(&press.store, tenant.uid, &output.sha256, &before)?;
    let signature = press.attester.minisig((&tenant.slug, flow), output, &zip);
    let signature = PreparedBlob::new(&signature)?;
    let mut after = before.clone();
    after.documents.insert(Document::Minisig, signature.digest());
    change.expect(&key, Some(&before)).put(&key, &after).blob(tenant.uid, signature);
    Ok(())
}

/// The commit, which changes the branch's manifest alone, its metadata, and the tenant's head.
fn put_commit(
    press: &Press,
    view: &View,
    change: &mut Change,
    branch: &Branch<'_>,
    record: &mut BuildRecord,
) -> Result<(), BuildError> {
    let manifest = manifest_file(&branch.manifest())?;
    branch.put_manifest(view, change, &manifest)?;
    record.manifest = Some(manifest.digest());
    let said = BuildCommit::of(record, manifest.digest());
    let appended = branch.commit(press, view, change, &said, (&Files::new(), &[]), &manifest)?;
    record.commit = appended.commit;
    record.signatures.clone_from(&appended.signatures);
    let signed = branch.publish(press, view, change, branch.stamp.time())?;
    branch.put_head(change, &branch.after(1, &appended, signed));
    press.follow(change, view, branch.uid(), branch.stamp.time())?;
    Ok(())
}

/// The record but for what only the commit tells: that of the build that stands, with another bundle.
fn record(
    branch: &Branch<'_>,
    standing: BuildRecord,
    output: &EdgeOutput,
    now: UnixMillis,
) -> BuildRecord {
    let number = branch.before.builds + 1;
    let mut outputs = standing.outputs;
    for edge in outputs.iter_mut().filter_map(|one| one.edge.as_mut()) {
        *edge = output.clone();
    }
    BuildRecord {
        id: BuildId::derive(branch.uid(), number, &standing.key),
        number,
        received: now,
        stamp: branch.stamp,
        tags: branch.tags(&[Target::Edge].into()),
        outputs,
        gates: Vec::new(),
        kind: BuildKind::Rollback,
        ..standing
    }
}

/// The bundle to go back to, if it can still be asked for. What was written about it when it was made, and
/// says its old number, goes with it.
fn older(
    view: &View,
    uid: TenantUid,
    flow: &FlowId,
    current: &EdgeOutput,
    to: Option<u64>,
) -> Result<Option<EdgeOutput>, BuildError> {
    for row in view.scan::<BuildNumber>(&uid).descending() {
        let build = row?.1.build;
        let Some(record) = view.get::<BuildRecord>(&(uid, build))? else { continue };
        if record.flow != *flow {
            continue;
        }
        let edge = record.outputs.into_iter().find_map(|output| output.edge);
        let meant = |edge: &EdgeOutput| match to {
            Some(seq) => edge.seq == seq && seq < current.seq,
            None => edge.seq < current.seq && edge.tree != current.tree,
        };
        let Some(edge) = edge.filter(meant) else { continue };
        let there = view.get::<BundleAlias>(&(uid, edge.sha256))?.is_some();
        return Ok(there.then_some(edge));
    }
    Ok(None)
}

/// What the bundle says of itself, read from its tree.
fn bundle_manifest(
    view: &View,
    uid: TenantUid,
    bundle: &EdgeOutput,
) -> Result<Option<EdgeManifest>, BuildError> {
    let Some(tree) = view.read_blob(uid, &bundle.tree)? else { return Ok(None) };
    let Ok(tree) = Tree::decode(&tree) else { return Ok(None) };
    let path = manifest_path();
    let Some(entry) = tree.entries().iter().find(|entry| entry.path == path) else {
        return Ok(None);
    };
    let Some(text) = view.read_blob(uid, &entry.digest)? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&text)?))
}
