//! `colophon serve` as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::programs::program;

/// A server process; killed when dropped.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) url: String,
    /// The line that says it is ready.
    pub(crate) ready: serde_json::Value,
}

impl ServerProcess {
    /// Starts on a free port and waits for the line that says it listens.
    pub(crate) fn start(data: &Path) -> Self {
        Self::with(data, &[])
    }

    /// The same with more arguments.
    pub(crate) fn with(data: &Path, args: &[&str]) -> Self {
        Self::spawn(data, args, &[], Stdio::inherit())
    }

    /// The same with variables in its environment, and a place for its log.
    pub(crate) fn spawn(data: &Path, args: &[&str], env: &[(&str, &str)], log: Stdio) -> Self {
        Self::run(
            data,
            &[&["--listen", "127.0.0.1:0", "--builds-per-day", "1000000"], args].concat(),
            env,
            log,
        )
    }

    /// A server that listens where `args` say, or where nobody is told.
    pub(crate) fn run(data: &Path, args: &[&str], env: &[(&str, &str)], log: Stdio) -> Self {
        let mut child = Command::new(program("colophon"))
            .env("COLOPHON_LOG", "warn")
            .envs(env.iter().copied())
            .args(["serve", "--json", "--space-low", "0", "--smoke", "off", "--data"])
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the server starts");
        let url = ready["listening"].as_str().unwrap().to_owned();
        Self { child, url, ready }
    }

    /// Its number among the machine's processes.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM: the process ends its work and says how it ended.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// A signal, without waiting for what comes of it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// What it says on stderr, when that is piped.
    pub(crate) fn log(&mut self) -> BufReader<std::process::ChildStderr> {
        BufReader::new(self.child.stderr.take().unwrap())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `colophon` against a data directory and returns the JSON it prints.
pub(crate) fn colophon(data: &Path, args: &[&str]) -> serde_json::Value {
    let output = run_in_turn(data, &[&["--json"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "colophon {args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `colophon` against a data directory, and returns what it prints for people.
pub(crate) fn told(data: &Path, args: &[&str]) -> String {
    let output = run_in_turn(data, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "colophon {args:?}: {stderr}");
    assert_eq!(stderr, "", "no progress where no terminal is");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `colophon` against a data directory, which must fail with exit code 1, and returns what it
/// says on stderr.
pub(crate) fn refused(data: &Path, args: &[&str]) -> String {
    let output = run_in_turn(data, args);
    assert_eq!(output.status.code(), Some(1), "colophon {args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs `colophon` against a data directory to its end. A job that finds a server at a job of its own waits two seconds
/// for its end, which is not always enough on a busy machine: then it is run again, for a few minutes.
pub(crate) fn run_in_turn(data: &Path, args: &[&str]) -> Output {
    let start = Instant::now();
    loop {
        let output = run(data, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_busy = !output.status.success() && stderr.contains(MAINTENANCE_RUNS);
        if !is_busy || start.elapsed() > Duration::from_mins(3) {
            return output;
        }
    }
}

/// What is said when another job has the one place.
pub(crate) const MAINTENANCE_RUNS: &str = "another maintenance job is running";

/// Runs `colophon` against a data directory to its end, whatever that is.
pub(crate) fn run(data: &Path, args: &[&str]) -> Output {
    command(data, args).output().unwrap()
}

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program("colophon"));
    command.args(args).arg("--data").arg(data);
    command.env("COLOPHON_GATES_SMOKE", "off").env("COLOPHON_SPACE_LOW", "0");
    command
}

/// The same, and the most memory that it had at a time, in MiB (`VmHWM`, proc_pid_status(5)). Linux only.
pub(crate) fn run_measured(data: &Path, args: &[&str]) -> (Output, u64) {
    let mut command = command(data, args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = peak(child.id()).unwrap_or(most);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(most > 0, "this system does not say how much memory a process had");
    (child.wait_with_output().unwrap(), most)
}

fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}
