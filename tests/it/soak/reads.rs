//! What people look at, and what they must not see.

use colophon_model::Digest;
use serde_json::Value;

use super::ledger::{Acknowledged, outputs_of};
use super::load::Worker;
use crate::support::Answer;

/// One look at something.
pub(super) fn read(worker: &mut Worker<'_>) {
    let slug = worker.tenant.slug.clone();
    let all = worker.tenant.ledger.all();
    let Some(build) = worker.numbers.pick(&all) else { return };
    let path = format!("/v1/t/{slug}");
    match worker.numbers.below(12) {
        0 => worker.sees(&format!("{path}/builds?limit=50")),
        1 => worker.sees(&format!("{path}/flows")),
        2 => worker.sees(&format!("{path}/flows/{}/history", build.flow)),
        3 => worker.sees(&format!("{path}/builds/{}/log", build.id)),
        4 => worker.sees(&format!("{path}/quota")),
        5 => worker.sees(&format!("{path}/deliveries")),
        6 => worker.sees(&format!("{path}/manifest.json")),
        7 => {
            let other = worker.numbers.pick(&all).unwrap();
            worker.sees(&format!("{path}/builds/{}/diff/{}?unified=true", build.id, other.id));
        }
        8 => run_again(worker),
        9 => foreign(worker, build),
        _ => whole(worker, build),
    }
    worker.world.site.count("reads");
}

/// A build that was acknowledged is as it was, and so is one of its files.
fn whole(worker: &mut Worker<'_>, build: &Acknowledged) {
    let slug = worker.tenant.slug.clone();
    let Some(told) = worker.look(&format!("/v1/builds/{}", build.id)) else { return };
    if told.status != 200 || outputs_of(&told.json()) != build.outputs {
        return worker.world.site.is_wrong(format!("{slug}: {build:?} is now {:#}", told.json()));
    }
    let told = told.json();
    let files: Vec<&Value> = told["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|o| o["files"].as_array().unwrap())
        .collect();
    let Some(file) = worker.numbers.pick(&files) else { return };
    let (path, digest) = (file["path"].as_str().unwrap(), file["digest"].as_str().unwrap());
    for path in [
        format!("/v1/t/{slug}/blob/{digest}"),
        format!("/v1/t/{slug}/builds/{}/files/{path}", build.id),
    ] {
        let Some(answer) = worker.look(&path) else { return };
        if answer.status != 200 || Digest::of(&answer.bytes).to_string() != digest {
            worker.world.site.is_wrong(format!("{path} of {build:?}: {}", answer.status));
        }
    }
}

/// Another tenant's build is like none.
fn foreign(worker: &mut Worker<'_>, build: &Acknowledged) {
    let others = &worker.world.tenants;
    let other = &others[(worker.index + 1 + worker.numbers.below(others.len() - 1)) % others.len()];
    let bearer = other.bearer("api");
    let path = format!("/v1/builds/{}", build.id);
    let site = &worker.world.site;
    if let Some(answer) = site.insist(&mut 0, || site.ask(("GET", &path), &bearer, b""))
        && answer.status != 404
    // The token may have been replaced between the two lines above; it stays good for an hour.
    {
        site.is_wrong(format!("{} sees {path}: {}", other.slug, answer.status));
    }
}

/// A delivery that was built is run again by hand: nothing comes of it but a row.
fn run_again(worker: &mut Worker<'_>) {
    let slug = worker.tenant.slug.clone();
    let list = format!("/v1/t/{slug}/deliveries?outcome=built&limit=50");
    let Some(told) = worker.look(&list) else { return };
    let told = told.json();
    let Some(delivery) = worker.numbers.pick(told["deliveries"].as_array().unwrap()) else {
        return;
    };
    let path = format!("/v1/t/{slug}/deliveries/{}/replay", delivery["delivery"].as_str().unwrap());
    let site = &worker.world.site;
    let Some(answer) = site.ask(("POST", &path), &worker.tenant.bearer("api"), b"") else { return };
    let outcome = answer.json()["outcome"].clone();
    if answer.status != 503 && (answer.status != 200 || (outcome != "noop" && outcome != "refused"))
    {
        site.is_wrong(format!("{path}: {:#}", answer.json()));
    }
    site.count("deliveries run again");
}

impl Worker<'_> {
    /// It is there, and is an object of JSON.
    fn sees(&self, path: &str) {
        let Some(answer) = self.look(path) else { return };
        if answer.status != 200 || !is_object(&answer) {
            self.world.site.is_wrong(format!("GET {path}: {}", answer.status));
        }
    }
}

fn is_object(answer: &Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.bytes).is_ok_and(|told| told.is_object())
}
