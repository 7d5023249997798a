//! The client workflow against everything an attacker without (or with some of) the keys can serve.

use crate::forge::{DAY, Forge, NOW, bundle, describe, file, id, key, public, sign, sign_as};
use colophon_trust::limits::{MAX_ROOT, MAX_ROOT_UPDATES};
use colophon_trust::{Error, Role, RootChain};
use serde_json::{Value, json};

fn tenant(slug: &str) -> colophon_model::TenantSlug {
    slug.parse().unwrap()
}

#[test]
fn a_root_needs_two_of_its_own_keys() {
    let forge = Forge::new("acme");
    let value = forge.root_value(1);
    let [a, b, c] = &forge.root;
    for (keys, valid) in [
        (vec![a, b], Ok(())),
        (vec![b, c], Ok(())),
        (vec![a, b, c], Ok(())),
        (vec![], Err(0)),
        (vec![a], Err(1)),
        (vec![a, &forge.targets, &forge.snapshot], Err(1)),
    ] {
        match (RootChain::pinned(&sign(&value, &keys), &tenant("acme")), valid) {
            (Ok(_), Ok(())) => {}
            (Err(Error::Threshold { role: Role::Root, valid, needed: 2 }), Err(expected)) => {
                assert_eq!(valid, expected);
            }
            (other, expected) => panic!("{other:?}, expected {expected:?}"),
        }
    }
}

/// Key ids are names that the root's author chooses; what counts is the key behind them.
#[test]
fn one_key_under_two_ids_is_one_signature() {
    let forge = Forge::new("acme");
    let mut value = forge.root_value(1);
    value["keys"]["other-name"] = public(&forge.root[0]);
    value["roles"]["root"]["keyids"].as_array_mut().unwrap().push("other-name".into());
    let twice = [(id(&forge.root[0]), &forge.root[0]), ("other-name".to_owned(), &forge.root[0])];
    let result = RootChain::pinned(&sign_as(&value, &twice), &tenant("acme"));
    assert!(matches!(result, Err(Error::Threshold { valid: 1, .. })), "{result:?}");
}

#[test]
fn a_key_id_may_sign_only_once() {
    let forge = Forge::new("acme");
    let a = &forge.root[0];
    let result =
        RootChain::pinned(&sign(&forge.root_value(1), &[a, a, &forge.root[1]]), &tenant("acme"));
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
}

#[test]
fn keys_of_unknown_kinds_and_weak_keys_never_count() {
    let forge = Forge::new("acme");
    // The identity point: any message has a signature under it unless weak keys are refused.
    let identity = format!("01{}", "00".repeat(31));
    let weak = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": identity}});
    let rsa = json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": "x"}});
    for stranger in [weak, rsa] {
        let mut value = forge.root_value(1);
        value["keys"]["stranger"] = stranger;
        value["roles"]["root"]["keyids"].as_array_mut().unwrap().push("stranger".into());
        let mut file: Value = serde_json::from_slice(&sign(&value, &[&forge.root[0]])).unwrap();
        // R = identity, S = 0 satisfies the verification equation of the identity key.
        let forged = json!({"keyid": "stranger", "sig": format!("{identity}{}", "00".repeat(32))});
        file["signatures"].as_array_mut().unwrap().push(forged);
        let result = RootChain::pinned(file.to_string().as_bytes(), &tenant("acme"));
        assert!(matches!(result, Err(Error::Threshold { valid: 1, .. })), "{result:?}");
        let good = sign(&value, &forge.root_keys());
        assert!(RootChain::pinned(&good, &tenant("acme")).is_ok(), "a stranger does no harm");
    }
}

#[test]
fn a_new_root_needs_old_and_new_keys() {
    let old = Forge::new("acme");
    let mut new = Forge::new("acme");
    new.root = [key(11), key(12), key(13)];
    let value = new.root_value(2);
    let by = |keys: &[&ed25519_dalek::SigningKey]| old.chain().update(&sign(&value, keys));
    let (o, n) = (&old.root, &new.root);
    assert!(by(&[&o[0], &o[1], &n[0], &n[1]]).is_ok());
    for keys in [
        vec![&n[0], &n[1]],
        vec![&o[0], &o[1]],
        vec![&o[0], &n[0], &n[1]],
        vec![&o[0], &o[1], &n[0]],
    ] {
        let result = by(&keys);
        assert!(matches!(result, Err(Error::Threshold { role: Role::Root, .. })), "{result:?}");
    }
}

#[test]
fn root_versions_go_up_by_one() {
    let forge = Forge::new("acme");
    for wrong in [1, 3, 1_000_000_000] {
        let result = forge.chain().update(&forge.root_bytes(wrong));
        assert!(
            matches!(result, Err(Error::WrongVersion { expected: 2, found, .. }) if found == wrong),
            "{result:?}"
        );
    }
    let mut chain = forge.chain();
    chain.update(&forge.root_bytes(3)).unwrap_err();
    assert_eq!(chain.next_name(), "2.root.json", "a refused root leaves the chain as it was");
}

#[test]
fn one_run_follows_a_bounded_number_of_roots() {
    let forge = Forge::new("acme");
    let mut chain = forge.chain();
    for version in 2..2 + u64::from(MAX_ROOT_UPDATES) {
        chain.update(&forge.root_bytes(version)).unwrap();
    }
    let next = forge.root_bytes(2 + u64::from(MAX_ROOT_UPDATES));
    assert!(matches!(chain.update(&next), Err(Error::TooManyRoots)));
}

#[test]
fn every_role_expires_to_the_millisecond() {
    let forge = Forge::new("acme");
    let at = NOW.plus(DAY);
    let before = colophon_model::UnixMillis::new(at.get() - 1);
    let (targets, snapshot) = chain_of_files(&forge, &json!({}));
    let bytes = forge.timestamp_bytes(1, 1, &snapshot);
    let expired = |result: Option<Error>, role: Role| {
        assert!(
            matches!(result, Some(Error::Expired { role: found, expires })
                if found == role && expires == at),
            "{role}"
        );
    };
    expired(forge.chain().finish(at).err(), Role::Root);
    let root = forge.chain().finish(before).unwrap();
    expired(root.timestamp(&bytes, None, at).err(), Role::Timestamp);
    let timestamp = root.timestamp(&bytes, None, before).unwrap();
    expired(timestamp.snapshot(&snapshot, None, at).err(), Role::Snapshot);
    let trusted = timestamp.snapshot(&snapshot, None, before).unwrap();
    expired(trusted.targets(&targets, at).err(), Role::Targets);
    assert!(trusted.targets(&targets, before).is_ok());
}

/// Targets and a snapshot that names them, both version 1.
pub(crate) fn chain_of_files(forge: &Forge, targets: &Value) -> (Vec<u8>, Vec<u8>) {
    let targets = forge.targets_bytes(1, targets);
    let snapshot = forge.snapshot_bytes(1, 1, &targets);
    (targets, snapshot)
}

#[test]
fn nothing_goes_back() {
    let forge = Forge::new("acme");
    let root = forge.trusted();
    let targets = forge.targets_bytes(5, &json!({}));
    let snapshot = forge.snapshot_bytes(5, 5, &targets);
    let trusted = forge.timestamp_bytes(5, 5, &snapshot);

    let old = forge.timestamp_bytes(4, 5, &snapshot);
    let result = root.timestamp(&old, Some(&trusted), NOW);
    assert!(
        matches!(result, Err(Error::Rollback { role: Role::Timestamp, trusted: 5, offered: 4 })),
        "{result:?}"
    );

    let older_snapshot = forge.timestamp_bytes(6, 4, &snapshot);
    let result = root.timestamp(&older_snapshot, Some(&trusted), NOW);
    assert!(matches!(result, Err(Error::Rollback { role: Role::Snapshot, .. })), "{result:?}");

    let older_targets = forge.snapshot_bytes(6, 4, &forge.targets_bytes(4, &json!({})));
    let timestamp = forge.timestamp(6, &older_targets);
    let result = timestamp.snapshot(&older_targets, Some(&snapshot), NOW);
    assert!(matches!(result, Err(Error::Rollback { role: Role::Targets, .. })), "{result:?}");
}

/// The rollback check must also work when the stored file has expired in the meantime.
#[test]
fn an_expired_stored_timestamp_still_guards() {
    let forge = Forge::new("acme");
    let mut value = file("timestamp", 9, "meta", &json!({"snapshot.json": describe(9, b"")}));
    value["expires"] = json!("2020-01-01T00:00:00Z");
    let stored = sign(&value, &[&forge.timestamp]);
    let older = forge.timestamp_bytes(8, 9, b"");
    let result = forge.trusted().timestamp(&older, Some(&stored), NOW);
    assert!(matches!(result, Err(Error::Rollback { .. })), "{result:?}");
}

#[test]
fn an_equal_timestamp_keeps_the_stored_one() {
    let forge = Forge::new("acme");
    let stored = forge.timestamp_bytes(5, 5, b"five");
    let other = forge.timestamp_bytes(5, 6, b"six");
    let kept = forge.trusted().timestamp(&other, Some(&stored), NOW).unwrap();
    assert_eq!(kept.bytes(), stored);
    assert_eq!(kept.snapshot_name(), "5.snapshot.json");
}

#[test]
fn a_damaged_stored_file_is_ignored() {
    let forge = Forge::new("acme");
    let bytes = forge.timestamp_bytes(2, 2, b"");
    let foreign = sign(
        &file("timestamp", 9, "meta", &json!({"snapshot.json": describe(9, b"")})),
        &[&key(99)],
    );
    for stored in [&b"not json"[..], &foreign] {
        assert!(forge.trusted().timestamp(&bytes, Some(stored), NOW).is_ok());
    }
}

#[test]
fn files_of_two_moments_do_not_mix() {
    let forge = Forge::new("acme");
    let old = forge.targets_bytes(1, &json!({}));
    let new = forge.targets_bytes(2, &json!({}));
    let snapshot = forge.snapshot_bytes(2, 2, &new);
    let timestamp = forge.timestamp(2, &snapshot);
    let result = timestamp.snapshot(&forge.snapshot_bytes(1, 1, &old), None, NOW);
    assert!(matches!(result, Err(Error::HashMismatch { role: Role::Snapshot })), "{result:?}");
    let trusted = timestamp.snapshot(&snapshot, None, NOW).unwrap();
    let result = trusted.targets(&old, NOW);
    assert!(matches!(result, Err(Error::HashMismatch { role: Role::Targets })), "{result:?}");
    // A hash that matches does not make up for a version that does not.
    let lying = forge.snapshot_bytes(3, 3, &new);
    let trusted = forge.timestamp(3, &lying).snapshot(&lying, None, NOW).unwrap();
    let result = trusted.targets(&new, NOW);
    assert!(matches!(result, Err(Error::WrongVersion { expected: 3, found: 2, .. })), "{result:?}");
}

/// A repository of tenant B in the place of A's: refused for its keys, and were the keys shared,
/// for its tenant.
#[test]
fn one_tenant_cannot_stand_in_for_another() {
    let (acme, evil) = (Forge::new("acme"), Forge::new("evil"));
    let result = RootChain::pinned(&evil.root_bytes(1), &tenant("acme"));
    assert!(matches!(result, Err(Error::WrongTenant { .. })), "{result:?}");
    let result = acme.chain().update(&evil.root_bytes(2));
    assert!(matches!(result, Err(Error::WrongTenant { .. })), "{result:?}");
    let mut reborn = acme.root_value(2);
    reborn["x-colophon-uid"] = json!("11".repeat(16));
    let result = acme.chain().update(&sign(&reborn, &acme.root_keys()));
    assert!(matches!(result, Err(Error::WrongTenant { .. })), "a slug given away again");

    let (targets, snapshot) = chain_of_files(&evil, &targets_of("evil", "evil.pay.python.zip"));
    let trusted = acme.timestamp(1, &snapshot).snapshot(&snapshot, None, NOW).unwrap();
    let result = trusted.targets(&targets, NOW);
    assert!(matches!(result, Err(Error::WrongTenant { .. })), "{result:?}");
}

/// One target under `name` that describes flow `pay` of `slug`.
fn targets_of(slug: &str, name: &str) -> Value {
    let file = bundle(slug, "pay", 1, b"zip");
    json!({name: {
        "length": file.length, "hashes": {"sha256": file.sha256},
        "custom": {"colophon": file.custom},
    }})
}

#[test]
fn a_target_is_what_its_name_says() {
    let forge = Forge::new("acme");
    let read = |targets: &Value| {
        let (targets, snapshot) = chain_of_files(&forge, targets);
        let trusted = forge.timestamp(1, &snapshot).snapshot(&snapshot, None, NOW).unwrap();
        trusted.targets(&targets, NOW)
    };
    assert_eq!(read(&targets_of("acme", "acme.pay.python.zip")).unwrap().bundles().len(), 1);
    let result = read(&targets_of("acme", "acme.refund.python.zip"));
    assert!(matches!(result, Err(Error::Misnamed { .. })), "{result:?}");

    let mut broken = targets_of("acme", "acme.pay.python.zip");
    broken["acme.pay.python.zip"]["custom"]["colophon"]["tree"] = json!("sha256:00");
    assert!(matches!(read(&broken), Err(Error::Malformed { role: Role::Targets, .. })));

    // What only newer agents know leaves the rest readable.
    let mut newer = targets_of("acme", "acme.pay.python.zip");
    newer["acme.pay.cobol.zip"] = json!({"anything": true});
    newer["acme.new.python.zip"] = json!({"custom": {"colophon": {"schema": 2}}});
    let trusted = read(&newer).unwrap();
    assert_eq!(trusted.bundles().len(), 1);
    assert_eq!(trusted.unknown(), ["acme.new.python.zip", "acme.pay.cobol.zip"]);
}

/// Whoever had the timestamp key may have raised the version to the sky; new keys bring it down.
#[test]
fn new_online_keys_undo_a_fast_forward() {
    let old = Forge::new("acme");
    let stolen = old.timestamp_bytes(1_000_000_000, 1_000_000_000, b"");
    let honest = old.timestamp_bytes(3, 3, b"");
    let result = old.trusted().timestamp(&honest, Some(&stolen), NOW);
    assert!(matches!(result, Err(Error::Rollback { .. })), "{result:?}");

    for role in [Role::Timestamp, Role::Snapshot] {
        let mut new = Forge::new("acme");
        match role {
            Role::Timestamp => new.timestamp = key(16),
            _ => new.snapshot = key(15),
        }
        let mut chain = old.chain();
        assert!(!chain.reset());
        chain.update(&new.root_bytes(2)).unwrap();
        assert!(chain.reset(), "the caller is told to forget what it stored");
        let honest = new.timestamp_bytes(3, 3, b"");
        assert!(chain.finish(NOW).unwrap().timestamp(&honest, None, NOW).is_ok());
    }
    let mut chain = old.chain();
    chain.update(&old.root_bytes(2)).unwrap();
    assert!(!chain.reset(), "same keys, nothing to forget");
}

#[test]
fn one_file_is_not_read_as_another() {
    let mut forge = Forge::new("acme");
    forge.timestamp = forge.snapshot.clone();
    let snapshot = forge.snapshot_bytes(1, 1, b"");
    let result = forge.trusted().timestamp(&snapshot, None, NOW);
    assert!(matches!(result, Err(Error::Malformed { role: Role::Timestamp, .. })), "{result:?}");
}

#[test]
fn malformed_files_are_refused() {
    let forge = Forge::new("acme");
    let change = |pointer: &str, to: Value| {
        let mut value = forge.root_value(1);
        *value.pointer_mut(pointer).unwrap() = to;
        sign(&value, &forge.root_keys())
    };
    let good = String::from_utf8(forge.root_bytes(1)).unwrap();
    for bad in [
        b"<html>Sign in to the network</html>".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        good.as_bytes()[1..].to_vec(),
        good.replacen("{\"signatures\"", "{\"signed\":{},\"signatures\"", 1).into_bytes(),
        change("/spec_version", json!("2.0.0")),
        change("/version", json!(0)),
        change("/consistent_snapshot", json!(false)),
        change("/expires", json!("tomorrow")),
        change("/roles/root/threshold", json!(0)),
        change("/roles", json!({})),
        change("/x-colophon-tenant", json!("../etc")),
    ] {
        let result = RootChain::pinned(&bad, &tenant("acme"));
        let text = String::from_utf8_lossy(&bad);
        assert!(matches!(result, Err(Error::Malformed { role: Role::Root, .. })), "{text}");
    }
    let huge = vec![b' '; usize::try_from(MAX_ROOT).unwrap() + 1];
    let result = RootChain::pinned(&huge, &tenant("acme"));
    assert!(matches!(result, Err(Error::TooLarge { limit: MAX_ROOT, .. })));
}
