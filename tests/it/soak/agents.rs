//! Agents at the edge, each a real `edge-fetch` with a folder of its own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use super::world::{Tenant, World};
use crate::support::programs::program;

/// How many there are, each of another tenant.
pub(super) const AGENTS: usize = 4;

/// Applies what is new and checks what is there, until it is told to stop.
pub(super) fn work(world: &World, index: usize) {
    let agent = Agent::new(world, index);
    let mut numbers = world.numbers(20, index);
    agent.run(&[
        "enroll",
        "--url",
        &world.site.url,
        "--tenant",
        &agent.tenant.slug,
        "--root",
        &agent.root(),
    ]);
    while world.site.pause(Duration::from_millis(500)) {
        if !agent.run(&["apply"]) {
            continue;
        }
        world.site.count("agents' updates");
        if numbers.once_in(4) {
            agent.run(&["verify"]);
        }
        if numbers.once_in(10) {
            agent.run(&["gc"]);
        }
    }
}

/// An agent of one tenant.
pub(super) struct Agent<'a> {
    world: &'a World,
    tenant: &'a Tenant,
    dir: PathBuf,
}

impl<'a> Agent<'a> {
    pub(super) fn new(world: &'a World, index: usize) -> Self {
        let tenant = &world.tenants[index];
        let dir = world.dir.path().join(format!("agent-{}", tenant.slug));
        Self { world, tenant, dir }
    }

    /// The root that somebody has carried there.
    pub(super) fn root(&self) -> String {
        let path = self.world.dir.path().join(format!("{}.root.json", self.tenant.slug));
        std::fs::write(&path, &self.tenant.root).unwrap();
        path.display().to_string()
    }

    /// Whether it ended well. It may fail only of the network, and only when the server was killed or busy.
    pub(super) fn run(&self, args: &[&str]) -> bool {
        let epoch = self.world.site.epoch();
        let Output { status, stderr, .. } = Command::new(program("edge-fetch"))
            .args(args)
            .env("EDGE_FETCH_DIR", &self.dir)
            .env("EDGE_FETCH_TOKEN", self.tenant.token("edge"))
            .output()
            .unwrap();
        let may_fail = status.code() == Some(3) && !self.world.site.ran_since(epoch);
        if !status.success() && !may_fail {
            let (slug, stderr) = (&self.tenant.slug, String::from_utf8_lossy(&stderr));
            self.world.site.is_wrong(format!("{slug}: edge-fetch {args:?}: {status}: {stderr}"));
        }
        status.success()
    }
}
