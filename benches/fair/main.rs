//! What one tenant's storm does to another: the time that one client of a quiet tenant waits, alone and while
//! 64 clients of another tenant send as fast as they are answered. Windows of both alternate over several
//! rounds, so what else the machine does is the same for both.
//!
//! The server is a process of its own with the defaults of `colophon serve`, without gates and quota. So are
//! the storm's clients: raw requests, prepared before, over one kept connection each (a clone has one of its own).
//! They run at a lower priority (`nice`), since elsewhere they would not run on the server's processors;
//! `COLOPHON_BENCH_NICE` sets it (default 10). `COLOPHON_BENCH_SECONDS` sets how long a window is (default 3),
//! `COLOPHON_BENCH_PROGRAM` names another server to compare with. Ends with 1 when a ratio is above 2.

mod content;
mod raw;
mod report;
mod server;
mod storm;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use content::Kind;
use raw::Client;
use report::Row;
use server::Bench;

const ROUNDS: usize = 5;
/// Between two requests of the quiet tenant: it is not a storm itself.
const PAUSE: Duration = Duration::from_millis(5);
/// A storm's beginning, which is not measured.
const SETTLE: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    if args.next().as_deref() == Some("--storm") {
        return storm::run(&args.next().context("no storm is named")?);
    }
    let seconds = std::env::var("COLOPHON_BENCH_SECONDS").map_or(Ok(3.0), |s| s.parse::<f64>())?;
    let window = Duration::from_secs_f64(seconds);
    let bench = Bench::start()?;
    let mut rows: Vec<Row> = Vec::new();
    for storm in Kind::ALL {
        rows.extend(Kind::ALL.map(|asked| Row::new(storm, asked)));
    }
    let mut number = 1_000_000;
    for round in 1..=ROUNDS {
        for storm in Kind::ALL {
            eprintln!("round {round}: storm of {}", storm.name());
            let alone = watch(&bench, window, &mut number)?;
            let raging = bench.storm(storm)?;
            std::thread::sleep(SETTLE);
            let during = watch(&bench, window, &mut number)?;
            let answered = raging.stop()?;
            for row in rows.iter_mut().filter(|row| row.storm == storm) {
                row.add(&alone[row.asked as usize], &during[row.asked as usize], answered);
            }
        }
    }
    report::print(&rows);
    anyhow::ensure!(rows.iter().all(|row| row.ratio() <= 2.0), "a storm was felt");
    Ok(())
}

/// The quiet tenant's requests of each kind for a while, in turns: how long each took.
fn watch(bench: &Bench, window: Duration, number: &mut u64) -> anyhow::Result<[Vec<Duration>; 3]> {
    let mut client = Client::connect(&bench.address)?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    let start = Instant::now();
    while start.elapsed() < window {
        for kind in Kind::ALL {
            *number += 1;
            let request = bench.quiet.request(kind, "changing", *number);
            let from = Instant::now();
            let answer = client.ask(&request)?;
            times[kind as usize].push(from.elapsed());
            anyhow::ensure!(answer.status == kind.status(), "{}", answer.text());
            std::thread::sleep(PAUSE);
        }
    }
    Ok(times)
}
