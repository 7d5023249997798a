//! The operator, who collects, purges, checks, backs up and replaces what others hold, in the midst of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::credentials::KINDS;
use super::world::World;

/// Works until it is told to stop.
pub(super) fn work(world: &World) {
    let mut numbers = world.numbers(30, 0);
    while world.site.pause(Duration::from_millis(700)) {
        let tenant = numbers.pick(&world.tenants).unwrap();
        match numbers.below(12) {
            0 => drop(job(world, "gc", &json!({"grace": "0s"}))),
            1 => drop(job(world, "gc", &json!({"grace": "1s", "budget": "1MiB"}))),
            2 => purge(world),
            3 => drop(job(world, "edge/resign", &json!({}))),
            4 => drop(job(world, "audit/checkpoint", &json!({}))),
            5 => audit(world),
            6 if numbers.once_in(3) => fsck(world),
            7 if numbers.once_in(3) => backup(world),
            8 => world.operator.rotate_secret(&world.site, &tenant.slug, &tenant.held),
            9 => {
                let kind = numbers.pick(&KINDS).unwrap();
                world.operator.rotate_token(&world.site, &tenant.slug, kind, &tenant.held);
            }
            _ => look(world, &format!("/v1/t/{}/audit", tenant.slug)),
        }
    }
}

fn look(world: &World, path: &str) {
    if let Some(answer) = world.operator.ask(&world.site, "GET", path, &Value::Null)
        && answer.status != 200
        && answer.status != 503
    {
        world.site.is_wrong(format!("GET {path}: {}", answer.status));
    }
}

/// Runs a job and returns what came of it. `None`: another one runs, or the server was killed meanwhile.
pub(super) fn job(world: &World, name: &str, options: &Value) -> Option<Value> {
    let path = format!("/v1/maintenance/{name}");
    let epoch = world.site.epoch();
    let answer = world.operator.ask(&world.site, "POST", &path, options)?;
    let said = String::from_utf8_lossy(&answer.bytes).into_owned();
    let last: Value =
        said.lines().next_back().and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
    let runs = answer.status == 409 && answer.code() == "maintenance-runs" || answer.status == 503;
    if answer.status != 200 || last.get("result").is_none() {
        if !runs && world.site.ran_since(epoch) {
            world.site.is_wrong(format!("{name} {options}: {} {said}", answer.status));
        }
        return None;
    }
    world.site.count("jobs of the operator");
    Some(last["result"].clone())
}

/// Takes the tags of builds away, months earlier than anybody would.
fn purge(world: &World) {
    world.purges.fetch_add(1, Ordering::SeqCst);
    job(world, "purge", &json!({"older_than": "20s"}));
    world.purges.fetch_add(1, Ordering::SeqCst);
}

/// The chains hold, in the midst of it.
fn audit(world: &World) {
    let Some(told) = job(world, "audit/verify", &json!({})) else { return };
    let problems =
        told["chains"].as_array().unwrap().iter().flat_map(|c| c["problems"].as_array().unwrap());
    for problem in problems {
        world.site.is_wrong(format!("audit: {problem}"));
    }
}

fn fsck(world: &World) {
    let Some(told) = job(world, "fsck", &json!({})) else { return };
    if told["total_problems"] != 0 {
        world.site.is_wrong(format!("fsck: {told:#}"));
    }
}

/// A backup made meanwhile is a store of its own, and whole.
fn backup(world: &World) {
    let dir = world.dir.path().join("backup");
    let _ = std::fs::remove_dir_all(&dir);
    if job(world, "backup", &json!({"dir": dir})).is_none() {
        return;
    }
    world.site.count("backups");
    // The key is kept apart from backups of the store.
    std::fs::create_dir_all(dir.join("keys")).unwrap();
    std::fs::copy(world.data().join("keys/master.key"), dir.join("keys/master.key")).unwrap();
    let checked = crate::support::process::run(&dir, &["--json", "fsck"]);
    if !checked.status.success() {
        let (said, why) =
            (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
        world.site.is_wrong(format!("the backup is damaged: {said} {why}"));
    }
}
