//! Clients that do not compete with the server for processors, as they would not on machines of their own: the one
//! whose time is taken goes before everything, those of the storm after everything.

use std::process::{Command, Stdio};

/// How this program is started again for a part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Whenever it wakes up, it runs: `SCHED_FIFO`. That takes a privilege.
    First,
    /// Like everything else.
    Usual,
    /// When nobody else wants the processor: `SCHED_IDLE`.
    Last,
}

impl Priority {
    /// [`Self::First`] where the system lets us.
    pub(crate) fn of_the_watch() -> Self {
        let tried =
            Command::new("chrt").args(["--fifo", "1", "true"]).stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) { Self::First } else { Self::Usual }
    }

    /// A command that starts this program.
    pub(crate) fn again(self) -> anyhow::Result<Command> {
        let program = std::env::current_exe()?;
        let policy = match self {
            Self::First => ["--fifo", "1"],
            Self::Usual => return Ok(Command::new(program)),
            Self::Last => ["--idle", "0"],
        };
        let mut command = Command::new("chrt");
        command.args(policy).arg(program);
        Ok(command)
    }
}
