//! Programs of the operator's that gates need: where they are, and what they must be able to read.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Finds a program: a name in `PATH`, anything with a slash as it stands.
pub(super) fn find(program: &Path) -> Result<PathBuf, String> {
    if program.components().count() > 1 {
        let found = std::path::absolute(program).ok().filter(|path| is_program(path));
        return found.ok_or_else(|| format!("`{}` is not a program", program.display()));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|dir| dir.join(program));
    let found = found.find(|path| is_program(path));
    found.ok_or_else(|| format!("there is no program `{}` in PATH", program.display()))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What an interpreter says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Python {
    /// The interpreter itself, not a shim for it.
    pub(super) program: PathBuf,
    /// Releases of packages that matter, by name; those that are not there are left out.
    pub(super) packages: std::collections::BTreeMap<String, String>,
    /// Everything it reads: prefixes and module folders.
    pub(super) paths: Vec<PathBuf>,
}

/// Asks the interpreter. It does not import the packages.
const QUESTION: &str = r#"
import importlib.metadata, json, os, sys
packages = {}
for name in ("langgraph", "lfx", "httpx"):
    try:
        packages[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path]
paths += [os.path.realpath(p) for p in paths] + [os.path.dirname(os.path.realpath(sys.executable))]
paths = sorted({p for p in paths if os.path.isabs(p) and p not in ("/", "/usr") and os.path.exists(p)})
print(json.dumps({"program": sys.executable, "packages": packages, "paths": paths}))
"#;

impl Python {
    /// Looks at an interpreter that must run generated modules. What is wrong is said with what helps.
    pub(super) fn ask(program: &Path) -> Result<Self, String> {
        let program = find(program).map_err(|e| format!("{e}; {HINT}"))?;
        let python = Self::look(&program)?;
        for package in ["langgraph", "httpx"] {
            if !python.packages.contains_key(package) {
                let shown = program.display();
                return Err(format!("`{shown}` has no package `{package}`; {HINT}"));
            }
        }
        Ok(python)
    }

    /// Looks at any interpreter.
    fn look(program: &Path) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(["-c", QUESTION]).env_clear().current_dir("/");
        // Interpreters that are started through a shim find themselves by these.
        command.envs(["PATH", "HOME"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        let shown = program.display();
        let output = command.output().map_err(|e| format!("`{shown}` does not start: {e}"))?;
        let answer = serde_json::from_slice::<Self>(&output.stdout);
        answer.map_err(|_| format!("`{shown}` does not answer as Python does"))
    }
}

const HINT: &str = "install it with `python3 -m venv env && env/bin/pip install langgraph httpx`, and \
                    point `[gates] python` at `env/bin/python`";

/// Whether everybody may read what is at `path`, and every folder on the way there.
pub(super) fn is_public(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors().all(|part| {
        let needed = if part.is_dir() { 0o001 } else { 0o004 };
        part.metadata().is_ok_and(|meta| meta.permissions().mode() & needed != 0)
    })
}

/// What a program needs beside itself: where it really is, and all of the Python environment that it
/// lies in.
pub(super) fn surroundings(program: &Path) -> Vec<PathBuf> {
    let mut paths = vec![program.to_owned()];
    paths.extend(program.canonicalize().ok());
    let environment = program.parent().and_then(Path::parent);
    if let Some(environment) = environment.filter(|dir| dir.join("pyvenv.cfg").is_file()) {
        let python = Python::look(&environment.join("bin/python"));
        paths.extend(python.map(|python| python.paths).unwrap_or_default());
        paths.push(environment.to_owned());
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_and_by_its_path_and_nowhere_else() {
        assert!(find(Path::new("sh")).unwrap().is_absolute());
        assert!(find(Path::new("/bin/sh")).is_ok());
        assert!(find(Path::new("/etc/passwd")).is_err(), "not executable");
        let error = Python::ask(Path::new("no-such-python")).unwrap_err();
        assert!(error.contains("pip install langgraph"), "{error}");
    }

    #[test]
    fn what_lies_in_a_private_folder_is_not_public() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let file = dir.path().join("python");
        std::fs::write(&file, "").unwrap();
        assert!(!is_public(&file));
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(is_public(&file));
    }
}
