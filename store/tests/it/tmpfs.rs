//! A real file system that is full. The test starts itself again in a mount namespace of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use colophon_store::{Durability, Options, Store, Watermarks};

use crate::space::{Outcome, build_until_full};
use crate::workload::{check_whole, do_build};

/// Names the directory in which the child may use up all space.
const SMALL: &str = "COLOPHON_TEST_SMALL_DISK";
const BLOCK: u64 = 4096;
const BUILDS: u64 = 4;

fn open(dir: &Path) -> Result<Store, colophon_store::Error> {
    let options = Options {
        durability: Durability::Full,
        cache_bytes: 1 << 20,
        segment_max: 12_000,
        watermarks: Watermarks::default(),
        ..Options::default()
    };
    Store::open(&dir.join("store"), &options)
}

/// Leaves `free` bytes for a store, builds, gives the space back and opens the store again.
fn fill_up_to(disk: &Path, free: u64) -> Outcome {
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![7; (space(disk) - free) as usize]).unwrap();
    let (acknowledged, outcome) = build_until_full(|| open(disk), BUILDS);
    if outcome == Outcome::Stopped {
        // Still full: it opens whole or not at all.
        if let Ok(store) = open(disk) {
            check_whole(&store, acknowledged);
        }
    }
    fs::remove_file(&ballast).unwrap();
    let store = open(disk).unwrap();
    let builds = check_whole(&store, acknowledged);
    do_build(&store, builds + 1);
    check_whole(&store, builds + 1);
    drop(store);
    fs::remove_dir_all(disk.join("store")).unwrap();
    outcome
}

/// Bytes that can be written, found by writing them.
fn space(disk: &Path) -> u64 {
    let path = disk.join("all");
    let mut file = fs::File::create(&path).unwrap();
    let mut space = 0;
    while file.write_all(&[7; BLOCK as usize]).is_ok() {
        space += BLOCK;
    }
    fs::remove_file(path).unwrap();
    space
}

/// Run as it is, this builds where there is room. Run as the child of the next test, it has a disk of
/// 4 MiB, of which it leaves the store less and less.
#[test]
fn a_store_survives_a_full_disk() {
    let Some(disk) = std::env::var_os(SMALL) else {
        let dir = tempfile::tempdir().unwrap();
        let (builds, outcome) = build_until_full(|| open(dir.path()), BUILDS);
        assert_eq!((builds, outcome), (BUILDS, Outcome::Fits));
        return;
    };
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    for blocks in 0.. {
        let outcome = fill_up_to(disk.as_ref(), blocks * BLOCK);
        *outcomes.entry(outcome).or_default() += 1;
        if outcome == Outcome::Fits {
            break;
        }
    }
    println!("{outcomes:?}");
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

/// Runs the test above on a tmpfs that only the child sees; not where there is no `unshare`.
fn run_on_tmpfs(namespace: &str, dir: &Path) -> Option<Output> {
    let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && echo mounted && exec \"$@\"";
    Command::new("unshare")
        .args([namespace, "sh", "-c", script])
        .arg(dir)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "tmpfs::a_store_survives_a_full_disk", "--nocapture"])
        .env(SMALL, dir)
        .output()
        .ok()
}

/// As a user with a namespace of its own, else as root.
#[test]
fn a_store_survives_a_full_tmpfs() {
    let dir = tempfile::tempdir().unwrap();
    for namespace in ["-Urm", "-m"] {
        let Some(output) = run_on_tmpfs(namespace, dir.path()) else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.starts_with("mounted") {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
            return;
        }
    }
    // Past the capture of the test harness, since a test that did not run must not look like one.
    let message = "\nNOT RUN: a_store_survives_a_full_tmpfs: this system mounts no tmpfs\n";
    std::io::stderr().write_all(message.as_bytes()).unwrap();
}
