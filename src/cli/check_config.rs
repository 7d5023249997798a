//! `colophon check-config`.

use super::out::Out;
use crate::config::{Config, Overrides};
use crate::templates;

/// Prints the configuration that would hold, as TOML or JSON; fails when it is not valid, or the
/// templates that it names cannot be used.
pub(super) fn run(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    templates::compiler(config.compiler.templates.as_deref())?;
    let text = toml::to_string_pretty(&config)?;
    out.data(&config, |_| text.trim_end().to_owned())
}
