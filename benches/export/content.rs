//! A tenant with its builds.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use colophon::app::{Owner, open_press};
use colophon::clock::SystemClock;
use colophon::config::Config;
use colophon::gates::Mode;
use colophon::pipeline::{Delivery, Outcome, Press};
use colophon::tenants;
use colophon_model::{CodePolicy, TenantSlug};

use crate::flows::Flows;

/// Its name.
pub(crate) const TENANT: &str = "bench-tenant";

/// A tenant in a data directory that nobody else has open.
pub(crate) struct Tenant {
    pub(crate) data: PathBuf,
    flows: Flows,
}

impl Tenant {
    /// One with `builds` builds: a copy of what was made before below `dir`.
    pub(crate) fn open(dir: &Path, builds: u64) -> anyhow::Result<Self> {
        let (made, sent) = (dir.join("made"), dir.join("made.sent"));
        if !sent.exists() {
            if made.exists() {
                fs::remove_dir_all(&made)?;
            }
            eprintln!("making {builds} builds");
            fs::write(&sent, make(&made, builds)?.to_string())?;
        }
        let data = dir.join("data");
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let copied = Command::new("cp").arg("-a").args([&made, &data]).status()?;
        ensure!(copied.success(), "what was made cannot be copied");
        let mut flows = Flows::new();
        for _ in 0..fs::read_to_string(&sent)?.parse().context("made.sent")? {
            flows.deliver()?;
        }
        Ok(Self { data, flows })
    }

    /// Makes one more build.
    pub(crate) fn build(&mut self) -> anyhow::Result<()> {
        let press = open(&self.data)?;
        while !build(&press, &mut self.flows)? {}
        Ok(())
    }
}

fn open(data: &Path) -> anyhow::Result<Press> {
    let mut config = Config { data: data.to_owned(), ..Config::default() };
    config.quota.builds_per_day = NonZeroU64::MAX;
    config.gates.smoke = Mode::Off;
    open_press(&config, Arc::new(SystemClock), Owner::Command)
}

/// Makes the builds; returns how many flows were delivered.
fn make(data: &Path, builds: u64) -> anyhow::Result<u64> {
    let press = open(data)?;
    tenants::create(&press, &TENANT.parse()?, CodePolicy::default())?;
    let (mut flows, mut sent, mut made) = (Flows::new(), 0, 0);
    while made < builds {
        made += u64::from(build(&press, &mut flows)?);
        sent += 1;
    }
    Ok(sent)
}

/// Delivers the next flow. False: it was built already.
fn build(press: &Press, flows: &mut Flows) -> anyhow::Result<bool> {
    let slug: TenantSlug = TENANT.parse()?;
    let tenant = tenants::find(&press.store.view()?, &slug)?;
    let done = press.run(Delivery::new(tenant, flows.deliver()?, press.clock.now()))?;
    Ok(matches!(done.outcome, Outcome::Built(_)))
}
