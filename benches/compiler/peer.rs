//! The other side: one Python process that stays, as a warm worker would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;

/// What the pipeline says of a flow.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Told {
    /// Milliseconds.
    pub(crate) wall: f64,
    /// Milliseconds of the processor.
    pub(crate) cpu: f64,
    /// Lines of Python.
    pub(crate) lines: usize,
}

/// The pipeline's process; ended when dropped.
pub(crate) struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(python: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compiler/peer/pipeline.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("no {}; run tests/setup.sh bench-compiler", python.display())
            })?;
        let to = child.stdin.take().context("no input")?;
        let from = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, to, from })
    }

    /// Compiles the flow in a file.
    pub(crate) fn compile(&mut self, path: &Path) -> anyhow::Result<Told> {
        writeln!(self.to, "{}", path.display())?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        serde_json::from_str(&line)
            .with_context(|| format!("the pipeline failed at {}", path.display()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
