//! A LangFlow export of 210 KB that is delivered again, as it was or with a node elsewhere, beside HMAC-SHA-256
//! of the same bodies on one core.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colophon::intake::legacy_signature;

use crate::Plan;
use crate::clients::{self, Effort, Measured, Question};
use crate::content::{Export, Moving};
use crate::disk;
use crate::place;
use crate::report::{self, Row};
use crate::service::{Service, Setting, TENANTS};
use crate::table::{Bar, median, number};

/// How much of HMAC's rate, for the same bytes and for a node that was moved.
const SAME: f64 = 0.5;
const MOVED: f64 = 0.1;

/// Measures, and tells.
pub(crate) fn run(plan: &Plan, bars: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("large"))?;
    let export = Export::read(&plan.starters)?;
    let body = export.at(0);
    let service = Service::start(&plan.server, &dir.join("data"), TENANTS, Setting::default())?;
    service.build_everywhere(&body)?;
    let moving: Vec<Moving> = service.tenants.iter().map(|tenant| export.by(tenant)).collect();
    let place = AtomicU64::new(1);
    let moves = |client: usize, into: &mut Vec<u8>| {
        let x = place.fetch_add(1, Ordering::Relaxed);
        moving[client % moving.len()].request(x, into);
    };
    let mut rows = [
        Row::new("same bytes, 1 client"),
        Row::new("same bytes, 32 clients"),
        Row::new("a node moved, 1 client"),
        Row::new("a node moved, 32 clients"),
    ];
    let (mut hmac, mut syncs) = (Vec::new(), Vec::new());
    let effort = |clients| Effort { clients, time: plan.time, least: 1 };
    let measure = |clients| -> anyhow::Result<Measured> {
        let question = Question { next: &moves, status: 200, seen: &|_| {} };
        clients::ask(service.side(), effort(clients), &question)
    };
    for round in 1..=plan.rounds {
        report::progress(&format!("no-op of a large flow, round {round}"));
        syncs.push(disk::sync_millis(&dir, plan.time / 10)?);
        rows[0].add(service.noops(effort(1), &body)?);
        rows[1].add(service.noops(effort(32), &body)?);
        rows[2].add(measure(1)?);
        rows[3].add(measure(32)?);
        hmac.push(signed(&body, plan.time));
    }
    let title = format!("No-op of a LangFlow export of {} KB", number(body.len() as f64 / 1e3));
    let note = format!(
        "HMAC-SHA-256 of the same bodies on one core: {} a second",
        number(median(hmac.iter().copied()))
    );
    report::rates(&title, &rows, &syncs, &[note]);
    let times = |row: &Row| {
        median(row.rounds.iter().zip(&hmac).map(|(round, hmac)| round.per_second / hmac))
    };
    bars.push(Bar::at_least("no-op, 210 KB, same bytes", times(&rows[1]), SAME, "x HMAC"));
    bars.push(Bar::at_least("no-op, 210 KB, node moved", times(&rows[3]), MOVED, "x HMAC"));
    Ok(())
}

/// How often `body` is signed in a second by one thread.
fn signed(body: &[u8], time: Duration) -> f64 {
    let (start, mut count) = (Instant::now(), 0.0);
    while start.elapsed() < time {
        black_box(legacy_signature("the secret of a tenant", black_box(body)));
        count += 1.0;
    }
    count / start.elapsed().as_secs_f64()
}
