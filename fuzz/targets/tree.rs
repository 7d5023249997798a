//! Any bytes as the list of a bundle's files, and any lines as the paths in one: refused, or exactly the
//! bytes that the list encodes to, with paths that stay in their folder and are distinct everywhere.
#![no_main]

use std::collections::BTreeSet;
use std::path::{Component, Path};

use colophon_model::Tree;
use libfuzzer_sys::fuzz_target;

/// What every list begins with.
const HEAD: &[u8] = b"colophon tree v1\n";
/// What stands before a path.
const FILE: &[u8] = b"100644 af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262 ";

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let lines = if how % 2 == 0 { bytes.to_vec() } else { named(bytes) };
    let text = [HEAD, &lines].concat();
    if let Ok(tree) = Tree::decode(&text) {
        assert_eq!(tree.encode(), text, "a list has one encoding");
        check(&tree);
    }
});

/// The lines of `bytes`, each the path of a file.
fn named(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == b'\n').flat_map(|path| [FILE, path, b"\n"].concat()).collect()
}

fn check(tree: &Tree) {
    let mut seen = BTreeSet::new();
    for entry in tree.entries() {
        let path = entry.path.as_str();
        let mut parts = Path::new(path).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path:?} leads elsewhere");
        assert!(!path.contains(['\\', ':', '\0']), "{path:?} leads elsewhere on Windows");
        assert!(seen.insert(path.to_ascii_lowercase()), "{path:?} is there twice");
    }
}
