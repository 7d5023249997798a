//! Runs a program as a child and measures it from outside.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// The system calls that wait for the disk to have everything.
const SYNCS: [&str; 5] = ["fsync", "fdatasync", "syncfs", "sync", "msync"];
/// Starts or awaits the writing of a range, and promises nothing.
const RANGES: &str = "sync_file_range";

/// Numbers by name: what a child of this program prints.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl<const N: usize> From<[(&str, f64); N]> for Figures {
    fn from(figures: [(&str, f64); N]) -> Self {
        Self(figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Figures {
    /// The number called `name`, zero when there is none.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn print(&self) {
        println!("{}", serde_json::json!(self.0));
    }
}

/// How often a run asked for the disk.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Syncs {
    /// Calls that make a file, directory or file system durable.
    pub(crate) whole: f64,
    /// Calls of `sync_file_range`.
    pub(crate) ranges: f64,
}

/// What one run cost.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// From start to end of the process, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of all its threads and children, in seconds.
    pub(crate) cpu: f64,
    /// Largest resident set, in MB.
    pub(crate) peak: f64,
    /// Bytes it gave to the file system, in MB.
    pub(crate) written: f64,
    /// What it printed, when it is this program.
    pub(crate) figures: Figures,
}

/// This program, as a child that does `args`.
pub(crate) fn own<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args);
    Ok(command)
}

/// Runs `command` to its end. A failure shows what it said.
pub(crate) fn run(command: &Command) -> anyhow::Result<Ran> {
    let report = tempfile::NamedTempFile::new()?;
    let mut timed = Command::new("/usr/bin/time");
    timed.arg("-q").arg("-o").arg(report.path()).args(["-f", "%M %O %U %S"]);
    let from = Instant::now();
    let output = quiet(&mut timed, command)?;
    let seconds = from.elapsed().as_secs_f64();
    let numbers = std::fs::read_to_string(report.path())?;
    let numbers: Vec<f64> = numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [peak_kb, blocks, user, system] = numbers[..] else { bail!("`time` told {numbers:?}") };
    Ok(Ran {
        seconds,
        cpu: user + system,
        peak: peak_kb * 1024.0 / 1e6,
        written: blocks * 512.0 / 1e6,
        figures: serde_json::from_str(&output).unwrap_or_default(),
    })
}

/// Runs `command` once more under `strace` and counts its syncs. Slow, so nothing is timed.
pub(crate) fn count_syncs(command: &Command) -> anyhow::Result<(Syncs, Figures)> {
    let report = tempfile::NamedTempFile::new()?;
    let mut traced = Command::new("strace");
    let calls = format!("trace={},{RANGES}", SYNCS.join(","));
    traced.args(["-c", "-f", "-e", &calls, "-o"]).arg(report.path());
    let output = quiet(&mut traced, command)?;
    let syncs = parse_counts(&std::fs::read_to_string(report.path())?)?;
    Ok((syncs, serde_json::from_str(&output).unwrap_or_default()))
}

/// Reads the `calls` column of `strace -c`.
fn parse_counts(report: &str) -> anyhow::Result<Syncs> {
    let mut syncs = Syncs::default();
    for row in report.lines() {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let count = match columns.last() {
            Some(name) if SYNCS.contains(name) => &mut syncs.whole,
            Some(name) if *name == RANGES => &mut syncs.ranges,
            _ => continue,
        };
        *count += columns.get(3).context("no column of calls")?.parse::<f64>()?;
    }
    Ok(syncs)
}

/// Runs `command` under `wrapper` and returns what it printed.
fn quiet(wrapper: &mut Command, command: &Command) -> anyhow::Result<String> {
    wrapper.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        wrapper.env(name, value.unwrap_or_default());
    }
    if let Some(dir) = command.get_current_dir() {
        wrapper.current_dir(dir);
    }
    let output = wrapper.output().with_context(|| format!("cannot run {wrapper:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds `program`, installing the Debian package that has it when it is missing.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    on_path(program).or_else(|| {
        eprintln!("{program} is not here; installing {package}");
        let install = ["install", "-y", "--no-install-recommends", package];
        let installed = Command::new("apt-get")
            .args(install)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status();
        installed.ok().filter(std::process::ExitStatus::success)?;
        on_path(program)
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The first line that `program` prints about its version.
pub(crate) fn version(program: &Path, arg: &str) -> String {
    let output = Command::new(program).arg(arg).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of `strace -c`, with and without errors.
    #[test]
    fn calls_are_added_up() {
        let report = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            63.20    0.000079          26         3           fdatasync\n \
            36.80    0.000046          46         1         1 fsync\n \
             0.00    0.000000           0         9           sync_file_range\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000125          31         4         1 total\n";
        assert_eq!(parse_counts(report).unwrap(), Syncs { whole: 4.0, ranges: 9.0 });
        assert_eq!(parse_counts("").unwrap(), Syncs::default());
    }
}
