//! The peer: one Python process that runs flows with lfx, and generated modules.

#![allow(dead_code, reason = "the tests and the coverage table each use a part of this")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What every run is given: a text with digits for the tools that count, and a session.
const INPUT: &str = "What is 2+3?";
const SESSION: &str = "oracle";

/// `tests/oracle/worker.py`, in the environment that `tests/setup.sh` made.
pub(crate) struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

/// The outputs of a run by component and name, or what went wrong.
pub(crate) type Ran = Result<Value, String>;

impl Peer {
    /// Starts the worker; nothing on a machine on which lfx could not be installed, which is said.
    pub(crate) fn start() -> Option<Self> {
        let python = python();
        if !python.exists() {
            assert!(
                repository().join(".cache/oracle.unavailable").exists(),
                "no lfx to compare with: run `tests/setup.sh oracle`"
            );
            eprintln!("NOT RUN: lfx could not be installed, so NOTHING IS COMPARED WITH IT");
            return None;
        }
        let mut child = Command::new(python)
            .arg(repository().join("tests/oracle/worker.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, requests, answers, folder: tempfile::tempdir().unwrap() })
    }

    /// Where flows and modules can be kept for the worker.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The flow at `path` as a person makes it ready to run: with a model and its key's name.
    pub(crate) fn prepare(&mut self, path: &Path) -> Value {
        self.ask(&json!({"do": "prepare", "flow": path}))["flow"].take()
    }

    /// What lfx gives for the flow at `path`.
    pub(crate) fn lfx(&mut self, path: &Path) -> Ran {
        self.run(&json!({"do": "lfx", "flow": path, "input": INPUT, "session": SESSION}))
    }

    /// What the module `flow_flow` of tenant `acme-inc` below `root` gives.
    pub(crate) fn generated(&mut self, root: &Path) -> Ran {
        let module = "app.flows.acme_inc.flow_flow";
        self.run(&json!({"do": "generated", "root": root, "module": module, "input": INPUT,
            "session": SESSION}))
    }

    /// The same, with checkpoints in `store`: begun and killed when there are `enough`, or gone on with.
    pub(crate) fn with_checkpoints(
        &mut self,
        root: &Path,
        store: &Path,
        enough: Option<u32>,
    ) -> Ran {
        let module = "app.flows.acme_inc.flow_flow";
        self.run(&json!({"do": "generated", "root": root, "module": module, "input": INPUT,
            "session": SESSION, "checkpoints": store, "go_on": enough.is_none(), "enough": enough}))
    }

    /// Imports the module below `root`, builds its graph and does what its smoke test does.
    pub(crate) fn check(&mut self, root: &Path) -> Result<(), String> {
        self.run(&json!({"do": "check", "root": root})).map(drop)
    }

    /// Runs a script of `tests/oracle` on the worker's folder, which must succeed.
    pub(crate) fn script(&self, name: &str) {
        let script = repository().join("tests/oracle").join(name);
        let done = Command::new(python()).arg(script).arg(self.folder()).output().unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Any other job of the worker.
    pub(crate) fn run(&mut self, job: &Value) -> Ran {
        let mut answer = self.ask(job);
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["outputs"].take()),
        }
    }

    fn ask(&mut self, job: &Value) -> Value {
        writeln!(self.requests, "{job}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{job}: the worker ended"))
    }
}

impl Drop for Peer {
    /// The worker ends its model with itself, so it is asked before it is killed.
    fn drop(&mut self) {
        writeln!(self.requests, "{}", json!({"do": "end"})).ok();
        self.child.wait().ok();
    }
}

/// That of `tests/setup.sh`; another lfx is compared with by `COLOPHON_ORACLE_PYTHON`.
fn python() -> PathBuf {
    let own = || repository().join(".cache/oracle/bin/python");
    std::env::var_os("COLOPHON_ORACLE_PYTHON").map_or_else(own, PathBuf::from)
}

/// The root of this repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
