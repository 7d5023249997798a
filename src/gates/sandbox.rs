//! Programs that gates start: confined, limited, and gone when they have ended.
//!
//! Two short-lived forms of this program do it (`src/cli/sandbox.rs`): a *keeper* that enters new
//! namespaces, starts the second form and ends it in time, and a *starter* that gives up every right
//! and becomes the tool. See docs/decisions/008-gates.md for why it is so.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod fence;
#[cfg(target_os = "linux")]
mod keeper;
#[cfg(target_os = "linux")]
mod starter;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use colophon_model::{SandboxLevel, SandboxReport};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub use keeper::keep;
#[cfg(target_os = "linux")]
pub use starter::start;

/// Name of the keeper's form of this program.
pub const KEEPER: &str = "__sandbox";
/// Name of the starter's form of this program.
pub const STARTER: &str = "__sandboxed";
/// Exit status of the keeper when time ran out, as `timeout` has it.
pub const OUT_OF_TIME: i32 = 124;
/// Exit status of the keeper and the starter when the tool could not be started.
pub const NOT_STARTED: i32 = 125;

/// What to start, and what it may do. Crosses to the keeper and the starter as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The program and its arguments. Empty: the starter tells what it could do, and ends.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub dir: PathBuf,
    /// Whether it is confined. Limits hold in either case.
    pub confined: bool,
    /// What it may read, beside what every program needs.
    pub read: Vec<PathBuf>,
    /// Where it may write.
    pub write: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Whether it starts processes that it ends itself, by signals: the smoke worker.
    pub forks: bool,
    /// The user, and group, that a server that runs as root becomes for it. `None`: it keeps the server's.
    pub user: Option<u32>,
    /// Limits.
    pub limits: Limits,
}

/// Bounds on one process. `None`: as the server has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Time until the keeper ends all of it, in milliseconds.
    pub wall_millis: Option<u64>,
    /// Address space, in bytes.
    pub memory: Option<u64>,
    /// Size of one file, in bytes.
    pub file: Option<u64>,
    /// Processes of its user.
    pub processes: Option<u64>,
}

/// Whether this process has all rights.
#[cfg(target_os = "linux")]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What a child of the smoke worker may read beside its build, in the worker's own words: of what the worker may read,
/// not what is below `home`, where other builds are, but `script`.
#[cfg(target_os = "linux")]
pub fn readable_by_child(policy: &Policy, home: &Path, script: &Path) -> Vec<PathBuf> {
    let read = policy.read.iter().filter(|path| *path != home).cloned();
    let read = read.chain([script.to_owned()]).collect();
    fence::readable(&Policy { forks: false, network: false, read, ..policy.clone() })
}

/// The filter of a child of the smoke worker, in hex: no socket, no process, no signal, no program, no namespace.
#[cfg(target_os = "linux")]
pub fn child_filter() -> String {
    let none = calls::Calls {
        network: false,
        processes: false,
        signals: false,
        programs: false,
        user_namespace: false,
    };
    let instructions = calls::program(none).unwrap_or_default();
    let bytes = instructions.iter().flat_map(|step| {
        let [c, d] = step.code.to_ne_bytes();
        let [k0, k1, k2, k3] = step.k.to_ne_bytes();
        [c, d, step.jt, step.jf, k0, k1, k2, k3]
    });
    hex::encode(bytes.collect::<Vec<u8>>())
}

/// What the starter could do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Files are fenced, by this version of landlock's interface.
    pub landlock: Option<u32>,
    /// System calls are filtered.
    pub seccomp: bool,
    /// It has namespaces of its own: processes, network, IPC.
    pub namespaces: bool,
    /// It has no right that an ordinary user lacks.
    pub unprivileged: bool,
}

impl Applied {
    /// The level that a build's record names.
    pub fn report(&self) -> SandboxReport {
        let parts = [
            ("landlock", self.landlock.is_some()),
            ("seccomp", self.seccomp),
            ("namespaces", self.namespaces),
            ("user", self.unprivileged),
        ];
        let missing = parts.iter().filter(|(_, there)| !there).map(|(name, _)| (*name).to_owned());
        let level = match (self.landlock, self.seccomp, self.unprivileged) {
            (Some(_), true, true) => SandboxLevel::Full,
            (None, false, _) => SandboxLevel::None,
            _ => SandboxLevel::Partial,
        };
        SandboxReport { level, missing: missing.collect() }
    }
}

/// Starts programs in the sandbox.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// This program.
    program: PathBuf,
}

impl Launcher {
    /// A launcher that is the program at this path.
    pub const fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Where this program is.
    pub const fn program(&self) -> &PathBuf {
        &self.program
    }

    /// The command that starts what `policy` says. Its standard input must be a pipe that is kept
    /// open: when it closes, the tool is ended.
    pub fn command(&self, policy: &Policy) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(KEEPER).arg(serde_json::json!(policy).to_string()).env_clear();
        command
    }

    /// Tries it out: what would hold for `policy`?
    pub fn probe(&self, policy: &Policy) -> Result<Applied, String> {
        let policy = Policy { argv: Vec::new(), ..policy.clone() };
        let mut command = self.command(&policy);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = child.spawn().and_then(|mut child| {
            let _open = child.stdin.take(); // until it has ended
            child.wait_with_output()
        });
        let output =
            output.map_err(|e| format!("`{}` does not start: {e}", self.program.display()))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let words = String::from_utf8_lossy(&output.stderr);
            format!("the sandbox does not start: {}", words.trim())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a record claims: full only when files, calls and rights are all bounded.
    #[test]
    fn the_level_is_no_more_than_what_holds() {
        let all =
            Applied { landlock: Some(1), seccomp: true, namespaces: true, unprivileged: true };
        assert_eq!(all.report().level, SandboxLevel::Full);
        for (applied, level, missing) in [
            (Applied { landlock: None, ..all }, SandboxLevel::Partial, "landlock"),
            (Applied { seccomp: false, ..all }, SandboxLevel::Partial, "seccomp"),
            (Applied { unprivileged: false, ..all }, SandboxLevel::Partial, "user"),
            (Applied { namespaces: false, ..all }, SandboxLevel::Full, "namespaces"),
            (Applied { landlock: None, seccomp: false, ..all }, SandboxLevel::None, "landlock"),
        ] {
            let report = applied.report();
            assert_eq!(report.level, level, "{applied:?}");
            assert!(report.missing.iter().any(|m| m == missing), "{applied:?}");
        }
    }
}
