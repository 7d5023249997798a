//! `doctor`: everything that an agent needs, looked at one by one.

use std::path::Path;

use colophon_edge_fetch::{
    Cache, DeviceKey, Error, Exit, HttpTransport, Settings, environment, verify,
};
use colophon_model::{EdgeRuntime, UnixMillis};

use super::output::{Level, Output};
use super::{Cli, network, run, token};

/// How far the clock may be off before it is worth a word, and before metadata may seem expired, in
/// milliseconds.
const CLOCK_WARN: u64 = 60 * 1000;
const CLOCK_FAIL: u64 = 60 * 60 * 1000;
/// Free bytes for a generation, its download and its copy.
#[cfg(unix)]
const SPACE: u64 = 256 * 1024 * 1024;

/// Looks at everything; the exit code of the first thing that fails.
pub(super) fn doctor(cli: &Cli, cache: &Cache, now: UnixMillis, output: &Output) -> Exit {
    let mut doctor = Doctor { output, exit: Exit::Ok };
    doctor.folder(cache);
    doctor.space(cache.dir());
    doctor.runtimes();
    match Settings::of(cache) {
        Ok(_) => {
            doctor.say(Level::Ok, "settings", "edge-fetch.toml can be read, or is not there", "");
        }
        Err(error) => doctor.failed("settings", &error),
    }
    match cache.config() {
        Ok(_) => doctor.server(cli, cache, now),
        Err(error) => doctor.failed("enrolment", &error),
    }
    doctor.key(cache);
    doctor.flows(cache);
    doctor.exit
}

struct Doctor<'a> {
    output: &'a Output,
    exit: Exit,
}

impl Doctor<'_> {
    fn say(&self, level: Level, name: &str, detail: &str, hint: &str) {
        self.output.finding(level, name, detail, hint);
    }

    fn failed(&mut self, name: &str, error: &Error) {
        self.exit = if self.exit == Exit::Ok { error.exit() } else { self.exit };
        let detail = super::output::with_causes(error);
        self.say(Level::Fail, name, &detail, error.hint().unwrap_or_default());
    }

    fn folder(&mut self, cache: &Cache) {
        match cache.lock() {
            Ok(_) => {
                let detail = format!("{} can be written", cache.dir().display());
                self.say(Level::Ok, "folder", &detail, "");
            }
            Err(error @ Error::Locked { .. }) => {
                self.say(Level::Warn, "folder", &error.to_string(), "fine while `watch` runs");
            }
            Err(error) => self.failed("folder", &error),
        }
        self.private("folder", cache.dir());
    }

    /// Whether others on this machine could change or read it.
    #[cfg(unix)]
    fn private(&self, name: &str, path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let Ok(about) = std::fs::metadata(path) else { return };
        let open = about.permissions().mode() & if about.is_dir() { 0o022 } else { 0o077 };
        if open != 0 {
            let detail = format!("{} is open to other users", path.display());
            self.say(Level::Warn, name, &detail, "take the rights away with chmod go-rwx");
        }
    }

    #[cfg(not(unix))]
    fn private(&self, _: &str, _: &Path) {}

    #[cfg(unix)]
    fn space(&self, dir: &Path) {
        let Ok(about) = rustix::fs::statvfs(dir) else { return };
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        let level = if free < SPACE { Level::Warn } else { Level::Ok };
        let detail = format!("{} MB free", free / 1_000_000);
        self.say(level, "disk", &detail, "`edge-fetch gc` removes old bundles");
    }

    #[cfg(not(unix))]
    fn space(&self, _: &Path) {}

    fn runtimes(&self) {
        for runtime in [EdgeRuntime::Python, EdgeRuntime::Ps1, EdgeRuntime::Ahk] {
            if runtime == EdgeRuntime::Ahk && !cfg!(windows) {
                continue;
            }
            match run::program(runtime) {
                Ok(path) => {
                    self.say(Level::Ok, runtime.as_str(), &path.display().to_string(), "");
                }
                Err(why) => {
                    self.say(Level::Warn, runtime.as_str(), &why, "only flows in it need it");
                }
            }
        }
    }

    fn server(&mut self, cli: &Cli, cache: &Cache, now: UnixMillis) {
        let transport = self.transport(cli, cache);
        let transport = match transport {
            Ok(transport) => transport,
            Err(error) => return self.failed("token", &error),
        };
        match transport.probe() {
            Ok(probe) => {
                let secure = if probe.encrypted { "over TLS" } else { "unencrypted" };
                let way = if probe.proxied { "through a proxy" } else { "directly" };
                let detail = format!("status {}, {secure}, {way}", probe.status);
                let (level, hint) = match probe.status {
                    200 => (Level::Ok, ""),
                    401 | 403 => (Level::Fail, "the token is missing, wrong or of another tenant"),
                    _ => (Level::Fail, "is this the tenant's server?"),
                };
                self.say(level, "server", &detail, hint);
                if level == Level::Fail && self.exit == Exit::Ok {
                    self.exit = if probe.status == 404 { Exit::NotFound } else { Exit::Auth };
                }
                self.clock(now, probe.date);
            }
            Err(error) => self.failed("server", &error),
        }
    }

    fn transport(&self, cli: &Cli, cache: &Cache) -> Result<HttpTransport, Error> {
        let config = cache.config()?;
        if let Some(file) = cli.token_file.as_ref().or(config.token_file.as_ref()) {
            self.private("token", file);
        }
        let token = token(cli.token_file.as_deref(), config.token_file.as_deref())?;
        let (level, detail) = match token {
            Some(_) => (Level::Ok, "there is one"),
            None => (Level::Warn, "there is none"),
        };
        self.say(level, "token", detail, "give one by --token-file");
        HttpTransport::new(&config, &network(cli, cache)?, token)
    }

    fn clock(&mut self, now: UnixMillis, server: Option<UnixMillis>) {
        let Some(server) = server else { return };
        let off = now.get().abs_diff(server.get());
        let level = if off < CLOCK_WARN {
            Level::Ok
        } else if off < CLOCK_FAIL {
            Level::Warn
        } else {
            Level::Fail
        };
        if level == Level::Fail && self.exit == Exit::Ok {
            self.exit = Exit::Expired;
        }
        let detail = format!("{} s off the server's", off / 1000);
        self.say(level, "clock", &detail, "set this machine's clock");
    }

    /// Whether secrets can be encrypted for this device.
    fn key(&mut self, cache: &Cache) {
        match DeviceKey::find(cache) {
            Ok(Some(key)) => self.say(Level::Ok, "device key", &key.recipient(), ""),
            Ok(None) => {
                let hint = "`edge-fetch recipient` makes one";
                self.say(Level::Warn, "device key", "there is none", hint);
            }
            Err(error) => self.failed("device key", &error),
        }
        self.private("device key", &DeviceKey::path(cache));
    }

    fn flows(&mut self, cache: &Cache) {
        for flow in cache.flows().unwrap_or_default() {
            match verify(cache, &flow) {
                Ok(intact) => {
                    let detail = format!("{} is as it was signed", intact.installed.generation);
                    self.say(Level::Ok, flow.as_str(), &detail, "");
                }
                Err(error) => self.failed(flow.as_str(), &error),
            }
            match environment(cache, &flow) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    self.say(Level::Ok, flow.as_str(), "its secrets can be decrypted", "");
                }
                Err(error) => self.failed(flow.as_str(), &error),
            }
        }
    }
}
