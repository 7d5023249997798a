//! `colophon checkout` as a process of its own, and readers of what it keeps.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use colophon_gitbridge::blob_id;
use colophon_model::Oid;
use serde_json::Value;

use super::programs::{git_in, program};

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_mins(3);

/// A server's address, a tenant, its token, and the folder.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) server: String,
    pub(crate) tenant: String,
    pub(crate) token: String,
    pub(crate) dir: PathBuf,
}

impl Place {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("colophon"));
        command.args(["checkout", "--json", "--server", &self.server, "--tenant", &self.tenant]);
        command.args(args).arg(&self.dir).env("COLOPHON_CHECKOUT_TOKEN", &self.token);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The last event of a run that must succeed.
    pub(crate) fn told(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "checkout {args:?}: {stderr}");
        let lines = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(lines.lines().last().unwrap()).unwrap()
    }

    /// Exit code and words of a run that must fail.
    pub(crate) fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn watch(&self, args: &[&str]) -> Watcher {
        let mut command = self.command(&[&["--watch"], args].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str::<Value>(&line).unwrap());
            }
        });
        Watcher { child, events }
    }

    /// The commit that readers get.
    pub(crate) fn commit(&self) -> Option<String> {
        let target = std::fs::read_link(self.dir.join("current")).ok()?;
        Some(target.file_name()?.to_str()?[..40].to_owned())
    }

    pub(crate) fn wait_for(&self, commit: &str) {
        until("the folder is at the commit", || self.commit().as_deref() == Some(commit));
    }
}

/// A watching process; killed when dropped.
pub(crate) struct Watcher {
    child: Child,
    events: Receiver<Value>,
}

impl Watcher {
    /// Waits for an event of this name; what comes before it is dropped.
    pub(crate) fn event(&self, name: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|_| panic!("there was no `{name}`"));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Files by path, by what Git names their content.
pub(crate) type Listing = BTreeMap<String, Oid>;

/// What a reader sees who enters `current` once, and of which commit it should be.
pub(crate) fn walked(dir: &Path) -> Option<(String, Listing)> {
    let top = dir.join("current").canonicalize().ok()?;
    let commit = top.file_name().unwrap().to_str().unwrap()[..40].to_owned();
    let (mut files, mut folders) = (Listing::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&top).unwrap().display().to_string();
            files.insert(name, blob_id(&std::fs::read(&path).unwrap()).unwrap());
        }
    }
    Some((commit, files))
}

/// The same as stock git tells it.
pub(crate) fn listed(clone: &Path, commit: &str) -> Listing {
    let text = git_in(clone, &["ls-tree", "-r", commit]);
    let line = |line: &str| {
        let (head, path) = line.split_once('\t').unwrap();
        (path.to_owned(), head.split(' ').nth(2).unwrap().parse().unwrap())
    };
    text.lines().map(line).collect()
}
