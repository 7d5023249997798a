//! `colophon explain`.

use anyhow::Context as _;
use clap::Args;
use colophon_model::Digest;
use colophon_store::{Explanation, Holder};

use super::admin::{self, Access};
use super::job::row;
use super::out::Out;
use crate::config::{Config, Overrides};

/// Says why a blob is kept.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The blob's digest: 64 hex digits, as builds and manifests show it
    digest: Digest,
    #[command(flatten)]
    overrides: Overrides,
}

/// Reasons of a tenant that are listed.
const LISTED: usize = 20;

impl Explain {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { digest, overrides } = self;
        let found = match admin::open(&Config::load(&overrides)?)? {
            Access::Direct(press) => press.store.explain(&digest)?,
            Access::Server(client) => client.find(&format!("/v1/maintenance/blobs/{digest}"))?,
        };
        let found = found.with_context(|| format!("the store holds no blob {digest}"))?;
        out.data(&found, text)
    }
}

fn text(blob: &Explanation) -> String {
    let mut lines = vec![
        format!("blob {}", blob.digest),
        row("size", format!("{} bytes", blob.size)),
        row("place", &blob.place),
    ];
    lines.extend(blob.stored.map(|stored| row("stored", format!("{stored} bytes"))));
    if let Some(base) = blob.rests_on {
        let below = format!("up to {} blobs in all are read for it", u32::from(blob.depth) + 1);
        lines.push(row("rests on", format!("{base}, as what differs from it; {below}")));
    }
    if blob.base_of > 0 {
        lines.push(row("base of", format!("{} blobs, kept as what differs from it", blob.base_of)));
    }
    if blob.damaged {
        lines.push(row("damaged", "its bytes are lost or wrong; try `colophon fsck --repair`"));
    }
    if blob.tenants.is_empty() {
        lines.push(row("tenants", "none has it; the next `colophon gc` deletes it"));
    }
    lines.extend(blob.tenants.iter().flat_map(holder));
    lines.join("\n")
}

fn holder(holder: &Holder) -> Vec<String> {
    let name = holder.slug.as_ref().map_or("without a name", |slug| slug.as_str());
    let mut lines = vec![row("tenant", format!("{name} ({})", holder.tenant))];
    if let Some(since) = holder.condemned {
        lines.push(row("", format!("condemned since {since}: deleted when its grace is over")));
    }
    if holder.reasons.is_empty() {
        lines.push(row("", "nothing names it"));
    }
    lines.extend(holder.reasons.iter().take(LISTED).map(|reason| row("", reason)));
    if let Some(more) = holder.reasons.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(row("", format!("and {more} more")));
    }
    lines
}
