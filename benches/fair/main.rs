//! What one tenant's storm does to another: the time that one client of a quiet tenant waits, alone and while
//! 64 clients of another tenant send as fast as they are answered. Windows of both alternate over several
//! rounds, so what else the machine does is the same for both.
//!
//! The server is a process of its own with the defaults of `colophon serve`, without gates and quota. So are
//! the clients: raw requests, prepared before, over one kept connection each (a clone has one of its own).
//! Elsewhere they would not run on the server's processors, so here they do not wait for the server, nor it for them:
//! the quiet client goes before everything (`chrt --fifo`, where that is allowed), the storm's after everything (`chrt --idle`).
//! `COLOPHON_BENCH_SECONDS` sets how long a window is (default 3), `COLOPHON_BENCH_PROGRAM` names another server to compare with.
//! Ends with 1 when a ratio is above 2.

mod content;
mod priority;
mod raw;
mod report;
mod server;
mod sleeper;
mod storm;
mod watch;

use std::time::Duration;

use anyhow::Context as _;

use content::Kind;
use priority::Priority;
use report::{Row, Waits};
use server::Bench;
use sleeper::Sleeper;

const ROUNDS: usize = 5;
/// A storm's beginning, which is not measured.
const SETTLE: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    match args.next().as_deref() {
        Some("--storm") => return storm::run(&args.next().context("no storm is named")?),
        Some("--watch") => return watch::run(&args.next().context("nothing is to be watched")?),
        _ => {}
    }
    let seconds = std::env::var("COLOPHON_BENCH_SECONDS").map_or(Ok(3.0), |s| s.parse::<f64>())?;
    let window = Duration::from_secs_f64(seconds);
    let priority = Priority::of_the_watch();
    let bench = Bench::start()?;
    let mut rows: Vec<Row> = Kind::ALL.map(Row::of).into_iter().flatten().collect();
    for round in 1..=ROUNDS {
        for storm in Kind::ALL {
            eprintln!("round {round}: storm of {}", storm.name());
            let alone = watch(&bench, window, priority)?;
            let raging = bench.storm(storm)?;
            std::thread::sleep(SETTLE);
            let during = watch(&bench, window, priority)?;
            let answered = raging.stop()?;
            for row in rows.iter_mut().filter(|row| row.storm == storm) {
                row.add(&alone, &during, answered);
            }
        }
    }
    report::print(&rows, priority);
    anyhow::ensure!(rows.iter().all(|row| row.ratio() <= 2.0), "a storm was felt");
    Ok(())
}

/// How long everything took for a while.
fn watch(bench: &Bench, window: Duration, priority: Priority) -> anyhow::Result<Waits> {
    let sleeper = Sleeper::start();
    let asked = watch::start(bench.quiet(), window, priority)?;
    Ok(Waits { asked, slept: sleeper.stop()? })
}
