//! The command line without a server.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::colophon;
use crate::support::programs::program;
use crate::support::small_flow;

fn run(args: &[&str], data: &Path) -> Output {
    Command::new(program("colophon")).args(args).arg("--data").arg(data).output().unwrap()
}

/// `make build-flow` ends here.
#[test]
fn a_file_is_built_against_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (data, flow) = (dir.path().join("data"), dir.path().join("flow.json"));
    std::fs::write(&flow, small_flow("one", None, "hello")).unwrap();
    let flow = flow.display().to_string();

    let unknown = run(&["build", "acme-inc", &flow], &data);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no tenant `acme-inc`"));

    colophon(&data, &["tenant", "create", "acme-inc"]);
    let built = colophon(&data, &["build", "acme-inc", &flow]);
    assert_eq!(built["outcome"], "built");
    let again = colophon(&data, &["build", "acme-inc", &flow]);
    assert_eq!(again["outcome"], "noop");
    assert_eq!(again["build"]["commit"], built["build"]["commit"]);
}

/// Every problem on a line of its own, with its code.
#[test]
fn a_bad_file_is_told_all_its_problems() {
    let dir = tempfile::tempdir().unwrap();
    let flow = dir.path().join("flow.json");
    std::fs::write(&flow, r#"{"schema_version": "1.0", "nodes": 3}"#).unwrap();
    colophon(dir.path(), &["tenant", "create", "acme-inc"]);
    let output = run(&["build", "acme-inc", &flow.display().to_string()], dir.path());
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.matches("\n  E_").count() > 1, "{stderr}");
}

#[test]
fn the_configuration_that_holds_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[quota]\nbuilds_per_day = 7\n").unwrap();
    let file = file.display().to_string();
    let shown = colophon(dir.path(), &["check-config", "--config", &file]);
    assert_eq!(shown["quota"]["builds_per_day"], 7);
    assert_eq!(shown["data"], dir.path().display().to_string());

    std::fs::write(&file, "[quota]\nbuilds_per_week = 7\n").unwrap();
    let refused = run(&["check-config", "--config", &file], dir.path());
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("builds_per_week"));
}
