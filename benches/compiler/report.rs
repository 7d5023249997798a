//! What is told, and which bars it meets.

use crate::flows::TWENTY;
use crate::rebuild::Rebuilt;
use crate::stages::{Beside, Rate, Threads};
use crate::table::{Bar, Report, Table, median, number};

/// Milliseconds for the flow of 20 nodes.
const TWENTY_MS: f64 = 1.0;
/// How many times faster than the pipeline.
const FASTER: f64 = 100.0;
/// How many times faster with two threads than with one.
const TWO_THREADS: f64 = 1.7;

/// Where this runs.
pub(crate) fn machine() -> anyhow::Result<()> {
    Report::machine("The compiler beside Jinja2 and black")?.print();
    Ok(())
}

/// Flow by flow, on one thread.
pub(crate) fn beside(rows: &[Beside], bars: &mut Vec<Bar>) {
    let mut report = Report::new("From JSON to formatted files, one thread, medians in ms");
    let mut table = Table::new(&[
        "flow",
        "KB",
        "plan",
        "render and gates",
        "CPU",
        "lines",
        "pipeline",
        "its CPU",
        "its lines",
        "times",
    ]);
    for row in rows {
        table.add([
            row.name.clone(),
            number(row.bytes as f64 / 1e3),
            number(row.plan),
            number(row.render),
            number(row.cpu),
            row.lines.to_string(),
            number(row.peer.wall),
            number(row.peer.cpu),
            row.peer.lines.to_string(),
            number(row.peer.cpu / row.cpu),
        ]);
    }
    report.tables.push(table);
    report.notes.push("`times` compares processor times of the same flow".to_owned());
    report.notes.push(starters(rows));
    report.print();
    for row in rows.iter().filter(|row| row.name == TWENTY) {
        bars.push(Bar::at_most("flow of 20 nodes, processor time", row.cpu, TWENTY_MS, "ms"));
        bars.push(Bar::at_least(
            "flow of 20 nodes",
            row.peer.cpu / row.cpu,
            FASTER,
            "x the pipeline",
        ));
    }
}

/// What the starter projects cost in all, beside the pipeline.
fn starters(rows: &[Beside]) -> String {
    let starters = || rows.iter().filter(|row| row.name != TWENTY);
    let (ours, theirs): (f64, f64) =
        (starters().map(|row| row.cpu).sum(), starters().map(|row| row.peer.cpu).sum());
    format!(
        "the starter projects together: {} ms, the pipeline {} ms, {} times",
        number(ours),
        number(theirs),
        number(theirs / ours)
    )
}

/// All flows, at one thread and at two.
pub(crate) fn threads(threads: &Threads, bars: &mut Vec<Bar>) {
    let mut report = Report::new("All flows, flows in a second");
    let mut table = Table::new(&["threads", "flows/s", "CPU ms a flow", "rounds, flows/s"]);
    for (count, rates) in [("1", &threads.one), ("2", &threads.two)] {
        let rounds: Vec<String> = rates.iter().map(|rate| number(rate.flows)).collect();
        let middle = |of: fn(&Rate) -> f64| number(median(rates.iter().map(of)));
        let (flows, cpu) = (middle(|rate| rate.flows), middle(|rate| rate.cpu));
        table.add([count.to_owned(), flows, cpu, rounds.join(", ")]);
    }
    report.tables.push(table);
    report.notes.push("the outputs of all rounds are the same, byte for byte".to_owned());
    report.print();
    let pairs = threads.one.iter().zip(&threads.two).map(|(one, two)| two.flows / one.flows);
    bars.push(Bar::at_least("two threads", median(pairs), TWO_THREADS, "x one"));
}

/// The rebuild.
pub(crate) fn rebuild(rows: &[Rebuilt]) {
    let mut report = Report::new("`colophon rebuild --all`, flows of 20 nodes, a hundred a tenant");
    let mut table = Table::new(&["what", "flows", "commits", "s", "CPU s", "flows/s"]);
    for row in rows {
        table.add([
            row.what.to_owned(),
            row.flows.to_string(),
            row.commits.to_string(),
            number(row.wall),
            number(row.cpu),
            number(row.flows as f64 / row.wall),
        ]);
    }
    report.tables.push(table);
    report.print();
}
