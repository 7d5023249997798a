//! Any bytes as a manifest, of a bundle or of a tenant's branch: refused, or read as what is written again in
//! the same words, with scripts and files that stay in their folder.
#![no_main]

use std::path::{Component, Path};

use colophon_model::{ArtifactPath, EdgeManifest, TenantManifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(manifest) = read::<EdgeManifest>(bytes) {
        manifest.entrypoints.values().for_each(stays);
    }
    if let Some(manifest) = read::<TenantManifest>(bytes) {
        manifest.flows.values().flat_map(|flow| &flow.files).for_each(stays);
    }
});

/// What is taken is written and read again as the same.
fn read<T>(bytes: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let manifest: T = serde_json::from_slice(bytes).ok()?;
    let text = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    let again: T = serde_json::from_slice(&text).expect("what was written is read");
    assert_eq!(again, manifest);
    Some(manifest)
}

fn stays(path: &ArtifactPath) {
    let mut parts = Path::new(path.as_str()).components();
    assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path} leads elsewhere");
}
