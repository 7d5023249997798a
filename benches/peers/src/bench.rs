//! One run of the benchmark: where it works, how often, and what it found.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use crate::children::{self, find};
use crate::disk::Baseline;
use crate::table::{self, Bar, Report, number};

/// A row whose baseline moved more than this is not worth reading.
const STEADY: f64 = 2.0;

/// The run.
pub(crate) struct Bench {
    /// Removed when the run ends.
    dir: tempfile::TempDir,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    bars: Vec<Bar>,
    rejected: Vec<String>,
}

impl Bench {
    /// Looks for what every row needs, and makes a working directory below `dir`.
    pub(crate) fn start(dir: &Path, quick: bool, rounds: usize) -> anyhow::Result<Self> {
        for tool in ["strace", "time"] {
            ensure!(
                find(tool, tool).is_some(),
                "{tool} cannot be had, and nothing runs without it"
            );
        }
        ensure!(rounds > 0, "at least one round is needed");
        std::fs::create_dir_all(dir)?;
        let dir = tempfile::tempdir_in(std::fs::canonicalize(dir)?)?;
        Report::machine("The store beside its peers")?.print();
        let rounds = if quick { 1 } else { rounds };
        Ok(Self { dir, rounds, quick, bars: Vec::new(), rejected: Vec::new() })
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty directory in the working directory.
    pub(crate) fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The generated files, made at first use.
    pub(crate) fn corpus(&self) -> anyhow::Result<PathBuf> {
        let path = self.path("corpus");
        if !path.exists() {
            let files = if self.quick { "400" } else { "4000" };
            let path = path.to_str().context("the path is not text")?;
            let made = children::run(&children::own(["corpus", path, files])?)?;
            println!("corpus: {files} files, {} MB", number(made.figures.get("bytes") / 1e6));
        }
        Ok(path)
    }

    /// Runs one row between two baselines.
    pub(crate) fn run(
        &mut self,
        row: impl FnOnce(&Self) -> anyhow::Result<Report>,
    ) -> anyhow::Result<()> {
        let before = Baseline::measure(self.dir.path())?;
        let mut report = row(self)?;
        let after = Baseline::measure(self.dir.path())?;
        report.print();
        let moved = before.moved(after);
        println!(
            "- fdatasync of 4 KiB, p50 (p99): {} ({}) ms before, {} ({}) ms after; load {}",
            number(before.p50),
            number(before.p99),
            number(after.p50),
            number(after.p99),
            load()
        );
        if moved > STEADY {
            println!(
                "- **REJECTED: the disk changed by {moved:.1}x during this row. Run it again.**"
            );
            self.rejected.push(report.title);
        }
        self.bars.append(&mut report.bars);
        Ok(())
    }

    /// Prints the bars. A rejected row makes the run fail; a bar that is not met does not.
    pub(crate) fn finish(self) -> ExitCode {
        table::print_bars(&self.bars);
        if self.quick {
            println!("--quick: these numbers mean nothing.");
        }
        if self.rejected.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("rejected: {}", self.rejected.join(", "));
        ExitCode::FAILURE
    }
}

/// How many wanted the processor in the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}
