//! A tenant's TUF repository: what is published when its bundles change.

pub mod environment;
pub mod pool;
pub mod repo;
pub mod resign;
pub mod rotate;
pub mod status;

use std::collections::BTreeMap;

use colophon_model::{EdgeOutput, TenantUid};
use colophon_store::rows::{BundleAlias, EdgeHead, EnvHead, FlowHead, TufFile};
use colophon_store::{Change, PreparedBlob, View};
use colophon_trust::{
    BundleFacts, Channel, EnvFacts, EnvFile, EnvKind, EnvName, FactsSchema, TargetFile, TargetName,
};

use crate::evidence::Evidence;

/// Why a tenant's repository could not be published.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The metadata could not be made.
    #[error("the edge metadata could not be made")]
    Trust(#[from] colophon_trust::Error),
    /// A file could not be prepared for the store, or read from it.
    #[error("a file of the edge repository could not be stored or read")]
    Store(#[from] colophon_store::Error),
    /// A file that the tenant's head names is not there.
    #[error("`{0}` of the edge repository is missing; `colophon fsck` says more")]
    Missing(String),
}

/// The version string of a bundle's sequence number.
pub fn version(seq: u64) -> String {
    format!("1.0.{seq}")
}

/// The entries of `targets.json`: the current bundle of every flow that has one, and its environment.
pub fn targets<'a>(
    flows: impl Iterator<Item = &'a FlowHead>,
) -> (BTreeMap<TargetName, TargetFile>, BTreeMap<EnvName, EnvFile>) {
    let (mut bundles, mut envs) = (BTreeMap::new(), BTreeMap::new());
    for head in flows {
        let Some(edge) = &head.edge else { continue };
        let bundle = target(edge, head.min_seq);
        let name = bundle.custom.target_name();
        if let Some(env) = &head.env {
            let env_name = EnvName::beside(&name);
            envs.insert(env_name.clone(), env_target(&env_name, env, head.env_seq));
        }
        bundles.insert(name, bundle);
    }
    (bundles, envs)
}

fn env_target(name: &EnvName, env: &EnvHead, seq: u64) -> EnvFile {
    let (slug, flow) = (name.slug().clone(), name.flow().clone());
    EnvFile {
        length: env.length,
        sha256: env.sha256,
        custom: EnvFacts { schema: FactsSchema, kind: EnvKind::Env, slug, flow, seq },
    }
}

/// What is signed about a bundle; `min_seq` is the floor of its flow, if it has one.
pub fn target(EdgeHead { output, manifest }: &EdgeHead, min_seq: Option<u64>) -> TargetFile {
    TargetFile {
        length: output.length,
        sha256: output.sha256,
        custom: BundleFacts {
            schema: FactsSchema,
            slug: manifest.slug.clone(),
            flow: manifest.flow.clone(),
            channel: Channel::Stable,
            version: version(output.seq),
            seq: output.seq,
            runtime: output.runtime,
            os: manifest.os.clone(),
            cpu_arch: manifest.cpu_arch.clone(),
            requirements: manifest.requirements.clone(),
            tree: output.tree,
            unpacked: output.unpacked,
            files: output.files,
            min_seq,
            attestation: output.attestation,
        },
    }
}

/// Puts one metadata file into the change.
pub fn put_file(
    change: &mut Change,
    uid: TenantUid,
    name: &str,
    bytes: &[u8],
) -> Result<(), FeedError> {
    put_blob(change, uid, name, PreparedBlob::new(bytes)?);
    Ok(())
}

/// Puts one metadata file into the change, as a version of the one that `before` names.
pub fn put_version(
    (view, change): (&View, &mut Change),
    uid: TenantUid,
    (name, before): (&str, Option<String>),
    bytes: &[u8],
) -> Result<(), FeedError> {
    let base = || view.get::<TufFile>(&(uid, before?)).ok().flatten().map(|file| file.digest);
    let blob = PreparedBlob::new(bytes)?.against(view, uid, bytes, base)?;
    put_blob(change, uid, name, blob);
    Ok(())
}

fn put_blob(change: &mut Change, uid: TenantUid, name: &str, blob: PreparedBlob) {
    change.put(&(uid, name.to_owned()), &TufFile { digest: blob.digest() });
    change.blob(uid, blob);
}

/// Lets a bundle's zip be asked for by its SHA-256, and what was written about it, which the caller puts as
/// far as it is new. The zip is made from the tree then.
pub fn put_bundle(change: &mut Change, uid: TenantUid, output: &EdgeOutput, evidence: &Evidence) {
    let alias = BundleAlias {
        tree: output.tree,
        render: output.render.clone(),
        length: output.length,
        name: output.target_name.clone(),
        documents: evidence.documents().clone(),
    };
    change.put(&(uid, output.sha256), &alias);
    evidence.keep(change, uid);
}
