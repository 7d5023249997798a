//! The real programs that tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `tests/setup.sh` fetched.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache")
}

/// Fails unless the set-up tried to fetch `name` and could not; then says so.
pub(crate) fn must_be_marked_unavailable(name: &str) {
    let marker = cache().join(format!("{name}.unavailable"));
    assert!(marker.exists(), "`{name}` is missing: run `make test-setup`");
    eprintln!("WARNING: `{name}` could not be fetched; this part did not run on it");
}

/// Python with the pinned packages of `tests/requirements.txt`.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("COLOPHON_TEST_PYTHON")
        .map_or_else(|| cache().join("venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "`{}` is missing: run `make test-setup`", python.display());
    python
}

/// A program of this workspace, where the build puts it, or in the folder that `COLOPHON_TEST_PROGRAMS`
/// names: of another build, or one that nobody replaces while a long test runs.
pub(crate) fn program(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_colophon")).with_file_name("");
    let dir = std::env::var_os("COLOPHON_TEST_PROGRAMS").map_or(built, PathBuf::from);
    let path = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "`{}` is missing: run `cargo build --workspace --bins`", path.display());
    path
}

/// Fails unless `program` is there to be run.
pub(crate) fn need(program: &str) {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    assert!(found, "`{program}` is needed for the tests: run `make test-setup`, which says how");
}

/// Runs git without the configuration of whoever runs the tests.
pub(crate) fn git_output(args: &[&str]) -> Output {
    Command::new("git")
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("HOME", "/nonexistent")
        .output()
        .expect("git is needed for the tests")
}

/// Runs git and returns what it printed; fails when it does.
pub(crate) fn git(args: &[&str]) -> String {
    let output = git_output(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Clones with a token of the tenant.
pub(crate) fn clone(url: &str, token: &str, to: &Path) {
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    git(&["-c", &header, "clone", "--quiet", url, &to.display().to_string()]);
    git(&[
        "-C",
        &to.display().to_string(),
        "config",
        "http.extraHeader",
        &header["http.extraHeader=".len()..],
    ]);
}

/// Runs git in a clone.
pub(crate) fn git_in(clone: &Path, args: &[&str]) -> String {
    git(&[&["-C", &clone.display().to_string()], args].concat())
}
