//! A dual flow, run: the runner in the cloud, the launcher at the edge, and a browser.
//!
//! `tests/setup.sh` makes the Python environment and finds Chromium. Where it could not, it says so and
//! leaves a mark, and then this says loudly that nothing was run.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use colophon_model::{FileSet, TenantSlug};
use serde_json::Value;
use support::{compile, compiler};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn write(files: &FileSet, to: &Path) {
    for (path, file) in files.iter() {
        let at = to.join(path.as_str());
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, file.bytes()).unwrap();
    }
}

fn sample() -> Value {
    let path = checkout().join("docs/examples/sample_dual.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `sample_dual.json` from the start of a run to its result, and everything that may go wrong between
/// the two sides; `tests/dual/end_to_end.py` has the cases.
#[test]
fn a_dual_flow_runs_from_end_to_end() {
    let cache = checkout().join(".cache");
    let python = cache.join("dual/bin/python");
    if !python.exists() {
        let marked = cache.join("dual.unavailable").exists();
        assert!(marked, "run tests/setup.sh: it makes {}", python.display());
        eprintln!("NOT RUN: dual flows, since LangGraph, Playwright or Chromium is missing");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (cloud, edge) = (dir.path().join("cloud"), dir.path().join("edge"));
    let compiled = compile(&sample());
    write(&compiled.cloud, &cloud);
    write(&compiler().bootstrap(&TenantSlug::new("acme-inc").unwrap()), &cloud);
    write(&compiled.edge.unwrap().files, &edge);
    let output = Command::new(python)
        .arg(checkout().join("tests/dual/end_to_end.py"))
        .args([&cloud, &edge])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("Ran 10 tests"), "{told}");
}
