//! The machine: the data directory, its disk, who may read what, limits, the clock.

use std::path::Path;

use super::Doctor;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::units::Size;

/// File descriptors beside those of connections: segments, gates, mirrors.
const FILES: u64 = 256;
/// How far files of the data directory may lie ahead of the clock, in milliseconds.
const AHEAD: u64 = 5_000;

pub(super) fn look(doctor: &mut Doctor, config: &Config) {
    if !config.data.join("FORMAT").exists() {
        let detail = format!("there is none at `{}`", config.data.display());
        doctor.fail("data", detail, "name it with `--data`; `colophon serve` makes one");
        return;
    }
    folder(doctor, &config.data);
    keys(doctor, &config.data);
    disk(doctor, config);
    files(doctor, config);
    clock(doctor, &config.data);
}

fn folder(doctor: &mut Doctor, data: &Path) {
    match tempfile::tempfile_in(data) {
        Ok(_) => doctor.ok("data", format!("`{}` can be written", data.display())),
        Err(error) => doctor.fail(
            "data",
            format!("`{}` cannot be written: {error}", data.display()),
            "run it as the user that owns the directory, on a disk that is not read-only",
        ),
    }
}

/// Whoever reads the key can sign as any tenant.
fn keys(doctor: &mut Doctor, data: &Path) {
    let key = data.join("keys").join("master.key");
    if !key.exists() {
        let hint = "restore `keys/master.key` from its copy";
        return doctor.fail("keys", format!("`{}` is not there", key.display()), hint);
    }
    for path in [data.join("keys"), key] {
        if is_open(&path) {
            let detail = format!("`{}` is open to other users", path.display());
            return doctor.fail("keys", detail, "take the rights away: `chmod -R go-rwx keys`");
        }
    }
    doctor.ok("keys", "for their owner only; is there a copy of `keys/master.key` elsewhere?");
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|about| {
        let others = if about.is_dir() { 0o022 } else { 0o077 };
        about.permissions().mode() & others != 0
    })
}

#[cfg(not(unix))]
const fn is_open(_: &Path) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn disk(doctor: &mut Doctor, config: &Config) {
    let Ok(about) = nix::sys::statvfs::statvfs(&config.data) else { return };
    let free = about.blocks_available().saturating_mul(about.fragment_size());
    let detail = format!("{} free", Size::bytes(free).rounded());
    let hint = "give it room, or run `colophon purge` and `colophon gc`";
    if free < config.space.low.get() {
        doctor.fail("disk", format!("{detail}: below `space.low`, builds get 507"), hint);
    } else if free < config.space.high.get().saturating_mul(4) {
        doctor.warn("disk", detail, hint);
    } else {
        doctor.ok("disk", detail);
    }
}

#[cfg(not(target_os = "linux"))]
fn disk(_: &mut Doctor, _: &Config) {}

#[cfg(target_os = "linux")]
fn files(doctor: &mut Doctor, config: &Config) {
    use nix::sys::resource::{Resource, getrlimit};
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = config.server.max_connections as u64 + FILES;
    if limit < wanted {
        let detail = format!("{limit} open files here, {wanted} for `server.max_connections`");
        doctor.warn("files", detail, "raise it: `LimitNOFILE=` in the unit, `ulimit -n` here");
    } else {
        doctor.ok("files", format!("{limit} may be open, as started here"));
    }
}

#[cfg(not(target_os = "linux"))]
fn files(_: &mut Doctor, _: &Config) {}

/// A clock that was set back would sign metadata that ends too early, and refuse order tokens.
fn clock(doctor: &mut Doctor, data: &Path) {
    let now = SystemClock.now().get();
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let written = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let millis = written.filter_map(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let newest = millis.map(|time| time.as_millis() as u64).max().unwrap_or_default();
    if newest > now + AHEAD {
        let detail = format!("it is {} s behind what was written last", (newest - now) / 1000);
        doctor.fail("clock", detail, "set this machine's clock, and keep it by NTP");
    } else {
        doctor.ok("clock", SystemClock.now().rfc3339_seconds());
    }
}
