//! Commands that a build must pass: `ruff check`, and whatever the operator names.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use colophon_compiler::Compiled;
use colophon_model::{Artifact, ArtifactPath, SandboxReport, Target};

use super::cached::Cached;
use super::config::{CommandConfig, GatesConfig, Mode};
use super::folder::{Folder, Writer};
use super::sandbox::{Launcher, Limits, NOT_STARTED, OUT_OF_TIME, Policy};
use super::users::User;
use super::{Gates, MOST_WORDS, program, words};
use crate::units::Size;

/// A command as it is run.
pub(super) struct Tool {
    /// The gate's name.
    pub(super) name: String,
    /// Whether it must be there.
    pub(super) mode: Mode,
    argv: Vec<String>,
    target: Option<Target>,
    network: bool,
    read: Vec<PathBuf>,
    limits: Limits,
    prepared: Cached<(Policy, SandboxReport)>,
}

const RUFF: &str = "ruff";

/// What `ruff check` looks for: what is no Python, and what pyflakes finds. The rules are pinned, since
/// each release has another default.
const RUFF_ARGUMENTS: &[&str] = &[
    "check",
    "--isolated",
    "--no-cache",
    "--quiet",
    "--output-format=concise",
    "--select=E9,F",
    ".",
];

/// Address space of one process of a command: many programs reserve more than they use.
const MEMORY: Size = Size::mib(4096);
/// Largest file that a command may write, in bytes.
const FILE: u64 = 64 << 20;
/// Most processes that a command may have.
const PROCESSES: u64 = 128;

impl Tool {
    /// All that are switched on.
    pub(super) fn all(config: &GatesConfig) -> Vec<Self> {
        let program = config.ruff_program.display().to_string();
        let arguments = RUFF_ARGUMENTS.iter().map(|a| (*a).to_owned());
        let ruff = CommandConfig {
            name: RUFF.to_owned(),
            argv: [program].into_iter().chain(arguments).collect(),
            mode: config.ruff,
            target: None,
            timeout: None,
            memory: None,
            network: false,
            read: Vec::new(),
        };
        let all = [&ruff].into_iter().chain(&config.command);
        all.filter(|c| c.mode != Mode::Off).map(|c| Self::new(c, config)).collect()
    }

    fn new(command: &CommandConfig, config: &GatesConfig) -> Self {
        Self {
            name: command.name.clone(),
            mode: command.mode,
            argv: command.argv.clone(),
            target: command.target,
            network: command.network,
            read: command.read.clone(),
            limits: Limits {
                wall_millis: Some(command.timeout.unwrap_or(config.timeout).millis()),
                memory: Some(command.memory.unwrap_or(MEMORY).get()),
                file: Some(FILE),
                processes: Some(PROCESSES),
            },
            prepared: Cached::new(),
        }
    }

    pub(super) fn is_ruff(&self) -> bool {
        self.name == RUFF
    }

    /// How it is started, but for its folder, and how that is confined.
    pub(super) fn prepared(&self, gates: &Gates) -> Result<(Policy, SandboxReport), String> {
        self.prepared.get(|| {
            let (policy, applied) = gates.applied(self.policy(gates)?)?;
            Ok((policy, applied.report()))
        })
    }

    fn policy(&self, gates: &Gates) -> Result<Policy, String> {
        let program = program::find(Path::new(self.argv.first().map_or("", String::as_str)))?;
        let mut read = self.read.clone();
        read.extend(program::surroundings(&program));
        let mut argv = self.argv.clone();
        argv[0] = program.display().to_string();
        Ok(Policy {
            argv,
            dir: PathBuf::from("/"),
            confined: gates.config.sandbox != Mode::Off,
            network: self.network,
            user: gates.user(read.iter()),
            read,
            limits: self.limits,
            ..Policy::default()
        })
    }

    /// Runs it on the files of a build. Returns why it refuses the build; `None` when it does not.
    pub(super) fn run(
        &self,
        launcher: &Launcher,
        parent: &Path,
        (policy, user): (&Policy, Option<&User>),
        compiled: &Compiled,
    ) -> Result<Option<String>, String> {
        let policy =
            Policy { user: user.map_or(policy.user, |user| Some(user.number())), ..policy.clone() };
        let folder = Folder::new(parent, self.files(compiled), Writer::Tool(policy.user))
            .map_err(|e| format!("no folder in `{}`: {e}", parent.display()))?;
        let policy = within(&policy, folder.path());
        let (code, said) = watch(launcher.command(&policy))
            .map_err(|e| format!("`{}` could not be run: {e}", self.argv[0]))?;
        let said = words(&said, folder.path());
        match code {
            0 => Ok(None),
            NOT_STARTED => Err(said),
            OUT_OF_TIME => {
                let limit = self.limits.wall_millis.unwrap_or_default();
                Ok(Some(format!("it ran longer than {limit} ms and was stopped\n{said}")))
            }
            code if said.is_empty() => Ok(Some(format!("exit status {code}"))),
            _ => Ok(Some(said)),
        }
    }

    fn files<'a>(
        &self,
        compiled: &'a Compiled,
    ) -> impl Iterator<Item = (&'a ArtifactPath, &'a Artifact)> {
        let (cloud, edge) = match self.target {
            None => (true, true),
            Some(Target::Cloud) => (true, false),
            Some(Target::Edge) => (false, true),
        };
        let edge = compiled.edge.iter().filter(move |_| edge).flat_map(|e| e.branch_files.iter());
        compiled.cloud.iter().filter(move |_| cloud).chain(edge)
    }
}

/// The policy in its folder: everything that a program keeps goes there, and goes away with it.
fn within(policy: &Policy, folder: &Path) -> Policy {
    let (here, program) = (folder.display().to_string(), Path::new(&policy.argv[0]));
    let beside = program.parent().unwrap_or(Path::new("/usr/bin")).display();
    let env = [
        ("PATH", format!("{beside}:/usr/local/bin:/usr/bin:/bin")),
        ("LANG", "C.UTF-8".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PYTHONPATH", here.clone()),
        ("HOME", here.clone()),
        ("TMPDIR", here),
    ];
    Policy {
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        dir: folder.to_owned(),
        write: vec![folder.to_owned()],
        ..policy.clone()
    }
}

/// Runs to the end, and returns the exit status and the beginning and end of what was said.
fn watch(mut command: Command) -> std::io::Result<(i32, Vec<u8>)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command); // and with it our ends for writing
    let _open = child.stdin.take();
    let said = drain(reader);
    let status = child.wait()?;
    Ok((status.code().unwrap_or(NOT_STARTED), said?))
}

/// Reads to the end and keeps the beginning and the end of it.
fn drain(mut reader: impl Read) -> std::io::Result<Vec<u8>> {
    let (mut kept, mut part) = (Vec::new(), [0; 8192]);
    loop {
        let count = reader.read(&mut part)?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&part[..count]);
        if kept.len() > 4 * MOST_WORDS {
            kept.drain(MOST_WORDS..kept.len() - MOST_WORDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tool that never stops talking costs no more memory than one that says little.
    #[test]
    fn what_a_tool_says_is_kept_in_bounds() {
        let said = std::io::repeat(b'x').take(50 << 20);
        let said = b"first".chain(said).chain(&b"last"[..]);
        let kept = drain(said).unwrap();
        assert!(kept.len() <= 4 * MOST_WORDS + 8192, "{}", kept.len());
        assert!(kept.starts_with(b"firstx") && kept.ends_with(b"xlast"));
    }
}
