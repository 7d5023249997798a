//! Roots from a ceremony: who can make them, and what the server takes.

use colophon_model::TenantUid;
use colophon_trust::{
    CeremonyError, Generations, OFFLINE_ROOTS, OfflineRoot, OnlineKeys, RootChain, RootRequest,
    Seed, TenantKeys, initial_root,
};

use crate::forge::{DAY, NOW};

const UID: TenantUid = TenantUid::from_bytes([9; 16]);

fn seeds(numbers: &[u8]) -> Vec<Seed> {
    numbers.iter().map(|number| Seed::new([*number; 32])).collect()
}

fn online(generations: Generations) -> OnlineKeys {
    OnlineKeys::derive(&Seed::new([7; 32]), UID, generations)
}

fn first() -> RootRequest {
    RootRequest { uid: UID, online: online(Generations::default()).public(), previous: None }
}

fn renewal(root: &OfflineRoot, generations: Generations) -> RootRequest {
    let previous = Some(String::from_utf8(root.bytes().to_vec()).unwrap());
    RootRequest { uid: UID, online: online(generations).public(), previous }
}

/// A root of the pool has no slug; whoever pins it says whose it is.
#[test]
fn agents_follow_roots_of_a_ceremony() {
    let root = first().sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    assert_eq!((root.uid(), root.version().get()), (UID, 1));
    assert_eq!(root.expires(), NOW.plus(365 * DAY));
    assert!(!String::from_utf8_lossy(root.bytes()).contains("x-colophon-tenant"));
    let mut chain = RootChain::pinned(root.bytes(), &"acme".parse().unwrap()).unwrap();
    assert_eq!(chain.made_on(), OFFLINE_ROOTS);
    // Any two of the three seeds renew it, in any order.
    for pair in [[3, 1], [2, 3], [1, 2]] {
        let next = renewal(&root, Generations::default()).sign(&seeds(&pair), NOW).unwrap();
        assert_eq!(next.version().get(), 2);
        next.check_follows(root.bytes()).unwrap();
        assert!(RootChain::pinned(next.bytes(), &"acme".parse().unwrap()).is_ok());
    }
    let next = renewal(&root, Generations::default()).sign(&seeds(&[1, 2]), NOW).unwrap();
    chain.update(next.bytes()).unwrap();
    assert!(!chain.reset());
    let rotated = Generations { timestamp: 1, ..Generations::default() };
    chain.update(renewal(&next, rotated).sign(&seeds(&[2, 3]), NOW).unwrap().bytes()).unwrap();
    assert!(chain.reset());
}

#[test]
fn the_seeds_must_be_right() {
    for few in [&[1, 2][..], &[1, 2, 2], &[], &[1, 2, 3, 4]] {
        let refused = first().sign(&seeds(few), NOW);
        assert!(matches!(refused, Err(CeremonyError::Seeds { .. })), "{refused:?}");
    }
    let root = first().sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    for other in [&[1][..], &[1, 1], &[1, 4], &[4, 5, 6]] {
        let refused = renewal(&root, Generations::default()).sign(&seeds(other), NOW);
        assert!(matches!(refused, Err(CeremonyError::OtherSeeds { .. })), "{refused:?}");
    }
}

/// The same seeds make other keys for another tenant: its root cannot stand in.
#[test]
fn every_tenant_has_root_keys_of_its_own() {
    let root = first().sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    let uid = TenantUid::from_bytes([8; 16]);
    let other = RootRequest { uid, ..first() }.sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    assert!(matches!(other.check_follows(root.bytes()), Err(CeremonyError::OtherTenant { .. })));
    let stolen = RootRequest { uid, ..renewal(&root, Generations::default()) };
    let refused = stolen.sign(&seeds(&[1, 2, 3]), NOW);
    assert!(matches!(refused, Err(CeremonyError::OtherTenant { .. })), "{refused:?}");
}

/// The server takes a root only for its own online keys, of the generation in use.
#[test]
fn the_online_keys_are_checked() {
    let root = first().sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    root.check_online(&online(Generations::default()).public()).unwrap();
    for generations in [
        Generations { targets: 1, ..Generations::default() },
        Generations { snapshot: 1, ..Generations::default() },
        Generations { timestamp: 1, ..Generations::default() },
    ] {
        let refused = root.check_online(&online(generations).public());
        assert!(matches!(refused, Err(CeremonyError::OtherServer { .. })), "{refused:?}");
    }
}

#[test]
fn other_roots_are_not_taken() {
    let keys = TenantKeys::derive(&Seed::new([7; 32]), UID);
    let server = initial_root(&keys, &"acme".parse().unwrap(), NOW);
    let refused = OfflineRoot::check(&server);
    assert!(matches!(refused, Err(CeremonyError::NotOffline { version: 1, .. })), "{refused:?}");

    let root = first().sign(&seeds(&[1, 2, 3]), NOW).unwrap();
    let skipped = renewal(&root, Generations::default()).sign(&seeds(&[1, 2]), NOW).unwrap();
    let third = renewal(&skipped, Generations::default()).sign(&seeds(&[1, 2]), NOW).unwrap();
    assert!(third.check_follows(root.bytes()).is_err(), "a version is missing");
    let text = String::from_utf8(root.bytes().to_vec()).unwrap();
    let longer = text.replace("2027-11-21", "2037-11-21");
    assert_ne!(text, longer);
    assert!(OfflineRoot::check(longer.as_bytes()).is_err(), "the signatures cover every field");
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["signatures"].as_array_mut().unwrap().truncate(1);
    let refused = OfflineRoot::check(file.to_string().as_bytes());
    assert!(matches!(refused, Err(CeremonyError::Trust(_))), "{refused:?}");
}
