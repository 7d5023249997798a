//! The command that says whether a new generation works.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use wait_timeout::ChildExt;

/// A program and its arguments, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    program: String,
    args: Vec<String>,
    timeout: Duration,
}

/// Why a generation does not pass.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The command could not be started.
    #[error("the health command `{program}` cannot be started")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("the health command ended with {0}")]
    Failed(ExitStatus),
    /// It took too long and was ended.
    #[error("the health command did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It was started this often and never came to an end.
    #[error("{0} runs of the health command were cut off")]
    CutOff(u32),
}

impl Health {
    /// How long a command may take that sets no time.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

    /// The command `words`, program first; `None` without a word.
    pub fn new(words: &[String], timeout: Option<Duration>) -> Option<Self> {
        let (program, args) = words.split_first()?;
        let timeout = timeout.unwrap_or(Self::DEFAULT_TIMEOUT);
        Some(Self { program: program.clone(), args: args.to_vec(), timeout })
    }

    /// Runs the command in the folder of the generation. Its output goes to standard error: standard
    /// output is for results.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), Unhealthy> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(folder).stdin(Stdio::null());
        command.stdout(io::stderr()).env("EDGE_FETCH_GENERATION", folder);
        own_group(&mut command);
        let start = |source| Unhealthy::Start { program: self.program.clone(), source };
        let mut child = command.spawn().map_err(start)?;
        match child.wait_timeout(self.timeout) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(Unhealthy::Failed(status)),
            Ok(None) => {
                end(&mut child);
                Err(Unhealthy::TimedOut(self.timeout))
            }
            Err(source) => {
                end(&mut child);
                Err(start(source))
            }
        }
    }
}

/// Ends the command and all that it started, and waits until it is gone.
fn end(child: &mut Child) {
    end_group(child);
    // It may have ended by itself meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(unix)]
fn end_group(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

#[cfg(not(unix))]
fn end_group(_: &Child) {}
