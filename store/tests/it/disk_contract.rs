//! One contract for every implementation of `Disk`, and what the simulated one does at a crash.

use std::io;
use std::sync::Arc;

use colophon_store::{Disk, OsDisk};

use crate::sim::{EIO, Fate, Op, SimDisk};

const BLOCK: u64 = 4096;

fn each(check: impl Fn(&dyn Disk)) {
    let dir = tempfile::tempdir().unwrap();
    check(&OsDisk::open(dir.path(), "").unwrap());
    check(&SimDisk::new());
}

fn read(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![1; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn write(disk: &dyn Disk, name: &str, bytes: &[u8]) {
    disk.create(name).unwrap().write_at(0, bytes).unwrap();
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn bytes_are_where_they_were_written_and_holes_are_zeros() {
    each(|disk| {
        let file = disk.create("a").unwrap();
        assert!(file.is_empty().unwrap());
        file.write_at(5000, b"end").unwrap();
        file.write_at(0, b"begin").unwrap();
        assert_eq!(file.len().unwrap(), 5003);
        let bytes = read(disk, "a");
        assert_eq!((&bytes[..6], &bytes[4999..]), (&b"begin\0"[..], &b"\0end"[..]));
        file.set_len(2).unwrap();
        file.set_len(5002).unwrap();
        file.sync().unwrap();
        let bytes = read(disk, "a");
        assert_eq!(bytes.len(), 5002);
        assert!(bytes.starts_with(b"be\0") && bytes[2..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn what_is_not_there_is_an_error_of_its_own_kind() {
    each(|disk| {
        let file = disk.create("a").unwrap();
        file.write_at(0, b"abc").unwrap();
        let mut four = [0; 4];
        assert_eq!(kind(file.read_at(0, &mut four)), Some(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(file.read_at(9, &mut four)), Some(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(disk.create("a")), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(kind(disk.reserve("a", 1)), Some(io::ErrorKind::AlreadyExists));
        for missing in [
            kind(disk.open("b")),
            kind(disk.remove("b")),
            kind(disk.rename("b", "c")),
            kind(disk.list("b")),
            kind(disk.settle("b")),
        ] {
            assert_eq!(missing, Some(io::ErrorKind::NotFound));
        }
    });
}

#[test]
fn names_are_of_their_directory_and_a_rename_replaces() {
    each(|disk| {
        disk.make_dir("d").unwrap();
        disk.make_dir("d").unwrap();
        write(disk, "d/a", b"first");
        write(disk, "d/b", b"second");
        assert_eq!(disk.list("d").unwrap().len(), 2);
        disk.rename("d/b", "d/a").unwrap();
        disk.sync_dir("d").unwrap();
        assert_eq!(disk.list("d").unwrap(), ["a"]);
        assert_eq!(read(disk, "d/a"), b"second");
        assert!(!disk.list("").unwrap().contains(&"a".to_owned()));
    });
}

/// Whoever has a file open goes on reading it when it has no name any more.
#[test]
fn a_removed_file_stays_for_those_who_have_it_open() {
    each(|disk| {
        write(disk, "a", b"text");
        let file = disk.open("a").unwrap();
        disk.remove("a").unwrap();
        write(disk, "a", b"other");
        let mut bytes = [0; 4];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"text");
    });
}

#[test]
fn what_is_reserved_is_taken_up() {
    each(|disk| {
        disk.reserve("a", 3 * BLOCK).unwrap();
        assert_eq!(disk.open("a").unwrap().len().unwrap(), 3 * BLOCK);
        assert!(disk.free().unwrap() > 0);
    });
}

fn crashed(disk: &SimDisk, fate: Fate) -> SimDisk {
    disk.crashed(disk.operations(), |_, _| fate)
}

#[test]
fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
    let disk = SimDisk::new();
    let file = disk.create("a").unwrap();
    file.write_at(0, b"synced").unwrap();
    assert!(crashed(&disk, Fate::Lost).files().is_empty());
    file.sync().unwrap();
    assert!(crashed(&disk, Fate::Lost).files().is_empty(), "its name is not durable");
    disk.sync_dir("").unwrap();
    file.write_at(6, b" and more").unwrap();
    for (fate, left) in [
        (Fate::Lost, &b"synced"[..]),
        (Fate::Torn(4), b"synced and"),
        (Fate::Kept, b"synced and more"),
    ] {
        assert_eq!(read(&crashed(&disk, fate), "a"), left);
    }
}

/// A name moves or it does not, and the bytes under it are not made durable by that.
#[test]
fn a_rename_is_old_or_new() {
    let disk = SimDisk::new();
    for name in ["a", "b"] {
        write(&disk, name, name.as_bytes());
        disk.open(name).unwrap().sync().unwrap();
    }
    disk.sync_dir("").unwrap();
    disk.open("b").unwrap().write_at(0, b"new").unwrap();
    disk.rename("b", "a").unwrap();
    assert_eq!(read(&disk, "a"), b"new");
    assert_eq!(read(&crashed(&disk, Fate::Lost), "a"), b"a");
    let only_names =
        |_, op: &Op| if matches!(op, Op::Rename { .. }) { Fate::Kept } else { Fate::Lost };
    let after = disk.crashed(disk.operations(), only_names);
    assert_eq!(read(&after, "a"), b"b");
    assert_eq!(after.list("").unwrap(), ["a"]);
}

/// After a kill everything is there, and what was not synced is lost with the machine all the same.
#[test]
fn a_kill_makes_nothing_durable() {
    let disk = SimDisk::new();
    write(&disk, "a", b"text");
    let after = disk.killed(disk.operations());
    assert_eq!(read(&after, "a"), b"text");
    assert!(crashed(&after, Fate::Lost).files().is_empty());
}

/// The sync after a failed one says that all is well, and makes nothing durable.
#[test]
fn a_failed_sync_loses_bytes_for_good() {
    let disk = SimDisk::new();
    let file = disk.create("a").unwrap();
    disk.sync_dir("").unwrap();
    for at in 0..8 {
        file.write_at(at, b"x").unwrap();
    }
    disk.fail_when(|op| op.is_sync().then_some(EIO));
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(EIO));
    disk.stop_failing();
    file.sync().unwrap();
    assert_eq!(read(&disk, "a"), b"xxxxxxxx");
    let left = read(&crashed(&disk, Fate::Kept), "a");
    let kept: Vec<u8> = left.into_iter().filter(|byte| *byte != 0).collect();
    assert_eq!(kept, b"xxxx");
    disk.settle("a").unwrap();
    assert_eq!(read(&disk, "a"), read(&crashed(&disk, Fate::Lost), "a"), "it is shown no more");
}

/// Settling is a sync of what no sync has failed on.
#[test]
fn what_is_settled_is_durable() {
    each(|disk| {
        write(disk, "a", b"text");
        disk.settle("a").unwrap();
        assert_eq!(read(disk, "a"), b"text");
    });
    let disk = SimDisk::new();
    write(&disk, "a", b"text");
    disk.sync_dir("").unwrap();
    disk.settle("a").unwrap();
    assert_eq!(read(&crashed(&disk, Fate::Lost), "a"), b"text");
}

#[test]
fn space_is_counted_in_blocks_and_comes_back_with_the_last_handle() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(4 * BLOCK));
    let file: Arc<_> = disk.create("a").unwrap();
    file.set_len(100 * BLOCK).unwrap();
    assert_eq!(disk.used(), 0, "a hole takes up nothing");
    file.write_at(BLOCK - 1, b"xx").unwrap();
    assert_eq!(disk.free().unwrap(), 2 * BLOCK);
    let full = file.write_at(10 * BLOCK + 1, &[7; 3 * BLOCK as usize]);
    assert_eq!(kind(full), Some(io::ErrorKind::StorageFull));
    assert_eq!(disk.free().unwrap(), 0);
    let mut last = [0; 1];
    file.read_at(12 * BLOCK - 1, &mut last).unwrap();
    assert_eq!(last, [7], "what there was room for is written");
    assert_eq!(kind(disk.reserve("b", 1)), Some(io::ErrorKind::StorageFull));
    disk.remove("a").unwrap();
    assert_eq!(disk.free().unwrap(), 0);
    drop(file);
    assert_eq!(disk.free().unwrap(), 4 * BLOCK);
}
