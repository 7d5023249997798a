//! `colophon checkout`.

mod tell;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use colophon_model::{FlowId, TenantSlug};

use self::tell::{Teller, status_text, unchanged_text};
use super::out::Out;
use crate::checkout::{
    Checkout as Work, Event, Fault, Folder, Hook, HookSignal, Keep, Network, Outcome, Owner, Pace,
    Pin, Remote, ServerUrl, Watch, status,
};
use crate::secrets::SecretRef;

/// The token itself, where nothing else says where it is.
const TOKEN: &str = "COLOPHON_CHECKOUT_TOKEN";
/// How long a stop waits for what is under way. A death at any moment leaves the folder whole.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is put where, and what follows.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that stands for itself")]
pub(super) struct Checkout {
    /// The folder; made when it is not there. One that holds something else is refused
    dir: PathBuf,
    /// Address of the server [default: that of the folder]
    #[arg(long, value_name = "URL", env = "COLOPHON_CHECKOUT_SERVER")]
    server: Option<ServerUrl>,
    /// The tenant [default: that of the folder]
    #[arg(long, value_name = "SLUG", env = "COLOPHON_CHECKOUT_TENANT")]
    tenant: Option<TenantSlug>,
    /// File that holds the token; read for every request, so it may be replaced
    #[arg(long, value_name = "FILE", env = "COLOPHON_CHECKOUT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Where the token is: `env:NAME`, `file:/PATH` or `systemd:NAME`
    #[arg(
        long,
        value_name = "REF",
        env = "COLOPHON_CHECKOUT_TOKEN_FROM",
        conflicts_with = "token_file"
    )]
    token_from: Option<SecretRef>,
    /// Stay, and follow the branch until told to stop
    #[arg(long, conflicts_with = "status")]
    watch: bool,
    /// How often the server is asked whether the branch moved
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = interval, env = "COLOPHON_CHECKOUT_INTERVAL")]
    interval: Duration,
    /// The version: a commit in full, a tag, or the branch [default: the branch]
    #[arg(long, value_name = "VERSION")]
    at: Option<Pin>,
    /// Only the files of this flow, and those that no flow has alone; may be repeated
    #[arg(long, value_name = "ID")]
    flow: Vec<FlowId>,
    /// How many versions stay besides the current one
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
    /// How long a version stays in any case after it was replaced, for those who still read it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Command for /bin/sh after each switch; it gets COLOPHON_OLD_COMMIT, COLOPHON_NEW_COMMIT,
    /// COLOPHON_VERSION (the version's folder, where it starts), COLOPHON_CHECKOUT and COLOPHON_TENANT
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// How long that command may take
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    exec_timeout: Duration,
    /// Signal to send after each switch, to the process whose number --pid-file holds
    #[arg(long, value_name = "NAME", requires = "pid_file")]
    signal: Option<HookSignal>,
    /// File with the number of the process that gets the signal
    #[arg(long, value_name = "FILE", requires = "signal")]
    pid_file: Option<PathBuf>,
    /// File that is there while the folder is ready: for readiness probes
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// PEM file with the only authorities to trust, instead of the machine's
    #[arg(long, value_name = "FILE", env = "COLOPHON_CHECKOUT_CA_CERT")]
    ca_cert: Option<PathBuf>,
    /// PEM file with this machine's certificate chain
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// PEM file with that certificate's private key
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Send the token unencrypted to another machine
    #[arg(long, env = "COLOPHON_CHECKOUT_ALLOW_HTTP")]
    allow_http: bool,
    /// Show how the folder stands, without asking the server
    #[arg(long)]
    status: bool,
    /// With --status: read every file and compare it with its id
    #[arg(long, requires = "status")]
    verify: bool,
    /// With --status: fail when the folder was not compared with the branch for so long
    #[arg(long, value_name = "TIME", requires = "status", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
}

impl Checkout {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let folder = Folder::new(&self.dir);
        if self.status {
            let status = status(&folder, self.verify, self.max_age)?;
            return out.data(&status, status_text);
        }
        let held = folder.claim(self.owner(&folder)?)?;
        let owner = held.owner().clone();
        let remote = Remote::new(owner.server, owner.tenant, &self.network(), self.token()?)?;
        let flows = (!self.flow.is_empty()).then(|| BTreeSet::from_iter(self.flow.clone()));
        let keep = Keep { versions: self.keep, grace: self.grace };
        let pin = self.at.clone().unwrap_or(Pin::Branch);
        let work = Work::new(held, Box::new(remote), pin, flows, keep)?;
        let teller = Teller::new(out);
        let tell = |event: Event| teller.tell(&event);
        let mut watch = Watch::new(work, self.hook(), self.ready_file.clone(), tell)?;
        if self.watch {
            watch.run(Pace { interval: self.interval }, &stop()?)?;
            return teller.end();
        }
        if let Outcome::Unchanged(commit) = watch.once()? {
            out.data(&Event::Unchanged { commit }, unchanged_text)?;
        }
        teller.end()
    }

    /// Who is meant: as the options say, or as the folder does.
    fn owner(&self, folder: &Folder) -> Result<Owner, Fault> {
        let here = folder.owner()?;
        let server = self.server.clone().or_else(|| Some(here.as_ref()?.server.clone()));
        let tenant = self.tenant.clone().or_else(|| Some(here.as_ref()?.tenant.clone()));
        match (server, tenant) {
            (Some(server), Some(tenant)) => Ok(Owner::new(server, tenant)),
            (None, _) => Err(missing("--server URL")),
            (_, None) => Err(missing("--tenant SLUG")),
        }
    }

    fn token(&self) -> Result<SecretRef, Fault> {
        if let Some(from) = &self.token_from {
            return Ok(from.clone());
        }
        let Some(file) = &self.token_file else { return Ok(SecretRef::Env(TOKEN.to_owned())) };
        let absolute = std::path::absolute(file).map_err(|error| Fault::Usage(error.to_string()));
        Ok(SecretRef::File(absolute?))
    }

    fn network(&self) -> Network {
        Network {
            ca_cert: self.ca_cert.clone(),
            client_cert: self.client_cert.clone(),
            client_key: self.client_key.clone(),
            allow_http: self.allow_http,
        }
    }

    fn hook(&self) -> Hook {
        let mut hidden = vec![TOKEN.to_owned()];
        if let Some(SecretRef::Env(name)) = &self.token_from {
            hidden.push(name.clone());
        }
        let file = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Hook {
            exec: self.exec.clone(),
            timeout: self.exec_timeout,
            signal: self.signal.zip(self.pid_file.as_ref().map(file)),
            hidden,
        }
    }
}

fn missing(option: &str) -> Fault {
    Fault::Usage(format!("the first time it takes {option}; later the folder knows"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_millis(100)..=Duration::from_hours(1);
    if bounds.contains(&span) { Ok(span) } else { Err("it must be 100ms to 1h".to_owned()) }
}

/// What SIGINT, SIGTERM and SIGHUP come through. What hangs then is cut short.
fn stop() -> anyhow::Result<Receiver<()>> {
    let (sender, receiver) = mpsc::channel();
    let mut sender = Some(sender);
    ctrlc::set_handler(move || {
        drop(sender.take()); // a receiver never misses that its sender is gone
        std::thread::spawn(|| {
            std::thread::sleep(LAST_WORDS);
            std::process::exit(0);
        });
    })
    .context("signals cannot be heard")?;
    Ok(receiver)
}

/// What a program that started this one gets to know by the exit code.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    Some(error.downcast_ref::<Fault>()?.exit() as u8)
}

/// What to do about it.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.downcast_ref::<Fault>()?.hint()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asking ever faster would be an attack on the server, ever slower a folder that stands still.
    #[test]
    fn intervals_are_bounded() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["0s", "99ms", "2h", "soon"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
