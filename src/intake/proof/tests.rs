//! Published vectors, and what must not pass.

use axum::http::HeaderName;

use super::*;

/// Test vector of the Standard Webhooks libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD: [(&str, &str); 3] = [
    ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
    ("webhook-timestamp", "1614265330"),
    ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
];
const STANDARD_BODY: &[u8] = b"{\"test\": 2432232314}";
const STANDARD_TIME: u64 = 1_614_265_330_000;

/// Test vector of GitHub's documentation.
const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// RFC 4231, test case 2.
const RFC_4231: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
const RFC_4231_BODY: &[u8] = b"what do ya want for nothing?";

const TOLERANCE: u64 = 300_000;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| -> (HeaderName, header::HeaderValue) {
        (name.parse().unwrap(), value.parse().unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn key(generation: u32, secret: &str) -> Key {
    Key { generation, secret: secret.to_owned(), static_key: format!("static {secret}") }
}

fn verify(pairs: &[(&str, &str)], secret: &str, body: &[u8], now: u64) -> Option<Verified> {
    let proof = Proof::read(&headers(pairs), None);
    proof.verify(&[key(1, secret)], body, UnixMillis::new(now), TOLERANCE)
}

fn hex_of(secret: &str, text: &str) -> String {
    hex::encode(hmac(secret.as_bytes(), &[text.as_bytes()]))
}

#[test]
fn published_vectors_pass() {
    let verified = verify(&STANDARD, SECRET, STANDARD_BODY, STANDARD_TIME).unwrap();
    assert_eq!(verified.scheme, Scheme::Standard);
    assert_eq!(verified.id.unwrap().as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
    assert_eq!(verified.time, Some(UnixMillis::new(STANDARD_TIME)));

    let github = [("x-hub-signature-256", GITHUB), ("x-github-delivery", "72d3162e")];
    let verified = verify(&github, GITHUB_SECRET, b"Hello, World!", 0).unwrap();
    assert_eq!(verified.scheme, Scheme::Github);
    assert_eq!((verified.id.unwrap().as_str(), verified.time), ("72d3162e", None));

    for sent in [RFC_4231.to_owned(), format!("sha256={RFC_4231}"), RFC_4231.to_uppercase()] {
        let verified = verify(&[("x-ap-signature", &sent)], "Jefe", RFC_4231_BODY, 0).unwrap();
        assert_eq!((verified.scheme, verified.id, verified.time), (Scheme::Legacy, None, None));
    }
    assert_eq!(legacy_signature("Jefe", RFC_4231_BODY), format!("sha256={RFC_4231}"));
}

#[test]
fn a_byte_that_differs_is_refused() {
    let mut body = STANDARD_BODY.to_vec();
    body.push(b' ');
    assert_eq!(verify(&STANDARD, SECRET, &body, STANDARD_TIME), None);
    for (name, value) in [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJel"),
        ("webhook-timestamp", "1614265331"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF="),
    ] {
        let changed = STANDARD.map(|pair| if pair.0 == name { (name, value) } else { pair });
        assert_eq!(verify(&changed, SECRET, STANDARD_BODY, STANDARD_TIME), None, "{name}");
        let without: Vec<_> = STANDARD.into_iter().filter(|pair| pair.0 != name).collect();
        assert_eq!(verify(&without, SECRET, STANDARD_BODY, STANDARD_TIME), None, "{name}");
        let twice: Vec<_> =
            STANDARD.into_iter().chain(STANDARD.into_iter().filter(|p| p.0 == name)).collect();
        assert_eq!(verify(&twice, SECRET, STANDARD_BODY, STANDARD_TIME), None, "two {name}");
    }
    assert_eq!(verify(&[("x-hub-signature-256", GITHUB)], GITHUB_SECRET, b"Hello", 0), None);
    assert_eq!(verify(&[("x-hub-signature-256", &GITHUB[7..])], GITHUB_SECRET, b"", 0), None);
    assert_eq!(verify(&[], "Jefe", RFC_4231_BODY, 0), None);
}

/// A sender that rotates sends a signature for each of its secrets, and knows versions that we do not.
#[test]
fn one_good_signature_among_several_is_enough() {
    let good = STANDARD[2].1;
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for list in
        [format!("{wrong} {good}"), format!("v1a,xyz {good} {wrong}"), format!("junk {good}")]
    {
        let sent = [STANDARD[0], STANDARD[1], ("webhook-signature", list.as_str())];
        assert!(verify(&sent, SECRET, STANDARD_BODY, STANDARD_TIME).is_some(), "{list}");
    }
    let asymmetric = good.replace("v1,", "v1a,");
    let many = format!("{}{good}", format!("{wrong} ").repeat(MAX_SIGNATURES));
    for list in [asymmetric, many, good.replace("v1,", "")] {
        let sent = [STANDARD[0], STANDARD[1], ("webhook-signature", list.as_str())];
        assert_eq!(verify(&sent, SECRET, STANDARD_BODY, STANDARD_TIME), None, "{list}");
    }
}

#[test]
fn every_key_is_tried_and_the_one_that_fits_is_named() {
    let proof = Proof::read(&headers(&STANDARD), None);
    let now = UnixMillis::new(STANDARD_TIME);
    let found = |keys: &[Key]| proof.verify(keys, STANDARD_BODY, now, TOLERANCE);
    for at in 0..MAX_KEYS {
        let mut keys: Vec<Key> =
            (0..MAX_KEYS as u32).map(|n| key(n, &format!("whsec_{n}{n}{n}{n}"))).collect();
        keys[at] = key(at as u32, SECRET);
        assert_eq!(found(&keys).unwrap().generation, at as u32);
    }
    assert_eq!(found(&[]), None);
    let over: Vec<Key> =
        (0..MAX_KEYS as u32).map(|n| key(n, "x")).chain([key(9, SECRET)]).collect();
    assert_eq!(found(&over), None, "no more keys are good at a time");
}

#[test]
fn time_is_good_five_minutes_both_ways() {
    let at = |now| verify(&STANDARD, SECRET, STANDARD_BODY, now).is_some();
    assert!(at(STANDARD_TIME - TOLERANCE) && at(STANDARD_TIME + TOLERANCE));
    assert!(!at(STANDARD_TIME - TOLERANCE - 1) && !at(STANDARD_TIME + TOLERANCE + 1));
    for (sent, millis) in [("1614265330", STANDARD_TIME), ("1614265330123", 1_614_265_330_123)] {
        let signature = hex_of("Jefe", &format!("{sent}.body"));
        let sent = [("x-ap-signature", signature.as_str()), ("x-ap-timestamp", sent)];
        let at = |now| verify(&sent, "Jefe", b"body", now);
        assert_eq!(at(millis).unwrap().time, Some(UnixMillis::new(millis)));
        assert_eq!(at(millis + TOLERANCE + 1), None);
        assert_eq!(at(millis - TOLERANCE - 1), None);
    }
}

#[test]
fn what_is_no_time_is_refused() {
    for time in ["", "1614265330.5", "-1", "+1614265330", " 1614265330", "0x1", "161426533000000"] {
        let signature = hex_of("Jefe", &format!("{time}.body"));
        let sent = [("x-ap-signature", signature.as_str()), ("x-ap-timestamp", time)];
        assert_eq!(verify(&sent, "Jefe", b"body", STANDARD_TIME), None, "{time}");
    }
}

/// A timestamp that was signed cannot be left out, nor can one be added.
#[test]
fn a_timestamp_cannot_be_taken_away_or_added() {
    let with = hex_of("Jefe", "1614265330.body");
    assert_eq!(verify(&[("x-ap-signature", &with)], "Jefe", b"body", STANDARD_TIME), None);
    let without = hex_of("Jefe", "body");
    let sent = [("x-ap-signature", without.as_str()), ("x-ap-timestamp", "1614265330")];
    assert_eq!(verify(&sent, "Jefe", b"body", STANDARD_TIME), None);
}

/// The id is cut from the rest by the first full stop, so it must hold none.
#[test]
fn an_id_with_a_full_stop_is_refused() {
    let tag = hmac(&standard_key(SECRET), &[b"a.1614265330.1614265330.{}"]);
    let signature = format!("v1,{}", BASE64.encode(&tag));
    let sent = |id| {
        let sent = [("webhook-id", id), STANDARD[1], ("webhook-signature", signature.as_str())];
        verify(&sent, SECRET, b"{}", STANDARD_TIME)
    };
    assert_eq!(sent("a.1614265330"), None);
    let body = b"1614265330.{}";
    let sent = [("webhook-id", "a"), STANDARD[1], ("webhook-signature", signature.as_str())];
    assert!(verify(&sent, SECRET, body, STANDARD_TIME).is_some(), "the same bytes are signed");
}

/// With headers of several schemes the first in the table decides, good or bad.
#[test]
fn a_failed_proof_is_not_helped_by_a_weaker_one() {
    let legacy = hex_of(SECRET, std::str::from_utf8(STANDARD_BODY).unwrap());
    let hub = format!("sha256={legacy}");
    let fixed = format!("static {SECRET}");
    let good = [
        STANDARD.to_vec(),
        vec![("x-ap-signature", legacy.as_str())],
        vec![("x-hub-signature-256", hub.as_str())],
        vec![("x-api-key", fixed.as_str())],
    ];
    let zeros = "0".repeat(64);
    let bad = [
        ("webhook-signature", "v1,AAAA"),
        ("x-ap-signature", zeros.as_str()),
        ("x-hub-signature-256", zeros.as_str()),
    ];
    let seen = |sent: &[(&str, &str)]| verify(sent, SECRET, STANDARD_BODY, STANDARD_TIME);
    for (strong, scheme) in Scheme::ALL.into_iter().enumerate() {
        assert_eq!(seen(&good[strong]).unwrap().scheme, scheme, "alone");
        for weak in strong + 1..good.len() {
            let both = [good[strong].clone(), good[weak].clone()].concat();
            assert_eq!(seen(&both).unwrap().scheme, scheme, "both are good");
            let mixed = [vec![bad[strong]], good[weak].clone()].concat();
            assert_eq!(seen(&mixed), None, "{scheme:?} failed");
        }
    }
}

/// A hook takes one scheme, whatever else is there.
#[test]
fn one_scheme_can_be_asked_for() {
    let all = [STANDARD.to_vec(), vec![("authorization", "Bearer static Jefe")]].concat();
    let proof = Proof::read(&headers(&all), Some(Scheme::Static));
    let now = UnixMillis::new(0);
    let verified = proof.verify(&[key(3, "Jefe")], b"anything", now, TOLERANCE).unwrap();
    assert_eq!((verified.scheme, verified.generation), (Scheme::Static, 3));
    assert_eq!(proof.verify(&[key(3, "Other")], b"anything", now, TOLERANCE), None);
    let proof = Proof::read(&headers(&STANDARD), Some(Scheme::Legacy));
    let now = UnixMillis::new(STANDARD_TIME);
    assert_eq!(proof.verify(&[key(1, SECRET)], STANDARD_BODY, now, TOLERANCE), None);
}

#[test]
fn keys_are_not_printed() {
    assert!(!format!("{:?}", key(1, "whsec_abc")).contains("whsec"));
}
