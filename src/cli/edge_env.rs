//! `colophon edge env`: secrets for flows at the edge. They are encrypted here, so that a server that runs
//! is sent nothing that it could read.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use colophon_model::{FlowId, TenantSlug};
use colophon_trust::Environment;
use colophon_trust::limits::MAX_ENVIRONMENT;
use serde::Serialize;
use zeroize::Zeroizing;

use super::admin::{self, Access};
use super::agents;
use super::job::{count, row};
use super::out::Out;
use crate::ciphertext::{Ciphertext, Recipient};
use crate::config::{Config, Overrides};
use crate::feed::environment::{EnvRemoved, EnvSet, EnvStatus};
use crate::tenants;

/// Give flows at the edge their secrets, encrypted for devices
#[derive(Debug, Subcommand)]
pub(super) enum Env {
    /// Encrypt a JSON object of names and values from standard input, and give it to agents
    Set(Set),
    /// Show what is known of a flow's environment: nothing of what is in it
    Show(Which),
    /// Take a flow's environment away from agents
    Remove(Which),
}

/// One flow.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The tenant
    tenant: TenantSlug,
    /// The flow's id, as `colophon flow list` shows it
    flow: FlowId,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    which: Which,
    /// A device that can decrypt it, as `edge-fetch recipient` prints it there; may be repeated
    #[arg(long, value_name = "age1…")]
    recipient: Vec<Recipient>,
    /// Also every device that has reported one; look at the list first: `colophon edge agents`
    #[arg(long)]
    recipients_of_agents: bool,
    /// Take this age file as it is, instead of encrypting standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "recipients_of_agents"])]
    ciphertext: Option<PathBuf>,
}

/// What was set, and who can read it.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    set: EnvSet,
    /// For whom it was encrypted here.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    recipients_used: BTreeSet<Recipient>,
    /// Agents that reported no recipient, and cannot decrypt it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_recipient: Vec<String>,
}

impl Env {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Set(set) => out.data(&set.run()?, done),
            Self::Show(which) => out.data(&which.show()?, text),
            Self::Remove(which) => out.data(&which.remove()?, removed),
        }
    }
}

impl Set {
    fn run(self) -> anyhow::Result<Done> {
        let config = Config::load(&self.which.overrides)?;
        let (mut recipients, mut without) = (BTreeSet::from_iter(self.recipient), Vec::new());
        if self.recipients_of_agents {
            for agent in agents::list(&config, &self.which.tenant)?.agents {
                match agent.recipient {
                    Some(recipient) => drop(recipients.insert(recipient.parse()?)),
                    None => without.push(format!("{} ({})", agent.name, agent.device)),
                }
            }
        }
        let ciphertext = match &self.ciphertext {
            Some(file) => taken(file)?,
            None => sealed(&recipients)?,
        };
        let set = self.which.set(&config, &ciphertext)?;
        Ok(Done { set, recipients_used: recipients, without_recipient: without })
    }
}

fn taken(file: &Path) -> anyhow::Result<Ciphertext> {
    let about = || format!("`{}` cannot be used", file.display());
    let bytes = std::fs::read(file).with_context(about)?;
    Ciphertext::parse(bytes).with_context(about)
}

/// Standard input, encrypted.
fn sealed(recipients: &BTreeSet<Recipient>) -> anyhow::Result<Ciphertext> {
    if recipients.is_empty() {
        bail!("name the devices that may decrypt it: --recipient age1…, or --recipients-of-agents");
    }
    // All room at once: a buffer that grew would leave copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(MAX_ENVIRONMENT as usize + 1));
    std::io::stdin().lock().take(MAX_ENVIRONMENT + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_ENVIRONMENT {
        bail!("standard input has more than {MAX_ENVIRONMENT} bytes");
    }
    let environment = Environment::parse(&json).context("standard input cannot be used")?;
    Ok(Ciphertext::seal(&environment, recipients)?)
}

impl Which {
    fn path(&self) -> String {
        format!("/v1/t/{}/edge/{}/env", self.tenant, self.flow)
    }

    fn set(&self, config: &Config, ciphertext: &Ciphertext) -> anyhow::Result<EnvSet> {
        match admin::open(config)? {
            Access::Direct(press) => {
                let tenant = tenants::find(&press.store.view()?, &self.tenant)?;
                Ok(press.set_environment(&tenant, &self.flow, ciphertext)?)
            }
            Access::Server(client) => client.put_bytes(&self.path(), ciphertext.as_bytes()),
        }
    }

    fn show(&self) -> anyhow::Result<EnvStatus> {
        let status = match admin::open(&Config::load(&self.overrides)?)? {
            Access::Direct(press) => {
                let view = press.store.view()?;
                EnvStatus::read(&view, &tenants::find(&view, &self.tenant)?, &self.flow)?
            }
            Access::Server(client) => client.find(&self.path())?,
        };
        status.with_context(|| format!("flow `{}` has no environment", self.flow))
    }

    fn remove(&self) -> anyhow::Result<EnvRemoved> {
        match admin::open(&Config::load(&self.overrides)?)? {
            Access::Direct(press) => {
                let tenant = tenants::find(&press.store.view()?, &self.tenant)?;
                Ok(press.remove_environment(&tenant, &self.flow)?)
            }
            Access::Server(client) => client.delete_for(&self.path()),
        }
    }
}

fn done(done: &Done) -> String {
    let EnvSet { changed, status } = &done.set;
    let word = if *changed { "set" } else { "was there already" };
    let mut lines = vec![format!("environment {} of {} {word}", status.seq, status.flow)];
    lines.extend(done.recipients_used.iter().map(|recipient| row("for", recipient)));
    let warn = |name| row("not for", format!("{name}: it reported no recipient"));
    lines.extend(done.without_recipient.iter().map(warn));
    lines.join("\n")
}

fn text(status: &EnvStatus) -> String {
    let devices = count(u64::from(status.recipients), "device");
    [
        format!("environment {} of {}", status.seq, status.flow),
        row("set", &status.set),
        row("for", devices),
        row("sha256", status.sha256),
        row("bytes", status.length),
    ]
    .join("\n")
}

fn removed(done: &EnvRemoved) -> String {
    let word = if done.removed { "was removed" } else { "is not there" };
    format!("the environment of {} {word}", done.flow)
}
