//! Going back to an earlier build of a flow, because somebody says so: a build of its own with the very
//! outputs of that one, whatever the templates are now.
//!
//! The flow's order goes on: its revision and the time of its latest delivery never fall, so a replay of
//! what was gone back from does not undo this.

use colophon_compiler::{Compiled, EdgeBundle, Renderer};
use colophon_model::{
    Artifact, BuildId, BuildKind, BuildRecord, EdgeOutput, FileSet, FlowId, InvalidTree, Output,
    Target, TenantUid,
};
use colophon_store::View;
use colophon_store::rows::{BuildNumber, BundleAlias, FlowHead, TenantHead, TenantRow};

use super::assemble::{self, Cause, Entry};
use super::expecting::check_expected;
use super::files::manifest_path;
use super::{BuildError, Delivery, Job, Press};
use crate::bundles;
use crate::expected::Expected;
use crate::zips::{self, ZipError};

/// An earlier build, with what came of it.
struct Earlier {
    record: BuildRecord,
    job: Job,
    compiled: Compiled,
}

impl Press {
    /// Makes a build of the flow with the outputs of its earlier build `to`; without `to` with those of the
    /// newest one that is not like the current. Free of quota. Blocks until it is durable. Returns the
    /// record, and the build that it went back to.
    pub fn revert(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        to: Option<BuildId>,
    ) -> Result<(BuildRecord, BuildId), BuildError> {
        self.revert_expected(tenant, flow, to, &Expected::Anything)
    }

    /// The same, if the flow's current build is an expected one.
    ///
    /// # Errors
    /// [`BuildError::Unexpected`] when it is not.
    pub fn revert_expected(
        &self,
        tenant: &TenantRow,
        flow: &FlowId,
        to: Option<BuildId>,
        expected: &Expected,
    ) -> Result<(BuildRecord, BuildId), BuildError> {
        let made = self.in_lane(tenant.uid, |view, _: &TenantHead| {
            check_expected(view, tenant, flow, expected)?;
            let earlier = self.earlier(view, tenant, flow, to)?;
            let Earlier { record, job, compiled } = &earlier;
            let entry = Entry { job, flow, compiled, like: Some(record) };
            let what = (Cause::Revert(record.id), &[entry][..]);
            let (change, mut records) =
                assemble::assemble(self, view, tenant, what, self.clock.now())?;
            let made = records.pop().ok_or(BuildError::Contended)?;
            Ok::<_, BuildError>((Some(change), (made, record.id)))
        })?;
        tracing::info!(tenant.slug = %tenant.slug, flow.id = %flow, to = %made.1, "went back");
        Ok(made)
    }

    fn earlier(
        &self,
        view: &View,
        tenant: &TenantRow,
        flow: &FlowId,
        to: Option<BuildId>,
    ) -> Result<Earlier, BuildError> {
        let uid = tenant.uid;
        let no_flow = || BuildError::NoFlow { flow: flow.clone() };
        let no_build = || BuildError::NoBuild { flow: flow.clone() };
        let head = view.get::<FlowHead>(&(uid, flow.clone()))?.ok_or_else(no_flow)?;
        let record = match to {
            Some(to) => view.get::<BuildRecord>(&(uid, to))?.filter(|r| can_return(r, flow)),
            None => newest(view, uid, flow, &head)?,
        };
        let record = record.filter(|record| record.id != head.build).ok_or_else(no_build)?;
        let body = view.read_blob(uid, &record.body)?.ok_or_else(no_build)?;
        let delivery = Delivery::new(tenant.clone(), body, self.clock.now());
        // Its key is that of the earlier outputs, not what it would compile to today.
        let job = Job { key: record.key, ..self.receive(delivery, record.body)? };
        let compiled = self.compiled(view, uid, &record)?.ok_or_else(no_build)?;
        Ok(Earlier { record, job, compiled })
    }

    /// What came of a build, read from the store. `None`: it is not all there.
    fn compiled(
        &self,
        view: &View,
        uid: TenantUid,
        record: &BuildRecord,
    ) -> Result<Option<Compiled>, BuildError> {
        let (mut cloud, mut edge) = (FileSet::default(), None);
        for output in &record.outputs {
            let Some(files) = files(view, uid, output)? else { return Ok(None) };
            match (output.target, &output.edge) {
                (Target::Cloud, _) => cloud = files,
                (Target::Edge, Some(bundle)) => edge = self.bundle(view, uid, bundle, files)?,
                (Target::Edge, None) => return Ok(None),
            }
        }
        Ok(Some(Compiled { cloud, edge, gates: Vec::new() }))
    }

    fn bundle(
        &self,
        view: &View,
        uid: TenantUid,
        edge: &EdgeOutput,
        branch_files: FileSet,
    ) -> Result<Option<EdgeBundle>, BuildError> {
        let unknown = || ZipError::Renderer(edge.render.clone());
        let render = Renderer::named(&edge.render).ok_or_else(unknown)?;
        let files = bundles::files(view, uid, edge.tree).map_err(ZipError::from)?;
        let Some(manifest) = files.get(&manifest_path()) else { return Ok(None) };
        let manifest = serde_json::from_slice(manifest.bytes())?;
        let alias = BundleAlias {
            tree: edge.tree,
            render: edge.render.clone(),
            length: edge.length,
            name: edge.target_name.clone(),
            documents: std::collections::BTreeMap::new(),
        };
        let zip = zips::make(&self.store, uid, &edge.sha256, &alias)?;
        let (runtime, sha256) = (edge.runtime, edge.sha256);
        Ok(Some(EdgeBundle { runtime, manifest, files, branch_files, zip, sha256, render }))
    }
}

/// Whether the flow can go back to this build: it has outputs of its own.
fn can_return(record: &BuildRecord, flow: &FlowId) -> bool {
    record.flow == *flow
        && record.failure.is_none()
        && !record.outputs.is_empty()
        && record.kind != BuildKind::Deletion
}

/// The newest build before the flow's head with another key.
fn newest(
    view: &View,
    uid: TenantUid,
    flow: &FlowId,
    head: &FlowHead,
) -> Result<Option<BuildRecord>, colophon_store::Error> {
    let mut is_before = false;
    for row in view.scan::<BuildNumber>(&uid).descending() {
        let build = row?.1.build;
        if build == head.build {
            is_before = true;
            continue;
        }
        let Some(record) = view.get::<BuildRecord>(&(uid, build))?.filter(|_| is_before) else {
            continue;
        };
        if can_return(&record, flow) && record.key != head.key {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The files of an output. `None`: one is not there.
fn files(view: &View, uid: TenantUid, output: &Output) -> Result<Option<FileSet>, BuildError> {
    let mut found = std::collections::BTreeMap::new();
    for file in &output.files {
        let Some(bytes) = view.read_blob(uid, &file.digest)? else { return Ok(None) };
        found.insert(file.path.clone(), Artifact::new(file.mode, bytes));
    }
    Ok(FileSet::new(found).map_err(|_: InvalidTree| ()).ok())
}
