//! A tenant's TUF repository: what is published when its bundles change.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use colophon_model::{EdgeOutput, TenantUid, UnixMillis};
use colophon_store::rows::{BundleAlias, EdgeHead, TufFile};
use colophon_store::{Change, PreparedBlob};
use colophon_trust::{
    BundleFacts, Channel, FactsSchema, Published, TargetFile, TargetName, TenantKeys,
};

/// Why a tenant's repository could not be published.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The metadata could not be made.
    #[error("the edge metadata could not be made")]
    Trust(#[from] colophon_trust::Error),
    /// A file could not be prepared for the store.
    #[error("a file of the edge repository could not be stored")]
    Store(#[from] colophon_store::Error),
}

/// The version string of a bundle's sequence number.
pub fn version(seq: u64) -> String {
    format!("1.0.{seq}")
}

/// The entries of `targets.json`: the current bundle of every flow that has one.
pub fn targets<'a>(
    bundles: impl Iterator<Item = &'a EdgeHead>,
) -> BTreeMap<TargetName, TargetFile> {
    bundles.map(target).map(|file| (file.custom.target_name(), file)).collect()
}

fn target(EdgeHead { output, manifest }: &EdgeHead) -> TargetFile {
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
            min_seq: None,
        },
    }
}

/// Signs metadata version `version` over `targets` and puts it into the change: each file a blob,
/// each name a row.
pub fn publish(
    change: &mut Change,
    keys: &TenantKeys,
    uid: TenantUid,
    version: NonZeroU64,
    targets: &BTreeMap<TargetName, TargetFile>,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let Published { files } = colophon_trust::publish(keys, version, targets, now)?;
    for (name, bytes) in files {
        put_file(change, uid, &name, &bytes)?;
    }
    Ok(())
}

/// Puts one metadata file into the change.
pub fn put_file(
    change: &mut Change,
    uid: TenantUid,
    name: &str,
    bytes: &[u8],
) -> Result<(), FeedError> {
    let blob = PreparedBlob::new(bytes)?;
    change.put(&(uid, name.to_owned()), &TufFile { digest: blob.digest() });
    change.blob(uid, blob);
    Ok(())
}

/// Makes a bundle's zip readable under its SHA-256.
pub fn put_bundle(
    change: &mut Change,
    uid: TenantUid,
    output: &EdgeOutput,
    zip: &[u8],
) -> Result<(), FeedError> {
    let blob = PreparedBlob::new(zip)?;
    let name = output.target_name.clone();
    let alias = BundleAlias { zip: blob.digest(), length: output.length, name };
    change.put(&(uid, output.sha256), &alias).blob(uid, blob);
    Ok(())
}
