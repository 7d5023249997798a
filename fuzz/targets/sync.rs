//! Any bytes as the answer to an agent that asks for everything at once: as a frame, as the content of
//! one, and as an honest frame with some of its bytes replaced. What comes out is within the bounds, and
//! what is encoded again is the same.
#![no_main]

use std::sync::LazyLock;

use colophon_trust::sync::{Answer, Answers, MAX_ANSWERS};
use libfuzzer_sys::fuzz_target;

const HELD: &[u8] = br#"{"signatures":[],"signed":{"_type":"targets","targets":{},"version":1}}"#;
const CHANGED: &[u8] =
    br#"{"signatures":[],"signed":{"_type":"targets","targets":{},"version":2}}"#;

static FRAME: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut answers = Answers::default();
    assert!(answers.add("tuf/2.root.json", Answer::Missing));
    assert!(answers.add("tuf/2.targets.json", Answer::File(CHANGED.to_vec())));
    answers.encode(Some(HELD)).expect("memory")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    match how % 3 {
        0 => check(bytes),
        1 => check(&fuzz::patched(&FRAME, bytes)),
        _ => {
            let content = [b"colophon sync v1\n", bytes].concat();
            check(&zstd::bulk::compress(&content, 1).expect("memory"));
        }
    }
});

fn check(frame: &[u8]) {
    for held in [None, Some(HELD)] {
        let Ok(answers) = Answers::decode(frame, held) else { continue };
        assert!(answers.iter().count() <= MAX_ANSWERS);
        let again = answers.encode(held).expect("memory");
        assert_eq!(Answers::decode(&again, held).expect("what was encoded"), answers);
    }
}
