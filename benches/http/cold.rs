//! Flows of 20 nodes that were never delivered before, beside the pipeline.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Plan;
use crate::clients::{self, Effort, Measured, Question, Side};
use crate::content;
use crate::disk;
use crate::pipeline::{Pipeline, Shape};
use crate::place::{self, Tenant};
use crate::report::{self, Row};
use crate::service::{Service, Setting, TENANTS};
use crate::stages::{self, Stages};
use crate::table::Bar;

/// How many times the pipeline's rate, without gates and with.
const FASTER: f64 = 20.0;
const FASTER_GATED: f64 = 40.0;
/// Clients of the pipeline with gates, which has the processors busy with fewer: 32 would wait for a minute.
const FEW: usize = 4;

/// The number of the next build, so that none comes twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Without gates that run code.
pub(crate) fn run(plan: &Plan, bars: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("cold"))?;
    let service = Service::start(&plan.server, &dir.join("data"), TENANTS, Setting::default())?;
    let cores = std::thread::available_parallelism()?.get();
    let pipeline = |workers: usize| {
        let place = dir.join(format!("pipeline-{workers}"));
        Pipeline::start(&plan.python, &place, TENANTS, Shape { workers, gates: false })
    };
    let (one, many) = (pipeline(1)?, pipeline(cores)?);
    let mut rows = [
        Row::new("colophon, 1 client"),
        Row::new("colophon, 32 clients"),
        Row::new("pipeline, 1 worker, 32 clients"),
        Row::new("pipeline, a worker a core, 32 clients"),
    ];
    let (alone, together) = (Stages::default(), Stages::default());
    let effort = |clients| Effort { clients, time: plan.time, least: TENANTS };
    // Each tenant's branch begins with its first build.
    builds(service.side(), &service.tenants, effort(32), &Stages::default())?;
    for pipeline in [&one, &many] {
        let warm = Effort { clients: 32, time: plan.time / 4, least: 2 * TENANTS };
        builds(pipeline.side(), &pipeline.tenants, warm, &Stages::default())?;
    }
    let mut syncs = Vec::new();
    for round in 1..=plan.rounds {
        report::progress(&format!("cold builds, round {round}"));
        syncs.push(disk::sync_millis(&dir, plan.time / 10)?);
        rows[0].add(builds(service.side(), &service.tenants, effort(1), &alone)?);
        rows[1].add(builds(service.side(), &service.tenants, effort(32), &together)?);
        for (row, pipeline) in [(2, &one), (3, &many)] {
            let told = Stages::default();
            rows[row].add(builds(pipeline.side(), &pipeline.tenants, effort(32), &told)?);
        }
    }
    report::rates("Cold builds of 20 nodes, 32 tenants", &rows, &syncs, &[]);
    let mut table = stages::table();
    alone.row("1 client", &mut table);
    together.row("32 clients", &mut table);
    report::stages(table);
    let times = report::ratio(&rows[1], &rows[2]);
    bars.push(Bar::at_least("cold build", times, FASTER, "x the pipeline"));
    Ok(())
}

/// With the smoke test, beside black and pytest.
pub(crate) fn run_with_gates(plan: &Plan, bars: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("smoke"))?;
    let setting = Setting { smoke: Some(&plan.python), ..Setting::default() };
    let service = Service::start(&plan.server, &dir.join("data"), TENANTS, setting)?;
    let cores = std::thread::available_parallelism()?.get();
    let shape = Shape { workers: cores, gates: true };
    let pipeline = Pipeline::start(&plan.python, &dir.join("pipeline"), FEW, shape)?;
    let mut rows = [
        Row::new("colophon with smoke, 32 clients"),
        Row::new("pipeline with black and pytest, a worker a core, 4 clients"),
    ];
    let effort = |clients| Effort { clients, time: plan.time, least: clients };
    let (told, others) = (Stages::default(), Stages::default());
    builds(service.side(), &service.tenants, effort(32), &others)?;
    let mut syncs = Vec::new();
    for round in 1..=plan.rounds {
        report::progress(&format!("cold builds with gates, round {round}"));
        syncs.push(disk::sync_millis(&dir, plan.time / 10)?);
        rows[0].add(builds(service.side(), &service.tenants, effort(32), &told)?);
        rows[1].add(builds(pipeline.side(), &pipeline.tenants, effort(FEW), &others)?);
    }
    report::rates("Cold builds of 20 nodes, with gates", &rows, &syncs, &[]);
    let mut table = stages::table();
    told.row("smoke, 32 clients", &mut table);
    report::stages(table);
    let times = report::ratio(&rows[0], &rows[1]);
    bars.push(Bar::at_least("cold build with smoke", times, FASTER_GATED, "x black and pytest"));
    Ok(())
}

/// Builds by `effort.clients`, each for a tenant of its own.
pub(crate) fn builds(
    side: Side,
    tenants: &[Tenant],
    effort: Effort,
    stages: &Stages,
) -> anyhow::Result<Measured> {
    let next = |client: usize, into: &mut Vec<u8>| {
        let body = content::flow("changing", NEXT.fetch_add(1, Ordering::Relaxed));
        *into = tenants[client % tenants.len()].request(&body);
    };
    let seen = |answer: &[u8]| stages.see(answer);
    clients::ask(side, effort, &Question { next: &next, status: 201, seen: &seen })
}
