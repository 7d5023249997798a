//! `colophon demo` does what it says, with real git and the real agent.

use std::process::Command;

use crate::support::programs::program;

#[test]
fn the_demo_runs_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program("colophon"))
        .args(["demo", "--dir"])
        .arg(dir.path().join("demo"))
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for part in [
        "ours, in LangFlow's format",
        "201 built",
        "200 noop",
        "tag   bld/acme-inc/",
        "chore(tenant): bootstrap acme-inc",
        "fsck found nothing wrong",
        "edge-fetch apply",
        "serve --data",
    ] {
        assert!(stdout.contains(part), "`{part}` is missing in:\n{stdout}");
    }
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let output =
        Command::new(program("colophon")).args(["demo", "--dir"]).arg(dir.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
