//! A process, how long it ran and how much memory it took.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// How often a process is looked at while it runs.
const LOOK: Duration = Duration::from_millis(4);

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) seconds: f64,
    /// Largest resident set, in MiB (`VmHWM`, proc_pid_status(5)).
    pub(crate) memory: f64,
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Took> {
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let (pid, mut memory) = (child.id(), 0.0);
    let mut said = child.stderr.take().context("no stderr")?;
    // It must not wait for somebody to read what it says.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = said.read_to_string(&mut text);
        text
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        memory = peak(pid).unwrap_or(memory);
        std::thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    let said = reader.join().unwrap_or_default();
    ensure!(status.success(), "{command:?}: {status}: {said}");
    Ok(Took { seconds, memory })
}

fn peak(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}
