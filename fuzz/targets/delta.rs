//! Any bytes as a bundle on its way: as a frame, as the content of one, and as an honest frame with
//! some of its bytes replaced. What comes out is the signed bundle or an error.
#![no_main]

use std::sync::LazyLock;

use colophon_model::{Artifact, FileMode, FileSet};
use colophon_trust::{Contents, delta};
use libfuzzer_sys::fuzz_target;

struct World {
    old: FileSet,
    new: FileSet,
    signed: Contents,
    frame: Vec<u8>,
    content: Vec<u8>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let old = files(&[("a.py", "one\n"), ("lib/b.py", "two\n"), ("lib/c.py", "one\n")]);
    let new = files(&[("a.py", "one\n"), ("lib/b.py", "three\n"), ("lib/d.py", "four\n")]);
    let signed =
        Contents { tree: new.tree().digest(), unpacked: new.total_size(), files: new.len() as u64 };
    let frame = delta::encode(Some(&old), &new).expect("memory");
    let pack = delta::encode(None, &new).expect("memory");
    let content = zstd::bulk::decompress(&pack, 1 << 16).expect("an honest frame");
    World { old, new, signed, frame, content }
});

fn files(list: &[(&str, &str)]) -> FileSet {
    let file = |text: &str| Artifact::new(FileMode::Regular, text.as_bytes().to_vec());
    let named = list.iter().map(|(path, text)| (path.parse().expect("a path"), file(text)));
    FileSet::new(named.collect()).expect("no collision")
}

fuzz_target!(|bytes: &[u8]| {
    let World { frame, content, .. } = &*WORLD;
    let Some((how, bytes)) = bytes.split_first() else { return };
    match how % 3 {
        0 => check(bytes),
        1 => check(&fuzz::patched(frame, bytes)),
        _ => {
            let content = fuzz::patched(content, bytes);
            check(&zstd::bulk::compress(&content, 1).expect("memory"));
        }
    }
});

fn check(frame: &[u8]) {
    let World { old, new, signed, .. } = &*WORLD;
    for base in [None, Some(old)] {
        if let Ok(files) = delta::decode(frame, base, signed) {
            assert_eq!(files, *new, "another bundle than was signed");
        }
    }
}
