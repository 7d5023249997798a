//! The client of any TUF repository, on the cases of theupdateframework/tuf-conformance and on attacks, with
//! repositories that python-tuf makes (`tests/conformance/`). python-tuf's own client is held to the same.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter that `make test-setup` made, or `None` where its packages could not be fetched.
fn python() -> Option<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    if cache.join("conformance.unavailable").exists() {
        eprintln!("NOT RUN: python-tuf could not be fetched, so the conformance cases are not run");
        return None;
    }
    let python = cache.join("conformance/bin/python");
    assert!(python.exists(), "no `{}`: run `make test-setup`", python.display());
    Some(python)
}

/// Runs all cases on a client; how many there were and how many were left out for it.
fn run(python: &Path, client: &str) -> (usize, usize) {
    let output = Command::new(python)
        .args(["-m", "unittest", "test_client"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"))
        .env("TUF_CLIENT", client)
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let after = |words: &str| {
        let digits: Option<String> = said
            .split_once(words)
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        digits.map_or(0, |digits| digits.parse().unwrap())
    };
    (after("Ran "), after("skipped="))
}

#[test]
fn edge_fetch_meets_every_case() {
    let Some(python) = python() else { return };
    let client = format!("{} tuf-client", env!("CARGO_BIN_EXE_edge-fetch"));
    let (cases, skipped) = run(&python, &client);
    assert!(cases >= 115 && skipped == 0, "{cases} cases, {skipped} left out");
}

/// So that the expectations are those of TUF, not of this program alone: the same bytes are accepted
/// and refused by the reference client, and for the same reason.
#[test]
fn python_tuf_agrees() {
    let Some(python) = python() else { return };
    let client = format!("{} python_tuf.py", python.display());
    let (cases, skipped) = run(&python, &client);
    assert!(cases >= 115 && skipped <= 7, "{cases} cases, {skipped} left out");
}
