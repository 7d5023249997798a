//! When the load is over: everything is counted, and every tool that can check a store checks it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::agents::{AGENTS, Agent};
use super::world::{Tenant, World};
use super::{check, clones, watch};
use crate::support::process::run;
use crate::support::programs::{git_in, python};

/// Growth of memory that is allowed between the first and the last quarter of the calm time, beside a half more:
/// the store's cache fills as the store grows.
const SLACK_KIB: u64 = 96 << 10;
/// No server of twenty tenants may take more, in KiB.
const MOST_KIB: u64 = 2 << 20;

/// Everything that was acknowledged is there, once, and nothing else; every checker is content.
pub(super) fn check(world: &World) {
    for tenant in &world.tenants {
        tenant_is_whole(world, tenant);
        audit_tells_all(world, tenant);
        clone_is_whole(world, tenant);
    }
    for index in 0..AGENTS {
        let agent = Agent::new(world, index);
        agent.run(&["apply"]);
        agent.run(&["verify"]);
    }
    python_tuf_is_content(world);
    memory_stays_within_bounds(world);
    files_are_closed(world);
    world.site.terminate();
    for command in [&["fsck"][..], &["audit", "verify"]] {
        let checked = run(&world.data(), command);
        if !checked.status.success() {
            let (said, why) = (
                String::from_utf8_lossy(&checked.stdout),
                String::from_utf8_lossy(&checked.stderr),
            );
            world.site.is_wrong(format!("colophon {command:?}: {said} {why}"));
        }
    }
}

fn tenant_is_whole(world: &World, tenant: &Tenant) {
    let acknowledged = tenant.ledger.all();
    let Some(listed) = check::list(world, tenant) else { return };
    check::are_there(world, tenant, &acknowledged, &listed);
    check::nothing_else_is_there(world, tenant, &acknowledged, &listed);
    for build in &acknowledged {
        check::is_as_told(world, tenant, build);
    }
    let known: BTreeSet<String> = acknowledged.into_iter().map(|build| build.id).collect();
    for build in tenant.ledger.all_named().difference(&known) {
        world.site.is_wrong(format!("{}: {build} was named and never acknowledged", tenant.slug));
    }
    flows_stand(world, tenant);
    quota_is_exact(world, tenant, &listed);
}

/// Each flow's head is the build that was acknowledged last for it.
fn flows_stand(world: &World, tenant: &Tenant) {
    let Some(told) = check::read(world, tenant, &format!("/v1/t/{}/flows", tenant.slug)) else {
        return;
    };
    let stand: BTreeMap<String, String> = told["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| (text(flow, "flow"), text(flow, "build")))
        .collect();
    let flows = tenant.flows.read().unwrap();
    let known = flows.iter().filter_map(|f| Some((f.slug.clone(), f.head.as_ref()?.1.clone())));
    let known: BTreeMap<_, _> = known.collect();
    if stand != known {
        world.site.is_wrong(format!("{}: {stand:?} stand and not {known:?}", tenant.slug));
    }
}

/// What the quota has counted is what was built, and what it has refused was too much.
fn quota_is_exact(world: &World, tenant: &Tenant, listed: &[check::Listed]) {
    let Some(told) = check::read(world, tenant, &format!("/v1/t/{}/quota", tenant.slug)) else {
        return;
    };
    let mut is_full = false;
    for quota in told["quota"].as_array().unwrap() {
        let target = text(quota, "target");
        let used = quota["used"].as_u64().unwrap();
        let delivered =
            listed.iter().filter(|l| l.kind == "delivery" && l.targets.contains(&target));
        let (built, acknowledged) = (delivered.count() as u64, tenant.ledger.used(&target));
        if used != built || used != acknowledged || used > world.plan.quota {
            world.site.is_wrong(format!(
                "{}: {used} {target} builds are counted, {built} listed, {acknowledged} acknowledged, {} allowed",
                tenant.slug, world.plan.quota
            ));
        }
        is_full |= used == world.plan.quota;
    }
    if tenant.ledger.was_over_quota() {
        world.site.count("tenants at their quota's end");
        if !is_full {
            world.site.is_wrong(format!("{} was refused with quota left", tenant.slug));
        }
    }
}

/// The audit log tells of every build once, and of no other.
fn audit_tells_all(world: &World, tenant: &Tenant) {
    let mut told = Vec::new();
    let mut from = Some(0);
    while let Some(number) = from {
        let path = format!("/v1/t/{}/audit?order=asc&limit=1000&from={number}", tenant.slug);
        let Some(page) = world.operator.ask(&world.site, "GET", &path, &Value::Null) else {
            return;
        };
        let page = page.json();
        let entries = page["entries"].as_array().unwrap();
        told.extend(entries.iter().filter(|e| is_a_build(e)).map(|e| text(&e["subject"], "id")));
        from = page["next"].as_u64();
    }
    told.sort();
    let mut built: Vec<String> = tenant.ledger.all().into_iter().map(|build| build.id).collect();
    built.sort();
    if told != built {
        let (told, built): (BTreeSet<_>, BTreeSet<_>) =
            (told.into_iter().collect(), built.into_iter().collect());
        let odd: Vec<_> = told.symmetric_difference(&built).take(5).collect();
        world.site.is_wrong(format!("{}: the audit log tells otherwise of {odd:?}", tenant.slug));
    }
}

fn is_a_build(entry: &Value) -> bool {
    ["build.make", "flow.delete", "flow.rollback"].iter().any(|action| entry["action"] == *action)
        && entry["subject"]["kind"] == "build"
        && entry["outcome"] == "success"
}

/// The clone that grew by fetches and a new one are the same, and stock git finds no fault.
fn clone_is_whole(world: &World, tenant: &Tenant) {
    clones::fetch(world, tenant);
    let kept = clones::kept(world, tenant);
    git_in(&kept, &["fsck", "--strict", "--full"]);
    let fresh = world.dir.path().join(format!("last-{}", tenant.slug));
    let url = format!("{}/git/{}.git", world.site.url, tenant.slug);
    crate::support::programs::clone(&url, &tenant.token("git"), &fresh);
    git_in(&fresh, &["fsck", "--strict", "--full"]);
    let branch = format!("refs/remotes/origin/tenant/{}", tenant.slug);
    let log = |dir| git_in(dir, &["rev-list", &branch]);
    if log(&kept) != log(&fresh) {
        world.site.is_wrong(format!("{}: a clone that was fetched into differs", tenant.slug));
    }
}

/// A TUF client that is not ours walks from the first root to a bundle.
fn python_tuf_is_content(world: &World) {
    let tenant = &world.tenants[1];
    let root = Agent::new(world, 1).root();
    let flows = tenant.flows.read().unwrap();
    let Some((_, build)) = flows.iter().find(|f| f.is_edge()).and_then(|f| f.standing()) else {
        return;
    };
    let Some(view) = check::read(world, tenant, &format!("/v1/builds/{build}")) else { return };
    let target =
        view["outputs"].as_array().unwrap().iter().find_map(|o| o["edge"]["target"].as_str());
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python_tuf.py"))
        .args([&world.site.url, &tenant.slug, &tenant.token("edge"), &root])
        .arg(world.dir.path().join("python-tuf"))
        .arg(target.unwrap())
        .output()
        .unwrap();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        world.site.is_wrong(format!("python-tuf: {stderr}"));
    }
}

/// In the time without kills the same process does the same work; it must not take more and more for it.
fn memory_stays_within_bounds(world: &World) {
    let samples = world.watched.all();
    let peak = samples.iter().map(|s| s.memory).max().unwrap_or_default();
    if peak > MOST_KIB {
        world.site.is_wrong(format!("{} MiB of memory", peak >> 10));
    }
    let calm = &world.plan.calm;
    let quarter = calm.end.saturating_sub(calm.start) / 4;
    let median = |from: Duration, to: Duration, of: fn(&watch::Sample) -> u64| {
        let mut values: Vec<u64> =
            samples.iter().filter(|s| (from..to).contains(&s.at)).map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    let grows = |of, slack| {
        let first = median(calm.start + quarter, calm.start + quarter * 2, of);
        let last = median(calm.end.saturating_sub(quarter), calm.end, of);
        first.zip(last).filter(|(first, last)| *last > first + first / 2 + slack)
    };
    if let Some((first, last)) = grows(|s| s.memory, SLACK_KIB) {
        world.site.is_wrong(format!("memory grew from {} to {} MiB", first >> 10, last >> 10));
    }
    if let Some((first, last)) = grows(|s| s.files, 64) {
        world.site.is_wrong(format!("open files grew from {first} to {last}"));
    }
}

/// Without clients, nothing stays open but the store, the listener and what the runtime needs.
fn files_are_closed(world: &World) {
    let begun = Instant::now();
    let pid = world.site.pid().unwrap();
    loop {
        let sample = watch::look(pid, Duration::ZERO).unwrap();
        if sample.files < 64 {
            return;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return world
                .site
                .is_wrong(format!("{} files stay open without clients", sample.files));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The table at the end.
pub(super) fn tell(world: &World, took: Duration) {
    eprintln!("soak: {}; took {} s", world.plan, took.as_secs());
    for (what, count) in world.site.counts() {
        eprintln!("soak: {count:>8}  {what}");
    }
    let samples = world.watched.all();
    let range = |of: fn(&watch::Sample) -> u64| {
        let first = samples.first().map_or(0, of);
        let last = samples.last().map_or(0, of);
        format!(
            "{first} at the start, {last} at the end, {} at most",
            samples.iter().map(of).max().unwrap_or(0)
        )
    };
    eprintln!("soak: memory in MiB: {}", range(|s| s.memory >> 10));
    eprintln!("soak: open files: {}", range(|s| s.files));
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
