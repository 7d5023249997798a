//! Any bytes as TUF metadata: as a file of each role, as an honest file with some of its bytes replaced,
//! and as targets and delegations that are signed as they should be. Nothing is accepted that nobody
//! signed, and every search ends.
#![no_main]

use std::sync::LazyLock;

use colophon_model::UnixMillis;
use colophon_trust::limits::MAX_DELEGATIONS;
use colophon_trust::tuf::{RootChain, TrustedTargets};
use ed25519_dalek::{Signer as _, SigningKey};
use libfuzzer_sys::fuzz_target;
use serde::Serialize as _;
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis::new(1_795_262_400_000);
const PATH: &str = "dir/file.zip";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
static HONEST: LazyLock<[Value; 4]> = LazyLock::new(|| {
    let grant = json!({ "keyids": ["k"], "threshold": 1 });
    let roles = json!({ "root": grant, "timestamp": grant, "snapshot": grant, "targets": grant });
    let root = json!({ "consistent_snapshot": true, "keys": { "k": public() }, "roles": roles });
    let list = |name: &str| json!({ "meta": { name: { "version": 1 } } });
    [
        file("root", root),
        file("timestamp", list("snapshot.json")),
        file("snapshot", list("targets.json")),
        file("targets", json!({ "targets": {} })),
    ]
});

fn public() -> Value {
    let public = hex::encode(KEY.verifying_key().as_bytes());
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
}

/// A whole file of a role around its own fields.
fn file(role: &str, body: Value) -> Value {
    let mut signed = json!({
        "_type": role, "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z",
    });
    if let (Value::Object(signed), Value::Object(body)) = (&mut signed, body) {
        signed.extend(body);
    }
    let mut message = Vec::new();
    let formatter = olpc_cjson::CanonicalFormatter::new();
    let mut canonical = serde_json::Serializer::with_formatter(&mut message, formatter);
    // A float has no canonical form; the signature is wrong then.
    let _ = signed.serialize(&mut canonical);
    let sig = hex::encode(KEY.sign(&message).to_bytes());
    json!({ "signatures": [{ "keyid": "k", "sig": sig }], "signed": signed })
}

/// Walks the whole workflow; the targets, when all four were accepted.
fn walk(files: [&[u8]; 4]) -> Option<TrustedTargets> {
    let [root, timestamp, snapshot, targets] = files;
    let root = RootChain::pinned(root).ok()?.finish(NOW).ok()?;
    let timestamp = root.timestamp(timestamp, None, NOW).ok()?;
    timestamp.snapshot(snapshot, None, NOW).ok()?.targets(targets, NOW).ok()
}

/// Every honest file but one, and in its place these bytes.
fn replace(role: usize, bytes: &[u8]) {
    let honest = HONEST.each_ref().map(Value::to_string);
    let mut files = honest.each_ref().map(String::as_bytes);
    files[role] = bytes;
    if walk(files).is_some() {
        let accepted: Value = serde_json::from_slice(bytes).expect("what was accepted is JSON");
        assert_eq!(accepted["signed"], HONEST[role]["signed"], "nobody signed this");
    }
}

/// A search through targets and delegations that the right keys signed.
fn search(body: Value) {
    let mut body = body;
    let mut meta = json!({ "targets.json": { "version": 1 } });
    if let Some(delegations) = body.get_mut("delegations").filter(|d| d.is_object()) {
        delegations["keys"] = json!({ "k": public() });
        let roles = delegations.get("roles").and_then(Value::as_array).into_iter().flatten();
        for name in roles.filter_map(|role| role.get("name")?.as_str()) {
            meta[format!("{name}.json")] = json!({ "version": 1 });
        }
    }
    let [root, timestamp, ..] = HONEST.each_ref().map(Value::to_string);
    let snapshot = file("snapshot", json!({ "meta": meta })).to_string();
    let targets = file("targets", body).to_string();
    let files = [root, timestamp, snapshot, targets.clone()];
    let Some(trusted) = walk(files.each_ref().map(String::as_bytes)) else { return };
    let Ok(mut search) = trusted.search(PATH) else { return };
    let mut visited = 0;
    while let Ok(Some(_)) = search.wanted() {
        if search.supply(targets.as_bytes(), NOW).is_err() {
            return;
        }
        visited += 1;
        assert!(visited <= MAX_DELEGATIONS, "a search without end");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let role = usize::from(how % 4);
    match how / 4 % 3 {
        0 => replace(role, bytes),
        1 => replace(role, &fuzz::patched(HONEST[role].to_string().as_bytes(), bytes)),
        _ => {
            if let Ok(body @ Value::Object(_)) = serde_json::from_slice(bytes) {
                search(body);
            }
        }
    }
});
