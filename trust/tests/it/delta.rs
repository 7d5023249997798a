//! How bundles travel: what the frame of an honest server gives, and that nothing else gives anything.

use colophon_model::{Artifact, Digest, FileMode, FileSet};
use colophon_trust::delta::{self, DeltaFlaw};
use colophon_trust::{ContentFlaw, Contents};
use proptest::prelude::*;

fn files(list: &[(&str, &[u8])]) -> FileSet {
    let artifact = |bytes: &[u8]| Artifact::new(FileMode::Regular, bytes.to_vec());
    FileSet::new(list.iter().map(|(p, b)| (p.parse().unwrap(), artifact(b))).collect()).unwrap()
}

fn signed(files: &FileSet) -> Contents {
    let tree = files.tree().digest();
    Contents { tree, unpacked: files.total_size(), files: files.len() as u64 }
}

/// A script as templates write it: compressible, and not the same as the others.
fn script(n: u32) -> Vec<u8> {
    let line = |i: u32| format!("step_{i} = page.locator(\"#field-{}\").fill(job[{n}])\n", i * n);
    (0..400).map(line).collect::<String>().into_bytes()
}

fn bundle() -> Vec<(String, Vec<u8>)> {
    (0..20).map(|n| (format!("lib/segment_{n}.py"), script(n))).collect()
}

fn set(list: &[(String, Vec<u8>)]) -> FileSet {
    files(&list.iter().map(|(p, b)| (p.as_str(), b.as_slice())).collect::<Vec<_>>())
}

/// The point of it all: a changed line costs hundreds of bytes, not the file or the bundle.
#[test]
fn a_small_change_is_a_small_frame() {
    let (old, mut changed) = (set(&bundle()), bundle());
    changed[7].1.splice(5_000..5_004, *b"edit");
    let new = set(&changed);
    let frame = delta::encode(Some(&old), &new).unwrap();
    assert!(frame.len() < 400, "{} bytes", frame.len());
    assert_eq!(delta::decode(&frame, Some(&old), &signed(&new)).unwrap(), new);
    let pack = delta::encode(None, &new).unwrap();
    assert!(pack.len() > 10 * frame.len());
    assert_eq!(delta::decode(&pack, None, &signed(&new)).unwrap(), new);
}

/// The prefix is found in the whole of a large base, not only at its end.
#[test]
fn a_large_base_is_used_whole() {
    let noise = |n: u32| -> Vec<u8> {
        (0..40_000u32)
            .flat_map(|i| *Digest::of(&[i, n].map(u32::to_le_bytes).concat()).as_bytes())
            .collect()
    };
    let mut list: Vec<_> = (0..20).map(|n| (format!("data/{n:02}.bin"), noise(n))).collect();
    let old = set(&list);
    list[0].1[600_000] ^= 1;
    list.push(("data/99.bin".to_owned(), noise(1)[1000..].to_vec()));
    let new = set(&list);
    let frame = delta::encode(Some(&old), &new).unwrap();
    assert!(frame.len() < 2_000, "{} bytes for {}", frame.len(), new.total_size());
    assert_eq!(delta::decode(&frame, Some(&old), &signed(&new)).unwrap(), new);
}

/// Two bundles of the largest size fit into the window together.
#[test]
fn the_window_reaches_over_the_largest_bundles() {
    let most = Contents {
        tree: Digest::of(b""),
        unpacked: colophon_trust::limits::MAX_UNPACKED,
        files: colophon_trust::limits::MAX_FILES,
    };
    let base = most.max_tree() + most.unpacked;
    assert!(delta::max_frame(&most) + base <= 1 << 27);
}

/// Any zstd program unpacks a pack, and finds a text that says what is in it.
#[test]
fn the_format_is_pinned() {
    let one = files(&[("a.py", b"one\n"), ("b.py", b"two\n"), ("c.py", b"one\n")]);
    let text = String::from_utf8(one.tree().encode()).unwrap();
    let content = zstd::decode_all(&delta::encode(None, &one).unwrap()[..]).unwrap();
    let expected = format!(
        "colophon delta v1\ntree {} {}\nblob 4 {}\nblob 4 {}\n\n{text}one\ntwo\n",
        text.len(),
        one.tree().digest(),
        Digest::of(b"one\n"),
        Digest::of(b"two\n"),
    );
    assert_eq!(String::from_utf8(content).unwrap(), expected);
}

/// A frame of this content, as an attacker would make it.
fn framed(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 1).unwrap()
}

/// Correct in all but one point each: nothing is added, left out, swapped or repeated.
#[test]
fn other_objects_than_belong_there() {
    let target = files(&[("a.py", b"one"), ("b.py", b"two")]);
    let text = String::from_utf8(target.tree().encode()).unwrap();
    let line = |kind: &str, bytes: &str| {
        format!("{kind} {} {}\n", bytes.len(), Digest::of(bytes.as_bytes()))
    };
    let (tree, one, two) = (line("tree", &text), line("blob", "one"), line("blob", "two"));
    let magic = "colophon delta v1\n";
    let good = format!("{magic}{tree}{one}{two}\n{text}onetwo");
    let decode = |content: &str| delta::decode(&framed(content.as_bytes()), None, &signed(&target));
    assert_eq!(decode(&good).unwrap(), target);
    let (evil, other_tree) = (line("blob", "evil"), line("tree", "colophon tree v1\n"));
    for bad in [
        String::new(),
        magic.to_owned(),
        format!("{magic}\n"),
        format!("{magic}{tree}\n{text}"),
        format!("{magic}{tree}{one}\n{text}one"),
        format!("{magic}{tree}{two}{one}\n{text}twoone"),
        format!("{magic}{tree}{one}{one}\n{text}oneone"),
        format!("{magic}{tree}{one}{two}{evil}\n{text}onetwoevil"),
        format!("{magic}{tree}{one}{two}\n{text}onetwoevil"),
        format!("{magic}{tree}{one}{two}\n{text}onetw"),
        format!("{magic}{tree}{one}{two}\n{text}onetwx"),
        format!("{magic}{one}{two}\nonetwo"),
        format!("{magic}{other_tree}\ncolophon tree v1\n"),
        good.replace("v1\ntree", "v2\ntree"),
        good.replace("blob 3", "blob 03"),
        good.replace("blob 3", "blob +3"),
        good.replace("blob 3", "blob 4"),
        good.replace("blob 3", "blob 18446744073709551615"),
        good.replace("blob", "link"),
    ] {
        assert!(decode(&bad).is_err(), "{bad:?}");
    }
}

/// The signed size bounds what is unpacked, whatever the frame announces or holds.
#[test]
fn bombs_do_not_go_off() {
    let target = files(&[("a.py", b"one")]);
    let bomb = framed(&vec![0; 100_000_000]);
    assert!(bomb.len() < 20_000);
    let flaw = delta::decode(&bomb, None, &signed(&target)).unwrap_err();
    assert!(matches!(flaw, DeltaFlaw::TooLarge { limit } if limit < 1_000), "{flaw}");
    // The same with an announced size of its liking (the eight bytes after the descriptor), or none.
    let mut lie = zstd::bulk::Compressor::new(1).unwrap();
    lie.include_contentsize(false).unwrap();
    let silent = lie.compress(&vec![0; 100_000_000]).unwrap();
    let flaw = delta::decode(&silent, None, &signed(&target)).unwrap_err();
    assert!(matches!(flaw, DeltaFlaw::Frame(_)), "{flaw}");
    let mut two = delta::encode(None, &target).unwrap();
    two.extend(framed(b"more"));
    assert!(matches!(delta::decode(&two, None, &signed(&target)), Err(DeltaFlaw::Frame(_))));
}

/// One small blob in many places is as large as all of them together.
#[test]
fn repeated_files_count_each_time() {
    let many: Vec<_> = (0..100).map(|n| (format!("f{n}"), vec![7; 1000])).collect();
    let target = set(&many);
    let frame = delta::encode(None, &target).unwrap();
    let honest = signed(&target);
    assert_eq!(delta::decode(&frame, None, &honest).unwrap(), target);
    for unpacked in [0, 1000, 99_999, 100_001] {
        let flaw = delta::decode(&frame, None, &Contents { unpacked, ..honest }).unwrap_err();
        assert!(
            matches!(flaw, DeltaFlaw::Contents(ContentFlaw::Size { .. })),
            "{unpacked}: {flaw}"
        );
    }
    for files in [99, 101] {
        let flaw = delta::decode(&frame, None, &Contents { files, ..honest }).unwrap_err();
        assert!(matches!(flaw, DeltaFlaw::Contents(ContentFlaw::Files { .. })), "{files}: {flaw}");
    }
}

/// Sets of files with names and bytes from small alphabets, so that they overlap.
fn any_set() -> impl Strategy<Value = FileSet> {
    let name = "f[ab]{1,3}(/f[ab])?";
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0u32..6).prop_map(script),
        Just(Vec::new()),
    ];
    let file = (any::<bool>(), bytes).prop_map(|(executable, bytes)| {
        let mode = if executable { FileMode::Executable } else { FileMode::Regular };
        Artifact::new(mode, bytes)
    });
    proptest::collection::btree_map(name, file, 0..8).prop_filter_map("names collide", |map| {
        let named = map.into_iter().map(|(name, file)| (name.parse().unwrap(), file));
        FileSet::new(named.collect()).ok()
    })
}

proptest! {
    /// Every pair of bundles, and from nothing.
    #[test]
    fn frames_round_trip(old in any_set(), new in any_set()) {
        let wanted = signed(&new);
        for base in [None, Some(&old)] {
            let frame = delta::encode(base, &new).unwrap();
            prop_assert!(frame.len() as u64 <= delta::max_frame(&wanted));
            prop_assert_eq!(&delta::decode(&frame, base, &wanted).unwrap(), &new);
        }
    }

    /// A frame with any bit turned, or cut anywhere, gives the signed bundle or an error.
    #[test]
    fn damaged_frames_give_nothing_else(
        old in any_set(), new in any_set(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let wanted = signed(&new);
        let frame = delta::encode(Some(&old), &new).unwrap();
        let mut flipped = frame.clone();
        let place = at.index(frame.len());
        flipped[place] ^= 1 << bit;
        for bad in [&flipped[..], &frame[..place]] {
            if let Ok(files) = delta::decode(bad, Some(&old), &wanted) {
                prop_assert_eq!(&files, &new);
            }
        }
        prop_assert!(delta::decode(&frame[..place], Some(&old), &wanted).is_err(), "cut");
    }

    /// The base of another agent, and the frame of another bundle.
    #[test]
    fn other_bases_and_bundles_give_nothing_else(a in any_set(), b in any_set(), c in any_set()) {
        let wanted = signed(&c);
        let frame = delta::encode(Some(&a), &c).unwrap();
        for base in [Some(&b), None] {
            if let Ok(files) = delta::decode(&frame, base, &wanted) {
                prop_assert_eq!(&files, &c);
            }
        }
        let other = delta::decode(&delta::encode(Some(&a), &b).unwrap(), Some(&a), &wanted);
        prop_assert!(other.is_err() || b == c);
    }
}
