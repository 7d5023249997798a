//! Any bytes as the list of a bundle's files: refused, or exactly the bytes that the list encodes to.
#![no_main]

use colophon_model::Tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Only the lines are worth mutating; every list begins alike.
    let text = [b"colophon tree v1\n", bytes].concat();
    if let Ok(tree) = Tree::decode(&text) {
        assert_eq!(tree.encode(), text, "a list has one encoding");
    }
});
