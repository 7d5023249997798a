//! What the service does: gates, templates, edge metadata, mirrors.

use super::Doctor;
use crate::artifacts::Shelf;
use crate::cli::{edge, export, mirror};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::exporter::Phase as ExportPhase;
use crate::gates::{Gates, Mode};
use crate::http::chain;
use crate::mirror::Phase;
use crate::secrets::Secrets;
use crate::{templates, wheels};

pub(super) fn look(doctor: &mut Doctor, config: &Config) {
    compiler(doctor, config);
    gates(doctor, config);
    if config.data.join("FORMAT").exists() {
        roots(doctor, config);
        mirrors(doctor, config);
        artifacts(doctor, config);
        exports(doctor, config);
    }
}

fn compiler(doctor: &mut Doctor, config: &Config) {
    let folders = templates::compiler(config.compiler.templates.as_deref())
        .and_then(|_| wheels::read(config.compiler.wheels.as_deref()).map(drop));
    match folders {
        Ok(()) => doctor.ok("templates", "templates and wheels can be read"),
        Err(error) => doctor.fail("templates", chain(error.as_ref()), "the server will not start"),
    }
}

fn gates(doctor: &mut Doctor, config: &Config) {
    let missing = Gates::new(&config.gates).missing();
    if missing.is_empty() {
        return doctor.ok("gates", "all that are on can run, in their sandbox");
    }
    for (gate, mode, reason) in missing {
        let detail = format!("`{gate}` cannot run: {reason}");
        if mode == Mode::Required {
            doctor.fail("gates", detail, "builds get 503 until it can; see docs/gates.md");
        } else {
            doctor.warn("gates", detail, "builds go on without it, and their records say so");
        }
    }
}

fn roots(doctor: &mut Doctor, config: &Config) {
    match edge::status(config, &[]) {
        Ok(all) => {
            let warnings: Vec<_> = all.iter().flat_map(|status| &status.warnings).collect();
            if warnings.is_empty() {
                doctor.ok("edge", format!("{} tenants, no root ends soon", all.len()));
            }
            for warning in warnings {
                doctor.warn("edge", warning, "hold a ceremony: docs/guides/key-ceremony.md");
            }
        }
        Err(error) => {
            doctor.fail("store", chain(error.as_ref()), "`colophon fsck` says more");
        }
    }
}

fn mirrors(doctor: &mut Doctor, config: &Config) {
    // That the store cannot be read was said.
    let Ok(list) = mirror::list(config) else { return };
    let stuck = |phase| matches!(phase, Phase::Parked | Phase::Quarantined);
    let mut well = 0_u64;
    for status in &list.mirrors {
        if stuck(status.phase) || status.failures > 3 {
            let why = status.trouble.as_deref().unwrap_or("it fails");
            let detail = format!("{}: {why}", status.slug);
            doctor.warn("mirrors", detail, "`colophon mirror status TENANT`, then `retry`");
        } else {
            well += 1;
        }
    }
    doctor.ok("mirrors", format!("{well} of {} are well", list.mirrors.len()));
}

/// Whether the bucket for bundles answers. Without it the server serves bundles itself, so it is no failure.
fn artifacts(doctor: &mut Doctor, config: &Config) {
    const HINT: &str = "bundles come from the server meanwhile; see docs/edge-artifacts.md";
    let Some(url) = &config.edge.artifacts else { return };
    let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
    let asked = || -> Result<(), String> {
        let shelf = Shelf::open(url, config, &secrets).map_err(|trouble| trouble.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(shelf.probe()).map_err(|trouble| trouble.to_string())
    };
    match asked() {
        Ok(()) => doctor.ok("bucket", format!("{url} answers, and lets bundles be listed")),
        Err(problem) => doctor.warn("bucket", format!("{url}: {problem}"), HINT),
    }
}

/// How exports fare that the server makes by itself.
fn exports(doctor: &mut Doctor, config: &Config) {
    if config.export.to.is_empty() {
        return;
    }
    let Ok(list) = export::statuses(config, None) else { return };
    let (mut well, mut all) = (0_u64, 0_u64);
    for status in list.exports.iter().filter(|status| status.scheduled) {
        all += 1;
        if status.phase == ExportPhase::Failing {
            let why = status.trouble.as_deref().unwrap_or("it fails");
            let detail = format!("{} to {}: {why}", status.slug, status.to);
            doctor.warn("exports", detail, "`colophon export status TENANT`");
        } else {
            well += 1;
        }
    }
    doctor.ok("exports", format!("{well} of {all} are well"));
}
