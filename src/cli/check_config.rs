//! `colophon check-config`.

use anyhow::bail;

use super::out::Out;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides, example};
use crate::gates::{Gates, Mode};
use crate::secrets::{Secrets, master_key};
use crate::{templates, wheels};

/// What to print.
#[derive(Debug, clap::Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    overrides: Overrides,
    /// Print a commented file with every setting and its default, and check nothing
    #[arg(long)]
    example: bool,
}

impl CheckConfig {
    pub(super) fn run(&self, out: Out) -> anyhow::Result<()> {
        if self.example {
            let example = example();
            return out.data(&example, |text| text.trim_end().to_owned());
        }
        run(&self.overrides, out)
    }
}

/// Prints the configuration that would hold, as TOML or JSON; fails when it is not valid, when the
/// templates or wheels that it names cannot be read, or when a gate that it requires cannot run here.
fn run(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    templates::compiler(config.compiler.templates.as_deref())?;
    wheels::read(config.compiler.wheels.as_deref())?;
    if config.keys.master.is_some() {
        // Only a key that is kept elsewhere: the data directory need not be there yet.
        let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
        master_key(&config, &secrets)?;
    }
    let text = toml::to_string_pretty(&config)?;
    out.data(&config, |_| text.trim_end().to_owned())?;
    let mut required = Vec::new();
    for (gate, mode, reason) in Gates::new(&config.gates).missing() {
        if mode == Mode::Required {
            required.push(format!("the gate `{gate}` is required and cannot run: {reason}"));
        } else {
            eprintln!("warning: the gate `{gate}` cannot run and is skipped: {reason}");
        }
    }
    if !required.is_empty() {
        bail!("{}", required.join("\n"));
    }
    Ok(())
}
