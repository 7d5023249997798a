//! What follows a switch: a command, or a signal to a process.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use colophon_model::Oid;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{Fault, Held, VersionName};

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What is done after each switch.
#[derive(Debug, Clone, Default)]
pub struct Hook {
    /// A command for the shell.
    pub exec: Option<String>,
    /// How long it may take; then it and all that it started is killed.
    pub timeout: Duration,
    /// A signal, and the file with the number of the process that gets it.
    pub signal: Option<(HookSignal, PathBuf)>,
    /// Variables that the command does not get.
    pub hidden: Vec<String>,
}

/// A signal by its name, such as `HUP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookSignal(Signal);

/// A text that names no signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be HUP, INT, QUIT, TERM, USR1, USR2 or WINCH")]
pub struct InvalidSignal;

/// Between which versions it was.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The last version for which all of it was done.
    pub(super) old: Option<VersionName>,
    pub(super) new: VersionName,
}

impl FromStr for HookSignal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        Ok(Self(match text.strip_prefix("SIG").unwrap_or(text) {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "QUIT" => Signal::QUIT,
            "TERM" => Signal::TERM,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "WINCH" => Signal::WINCH,
            _ => return Err(InvalidSignal),
        }))
    }
}

impl Hook {
    /// Whether there is anything to do.
    pub const fn is_set(&self) -> bool {
        self.exec.is_some() || self.signal.is_some()
    }

    /// Does it. `stopped` says whether the watch was told to end, which ends a command too.
    pub(super) fn run(
        &self,
        held: &Held,
        step: &Step,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        if let Some(command) = &self.exec {
            self.execute(command, held, step, stopped)?;
        }
        if let Some((signal, file)) = &self.signal {
            send(*signal, file)?;
        }
        Ok(())
    }

    fn execute(
        &self,
        text: &str,
        held: &Held,
        step: &Step,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Fault> {
        let commit = |name: &VersionName| name.commit().map(|oid: Oid| oid.to_string());
        let folder = held.folder();
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let version = absolute(folder.generation(&step.new));
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text).current_dir(&version);
        command.env("COLOPHON_NEW_COMMIT", commit(&step.new).unwrap_or_default());
        command.env("COLOPHON_OLD_COMMIT", step.old.as_ref().and_then(commit).unwrap_or_default());
        command.env("COLOPHON_CHECKOUT", absolute(folder.dir().to_owned()));
        command.env("COLOPHON_VERSION", version);
        command.env("COLOPHON_TENANT", held.owner().tenant.as_str());
        for name in &self.hidden {
            command.env_remove(name);
        }
        // What it prints is for people; events go to stdout.
        command.stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
        let failed = |e: std::io::Error| Fault::Hook(format!("/bin/sh cannot be started: {e}"));
        let child = command.spawn().map_err(failed)?;
        match self.end(child, stopped).map_err(failed)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Fault::Hook(format!("the command ended with {status}"))),
            None => Err(Fault::Hook(format!(
                "the command did not end within {}",
                humantime::format_duration(self.timeout)
            ))),
        }
    }

    /// How the command ended; `None` when it had to be killed.
    fn end(
        &self,
        mut child: Child,
        stopped: &dyn Fn() -> bool,
    ) -> std::io::Result<Option<ExitStatus>> {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if started.elapsed() > self.timeout || stopped() {
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                if let Some(group) = group {
                    let _ = kill_process_group(group, Signal::KILL); // it may have ended by itself
                }
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn send(HookSignal(signal): HookSignal, file: &std::path::Path) -> Result<(), Fault> {
    let failed = |why: String| Fault::Hook(format!("`{}`: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    // 1 is whatever began this container.
    let number = text.trim().parse::<i32>().ok().filter(|number| *number > 1);
    let process = number.and_then(Pid::from_raw);
    let process = process.ok_or_else(|| failed("it holds no process number".to_owned()))?;
    kill_process(process, signal).map_err(|error| failed(format!("the process: {error}")))
}
