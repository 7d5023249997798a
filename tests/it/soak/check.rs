//! What must be there after a restart, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ledger::{Acknowledged, outputs_of};
use super::world::{Tenant, World};

/// How many acknowledgements of each tenant were looked at record by record.
#[derive(Debug, Default)]
pub(super) struct Checked(BTreeMap<String, usize>);

/// Records that one check reads of each tenant, so that a check ends before the next kill.
const RECORDS: usize = 20;

/// A build as lists show it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) commit: String,
    pub(super) flow: String,
    pub(super) kind: String,
    pub(super) targets: Vec<String>,
    pub(super) number: u64,
}

/// While the load goes on: everything acknowledged until now is there, and the newest of it is as it was told.
pub(super) fn after_a_restart(world: &World, checked: &mut Checked) {
    for tenant in &world.tenants {
        let acknowledged = tenant.ledger.all();
        let Some(listed) = list(world, tenant) else { return };
        are_there(world, tenant, &acknowledged, &listed);
        let seen = checked.0.entry(tenant.slug.clone()).or_default();
        let new = &acknowledged[(*seen).max(acknowledged.len().saturating_sub(RECORDS))..];
        for build in new {
            is_as_told(world, tenant, build);
        }
        *seen = acknowledged.len();
    }
    world.site.count("checks after a restart");
}

/// Each is listed, with the same key and commit.
pub(super) fn are_there(
    world: &World,
    tenant: &Tenant,
    acknowledged: &[Acknowledged],
    listed: &[Listed],
) {
    let by_id: BTreeMap<&str, &Listed> = listed.iter().map(|l| (l.id.as_str(), l)).collect();
    if by_id.len() != listed.len() {
        world.site.is_wrong(format!("{}: a build is listed twice", tenant.slug));
    }
    for build in acknowledged {
        match by_id.get(build.id.as_str()) {
            Some(l) if (&l.key, &l.commit, &l.flow) == (&build.key, &build.commit, &build.flow) => {
            }
            other => world.site.is_wrong(format!("{}: {build:?} is {other:?}", tenant.slug)),
        }
    }
}

/// The record names the same outputs.
pub(super) fn is_as_told(world: &World, tenant: &Tenant, build: &Acknowledged) {
    let Some(answer) = read(world, tenant, &format!("/v1/builds/{}", build.id)) else { return };
    if answer["commit"] != build.commit.as_str() || outputs_of(&answer) != build.outputs {
        world.site.is_wrong(format!("{}: {build:?} is now {answer:#}", tenant.slug));
    }
}

/// Every build of the tenant, newest first.
pub(super) fn list(world: &World, tenant: &Tenant) -> Option<Vec<Listed>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/t/{}/builds?limit=200{cursor}", tenant.slug);
        let page = read(world, tenant, &path)?;
        all.extend(page["builds"].as_array().unwrap().iter().map(Listed::new));
        let Some(next) = page["next"].as_str() else { return Some(all) };
        cursor = format!("&cursor={next}");
    }
}

/// Reads what must be there, as the tenant.
pub(super) fn read(world: &World, tenant: &Tenant, path: &str) -> Option<Value> {
    let site = &world.site;
    let answer = site.insist(&mut 0, || site.ask(("GET", path), &tenant.bearer("api"), b""))?;
    if answer.status != 200 {
        let said = String::from_utf8_lossy(&answer.bytes).into_owned();
        site.is_wrong(format!("{}: GET {path}: {} {said}", tenant.slug, answer.status));
        return None;
    }
    Some(answer.json())
}

/// Each delivery is there once: what no answer has ever named was built behind everybody's back.
pub(super) fn nothing_else_is_there(
    world: &World,
    tenant: &Tenant,
    acknowledged: &[Acknowledged],
    listed: &[Listed],
) {
    let known: BTreeSet<&str> = acknowledged.iter().map(|b| b.id.as_str()).collect();
    for build in listed.iter().filter(|l| !known.contains(l.id.as_str())) {
        world.site.is_wrong(format!("{}: nobody was told of {build:?}", tenant.slug));
    }
    // Every content is drawn once, so a key that was delivered twice is a delivery that was built twice.
    let mut keys = BTreeSet::new();
    for build in listed.iter().filter(|l| l.kind == "delivery") {
        if !keys.insert((&build.flow, &build.key)) {
            world.site.is_wrong(format!("{}: {build:?} was delivered before", tenant.slug));
        }
    }
    let numbers: Vec<u64> = listed.iter().map(|l| l.number).collect();
    if numbers.windows(2).any(|pair| pair[0] != pair[1] + 1) {
        world.site.is_wrong(format!("{}: the count of builds has gaps: {numbers:?}", tenant.slug));
    }
}

impl Listed {
    fn new(view: &Value) -> Self {
        let text = |member: &str| view[member].as_str().unwrap_or_default().to_owned();
        let targets = view["targets"].as_array().unwrap();
        Self {
            id: text("id"),
            key: text("key"),
            commit: text("commit"),
            flow: text("flow"),
            kind: text("kind"),
            targets: targets.iter().map(|t| t.as_str().unwrap().to_owned()).collect(),
            number: view["number"].as_u64().unwrap(),
        }
    }
}
