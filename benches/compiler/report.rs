//! What is told, and which bars it meets.

use crate::flows::TWENTY;
use crate::rebuild::Rebuilt;
use crate::stages::{Beside, Threads};
use crate::table::{Bar, Report, Table, median, number};

/// Milliseconds for the flow of 20 nodes.
const TWENTY_MS: f64 = 1.0;
/// How many times faster than the pipeline.
const FASTER: f64 = 100.0;
/// How many times faster with two threads than with one.
const TWO_THREADS: f64 = 1.7;

/// Where this runs.
pub(crate) fn machine() -> anyhow::Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let cores = std::thread::available_parallelism()?;
    let mut report = Report::new("The compiler beside Jinja2 and black");
    report.notes = vec![
        format!("{cores} x {}", model.trim_matches([' ', '\t', ':'])),
        format!("Linux {}, load {}", kernel.trim(), load.trim()),
    ];
    report.print();
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
    let starters = || rows.iter().filter(|row| row.name != TWENTY);
    let (ours, theirs): (f64, f64) =
        (starters().map(|row| row.cpu).sum(), starters().map(|row| row.peer.cpu).sum());
    bars.push(Bar::at_least("starter projects in all", theirs / ours, FASTER, "x the pipeline"));
}

/// All flows, at one thread and at two.
pub(crate) fn threads(threads: &Threads, bars: &mut Vec<Bar>) {
    let mut report = Report::new("All flows, flows in a second");
    let mut table = Table::new(&["threads", "flows/s", "rounds"]);
    for (count, rates) in [("1", &threads.one), ("2", &threads.two)] {
        let rounds: Vec<String> = rates.iter().map(|rate| number(*rate)).collect();
        table.add([count.to_owned(), number(median(rates.iter().copied())), rounds.join(", ")]);
    }
    report.tables.push(table);
    report.notes.push("the outputs of all rounds are the same, byte for byte".to_owned());
    report.print();
    let pairs = threads.one.iter().zip(&threads.two).map(|(one, two)| two / one);
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
