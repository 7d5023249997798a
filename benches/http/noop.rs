//! A flow of 8 KB that is delivered again, beside nginx and the pipeline.

use std::time::Duration;

use anyhow::Context as _;

use crate::Plan;
use crate::clients::{self, Effort, Measured, Question};
use crate::content;
use crate::disk;
use crate::nginx::Nginx;
use crate::pipeline::{Pipeline, Shape};
use crate::place;
use crate::report::{self, Row};
use crate::service::{Service, Setting, TENANTS};
use crate::table::Bar;

/// Bytes of the file that nginx serves.
const FILE: usize = 4096;
/// How many times the pipeline's rate.
const FASTER: f64 = 250.0;
/// How much of nginx's rate.
const OF_NGINX: f64 = 1.0 / 3.0;

/// Measures, and tells.
pub(crate) fn run(plan: &Plan, bars: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("noop"))?;
    let body = content::flow("steady", 0);
    let service = Service::start(&plan.server, &dir.join("data"), TENANTS, Setting::default())?;
    service.build_everywhere(&body)?;
    let files = place::empty(&dir.join("files"))?;
    std::fs::write(files.join("file"), vec![b'x'; FILE])?;
    let nginx = Nginx::start(&place::empty(&dir.join("nginx"))?, &files)?;
    let one = pipeline(plan, &dir, &body, 1)?;
    let many = pipeline(plan, &dir, &body, std::thread::available_parallelism()?.get())?;
    let mut rows = [
        Row::new("colophon, 1 client"),
        Row::new("colophon, 32 clients"),
        Row::new("nginx, a file of 4 KB, 1 client"),
        Row::new("nginx, a file of 4 KB, 32 clients"),
        Row::new("pipeline, 1 worker, 32 clients"),
        Row::new("pipeline, a worker a core, 32 clients"),
    ];
    let mut syncs = Vec::new();
    let effort = |clients| Effort { clients, time: plan.time, least: 1 };
    for round in 1..=plan.rounds {
        report::progress(&format!("no-op, round {round}"));
        syncs.push(disk::sync_millis(&dir, plan.time / 10)?);
        rows[0].add(service.noops(effort(1), &body)?);
        rows[1].add(service.noops(effort(32), &body)?);
        rows[2].add(file(&nginx, effort(1))?);
        rows[3].add(file(&nginx, effort(32))?);
        rows[4].add(noops(&one, effort(32), &body)?);
        rows[5].add(noops(&many, effort(32), &body)?);
    }
    report::rates("No-op of a flow of 8 KB", &rows, &syncs, &[]);
    let times = |to: usize| report::ratio(&rows[1], &rows[to]);
    bars.push(Bar::at_least("no-op, 8 KB", times(4), FASTER, "x the pipeline"));
    bars.push(Bar::at_least("no-op, 8 KB", times(3), OF_NGINX, "x nginx"));
    Ok(())
}

/// A pipeline whose tenants all have `body` committed.
fn pipeline(
    plan: &Plan,
    dir: &std::path::Path,
    body: &[u8],
    workers: usize,
) -> anyhow::Result<Pipeline> {
    let place = dir.join(format!("pipeline-{workers}"));
    let shape = Shape { workers, gates: false };
    let pipeline = Pipeline::start(&plan.python, &place, TENANTS, shape)?;
    let mut connection = crate::load::Connection::open(pipeline.side().0)?;
    for tenant in &pipeline.tenants {
        let status = connection.ask(&tenant.request(body), &mut Vec::new())?;
        (status == 201).then_some(()).with_context(|| format!("the pipeline said {status}"))?;
    }
    // Each worker opens the repositories that it has not seen yet.
    noops(&pipeline, Effort { clients: 32, time: Duration::ZERO, least: 4 * TENANTS }, body)?;
    Ok(pipeline)
}

fn noops(pipeline: &Pipeline, effort: Effort, body: &[u8]) -> anyhow::Result<Measured> {
    let requests: Vec<_> = pipeline.tenants.iter().map(|tenant| tenant.request(body)).collect();
    let next = clients::steady(&requests);
    clients::ask(pipeline.side(), effort, &Question { next: &next, status: 200, seen: &|_| {} })
}

fn file(nginx: &Nginx, effort: Effort) -> anyhow::Result<Measured> {
    let request = [b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()];
    let next = clients::steady(&request);
    let side = (nginx.address.as_str(), nginx.pid());
    clients::ask(side, effort, &Question { next: &next, status: 200, seen: &|_| {} })
}
