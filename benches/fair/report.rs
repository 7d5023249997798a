//! What was measured, as a Markdown table.

use std::time::Duration;

use crate::content::Kind;
use crate::priority::Priority;
use crate::watch::Times;

/// How long everything took within a window.
pub(crate) struct Waits {
    /// The answers to the quiet tenant.
    pub(crate) asked: Times,
    /// By how much a thread woke up late.
    pub(crate) slept: Vec<Duration>,
}

/// Requests of one kind, without and with one kind of storm.
pub(crate) struct Row {
    pub(crate) storm: Kind,
    /// None: nothing is asked, a thread sleeps.
    asked: Option<Kind>,
    alone: Vec<Duration>,
    during: Vec<Duration>,
    /// Of the storm, in a second: answered, and turned away.
    answered: Vec<(f64, f64)>,
}

impl Row {
    /// All rows of a storm.
    pub(crate) fn of(storm: Kind) -> [Self; 4] {
        let [cold, noop, clone] = Kind::ALL.map(Some);
        [cold, noop, clone, None].map(|asked| Self {
            storm,
            asked,
            alone: Vec::new(),
            during: Vec::new(),
            answered: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, alone: &Waits, during: &Waits, answered: (f64, f64)) {
        self.alone.extend(self.of_those(alone));
        self.during.extend(self.of_those(during));
        self.answered.push(answered);
    }

    fn of_those<'a>(&self, waits: &'a Waits) -> &'a [Duration] {
        self.asked.map_or(&waits.slept, |asked| &waits.asked[asked as usize])
    }

    /// By how much the storm moved the 99th percentile. What nobody asked the server for has no bar.
    pub(crate) fn ratio(&self) -> f64 {
        match self.asked {
            Some(_) => at(&self.during, 99).as_secs_f64() / at(&self.alone, 99).as_secs_f64(),
            None => 0.0,
        }
    }
}

fn at(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

fn ms(times: &[Duration], percent: usize) -> String {
    format!("{:.2}", at(times, percent).as_secs_f64() * 1e3)
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
pub(crate) fn print(rows: &[Row], priority: Priority) {
    if priority != Priority::First {
        println!("The quiet client competes with the server: it may not go before it here.\n");
    }
    println!(
        "| storm of 64 clients | its answers/s | asked by the quiet tenant | n | p50 alone, ms | p50 in the storm | p99 alone, ms | p99 in the storm | ratio of p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let count = f64::from(u32::try_from(row.answered.len().max(1)).unwrap_or(u32::MAX));
        let sum = row.answered.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        println!(
            "| {} | {:.0}, {:.0} refused | {} | {} + {} | {} | {} | {} | {} | {} |",
            row.storm.name(),
            sum.0 / count,
            sum.1 / count,
            row.asked.map_or("nothing: a thread wakes up late by", Kind::name),
            row.alone.len(),
            row.during.len(),
            ms(&row.alone, 50),
            ms(&row.during, 50),
            ms(&row.alone, 99),
            ms(&row.during, 99),
            row.asked.map_or_else(String::new, |_| format!("{:.2}", row.ratio())),
        );
    }
}
