//! What is told.

use crate::clients::Measured;
use crate::table::{Report, Table, median, number};

/// A side's rounds.
pub(crate) struct Row {
    name: String,
    pub(crate) rounds: Vec<Measured>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, round: Measured) {
        self.rounds.push(round);
    }
}

/// Where this runs.
pub(crate) fn machine() -> anyhow::Result<()> {
    Report::machine("Builds over HTTP")?.print();
    Ok(())
}

/// Says on standard error what is going on.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// The rows of one part, with the milliseconds that a sync took before each round.
pub(crate) fn rates(title: &str, rows: &[Row], syncs: &[f64], notes: &[String]) {
    let mut report = Report::new(title);
    let mut table = Table::new(&[
        "side",
        "per second",
        "p50 ms",
        "p99 ms",
        "server's CPU ms",
        "CPUs of server",
        "and clients",
        "rounds, per second",
    ]);
    for row in rows {
        let middle = Measured::middle(&row.rounds);
        let rounds: Vec<String> = row.rounds.iter().map(|round| number(round.per_second)).collect();
        table.add([
            row.name.clone(),
            number(middle.per_second),
            number(middle.p50),
            number(middle.p99),
            number(middle.cpu),
            number(middle.server),
            number(middle.clients),
            rounds.join(", "),
        ]);
    }
    report.tables.push(table);
    let each: Vec<String> = syncs.iter().map(|sync| number(*sync)).collect();
    report.notes.push(format!("fdatasync of 4 KiB before each round, p50 ms: {}", each.join(", ")));
    report.notes.extend_from_slice(notes);
    report.print();
}

/// Where the time of builds went.
pub(crate) fn stages(table: Table) {
    let mut report = Report::new("Stages of a cold build by the server's own clock, medians");
    report.tables.push(table);
    report.print();
}

/// How many times the rate of `theirs` that of `ours` is, median of the rounds.
pub(crate) fn ratio(ours: &Row, theirs: &Row) -> f64 {
    let rounds = ours.rounds.iter().zip(&theirs.rounds);
    median(rounds.map(|(ours, theirs)| ours.per_second / theirs.per_second))
}

/// How many times the time of `before` an answer of `after` takes, median of the rounds.
pub(crate) fn slower(after: &Row, before: &Row) -> f64 {
    let rounds = after.rounds.iter().zip(&before.rounds);
    median(rounds.map(|(after, before)| after.p50 / before.p50))
}
