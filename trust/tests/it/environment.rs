//! Encrypted environments as targets: bound to their flow by name and facts, apart from the bundles.

use std::collections::BTreeMap;

use colophon_model::Sha256;
use colophon_trust::limits::MAX_ENVIRONMENT;
use colophon_trust::{
    EnvFacts, EnvFile, EnvKind, EnvName, Error, FactsSchema, Listing, Role, TenantKeys, Versions,
    sign_all,
};
use serde_json::{Value, json};

use crate::client::chain_of_files;
use crate::forge::{Forge, NOW, bundle, version};
use crate::publish::keys;

fn env(flow: &str, seq: u64, ciphertext: &[u8]) -> EnvFile {
    EnvFile {
        length: ciphertext.len() as u64,
        sha256: Sha256::of(ciphertext),
        custom: EnvFacts {
            schema: FactsSchema,
            kind: EnvKind::Env,
            slug: "acme".parse().unwrap(),
            flow: flow.parse().unwrap(),
            seq,
        },
    }
}

fn entry(file: &EnvFile) -> Value {
    json!({"length": file.length, "hashes": {"sha256": file.sha256},
        "custom": {"colophon": file.custom}})
}

fn read(targets: &Value) -> Result<colophon_trust::TrustedTargets, Error> {
    let forge = Forge::new("acme");
    let (targets, snapshot) = chain_of_files(&forge, targets);
    forge.timestamp(1, &snapshot).snapshot(&snapshot, None, NOW).unwrap().targets(&targets, NOW)
}

/// A ciphertext that was signed for one flow cannot be given to another, nor another tenant's.
#[test]
fn an_environment_is_what_its_name_says() {
    let file = env("pay", 1, b"age");
    let trusted = read(&json!({"acme.pay.env.age": entry(&file)})).unwrap();
    let name: EnvName = "acme.pay.env.age".parse().unwrap();
    assert_eq!(trusted.envs(), &BTreeMap::from([(name, file.clone())]));
    assert!(trusted.bundles().is_empty() && trusted.unknown().is_empty());

    let result = read(&json!({"acme.refund.env.age": entry(&file)}));
    assert!(matches!(result, Err(Error::Misnamed { .. })), "{result:?}");
    let mut other = file.clone();
    other.custom.slug = "other".parse().unwrap();
    let result = read(&json!({"acme.pay.env.age": entry(&other)}));
    assert!(matches!(result, Err(Error::WrongTenant { .. })), "{result:?}");
    for (member, value) in [("kind", json!("zip")), ("seq", json!(-1)), ("flow", json!("Pay"))] {
        let mut broken = entry(&file);
        broken["custom"]["colophon"][member] = value;
        let result = read(&json!({"acme.pay.env.age": broken}));
        assert!(matches!(result, Err(Error::Malformed { role: Role::Targets, .. })), "{member}");
    }
    let mut newer = entry(&file);
    newer["custom"]["colophon"]["schema"] = json!(2);
    assert_eq!(read(&json!({"acme.pay.env.age": newer})).unwrap().unknown(), ["acme.pay.env.age"]);
}

fn targets(keys: &TenantKeys, envs: &[EnvFile]) -> Result<Value, Error> {
    let bundle = bundle("acme", "pay", 1, b"zip");
    let bundles = BTreeMap::from([(bundle.custom.target_name(), bundle)]);
    let name = |file: &EnvFile| EnvName::new(file.custom.slug.clone(), file.custom.flow.clone());
    let envs = envs.iter().map(|file| (name(file), file.clone())).collect();
    let listing = Listing::Current { bundles: &bundles, envs: &envs };
    let signed = sign_all(keys.online(), Versions::all(version(1)), listing, NOW)?;
    Ok(serde_json::from_slice::<Value>(&signed.files[0].1).unwrap()["signed"]["targets"].take())
}

/// Rotating a secret says nothing new about the bundle.
#[test]
fn the_entry_of_the_bundle_is_the_same_with_every_environment() {
    let without = targets(&keys(), &[]).unwrap();
    for file in [env("pay", 1, b"old"), env("pay", 2, b"new")] {
        let with = targets(&keys(), std::slice::from_ref(&file)).unwrap();
        assert_eq!(with["acme.pay.python.zip"], without["acme.pay.python.zip"]);
        assert_eq!(with["acme.pay.env.age"], entry(&file));
    }
}

#[test]
fn a_large_or_misnamed_environment_is_not_published() {
    let mut file = env("pay", 1, b"age");
    file.length = MAX_ENVIRONMENT + 1;
    let result = targets(&keys(), std::slice::from_ref(&file));
    assert!(matches!(result, Err(Error::EnvTooLarge { .. })), "{result:?}");
    file.length -= 1;
    assert!(targets(&keys(), &[file.clone()]).is_ok());

    let name: EnvName = "acme.other.env.age".parse().unwrap();
    let envs = BTreeMap::from([(name, file)]);
    let listing = Listing::Current { bundles: &BTreeMap::new(), envs: &envs };
    let result = sign_all(keys().online(), Versions::all(version(1)), listing, NOW);
    assert!(matches!(result, Err(Error::Misnamed { .. })), "{result:?}");
}
