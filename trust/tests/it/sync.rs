//! Many answers in one frame: what an honest server sends arrives, and nothing else does.

use std::num::NonZeroU64;

use colophon_model::{Digest, FlowId, Sha256, TenantSlug, TenantUid};
use colophon_trust::sync::{
    Answer, Answers, Changed, MAX_ANSWERS, MAX_CONTENT, MAX_PATH, SyncFlaw, changed, max_frame,
};
use colophon_trust::{
    BundleFacts, EnvFacts, EnvFile, EnvKind, EnvName, FactsSchema, Listing, Seed, TargetFile,
    TenantKeys, Versions, sign_all,
};
use proptest::prelude::*;

use crate::forge::{NOW, bundle};

fn answers(list: &[(&str, Option<&[u8]>)]) -> Answers {
    let mut answers = Answers::default();
    for (path, bytes) in list {
        let answer = bytes.map_or(Answer::Missing, |bytes| Answer::File(bytes.to_vec()));
        assert!(answers.add(path, answer), "{path}");
    }
    answers
}

fn some() -> Answers {
    answers(&[
        ("tuf/2.root.json", None),
        ("tuf/timestamp.json", Some(b"{\"signed\":{}}")),
        ("delta/a..b", Some(&[0, 255, 10, 10, 32])),
        ("tuf/7.targets.json", Some(b"")),
    ])
}

/// The text is in the document; a frame is one of any zstd program.
#[test]
fn the_format_is_pinned() {
    let text: &[u8] = b"colophon sync v1\n\
        200 5 delta/a..b\n404 0 tuf/2.root.json\n200 0 tuf/7.targets.json\n\
        200 13 tuf/timestamp.json\n\n\0\xff\n\n {\"signed\":{}}";
    let frame = some().encode(None).unwrap();
    assert_eq!(zstd::bulk::decompress(&frame, 1000).unwrap(), text);
    assert_eq!(Answers::decode(&zstd::bulk::compress(text, 1).unwrap(), None).unwrap(), some());
    let empty = Answers::default();
    assert_eq!(Answers::decode(&empty.encode(None).unwrap(), None).unwrap(), empty);
}

#[test]
fn each_answer_is_given_once() {
    let mut answers = some();
    assert_eq!(answers.take("tuf/2.root.json"), Some(Answer::Missing));
    assert_eq!(answers.take("tuf/2.root.json"), None);
    assert_eq!(answers.take("tuf/3.root.json"), None);
    assert!(answers.add("tuf/2.root.json", Answer::File(vec![1])), "there is room again");
}

/// Held by both sides: a server does not make what agents refuse.
#[test]
fn answers_are_bounded() {
    let mut answers = Answers::default();
    for bad in ["", "a b", "a\nb", "é", &"x".repeat(MAX_PATH + 1)] {
        assert!(!answers.add(bad, Answer::Missing), "{bad:?}");
    }
    assert!(!answers.add("x", Answer::File(vec![0; MAX_CONTENT as usize])));
    assert!(answers.add("x", Answer::File(vec![7; MAX_CONTENT as usize - 100])));
    assert!(!answers.add("x", Answer::Missing), "one answer for a path");
    assert!(!answers.add("y", Answer::File(vec![0; 100])));
    let frame = answers.encode(None).unwrap();
    assert!(frame.len() as u64 <= max_frame());
    assert_eq!(Answers::decode(&frame, None).unwrap(), answers);
    let mut many = Answers::default();
    assert!((0..MAX_ANSWERS).all(|n| many.add(&n.to_string(), Answer::Missing)));
    assert!(!many.add("more", Answer::Missing));
    assert_eq!(Answers::decode(&many.encode(None).unwrap(), None).unwrap(), many);
}

/// Bombs are refused before anything is unpacked; what is malformed gives nothing.
#[test]
fn bad_frames_give_nothing() {
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    let bomb = zstd(&vec![b'x'; MAX_CONTENT as usize + 1]);
    assert!(bomb.len() < 10_000);
    assert!(matches!(Answers::decode(&bomb, None), Err(SyncFlaw::TooLarge)));
    let streamed = zstd::encode_all(&b"colophon sync v1\n\n"[..], 1).unwrap();
    let good = some().encode(None).unwrap();
    let twice = [&good[..], &good].concat();
    for bad in [&streamed[..], &twice, &good[..good.len() - 1], b"", b"<html>"] {
        assert!(matches!(Answers::decode(bad, None), Err(SyncFlaw::Frame(_))));
    }
    let many = "404 0 x\n".repeat(MAX_ANSWERS + 1);
    for text in [
        "",
        "colophon sync v2\n\n",
        "colophon sync v1\n",
        "colophon sync v1\n\nmore",
        "colophon sync v1\n404 0 x\n",
        "colophon sync v1\n404 1 x\n\nb",
        "colophon sync v1\n500 0 x\n\n",
        "colophon sync v1\n200 2 x\n\nb",
        "colophon sync v1\n200 01 x\n\nb",
        "colophon sync v1\n200 +1 x\n\nb",
        "colophon sync v1\n200 1\n\nb",
        "colophon sync v1\n200 1 \n\nb",
        "colophon sync v1\n404 0 x\n404 0 x\n\n",
        "colophon sync v1\n404 0 x y\n\n",
        "colophon sync v1\n200 99999999999999999999 x\n\nb",
        "colophon sync v1\n200 18446744073709551615 x\n200 1 y\n\nb",
        &format!("colophon sync v1\n{many}\n"),
    ] {
        let decoded = Answers::decode(&zstd(text.as_bytes()), None);
        assert!(matches!(decoded, Err(SyncFlaw::Malformed)), "{text:?}");
    }
}

fn signed(version: u64, trees: &[(&str, &str)]) -> Vec<u8> {
    listing(version, trees.iter().map(|(flow, text)| target(flow, text)), &[])
}

fn target(flow: &str, text: &str) -> TargetFile {
    bundle("acme", flow, 1, text.as_bytes())
}

/// A targets file with bundles, and with environments by flow and text.
fn listing(
    version: u64,
    bundles: impl Iterator<Item = TargetFile>,
    envs: &[(&str, &str)],
) -> Vec<u8> {
    let keys = TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]));
    let bundles = bundles.map(|file| (file.custom.target_name(), file)).collect();
    let env = |(flow, text): &(&str, &str)| {
        let (slug, flow): (TenantSlug, FlowId) = ("acme".parse().unwrap(), flow.parse().unwrap());
        let name = EnvName::new(slug.clone(), flow.clone());
        let custom = EnvFacts { schema: FactsSchema, kind: EnvKind::Env, slug, flow, seq: version };
        let sha256 = Sha256::of(text.as_bytes());
        (name, EnvFile { length: text.len() as u64, sha256, custom })
    };
    let envs = envs.iter().map(env).collect();
    let versions = Versions::all(NonZeroU64::new(version).unwrap());
    let listing = Listing::Current { bundles: &bundles, envs: &envs };
    sign_all(keys.online(), versions, listing, NOW).unwrap().files.swap_remove(0).1
}

fn moved(from: &str, to: &str) -> Changed {
    let (from, to) = (Digest::of(from.as_bytes()), Digest::of(to.as_bytes()));
    Changed { from, to, env: None, attested: None }
}

/// Bundles that are new, gone or as before did not change.
#[test]
fn what_changed_is_found_in_two_targets_files() {
    let old = signed(1, &[("a", "1"), ("b", "1"), ("gone", "1")]);
    let new = signed(2, &[("a", "1"), ("b", "2"), ("more", "1")]);
    assert_eq!(changed(&old, &new), [moved("1", "2")]);
    assert!(changed(&new, &new).is_empty());
    assert!(changed(b"{}", &new).is_empty() && changed(&old, b"").is_empty());
}

/// An environment or an attestation that is another one is a change of its own, and neither hides that
/// a bundle moved.
#[test]
fn what_stands_beside_a_bundle_changes_too() {
    let name = |flow: &str| format!("acme.{flow}.env.age").parse::<EnvName>().unwrap();
    let env = |flow, text: &str| Some((name(flow), Sha256::of(text.as_bytes())));
    let bundles = || ["1", "2"].map(|text| target(&format!("flow_{text}"), text)).into_iter();
    let old = listing(1, bundles(), &[("flow_1", "x"), ("flow_2", "x")]);
    let new = listing(2, bundles(), &[("flow_1", "x"), ("flow_2", "y")]);
    assert_eq!(changed(&old, &new), [Changed { env: env("flow_2", "y"), ..moved("2", "2") }]);
    assert!(changed(&new, &listing(3, bundles(), &[])).is_empty(), "gone is nothing to send");

    let attested = |text| TargetFile {
        custom: BundleFacts { attestation: Some(Sha256::of(b"e")), ..target("a", text).custom },
        ..target("a", text)
    };
    let plain = listing(1, [target("a", "1")].into_iter(), &[("a", "x")]);
    let with = listing(2, [attested("2")].into_iter(), &[("a", "x")]);
    let zip = Some(Sha256::of(b"2"));
    assert_eq!(changed(&plain, &with), [Changed { attested: zip, ..moved("1", "2") }]);
    assert!(changed(&with, &with).is_empty());
}

/// The reason for the prefix: of fifty flows, one moved.
#[test]
fn a_targets_file_is_told_from_the_one_before() {
    let names: Vec<String> = (0..50).map(|n| format!("flow_{n}")).collect();
    let list = |n: usize, text| -> Vec<(&str, &str)> {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), if i == n { text } else { "1" }))
            .collect()
    };
    let (old, new) = (signed(1, &list(7, "1")), signed(2, &list(7, "2")));
    let frame = answers(&[("tuf/2.targets.json", Some(&new))]).encode(Some(&old)).unwrap();
    assert!(new.len() > 20_000 && frame.len() < 500, "{} of {}", frame.len(), new.len());
    let mut back = Answers::decode(&frame, Some(&old)).unwrap();
    assert_eq!(back.take("tuf/2.targets.json"), Some(Answer::File(new)));
}

fn any_answers() -> impl Strategy<Value = Answers> {
    let bytes = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    proptest::collection::btree_map("[!-~]{1,40}", bytes, 0..20).prop_map(|map| {
        let list: Vec<_> = map.iter().map(|(p, b)| (p.as_str(), b.as_deref())).collect();
        answers(&list)
    })
}

proptest! {
    #[test]
    fn what_is_encoded_arrives(answers in any_answers(), held in proptest::option::of(any::<Vec<u8>>())) {
        let frame = answers.encode(held.as_deref()).unwrap();
        prop_assert!(frame.len() as u64 <= max_frame());
        prop_assert_eq!(Answers::decode(&frame, held.as_deref()).unwrap(), answers);
    }

    /// The checksum finds what changed on the way, and another prefix than the server's.
    #[test]
    fn what_was_damaged_is_an_error(answers in any_answers(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let frame = answers.encode(None).unwrap();
        let at = at.index(frame.len());
        prop_assert!(Answers::decode(&frame[..at], None).is_err());
        let mut flipped = frame.clone();
        flipped[at] ^= 1u8 << bit;
        if let Ok(other) = Answers::decode(&flipped, None) {
            prop_assert_eq!(other, answers, "a bit of no meaning");
        }
    }

    #[test]
    fn any_bytes_are_harmless(bytes in any::<Vec<u8>>()) {
        prop_assert!(Answers::decode(&bytes, None).is_err());
    }
}

/// A frame over other targets than the agent has is an error or, where what differs is not used, the
/// same answers; never others.
#[test]
fn the_wrong_prefix_is_noticed() {
    let (old, new) = (signed(1, &[("a", "1")]), signed(2, &[("a", "2")]));
    let honest = answers(&[("tuf/2.targets.json", Some(&new))]);
    let frame = honest.encode(Some(&old)).unwrap();
    assert!(Answers::decode(&frame, None).is_err());
    assert!(Answers::decode(&frame, Some(&vec![b'x'; old.len()])).is_err());
    for other in [&signed(1, &[("a", "3")]), &new, &old[1..]] {
        if let Ok(decoded) = Answers::decode(&frame, Some(other)) {
            assert_eq!(decoded, honest);
        }
    }
}
