//! Attacks A-25 to A-27: what is unsigned, forged, or signed for something else is refused.

use std::num::NonZeroUsize;

use data_encoding::BASE64URL;
use serde_json::{Value, json};

use super::*;

fn keys(seed: u8) -> AttestationKeys {
    AttestationKeys::derive(&Seed::new([seed; 32]))
}

fn statement() -> Vec<u8> {
    let zip = Sha256::of(b"zip").to_string();
    let subject = json!([{"name": "x.zip", "digest": {"sha256": zip}}]);
    let json = json!({"_type": "https://in-toto.io/Statement/v1", "subject": subject});
    serde_json::to_vec(&json).unwrap()
}

fn policy(keys: &[PublicKey], threshold: usize) -> Policy {
    Policy::new(keys, NonZeroUsize::new(threshold).unwrap()).unwrap()
}

fn both() -> Policy {
    policy(&keys(1).public(), 2)
}

fn envelope() -> Value {
    serde_json::to_value(keys(1).sign(IN_TOTO, &statement())).unwrap()
}

fn verify(policy: &Policy, envelope: &Value) -> Result<Statement, Refused> {
    policy.verify_bundle(&serde_json::to_vec(envelope).unwrap(), &Sha256::of(b"zip"))
}

/// A change of labels, salt or encoding would orphan everyone who keeps the public keys.
#[test]
fn the_keys_and_the_signatures_are_pinned() {
    let ids = keys(1).public().map(|key| key.id());
    assert_eq!(ids[0], "67e00695cee131157129f4e84f1b2e353db685e6298663c50f214978aeba30e5");
    assert_eq!(ids[1], "d826bf3af4e27deb5c4e4f4abef70205e66de3c5349b53b4e2a58c32723a3f56");
    let envelope = serde_json::to_vec(&envelope()).unwrap();
    assert_eq!(
        Sha256::of(&envelope).to_string(),
        "ac9fed4941cc7dfedbb062320d117080699a3efc569586b7be378354d3f37787"
    );
    assert!(!format!("{:?}", keys(1)).contains("secret"));
}

#[test]
fn keys_are_read_back_from_pem() {
    for key in keys(1).public() {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }
    for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(PublicKey::from_pem(text), Err(InvalidKey::Other));
    }
}

#[test]
fn either_signature_alone_and_both_together_are_enough_for_who_asks_for_them() {
    let [ed25519, p256] = keys(1).public();
    for policy in [both(), policy(&[ed25519], 1), policy(&[p256], 1)] {
        assert!(verify(&policy, &envelope()).is_ok());
    }
    let about = both().verify_bundle(envelope().to_string().as_bytes(), &Sha256::of(b"other"));
    assert_eq!(about, Err(Refused::Subject(Sha256::of(b"other"))));
}

/// A-25.
#[test]
fn unsigned_and_foreign_envelopes_are_refused() {
    let mut unsigned = envelope();
    unsigned["signatures"] = json!([]);
    let refused = Err(Refused::Threshold { found: 0, wanted: 2 });
    assert_eq!(verify(&both(), &unsigned), refused);
    let stranger = policy(&keys(2).public(), 1);
    assert_eq!(verify(&stranger, &envelope()), Err(Refused::Threshold { found: 0, wanted: 1 }));
    for text in ["", "{}", "null", "404 page not found"] {
        assert!(matches!(both().verify(text.as_bytes()), Err(Refused::Malformed(_))), "{text}");
    }
    let large = vec![b' '; policy::MAX_ENVELOPE + 1];
    assert_eq!(both().verify(&large), Err(Refused::TooLarge(large.len())));
}

/// One key under two names, or one signature twice, is one signer.
#[test]
fn a_key_counts_once() {
    let [ed25519, _] = keys(1).public();
    assert!(Policy::new(&[ed25519, ed25519], NonZeroUsize::new(2).unwrap()).is_err());
    let mut twice = envelope();
    let first = twice["signatures"][0].clone();
    let mut renamed = first.clone();
    renamed["keyid"] = json!("another");
    twice["signatures"] = json!([first, first, renamed]);
    assert_eq!(verify(&both(), &twice), Err(Refused::Threshold { found: 1, wanted: 2 }));
}

/// A-26: the type is signed, lengths keep type and payload apart, and one bad signature in the name of a
/// trusted key is an attack, whatever the others are.
#[test]
fn what_was_changed_after_signing_is_refused() {
    let mut retyped = envelope();
    retyped["payloadType"] = json!("text/plain");
    assert_eq!(verify(&both(), &retyped), Err(Refused::Type("text/plain".to_owned())));

    let other = serde_json::to_value(keys(1).sign("text/plain", &statement())).unwrap();
    let mut swapped = envelope();
    swapped["signatures"] = other["signatures"].clone();
    assert!(matches!(verify(&both(), &swapped), Err(Refused::Forged(_))));

    // The bytes of one message, cut elsewhere.
    let shifted = keys(1).sign("application/vnd.in-toto+json 5 hello", b"");
    let mut confused = serde_json::to_value(shifted).unwrap();
    confused["payloadType"] = json!(IN_TOTO);
    confused["payload"] = json!(BASE64.encode(b"hello"));
    assert!(matches!(verify(&both(), &confused), Err(Refused::Forged(_))));

    let [ed25519, p256] = keys(1).public();
    for (bad, good) in [(0, p256), (1, ed25519)] {
        let mut half = envelope();
        half["signatures"][bad]["sig"] = other["signatures"][bad]["sig"].clone();
        let trusting = policy(&[ed25519, p256], 1);
        assert!(matches!(verify(&trusting, &half), Err(Refused::Forged(_))), "{bad}");
        assert!(verify(&policy(&[good], 1), &half).is_ok(), "who trusts only the other");
    }
}

/// A-26: two texts for the same bytes would give one envelope two checksums.
#[test]
fn only_the_one_base64_of_some_bytes_is_read() {
    let sig = envelope()["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let payload = envelope()["payload"].as_str().unwrap().to_owned();
    // 64 bytes leave four unused bits in the last digit before the padding.
    let trailing = format!("{}B==", &sig[..sig.len() - 3]);
    assert_ne!(sig, trailing);
    for bad in
        [trailing, format!("{sig}\n"), sig.trim_end_matches('=').to_owned(), format!(" {sig}")]
    {
        let mut changed = envelope();
        changed["signatures"][0]["sig"] = json!(bad);
        assert!(matches!(verify(&both(), &changed), Err(Refused::Malformed(_))), "{bad}");
    }
    let mut changed = envelope();
    changed["payload"] = json!(format!("{payload}\n"));
    assert!(matches!(verify(&both(), &changed), Err(Refused::Malformed(_))));
    let text = envelope().to_string().replacen('{', r#"{"payload":"AAAA","#, 1);
    assert!(matches!(both().verify(text.as_bytes()), Err(Refused::Malformed(_))), "a key twice");

    let mut url = envelope();
    let bytes = BASE64.decode(sig.as_bytes()).unwrap();
    url["signatures"][0]["sig"] = json!(BASE64URL.encode(&bytes));
    assert!(verify(&both(), &url).is_ok(), "DSSE allows the other alphabet");
}

/// A-27: for a point of small order anyone can make signatures.
#[test]
fn keys_of_small_order_are_refused() {
    let identity = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    for bytes in [identity, [0; 32]] {
        let weak = VerifyingKey::from_bytes(&bytes).unwrap();
        let pem = weak.to_public_key_pem(LineEnding::LF).unwrap();
        assert_eq!(PublicKey::from_pem(&pem), Err(InvalidKey::Weak));
        // R = A, S = 0 satisfies the equation of RFC 8032 for the identity.
        let forged = [identity.as_slice(), &[0; 32]].concat();
        assert!(!PublicKey::Ed25519(weak).verifies(b"anything", &forged));
    }
}

/// A-27: a signature that was made is not turned into a second one.
#[test]
fn malleated_signatures_are_refused() {
    let bytes = |at: usize| {
        let sig = envelope()["signatures"][at]["sig"].as_str().unwrap().to_owned();
        BASE64.decode(sig.as_bytes()).unwrap()
    };
    let message = pae(IN_TOTO, &statement());
    let [ed25519, p256] = keys(1).public();
    let mut plus_order = bytes(0);
    let order =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    for (byte, add) in plus_order[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    assert!(ed25519.verifies(&message, &bytes(0)));
    assert!(!ed25519.verifies(&message, &plus_order), "S + L");

    let made = ecdsa::Signature::from_der(&bytes(1)).unwrap();
    let (r, s) = made.split_scalars();
    let twin = ecdsa::Signature::from_scalars(r, -s).unwrap();
    assert!(p256.verifies(&message, &bytes(1)));
    assert!(!p256.verifies(&message, twin.to_der().as_bytes()), "n - S");
    assert!(!p256.verifies(&message, &made.to_bytes()), "not in DER");
}
