//! Deleting a flow: a build of its own, whose commit takes the flow's files off the branch.

use colophon_compiler::Compiler;
use colophon_model::{
    BuildId, BuildInputs, BuildKey, BuildKind, BuildRecord, FlowId, TenantUid, UnixMillis,
};
use colophon_store::rows::{BuildNumber, FlowGone, FlowHead, FlowOwner, TenantRow};
use colophon_store::{Change, CommitError, View};

use super::branch::{Branch, Files};
use super::expecting::check_expected;
use super::files::manifest_file;
use super::{ATTEMPTS, BuildError, Press};
use crate::audit::builds_made;
use crate::expected::Expected;
use crate::fair;
use crate::projection::commits::BuildCommit;

impl Press {
    /// Deletes a flow that stands: its files leave the branch as far as no other flow has them, its
    /// bundle leaves the edge repository, its history and its id stay. Free of quota. Blocks until
    /// the deletion is durable.
    pub fn delete(&self, tenant: &TenantRow, flow: &FlowId) -> Result<BuildRecord, BuildError> {
        self.delete_expected(tenant, flow, &Expected::Anything)
    }

    /// The same, if the flow's current build is an expected one.
    ///
    /// # Errors
    /// [`BuildError::Unexpected`] when it is not.
    pub fn delete_expected(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        expected: &Expected,
    ) -> Result<BuildRecord, BuildError> {
        for _ in 0..ATTEMPTS {
            let lane = self.lane(tenant.uid);
            let view = lane.view()?;
            if view.get::<FlowHead>(&(tenant.uid, flow.clone()))?.is_none() {
                // An answer must rest on what is durable.
                let view = lane.settled()?;
                if view.get::<FlowHead>(&(tenant.uid, flow.clone()))?.is_none() {
                    return Err(BuildError::NoFlow { flow: flow.clone() });
                }
                continue;
            }
            check_expected(&view, tenant, flow, expected)?;
            let (change, record) = deletion(self, &view, tenant, flow, self.clock.now())?;
            match fair::aside(|| lane.submit(change).wait()) {
                Ok(()) => {
                    self.progress.changed(tenant.uid);
                    tracing::info!(tenant.slug = %tenant.slug, flow.id = %flow, "deleted");
                    return Ok(record);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(BuildError::Contended)
    }
}

/// The change that deletes the flow, and the record that says so.
fn deletion(
    press: &Press,
    view: &View,
    tenant: &TenantRow,
    flow: &FlowId,
    now: UnixMillis,
) -> Result<(Change, BuildRecord), BuildError> {
    let mut branch = Branch::settle(view, tenant, now)?;
    let uid = tenant.uid;
    let no_flow = || BuildError::NoFlow { flow: flow.clone() };
    let head = branch.flows.remove(flow).ok_or_else(no_flow)?;
    let owner = view.get::<FlowOwner>(&(uid, flow.clone()))?.ok_or_else(no_flow)?;
    let mut record = record(press, &branch, flow, &head, owner, now);
    let mut change = Change::new();
    let manifest = manifest_file(&branch.manifest())?;
    branch.put_manifest(view, &mut change, &manifest)?;
    let orphans = branch.orphans(flow, Some(&head));
    let said = BuildCommit::of(&record, manifest.digest());
    let files = (&Files::new(), orphans.as_slice());
    let appended = branch.commit(press, view, &mut change, &said, files, &manifest)?;
    record.commit = appended.commit;
    record.manifest = Some(manifest.digest());
    record.signatures.clone_from(&appended.signatures);
    let signed = match head.edge {
        Some(_) => branch.publish(press, view, &mut change, now)?,
        None => None,
    };
    put_rows(&mut change, uid, &head, &record);
    branch.put_head(&mut change, &branch.after(1, &appended, signed));
    press.follow(&mut change, view, uid, branch.stamp.time())?;
    builds_made(&mut change, view, std::slice::from_ref(&record), now)?;
    press.announce(&mut change, view, tenant, std::slice::from_ref(&record))?;
    Ok((change, record))
}

/// The record but for what only the commit tells.
fn record(
    press: &Press,
    branch: &Branch<'_>,
    flow: &FlowId,
    head: &FlowHead,
    owner: FlowOwner,
    now: UnixMillis,
) -> BuildRecord {
    let (uid, number) = (branch.uid(), branch.before.builds + 1);
    let templates = press.compiler.templates();
    let compiler = Compiler::VERSION;
    let key = BuildKey::derive(&BuildInputs {
        plan: head.plan,
        templates,
        compiler,
        targets: &[],
        options: b"deletion",
    });
    BuildRecord {
        id: BuildId::derive(uid, number, &key),
        tenant: uid,
        number,
        flow: flow.clone(),
        name: head.manifest.name.clone(),
        source: owner.source,
        native: owner.native,
        revision: head.revision,
        key,
        plan: head.plan,
        body: head.body,
        templates,
        compiler: compiler.to_owned(),
        received: now,
        stamp: branch.stamp,
        commit: colophon_model::Oid::from_bytes([0; 20]),
        tags: Vec::new(),
        outputs: Vec::new(),
        gates: Vec::new(),
        manifest: None,
        signatures: None,
        kind: BuildKind::Deletion,
        failure: None,
    }
}

fn put_rows(change: &mut Change, uid: TenantUid, head: &FlowHead, record: &BuildRecord) {
    let flow = (uid, record.flow.clone());
    let gone = FlowGone {
        build: record.id,
        revision: head.revision,
        edge_seq: head.edge_seq,
        env_seq: head.env_seq,
        ordered: head.ordered.max(Some(record.received)),
    };
    change.expect::<FlowHead>(&flow, Some(head)).delete::<FlowHead>(&flow);
    change.put::<FlowGone>(&flow, &gone);
    change.put::<BuildRecord>(&(uid, record.id), record);
    change.put::<BuildNumber>(&(uid, record.number), &BuildNumber { build: record.id });
}
