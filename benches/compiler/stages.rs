//! Flows through the compiler: each by itself beside the peer, and all of them at one and two threads.

use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use colophon_compiler::{CodePolicy, Compiled, Compiler, Limits, Plan};
use colophon_model::{Digest, FlowId, TenantSlug};
use rayon::prelude::*;

use crate::flows::Flow;
use crate::peer::{Peer, Told};
use crate::table::median;

/// How often a flow is compiled for one sample, so that the clock's steps do not show.
const REPEAT: u32 = 5;
/// How often the whole list is compiled for one sample of a number of threads.
const LISTS: usize = 8;

/// A flow on both sides: medians over the rounds, in milliseconds.
pub(crate) struct Beside {
    pub(crate) name: String,
    pub(crate) bytes: usize,
    /// Reading, checking and planning.
    pub(crate) plan: f64,
    /// Rendering, parse, shape and format.
    pub(crate) render: f64,
    /// Processor time of both, on one thread.
    pub(crate) cpu: f64,
    pub(crate) lines: usize,
    pub(crate) peer: Told,
}

/// All flows at a number of threads: flows in a second.
pub(crate) struct Threads {
    pub(crate) one: Vec<f64>,
    pub(crate) two: Vec<f64>,
}

/// Compiles every flow on both sides in turn.
pub(crate) fn beside(
    compiler: &Compiler,
    flows: &[Flow],
    peer: &mut Peer,
    rounds: usize,
) -> anyhow::Result<Vec<Beside>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut ours: Vec<Vec<[f64; 3]>> = vec![Vec::new(); flows.len()];
    let mut theirs: Vec<Vec<Told>> = vec![Vec::new(); flows.len()];
    for round in 0..=rounds {
        for (index, flow) in flows.iter().enumerate() {
            let sample = pool.install(|| sample(compiler, flow))?;
            let told = peer.compile(&flow.path)?;
            if round > 0 {
                ours[index].push(sample); // the first round warms both
                theirs[index].push(told);
            }
        }
    }
    let of = |index: usize, which: usize| median(ours[index].iter().map(|sample| sample[which]));
    let row = |(index, flow): (usize, &Flow)| {
        let told = &theirs[index];
        Ok(Beside {
            name: flow.name.clone(),
            bytes: flow.body.len(),
            plan: of(index, 0),
            render: of(index, 1),
            cpu: of(index, 2),
            lines: lines(&compile(compiler, &plan(compiler, flow)?)?),
            peer: Told {
                wall: median(told.iter().map(|told| told.wall)),
                cpu: median(told.iter().map(|told| told.cpu)),
                lines: told.first().map_or(0, |told| told.lines),
            },
        })
    };
    flows.iter().enumerate().map(row).collect()
}

/// Compiles all flows at one thread and at two, in turn. The outputs must not differ.
pub(crate) fn threads(
    compiler: &Compiler,
    flows: &[Flow],
    rounds: usize,
) -> anyhow::Result<Threads> {
    let mut threads = Threads { one: Vec::new(), two: Vec::new() };
    let mut digests = Vec::new();
    for _ in 0..=rounds {
        for (count, rates) in [(1, &mut threads.one), (2, &mut threads.two)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build()?;
            let start = Instant::now();
            let made = pool.install(|| list(compiler, flows))?;
            rates.push((LISTS * flows.len()) as f64 / start.elapsed().as_secs_f64());
            digests.push(made);
        }
    }
    digests.dedup();
    ensure!(digests.len() == 1, "outputs differ between runs or numbers of threads");
    Ok(threads)
}

fn list(compiler: &Compiler, flows: &[Flow]) -> anyhow::Result<Vec<Digest>> {
    (0..LISTS * flows.len())
        .into_par_iter()
        .map(|index| {
            let flow = &flows[index % flows.len()];
            let made = compile(compiler, &plan(compiler, flow)?)?;
            Ok(made.cloud.tree().digest())
        })
        .collect()
}

/// Plan and render in milliseconds, and the thread's processor time for both.
fn sample(compiler: &Compiler, flow: &Flow) -> anyhow::Result<[f64; 3]> {
    let (cpu, start) = (thread_cpu()?, Instant::now());
    let mut planned = 0.0;
    for _ in 0..REPEAT {
        let from = Instant::now();
        let plan = plan(compiler, flow)?;
        planned += from.elapsed().as_secs_f64();
        std::hint::black_box(compile(compiler, &plan)?);
    }
    let (cpu, all) = (thread_cpu()? - cpu, start.elapsed().as_secs_f64());
    Ok([planned, all - planned, cpu].map(|seconds| seconds * 1e3 / f64::from(REPEAT)))
}

/// Seconds that this thread has had the processor (`/proc/thread-self/schedstat`, first field).
fn thread_cpu() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = text.split_whitespace().next().context("no time in schedstat")?.parse()?;
    Ok(nanos / 1e9)
}

fn plan(compiler: &Compiler, flow: &Flow) -> anyhow::Result<Plan> {
    let plan = compiler.parse(&flow.body, CodePolicy::AllowCustom, &Limits::default());
    plan.map_err(|problems| anyhow!("{}: {problems}", flow.name))
}

fn compile(compiler: &Compiler, plan: &Plan) -> anyhow::Result<Compiled> {
    let flow = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
    Ok(compiler.compile(plan, &TenantSlug::new("bench-tenant")?, &flow)?)
}

/// Lines of the modules that were rendered; runtime files and sources are copied.
fn lines(compiled: &Compiled) -> usize {
    let rendered = |path: &str| {
        path.contains("/flow_") || path.ends_with("_runner.py") || path.starts_with("tests/")
    };
    let files = compiled.cloud.iter().filter(|(path, _)| rendered(path.as_str()));
    files.map(|(_, file)| String::from_utf8_lossy(file.bytes()).lines().count()).sum()
}
