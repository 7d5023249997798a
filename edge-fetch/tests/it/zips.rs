//! Zips that were signed, and must still not be unpacked: the signing server may be wrong too.

use std::io::{Cursor, Write};

use colophon_model::{Digest, Tree};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::bundles::{Agent, Bundle, Tenant, bundle, describe, zip_of};

/// Offers `bad` to an agent that has a good bundle active: exit 6, and no file of it anywhere.
#[track_caller]
fn refused(bad: Bundle, why: &str) {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    let before = agent.tree("flows");
    tenant.publish(2, &[bad]);
    let run = agent.expect(&["apply"], 6);
    assert!(run.stderr.contains(why), "{}", run.stderr);
    assert_eq!(agent.tree("flows"), before);
    assert!(agent.tree("tmp").is_empty());
    let outside = std::fs::read_dir(agent.dir.path()).unwrap().count();
    assert_eq!(outside, 2, "the agent's folder and the pinned root, nothing else");
}

/// A zip with files that each hold `x`, signed with the right count and size.
fn of_names(names: &[&str]) -> Bundle {
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, "x")).collect();
    signed(zip_of(&files), names.len() as u64)
}

fn signed(zip: Vec<u8>, files: u64) -> Bundle {
    describe(2, zip, files, files, Tree::new(vec![]).unwrap().digest())
}

#[test]
fn names_that_lead_outside_or_mean_something_else() {
    for name in [
        "../x",
        "a/../../x",
        "/x",
        "\\x",
        "a\\..\\x",
        "C:x",
        "C:/x",
        "x:stream",
        "CON",
        "con.txt",
        "aux",
        "COM1.log",
        "x.",
        "x ",
        "a//b",
        "./x",
        ".git/config",
        "x\u{e9}",
        "x\n",
    ] {
        refused(of_names(&["ok.py", name]), "unsafe name");
    }
}

#[test]
fn names_that_are_one_file_on_some_platform() {
    refused(of_names(&["a.py", "A.py"]), "same name");
    refused(of_names(&["lib/x", "LIB/y"]), "same name");
    refused(of_names(&["a", "a/b"]), "same name");
    // Two entries of one name, which no honest writer makes.
    let mut zip = zip_of(&[("one.py", "x"), ("two.py", "x")]);
    for at in 0..zip.len() - 6 {
        if &zip[at..at + 6] == b"two.py" {
            zip[at..at + 6].copy_from_slice(b"one.py");
        }
    }
    refused(signed(zip.clone(), 2), "1 files, and 2 were signed");
    refused(signed(zip, 1), "damaged or ambiguous");
}

/// Names in the list at the end and before each file must agree, or two readers see two bundles.
#[test]
fn two_lists_of_files_that_disagree() {
    let mut zip = zip_of(&[("one.py", "x")]);
    let at = zip.windows(6).position(|window| window == b"one.py").unwrap();
    zip[at..at + 6].copy_from_slice(b"two.py");
    refused(signed(zip, 1), "damaged or ambiguous");
}

#[test]
fn entries_that_are_not_files() {
    let zip = |fill: fn(&mut ZipWriter<Cursor<Vec<u8>>>)| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        fill(&mut writer);
        writer.finish().unwrap().into_inner()
    };
    let link = zip(|w| w.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap());
    refused(describe(2, link, 1, 11, Digest::of(b"")), "not a regular file");
    let folder = zip(|w| w.add_directory("folder", SimpleFileOptions::default()).unwrap());
    refused(describe(2, folder, 1, 0, Digest::of(b"")), "unsafe name");
    refused(signed(b"not a zip at all".to_vec(), 1), "damaged or ambiguous");
    refused(signed(Vec::new(), 1), "damaged or ambiguous");
}

/// The signed size is the budget, not what the zip says of itself.
#[test]
fn zips_that_unpack_to_more_or_less_than_was_signed() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bomb", SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; 1_000_000];
    for _ in 0..200 {
        writer.write_all(&zeros).unwrap();
    }
    let bomb = writer.finish().unwrap().into_inner();
    assert!(bomb.len() < 1_000_000);
    refused(describe(2, bomb.clone(), 1, 64_000_000, Digest::of(b"")), "signed 64000000 bytes");
    refused(describe(2, bomb, 1, 10, Digest::of(b"")), "signed 10 bytes");
    let small = zip_of(&[("a", "x")]);
    refused(describe(2, small.clone(), 1, 2, Digest::of(b"")), "signed 2 bytes");
    refused(describe(2, small.clone(), 2, 1, Digest::of(b"")), "1 files, and 2 were signed");
    refused(describe(2, small, 0, 1, Digest::of(b"")), "1 files, and 0 were signed");
}

#[test]
fn other_files_than_were_signed() {
    refused(of_names(&["a.py"]), "was signed");
}
