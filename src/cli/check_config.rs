//! `colophon check-config`.

use super::out::Out;
use crate::config::{Config, Overrides};

/// Prints the configuration that would hold, as TOML or JSON; fails when it is not valid.
pub(super) fn run(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    let text = toml::to_string_pretty(&config)?;
    out.data(&config, |_| text.trim_end().to_owned())
}
