//! A tenant whose flows are built one after the other, as in the service, as far as blobs go.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use anyhow::ensure;
use colophon::feed;
use colophon_compiler::{CodePolicy, Compiled, Compiler, EdgeBundle, Limits, Plan};
use colophon_model::{
    BuildId, BuildKey, Digest, EdgeOutput, EdgePointer, FlowId, FlowManifest, TenantManifest,
    TenantSlug, TenantUid, UnixMillis,
};
use colophon_store::rows::EdgeHead;
use colophon_trust::{Seed, TargetName, TenantKeys};
use serde_json::Value;

use crate::corpus::Corpus;

/// 2026-01-01, in milliseconds: metadata needs some date.
const FROM: u64 = 1_767_225_600_000;
const MINUTE: u64 = 60_000;

/// A tenant as far as blobs go.
pub(crate) struct Tenant {
    uid: TenantUid,
    keys: TenantKeys,
    slug: TenantSlug,
    flows: BTreeMap<FlowId, FlowManifest>,
    edge: BTreeMap<FlowId, EdgeHead>,
    builds: u64,
}

impl Tenant {
    /// A tenant of that name, with the files that are planted for it.
    pub(crate) fn new(
        corpus: &mut Corpus,
        compiler: &Compiler,
        name: &str,
    ) -> anyhow::Result<Self> {
        let slug = TenantSlug::new(name)?;
        corpus.add_files(&compiler.bootstrap(&slug));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&Digest::of(name.as_bytes()).as_bytes()[..16]);
        let uid = TenantUid::from_bytes(bytes);
        let keys = TenantKeys::derive(&Seed::new([7; 32]), uid);
        corpus.add(
            "TUF metadata",
            &colophon_trust::initial_root(&keys, &slug, UnixMillis::new(FROM)),
        );
        Ok(Self { uid, keys, slug, flows: BTreeMap::new(), edge: BTreeMap::new(), builds: 0 })
    }

    /// Builds `flow`, and adds all that a build stores.
    pub(crate) fn build(
        &mut self,
        corpus: &mut Corpus,
        compiler: &Compiler,
        flow: &Value,
    ) -> anyhow::Result<()> {
        // Builders send both forms.
        let body = if self.builds.is_multiple_of(2) {
            serde_json::to_vec(flow)?
        } else {
            serde_json::to_vec_pretty(flow)?
        };
        let plan = compiler.parse(&body, CodePolicy::AllowCustom, &Limits::default())?;
        let id = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
        let code = compiler.compile(&plan, &self.slug, &id)?;
        corpus.add("webhook bodies", &body);
        corpus.add_files(&code.cloud);
        self.builds += 1;
        let manifest = self.manifest(compiler.key(&plan), &plan, &id, &code);
        ensure!(self.flows.insert(id, manifest).is_none(), "two flows of one name");
        let manifest = TenantManifest::new(self.slug.clone(), self.flows.clone());
        corpus.add(
            "tenant manifests",
            format!("{}\n", serde_json::to_string_pretty(&manifest)?).as_bytes(),
        );
        if let Some(bundle) = &code.edge {
            corpus.add_files(&bundle.files);
            corpus.add_files(&bundle.branch_files);
            self.publish(corpus)?;
        }
        Ok(())
    }

    fn manifest(
        &mut self,
        key: BuildKey,
        plan: &Plan,
        id: &FlowId,
        code: &Compiled,
    ) -> FlowManifest {
        let edge = code.edge.as_ref().map(|bundle| EdgeHead {
            output: self.output(id, bundle),
            manifest: bundle.manifest.clone(),
        });
        let edge_files = code.edge.iter().flat_map(|edge| edge.branch_files.iter());
        let mut files: Vec<_> =
            code.cloud.iter().chain(edge_files).map(|(path, _)| path.clone()).collect();
        files.sort();
        let manifest = FlowManifest {
            name: plan.name.to_string(),
            source: plan.source(),
            revision: plan.revision,
            build: BuildId::derive(self.uid, self.builds, &key),
            key,
            files,
            edge: edge.as_ref().map(|head| pointer(&head.output)),
        };
        self.edge.extend(edge.map(|head| (id.clone(), head)));
        manifest
    }

    fn output(&self, id: &FlowId, bundle: &EdgeBundle) -> EdgeOutput {
        EdgeOutput {
            runtime: bundle.runtime,
            tree: bundle.files.tree().digest(),
            zip: None,
            sha256: bundle.sha256,
            length: bundle.zip.len() as u64,
            unpacked: bundle.files.total_size(),
            files: bundle.files.len() as u64,
            render: bundle.render.name().to_owned(),
            seq: self.builds,
            target_name: TargetName::new(self.slug.clone(), id.clone(), bundle.runtime).to_string(),
            attestation: None,
        }
    }

    fn publish(&self, corpus: &mut Corpus) -> anyhow::Result<()> {
        let version = NonZeroU64::MIN.saturating_add(self.builds);
        let now = UnixMillis::new(FROM + self.builds * 7 * MINUTE);
        let bundles = self.edge.values().map(|edge| feed::target(edge, None));
        let targets = bundles.map(|file| (file.custom.target_name(), file)).collect();
        let published = colophon_trust::publish(&self.keys, version, &targets, now)?;
        for (_, bytes) in &published.files {
            corpus.add("TUF metadata", bytes);
        }
        Ok(())
    }
}

fn pointer(output: &EdgeOutput) -> EdgePointer {
    EdgePointer {
        runtime: output.runtime,
        version: feed::version(output.seq),
        seq: output.seq,
        tree: output.tree,
        sha256: output.sha256,
        length: output.length,
        target: output.target_name.clone(),
        url: format!("targets/{}.{}", output.sha256, output.target_name),
    }
}
