//! `colophon edge policy`: who may do what in the bucket for bundles.

use anyhow::{Context as _, bail};
use clap::Args;
use colophon_model::TenantSlug;
use serde::Serialize;
use serde_json::Value;

use super::out::Out;
use crate::artifacts::policy::Scope;
use crate::config::{Config, Overrides};
use crate::place::PlaceUrl;

/// Print a policy for the bucket that bundles are kept in: downloads alone, or what the server needs
#[derive(Debug, Args)]
pub(super) struct Policy {
    /// The bucket, such as `s3://edge-artifacts` [default: `edge.artifacts`]
    bucket: Option<PlaceUrl>,
    /// What the server needs, in place of downloads alone
    #[arg(long, conflicts_with_all = ["principal", "tenant"])]
    upload: bool,
    /// Downloads of this tenant's bundles alone
    #[arg(long, value_name = "SLUG")]
    tenant: Option<TenantSlug>,
    /// A policy of the bucket itself, for this principal: an ARN, or `*` for everybody
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Both policies, for programs.
#[derive(Debug, Serialize)]
struct Policies {
    /// The bucket.
    bucket: String,
    /// For whoever signs URLs.
    download: Value,
    /// For the server.
    upload: Value,
}

impl Policy {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { bucket, upload, tenant, principal, overrides } = self;
        let url = match bucket {
            Some(url) => url,
            None => Config::load(&overrides)?.edge.artifacts.context(
                "`edge.artifacts` is not set; name the bucket, such as s3://edge-artifacts",
            )?,
        };
        let (Some(scope), Some(whole)) =
            (Scope::new(&url, tenant.as_ref()), Scope::new(&url, None))
        else {
            bail!("`{url}` is no bucket: it begins with s3://");
        };
        let policies = Policies {
            bucket: url.to_string(),
            download: scope.download(principal.as_deref()),
            upload: whole.upload(),
        };
        out.data(&policies, |policies| {
            let wanted = if upload { &policies.upload } else { &policies.download };
            format!("{wanted:#}")
        })
    }
}
