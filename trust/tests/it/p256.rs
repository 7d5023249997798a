//! Root keys in a hardware module: ECDSA on P-256 counts like Ed25519. The signer is OpenSSL.

use std::path::Path;
use std::process::{Command, Stdio};

use colophon_trust::{Error, RootChain};
use serde_json::{Value, json};

use crate::forge::{Forge, canonical, sign};

/// Runs OpenSSL with `input`, and returns what it wrote.
fn openssl(args: &[&str], input: &[u8], dir: &Path) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// A root with an ECDSA key as fourth root key, signed by one Ed25519 key and `extra` signatures.
fn root(curve: &str, change: impl Fn(&mut Vec<u8>)) -> Result<RootChain, Error> {
    let dir = tempfile::tempdir().unwrap();
    let curve = format!("ec_paramgen_curve:{curve}");
    let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", &curve, "-out", "key.pem"];
    openssl(&make, b"", dir.path());
    let public = openssl(&["pkey", "-in", "key.pem", "-pubout"], b"", dir.path());
    let forge = Forge::new("acme");
    let mut value = forge.root_value(1);
    value["keys"]["hsm"] = json!({
        "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
        "keyval": {"public": String::from_utf8(public).unwrap()},
    });
    value["roles"]["root"]["keyids"].as_array_mut().unwrap().push("hsm".into());
    let message = canonical(&value);
    let mut signature = openssl(&["dgst", "-sha256", "-sign", "key.pem"], &message, dir.path());
    change(&mut signature);
    let mut file: Value = serde_json::from_slice(&sign(&value, &[&forge.root[0]])).unwrap();
    let signature = json!({"keyid": "hsm", "sig": hex::encode(signature)});
    file["signatures"].as_array_mut().unwrap().push(signature);
    RootChain::pinned(file.to_string().as_bytes(), &"acme".parse().unwrap())
}

#[test]
fn an_ecdsa_signature_counts() {
    assert!(root("P-256", |_| {}).is_ok());
}

#[test]
fn a_damaged_signature_and_another_curve_do_not() {
    for refused in [
        root("P-256", |signature| *signature.last_mut().unwrap() ^= 1),
        root("P-256", Vec::clear),
        root("P-384", |_| {}),
    ] {
        assert!(matches!(refused, Err(Error::Threshold { valid: 1, .. })), "{refused:?}");
    }
}
