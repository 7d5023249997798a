//! `rebuild --all`: many flows in many tenants, after a template changed.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use colophon::app::{Owner, open_press};
use colophon::clock::SystemClock;
use colophon::config::Config;
use colophon::gates::Mode;
use colophon::maintenance::{Job as _, Recompile, Site};
use colophon::pipeline::{Delivery, Press};
use colophon::tenants;
use colophon_model::{CodePolicy, TenantSlug};
use rayon::prelude::*;

use crate::{flows, process};

/// Flows of a tenant.
const PER_TENANT: usize = 100;
const RUNNER: &str = include_str!("../../templates/cloud/runner.py.tera");

/// What a run cost.
pub(crate) struct Rebuilt {
    pub(crate) what: &'static str,
    pub(crate) flows: u64,
    pub(crate) commits: u64,
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of the processor, all threads.
    pub(crate) cpu: f64,
}

/// Builds `count` flows, changes a template, and rebuilds them: dry, for real, and once more.
pub(crate) fn run(dir: &Path, count: usize) -> anyhow::Result<Vec<Rebuilt>> {
    let _ = std::fs::remove_dir_all(dir);
    let own = dir.join("templates/cloud");
    std::fs::create_dir_all(&own)?;
    std::fs::write(own.join("runner.py.tera"), format!("{RUNNER}\n# changed\n"))?;
    let mut config = Config { data: dir.join("data"), ..Config::default() };
    config.gates.smoke = Mode::Off; // the compiler is measured
    config.quota.builds_per_day = NonZeroU64::MAX;
    let mut done = vec![measure("building them", count, || {
        build(&open_press(&config, Arc::new(SystemClock), Owner::Command)?, count)?;
        Ok((count as u64, count as u64))
    })?];
    config.compiler.templates = Some(dir.join("templates"));
    let press = open_press(&config, Arc::new(SystemClock), Owner::Command)?;
    let site = Site { press: &press, config: &config };
    for (what, dry_run) in [
        ("`rebuild --all --dry-run`", true),
        ("`rebuild --all`", false),
        ("`rebuild --all`, nothing to do", false),
    ] {
        done.push(measure(what, count, || {
            let report = Recompile { dry_run, ..Recompile::default() }.run(site, &|_| ())?;
            ensure!(report.failed == 0, "{} flows failed", report.failed);
            Ok((report.rebuilt, report.commits))
        })?);
    }
    Ok(done)
}

fn measure(
    what: &'static str,
    count: usize,
    work: impl FnOnce() -> anyhow::Result<(u64, u64)>,
) -> anyhow::Result<Rebuilt> {
    let (cpu, start) = (process::cpu_of_self()?, Instant::now());
    let (flows, commits) = work()?;
    ensure!(flows == 0 || flows == count as u64, "{what}: {flows} flows");
    let (wall, cpu) = (start.elapsed().as_secs_f64(), process::cpu_of_self()? - cpu);
    Ok(Rebuilt { what, flows, commits, wall, cpu })
}

fn build(press: &Press, count: usize) -> anyhow::Result<()> {
    (0..count.div_ceil(PER_TENANT)).into_par_iter().try_for_each(|tenant| {
        let slug: TenantSlug = format!("tenant-{tenant}").parse()?;
        tenants::create(press, &slug, CodePolicy::default())?;
        let row = tenants::find(&press.store.view()?, &slug)?;
        for n in tenant * PER_TENANT..count.min((tenant + 1) * PER_TENANT) {
            let body = serde_json::to_vec(&flows::twenty(&format!("flow_{n}"), n as u64))?;
            let received = press.clock.now();
            press.run(Delivery::new(row.clone(), body, received))?;
        }
        Ok(())
    })
}
