//! What is looked up when it is asked for: how much there is, what waits, what ends soon.

use std::path::Path;

use colophon_store::rows::{Effect, OutboxRow, TenantHead, TenantRow};
use colophon_store::{Extent, View};

use crate::agents;
use crate::app::App;
use crate::artifacts;
use crate::exporter;
use crate::feed::status::EdgeStatus;
use crate::mirror::{self, MirrorError, Phase};
use crate::outbound;

/// A device that reported nothing for so long is silent, in seconds: a day.
const SILENT: u64 = 24 * 60 * 60;

/// The state of everything at one moment.
#[derive(Debug)]
pub struct Look {
    /// What the store holds.
    pub extent: Extent,
    /// Length of the metadata file, in bytes.
    pub metadata_bytes: u64,
    /// Tenants.
    pub tenants: u64,
    /// Mirrors by phase.
    pub mirrors: [(&'static str, u64); 5],
    /// Endpoints by phase.
    pub endpoints: [(&'static str, u64); 3],
    /// How long the oldest event has been due that could be sent, in seconds.
    pub late: f64,
    /// Bundles that are to be brought to the bucket, and how long the oldest waits, in seconds.
    pub artifacts: (u64, f64),
    /// Pushes that are still to come, and how long the oldest waits, in seconds.
    pub outbox: (u64, f64),
    /// Exports to each place where the server exports to by itself.
    pub exports: Vec<exporter::Count>,
    /// Devices: all, those that are behind, those that are silent.
    pub agents: (u64, u64, u64),
    /// Seconds until the first metadata of a role ends, over all tenants.
    pub ends: Vec<(&'static str, f64)>,
}

/// Looks at everything. Blocks, for as long as it takes to read a row of every tenant and device.
pub fn look(app: &App) -> Result<Look, MirrorError> {
    let store = &app.press.store;
    let view = store.view()?;
    let mut look = Look {
        extent: store.extent()?,
        metadata_bytes: metadata_bytes(&app.config.data),
        tenants: 0,
        mirrors: mirrors(&view)?,
        endpoints: outbound::phases(&view)?,
        late: seconds(outbound::late(&view, app.press.clock.now())?),
        artifacts: artifacts(app, &view)?,
        outbox: outbox(app, &view)?,
        exports: exporter::counts(&view, &app.config.export, app.press.clock.now())?,
        agents: (0, 0, 0),
        ends: Vec::new(),
    };
    for row in view.scan::<TenantRow>(&String::new()) {
        let (_, tenant) = row?;
        look.tenants += 1;
        look.devices(app, &view, &tenant)?;
        look.metadata(app, &view, &tenant)?;
    }
    Ok(look)
}

impl Look {
    fn devices(
        &mut self,
        app: &App,
        view: &View,
        tenant: &TenantRow,
    ) -> Result<(), colophon_store::Error> {
        let devices = agents::list(view, tenant, app.press.clock.now())?.agents;
        self.agents.0 += devices.len() as u64;
        self.agents.1 += devices.iter().filter(|device| device.outdated).count() as u64;
        self.agents.2 += devices.iter().filter(|device| device.silent > SILENT).count() as u64;
        Ok(())
    }

    fn metadata(
        &mut self,
        app: &App,
        view: &View,
        tenant: &TenantRow,
    ) -> Result<(), colophon_store::Error> {
        let Some(head) = view.get::<TenantHead>(&tenant.uid)? else { return Ok(()) };
        for (role, end) in EdgeStatus::ends(tenant, &head) {
            let left = seconds(end.get()) - seconds(app.press.clock.now().get());
            match self.ends.iter_mut().find(|(known, _)| *known == role) {
                Some((_, least)) => *least = least.min(left),
                None => self.ends.push((role, left)),
            }
        }
        Ok(())
    }
}

fn mirrors(view: &View) -> Result<[(&'static str, u64); 5], MirrorError> {
    let mut counts = [
        (Phase::Settled, "settled", 0),
        (Phase::Pending, "pending", 0),
        (Phase::Retrying, "retrying", 0),
        (Phase::Parked, "parked", 0),
        (Phase::Quarantined, "quarantined", 0),
    ];
    for status in mirror::list(view)? {
        for (phase, _, count) in &mut counts {
            *count += u64::from(status.phase == *phase);
        }
    }
    Ok(counts.map(|(_, word, count)| (word, count)))
}

fn artifacts(app: &App, view: &View) -> Result<(u64, f64), colophon_store::Error> {
    let waiting = artifacts::waiting(view)?;
    let now = app.press.clock.now().get();
    let waits = waiting.since.map_or(0, |since| now.saturating_sub(since.get()));
    Ok((waiting.bundles, seconds(waits)))
}

fn outbox(app: &App, view: &View) -> Result<(u64, f64), colophon_store::Error> {
    let now = app.press.clock.now().get();
    let (mut rows, mut oldest) = (0, now);
    for row in view.scan::<OutboxRow>(&()) {
        let ((_, effect), row) = row?;
        // What waits for an endpoint may well wait for days.
        if effect == Effect::Push {
            rows += 1;
            oldest = oldest.min(row.since.get());
        }
    }
    Ok((rows, seconds(now - oldest)))
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of a second, far below 2^53")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

/// The generation in use, and perhaps the next one.
fn metadata_bytes(data: &Path) -> u64 {
    let files = std::fs::read_dir(data).into_iter().flatten().flatten();
    let metadata = files.filter(|file| file.file_name().to_string_lossy().starts_with("meta."));
    metadata.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}
