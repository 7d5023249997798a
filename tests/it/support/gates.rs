//! Gates as the tests start them, and what they leave.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use colophon::gates::{CommandConfig, Gates, GatesConfig, Mode, Refused};
use colophon::units::Span;
use colophon_compiler::Compiled;
use colophon_model::{Artifact, ArtifactPath, FileMode, FileSet, GateResult, GateStatus};

use super::programs::{cache, program};

/// The environment that `tests/setup.sh` makes.
pub(crate) fn environment() -> PathBuf {
    let bin = std::env::var_os("COLOPHON_TEST_GATES")
        .map_or_else(|| cache().join("gates/bin"), PathBuf::from);
    assert!(bin.join("python").exists(), "`{}` is missing: run `make test-setup`", bin.display());
    bin
}

/// Gates of which the smoke test is required. The sandbox is what this machine has: the hostile tests
/// check what it does, not what it is called.
pub(crate) fn config() -> GatesConfig {
    GatesConfig {
        python: environment().join("python"),
        ruff_program: environment().join("ruff"),
        sandbox: Mode::Auto,
        launcher: Some(program("colophon")),
        // This machine may be busy.
        timeout: Span::seconds(60),
        ..GatesConfig::default()
    }
}

pub(crate) fn command(name: &str, argv: &[&str]) -> CommandConfig {
    CommandConfig {
        name: name.to_owned(),
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        target: None,
        mode: Mode::Required,
        timeout: None,
        memory: None,
        network: false,
        read: Vec::new(),
    }
}

/// Outputs as a compiler would give them, whose smoke test is `test`.
pub(crate) fn outputs(test: &str) -> Compiled {
    let file = |path: &str, text: &str| {
        let path: ArtifactPath = path.parse().unwrap();
        (path, Artifact::new(FileMode::Regular, text.as_bytes().to_vec()))
    };
    let files = [
        file("app/__init__.py", ""),
        file("app/flows/__init__.py", ""),
        file("app/flows/flow_a.py", "X = 1\n"),
        file("tests/smoke/test_a.py", test),
    ];
    let cloud = FileSet::new(files.into_iter().collect()).unwrap();
    Compiled { cloud, edge: None, gates: Vec::new() }
}

/// What the gates say of a build with this smoke test.
pub(crate) fn said(gates: &Gates, test: &str) -> GateResult {
    match gates.check(&outputs(test)) {
        Ok(mut results) | Err(Refused::Failed(mut results)) => results.pop().unwrap(),
        Err(Refused::Missing { gate, reason }) => panic!("{gate} cannot run: {reason}"),
    }
}

pub(crate) fn words(result: &GateResult) -> &str {
    assert_eq!(result.status, GateStatus::Failed, "{result:?}");
    result.words.as_deref().unwrap()
}

/// Lets everybody in: tools may run as another user.
pub(crate) fn open(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Processes whose command line contains `text`, this one not among them.
pub(crate) fn processes(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    pids.filter(|pid| *pid != std::process::id()).filter(holds).collect()
}

/// Waits until no process has `text` in its command line: the kernel ends them a moment after their
/// first one.
pub(crate) fn gone(text: &str) {
    let start = Instant::now();
    while !processes(text).is_empty() {
        assert!(start.elapsed() < Duration::from_mins(2), "{:?} survive", processes(text));
        std::thread::yield_now();
    }
}
