//! Opening a directory: format, lock, and what a crash may have left of it.

use std::fs;
use std::process::Command;

use colophon_store::{Error, Options, Store};

use crate::support::{build, head, uid};

fn options(owner: &str) -> Options {
    Options { owner: owner.to_owned(), ..Options::default() }
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/store");
    let store = Store::open(&path, &options("")).unwrap();
    store.lane(uid(1)).submit(build(uid(1), None).0).wait().unwrap();
    drop(store);
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "colophon store 3\n");
    assert_eq!(fs::read_to_string(path.join("CURRENT")).unwrap(), "meta.1.redb\n");
    let store = Store::open(&path, &options("")).unwrap();
    assert_eq!(head(&store.view().unwrap(), uid(1)).unwrap().builds, 1);
}

#[test]
fn a_second_handle_to_the_directory_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), &options("serve, process 7\nsecond line")).unwrap();
    let clone = first.clone();
    drop(first);
    let refused = Store::open(dir.path(), &options("intruder")).err().unwrap();
    let Error::Locked { path, owner } = &refused else { panic!("{refused}") };
    assert_eq!((path.as_path(), owner.as_str()), (dir.path(), "serve, process 7"));
    assert!(refused.to_string().contains("in use by another process (serve, process 7)"));
    drop(clone);
    Store::open(dir.path(), &options("next")).unwrap();
}

const DIRECTORY: &str = "COLOPHON_TEST_STORE_OF_PARENT";

/// Run as it is, this opens a store of its own. Run as the child of the next test, it must be
/// refused the parent's.
#[test]
fn a_process_opens_a_store_that_no_other_has_open() {
    let own = tempfile::tempdir().unwrap();
    match std::env::var_os(DIRECTORY) {
        None => drop(Store::open(own.path(), &options("")).unwrap()),
        Some(parents) => {
            let refused = Store::open(parents.as_ref(), &options("child")).err().unwrap();
            assert!(matches!(&refused, Error::Locked { owner, .. } if owner == "parent"));
        }
    }
}

#[test]
fn another_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "opening::a_process_opens_a_store_that_no_other_has_open"])
            .env(DIRECTORY, dir.path())
            .output()
            .unwrap()
    };
    let store = Store::open(dir.path(), &options("parent")).unwrap();
    let output = child();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    drop(store);
    assert!(!child().status.success(), "without the parent's lock the child is let in");
}

#[test]
fn other_formats_are_refused_and_left_alone() {
    for (format, found) in [
        ("colophon store 4\n", "colophon store 4"),
        ("colophon store 0\n", "colophon store 0"),
        ("colophon store 02\n", "colophon store 02"),
        ("colophon store 3", "colophon store 3"),
        ("colophon store 1", "colophon store 1"),
        ("", ""),
        ("something else\n", "something else"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("FORMAT"), format).unwrap();
        let refused = Store::open(dir.path(), &options("")).err().unwrap();
        assert!(
            matches!(&refused, Error::Format { found: f, newest: 3 } if f == found),
            "{refused}"
        );
        let text = format!(
            "the store has the format `{found}`, and this program opens `colophon store 1` to \
             `colophon store 3`; use the version of colophon that wrote it, or a newer one"
        );
        assert_eq!(refused.to_string(), text);
        assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), format);
        assert!(!dir.path().join("CURRENT").exists());
    }
}

#[test]
fn metadata_without_a_format_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &options("")).unwrap());
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    let refused = Store::open(dir.path(), &options("")).err().unwrap();
    assert!(matches!(&refused, Error::Format { found, .. } if found == "none"), "{refused}");
}

/// A lost metadata file is an error, not an empty store.
#[test]
fn lost_metadata_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &options("")).unwrap());
    fs::remove_file(dir.path().join("meta.1.redb")).unwrap();
    assert!(matches!(Store::open(dir.path(), &options("")), Err(Error::File { .. })));
    fs::write(dir.path().join("CURRENT"), "../elsewhere\n").unwrap();
    assert!(matches!(Store::open(dir.path(), &options("")), Err(Error::File { .. })));
}

/// An empty file would be a new database to redb.
#[test]
fn empty_metadata_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &options("")).unwrap());
    fs::write(dir.path().join("meta.1.redb"), "").unwrap();
    let refused = Store::open(dir.path(), &options("")).err().unwrap();
    let Error::File { path, source } = &refused else { panic!("{refused}") };
    assert_eq!(*path, dir.path().join("CURRENT"));
    assert_eq!(source.to_string(), "the metadata file is empty");
    assert_eq!(fs::read(dir.path().join("meta.1.redb")).unwrap(), b"");
}

/// A crash while the store was made leaves a part of the metadata and no `CURRENT`.
#[test]
fn a_half_made_store_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("FORMAT"), "colophon store 1\n").unwrap();
    fs::write(dir.path().join("meta.1.redb"), b"redb\x1a, cut").unwrap();
    fs::write(dir.path().join("CURRENT.tmp"), b"me").unwrap();
    let store = Store::open(dir.path(), &options("")).unwrap();
    store.lane(uid(1)).submit(build(uid(1), None).0).wait().unwrap();
}
