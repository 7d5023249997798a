//! What is told of a tenant of one size, and which bars it meets.

use std::process::Command;

use crate::content::Made;
use crate::flows::FLOWS;
use crate::load::{Measured, Peak};
use crate::requests::Row;
use crate::size::SIDES;
use crate::slow;
use crate::table::{Bar, Report, Table, number};

/// How many times faster than `git upload-pack` every row must be.
const FASTER: f64 = 3.0;
/// How many times git's bytes an answer may have.
const BYTES: f64 = 1.1;
/// How many times the bytes of `git repack -adf` a clone may have.
const CLONE: f64 = 1.05;
/// MB that a slow reader may cost.
const STREAM: f64 = 1.048_576;

/// A row at a number of connections: the sides in their order, medians over the rounds.
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) connections: usize,
    pub(crate) sides: [Measured; SIDES.len()],
    pub(crate) peaks: [Peak; SIDES.len()],
}

/// What is measured once per size.
pub(crate) struct Extra {
    /// The first clone after a start, in milliseconds.
    pub(crate) cold: [f64; SIDES.len()],
    /// Bytes of the pack of a clone, and of the repacked repository.
    pub(crate) clone: u64,
    pub(crate) repacked: u64,
    /// MB per slow reader.
    pub(crate) slow: f64,
}

/// Everything about one size.
pub(crate) struct Size {
    pub(crate) report: Report,
}

impl Size {
    pub(crate) fn new(made: &Made, cells: &[Cell], extra: &Extra) -> Self {
        let title = format!("{} builds, {FLOWS} flows, {} objects", made.builds, made.objects);
        let mut report = Report::new(&title);
        report.tables = vec![speeds(cells), first(extra), growth(made)];
        report.notes = vec![
            format!(
                "a clone's pack has {} bytes, the pack of `git repack -adf` {}",
                extra.clone, extra.repacked
            ),
            format!("{} slow readers of a clone: {} MB each", slow::READERS, number(extra.slow)),
        ];
        report.bars = bars(made.builds, cells, extra);
        Self { report }
    }
}

fn speeds(cells: &[Cell]) -> Table {
    let mut table = Table::new(&[
        "request",
        "connections",
        "side",
        "per second",
        "of upload-pack",
        "p50 ms",
        "p99 ms",
        "bytes",
        "CPU ms",
        "peak MB: server, largest child",
    ]);
    for cell in cells {
        for (number_of, (measured, peak)) in cell.sides.iter().zip(&cell.peaks).enumerate() {
            table.add([
                cell.row.name(),
                cell.connections.to_string(),
                SIDES[number_of].to_owned(),
                number(measured.per_second),
                number(measured.per_second / cell.sides[1].per_second),
                number(measured.p50),
                number(measured.p99),
                measured.bytes.to_string(),
                number(measured.cpu),
                format!("{}, {}", number(peak.server), number(peak.child)),
            ]);
        }
    }
    table
}

fn first(extra: &Extra) -> Table {
    let mut table = Table::new(&["the first clone after a start", "ms"]);
    for (side, time) in SIDES.iter().zip(extra.cold) {
        table.add([(*side).to_owned(), number(time)]);
    }
    table
}

fn growth(made: &Made) -> Table {
    let mut table =
        Table::new(&["builds so far", "a build ms", "of which commit", "CPU ms", "its projection"]);
    for window in &made.windows {
        let cells = [window.whole, window.commit, window.cpu, window.projection].map(number);
        table.add([window.builds.to_string()].into_iter().chain(cells));
    }
    table
}

fn bars(builds: u64, cells: &[Cell], extra: &Extra) -> Vec<Bar> {
    let mut bars = Vec::new();
    for cell in cells {
        let name = format!("{builds} builds, {}", cell.row.name());
        let [ours, gits, _] = &cell.sides;
        let what = format!("{name}, {} connections", cell.connections);
        let ratio = ours.per_second / gits.per_second;
        bars.push(Bar::at_least(&what, ratio, FASTER, "x upload-pack"));
        if cell.connections == 1 && cell.row.is_same_answer() {
            let ratio = ours.bytes as f64 / gits.bytes as f64;
            bars.push(Bar::at_most(&format!("{name}, bytes"), ratio, BYTES, "x git's"));
        }
    }
    let ratio = extra.clone as f64 / extra.repacked as f64;
    let what = |of: &str| format!("{builds} builds, {of}");
    bars.push(Bar::at_most(&what("bytes of a clone"), ratio, CLONE, "x repack -adf"));
    bars.push(Bar::at_most(&what("a slow reader"), extra.slow, STREAM, "MB"));
    bars
}

/// Where this runs.
pub(crate) fn machine() -> anyhow::Result<()> {
    let git = Command::new("git").arg("--version").output()?;
    let mut report = Report::machine("Git: the product beside stock git")?;
    let git = String::from_utf8_lossy(&git.stdout);
    report.notes.push(format!("{}, colophon {}", git.trim(), env!("CARGO_PKG_VERSION")));
    report.print();
    Ok(())
}
