//! Any bytes in the place of a signed file: a root, a timestamp, an attestation, and what is signed about a
//! bundle; and honest ones with some of their bytes replaced. Nothing is believed that was not signed.
#![no_main]

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::LazyLock;

use colophon_model::{Sha256, TenantSlug, TenantUid, UnixMillis};
use colophon_trust::attest::{AttestationKeys, IN_TOTO, Policy, Statement};
use colophon_trust::{BundleFacts, RootChain, Seed, TargetName, TenantKeys, initial_root, publish};
use libfuzzer_sys::fuzz_target;

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[]}"#;

struct World {
    tenant: TenantSlug,
    root: Vec<u8>,
    timestamp: Vec<u8>,
    /// What the honest timestamp names.
    snapshot: String,
    policy: Policy,
    envelope: Vec<u8>,
    statement: Statement,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let keys = TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]));
    let tenant: TenantSlug = "acme".parse().expect("a slug");
    let root = initial_root(&keys, &tenant, NOW);
    let published = publish(&keys, NonZeroU64::MIN, &BTreeMap::new(), NOW).expect("a small feed");
    let timestamp = published.files.into_iter().find(|(name, _)| name == "timestamp.json");
    let timestamp = timestamp.expect("it is published").1;
    let snapshot = snapshot_of(&root, &tenant, &timestamp).expect("an honest timestamp");
    let keys = AttestationKeys::derive(&Seed::new([7; 32]));
    let policy = Policy::new(&keys.public(), NonZeroUsize::MIN).expect("two keys");
    let envelope = keys.sign(IN_TOTO, STATEMENT);
    let envelope = serde_json::to_vec(&envelope).expect("an envelope is JSON");
    let statement = policy.verify(&envelope).expect("an honest envelope");
    World { tenant, root, timestamp, snapshot, policy, envelope, statement }
});

/// What `timestamp` names, if it is believed after `root`.
fn snapshot_of(root: &[u8], tenant: &TenantSlug, timestamp: &[u8]) -> Option<String> {
    let root = RootChain::pinned(root, tenant).ok()?.finish(NOW).ok()?;
    Some(root.timestamp(timestamp, None, NOW).ok()?.snapshot_name())
}

fuzz_target!(|bytes: &[u8]| {
    let World { root, timestamp, envelope, .. } = &*WORLD;
    let Some((how, bytes)) = bytes.split_first() else { return };
    match how % 7 {
        0 => roots(bytes),
        1 => roots(&fuzz::patched(root, bytes)),
        2 => timestamps(bytes),
        3 => timestamps(&fuzz::patched(timestamp, bytes)),
        4 => attestations(bytes),
        5 => attestations(&fuzz::patched(envelope, bytes)),
        _ => facts(bytes),
    }
});

/// A stranger has no key: neither to be pinned in the tenant's name with its numbers, nor to follow.
fn roots(bytes: &[u8]) {
    let World { tenant, root, .. } = &*WORLD;
    // Whoever hands over the first root may hand over any; it must only not be misread.
    drop(RootChain::pinned(bytes, tenant).map(|chain| chain.finish(NOW)));
    let mut chain = RootChain::pinned(root, tenant).expect("an honest root");
    assert!(chain.update(bytes).is_err(), "a root that nobody signed");
}

fn timestamps(bytes: &[u8]) {
    let World { tenant, root, snapshot, .. } = &*WORLD;
    if let Some(named) = snapshot_of(root, tenant, bytes) {
        assert_eq!(named, *snapshot, "another snapshot than was signed");
    }
}

fn attestations(bytes: &[u8]) {
    let World { policy, statement, .. } = &*WORLD;
    if let Ok(said) = policy.verify(bytes) {
        assert_eq!(said, *statement, "another statement than was signed");
        assert!(!said.is_about(&Sha256::of(b"zip")));
    }
}

/// What is read of a bundle is written back the same, and its name is a name.
fn facts(bytes: &[u8]) {
    if let Ok(facts) = serde_json::from_slice::<BundleFacts>(bytes) {
        let json = serde_json::to_vec(&facts).expect("facts are JSON");
        let again: BundleFacts = serde_json::from_slice(&json).expect("what was written");
        assert_eq!(again, facts);
        let name = facts.target_name();
        assert_eq!(name.to_string().parse::<TargetName>().as_ref(), Ok(&name));
    }
}
