//! What the server signs: pinned bytes, and that the client reads back exactly what was meant.

use std::collections::BTreeMap;

use crate::forge::{DAY, NOW, bundle, version};
use colophon_model::{TenantSlug, TenantUid};
use colophon_trust::limits::MAX_METADATA;
use colophon_trust::{
    Error, Published, Role, RootChain, Seed, TargetFile, TargetName, TenantKeys, TrustedTargets,
    initial_root, publish,
};
use proptest::prelude::*;

fn acme() -> TenantSlug {
    "acme-inc".parse().unwrap()
}

pub(crate) fn keys() -> TenantKeys {
    TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]))
}

fn named(files: Vec<TargetFile>) -> BTreeMap<TargetName, TargetFile> {
    files.into_iter().map(|file| (file.custom.target_name(), file)).collect()
}

/// Agents pin these bytes: the same seed, uid, slug and time must give them for ever.
#[test]
fn the_first_root_is_pinned() {
    let root = initial_root(&keys(), &acme(), NOW);
    let golden = include_bytes!("golden/1.root.json");
    assert_eq!(String::from_utf8(root).unwrap(), std::str::from_utf8(golden).unwrap());
}

/// The same for a version's three files.
#[test]
fn a_version_is_pinned() {
    let targets = named(vec![bundle("acme-inc", "order_intake", 3, b"zip")]);
    let Published { files } = publish(&keys(), version(3), &targets, NOW).unwrap();
    let golden = [
        ("3.targets.json", include_str!("golden/3.targets.json")),
        ("3.snapshot.json", include_str!("golden/3.snapshot.json")),
        ("timestamp.json", include_str!("golden/timestamp.json")),
    ];
    for ((name, bytes), (golden_name, golden)) in files.iter().zip(golden) {
        assert_eq!(name, golden_name);
        assert_eq!(std::str::from_utf8(bytes).unwrap(), golden);
    }
}

/// Walks the whole client workflow over published files.
fn read(published: &Published) -> Result<TrustedTargets, Error> {
    let [(_, targets), (_, snapshot), (_, timestamp)] = &published.files[..] else {
        panic!("three files");
    };
    let root = RootChain::pinned(&initial_root(&keys(), &acme(), NOW), &acme())?.finish(NOW)?;
    let timestamp = root.timestamp(timestamp, None, NOW)?;
    timestamp.snapshot(snapshot, None, NOW)?.targets(targets, NOW)
}

#[test]
fn lifetimes_are_those_of_the_design() {
    let root = initial_root(&keys(), &acme(), NOW);
    let chain = || RootChain::pinned(&root, &acme()).unwrap();
    assert!(chain().finish(NOW.plus(365 * DAY - 1)).is_ok());
    assert!(chain().finish(NOW.plus(365 * DAY)).is_err());
    let files = publish(&keys(), version(1), &BTreeMap::new(), NOW).unwrap().files;
    for ((name, bytes), days) in files.iter().zip([90, 30, 7]) {
        let expires = format!("\"expires\":\"{}\"", NOW.plus(days * DAY).rfc3339_seconds());
        assert!(std::str::from_utf8(bytes).unwrap().contains(&expires), "{name}");
    }
}

#[test]
fn what_agents_would_refuse_is_not_published() {
    let good = bundle("acme-inc", "pay", 1, b"zip");
    let over = |change: fn(&mut TargetFile)| {
        let mut file = good.clone();
        change(&mut file);
        publish(&keys(), version(1), &named(vec![file]), NOW)
    };
    for result in [
        over(|file| file.length = 10_000_001),
        over(|file| file.custom.unpacked = 64_000_001),
        over(|file| file.custom.files = 8_193),
    ] {
        assert!(matches!(result, Err(Error::BundleTooLarge { .. })), "{result:?}");
    }
    assert!(over(|file| file.length = 10_000_000).is_ok());
    let other = "acme-inc.other.python.zip".parse().unwrap();
    let result = publish(&keys(), version(1), &BTreeMap::from([(other, good)]), NOW);
    assert!(matches!(result, Err(Error::Misnamed { .. })), "{result:?}");
}

/// A targets file of exactly the size that agents accept is published and read; with one byte more it
/// is refused before anything vouches for it.
#[test]
fn metadata_that_agents_would_refuse_is_not_published() {
    let of_size = |padding: usize| {
        let mut file = bundle("acme-inc", "pay", 1, b"zip");
        file.custom.requirements = vec!["x".repeat(padding)];
        publish(&keys(), version(1), &named(vec![file]), NOW)
    };
    let limit = usize::try_from(MAX_METADATA).unwrap();
    let padding = limit - of_size(0).unwrap().files[0].1.len();
    let largest = of_size(padding).unwrap();
    assert_eq!(largest.files[0].1.len(), limit);
    assert_eq!(read(&largest).unwrap().bundles().len(), 1);
    let error = of_size(padding + 1).unwrap_err();
    let text = "the targets metadata would have 4194305 bytes; agents take at most 4194304";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, Error::Unpublishable { role: Role::Targets, .. }), "{error:?}");
}

fn bundles() -> impl Strategy<Value = BTreeMap<TargetName, TargetFile>> {
    let one = ("[a-z]{1,8}_f", 0..u64::MAX, proptest::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(flow, seq, zip)| bundle("acme-inc", &flow, seq, &zip));
    proptest::collection::vec(one, 0..6).prop_map(named)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Same input, same bytes; and the client gets exactly the bundles that were signed.
    #[test]
    fn the_client_reads_what_was_published(targets in bundles(), n in 1..u64::MAX) {
        let published = publish(&keys(), version(n), &targets, NOW).unwrap();
        prop_assert_eq!(&published, &publish(&keys(), version(n), &targets, NOW).unwrap());
        let trusted = read(&published).unwrap();
        prop_assert_eq!(trusted.bundles(), &targets);
        prop_assert!(trusted.unknown().is_empty());
    }

    /// No byte of the snapshot or targets can change at all; in the timestamp only the spelling of
    /// a signature can, which changes nothing that is used.
    #[test]
    fn no_byte_can_be_changed(targets in bundles(), which in 0..3usize, at: prop::sample::Index, bit in 0..8u8) {
        let mut published = publish(&keys(), version(2), &targets, NOW).unwrap();
        let bytes = &mut published.files[which].1;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(trusted) = read(&published) {
            prop_assert_eq!(which, 2);
            prop_assert_eq!(trusted.bundles(), &targets);
        }
    }
}
