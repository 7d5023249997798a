//! `colophon import`: tenants, made again from their exports.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use colophon_model::TenantSlug;

use super::export::PlaceArgs;
use super::job::{self, Bar, Request, count, row};
use super::out::Out;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides};
use crate::export::{Imported, Place, PlaceUrl, RestoreOptions, survey};
use crate::keys::MasterKey;
use crate::maintenance::{self, ImportReport};
use crate::secrets::{Secrets, master_key};
use crate::units::Size;

/// Restores tenants from an export.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Import {
    /// The place that was exported to, or a tenant's folder in it
    #[arg(required_unless_present = "discard")]
    from: Option<PlaceUrl>,
    /// Whose; may be given several times
    #[arg(long, value_name = "SLUG", required_unless_present_any = ["all_tenants", "discard"])]
    tenant: Vec<TenantSlug>,
    /// Every tenant's that is there
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
    /// The public key that must have signed it, in PEM, as `colophon export key` gives it [default: that of the master key]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Believe the key that lies at the place, which whoever can write there can replace
    #[arg(long, conflicts_with = "key")]
    key_as_found: bool,
    /// The keys that open what is sealed, as `colophon export identity` gives them; may be given several times. Sealed exports go
    /// on with the newest
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Seal what is exported from here with a new key, not with the one that was given
    #[arg(long)]
    new_export_key: bool,
    /// Copy of the old server's `keys/master.key`, put into a data directory that has none
    #[arg(long, value_name = "FILE", conflicts_with = "new_master")]
    master: Option<PathBuf>,
    /// Make a new master key in a data directory that has none: agents, builders and places of export know the old one
    #[arg(long)]
    new_master: bool,
    /// Compare what was restored with the export, and check the store
    #[arg(long)]
    verify: bool,
    /// Check the export, say what would be restored, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Take away what imports that were cut have left
    #[arg(long, conflicts_with_all = ["dry_run", "verify", "from"])]
    discard: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    overrides: Overrides,
}

impl Import {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let config = Config::load(&self.overrides)?;
        let key = self.key.as_ref().map(|path| {
            let text = fs::read_to_string(path);
            text.with_context(|| format!("cannot read `{}`", path.display()))
        });
        let mut identity = String::new();
        for path in &self.identity {
            let text = fs::read_to_string(path);
            identity += &text.with_context(|| format!("cannot read `{}`", path.display()))?;
            identity.push('\n');
        }
        let nowhere = || PlaceUrl::Memory("nowhere".to_owned());
        let job = maintenance::Import {
            from: self.from.clone().unwrap_or_else(nowhere),
            tenants: self.tenant.clone(),
            options: self.place.options(),
            key: key.transpose()?,
            key_as_found: self.key_as_found,
            identity: maintenance::Identities::new(identity),
            new_export_key: self.new_export_key,
            verify: self.verify,
            dry_run: self.dry_run,
            discard: self.discard,
        };
        let is_new = !config.data.join("FORMAT").exists();
        let done = if is_new && self.discard {
            bail!("there is no data directory at `{}`", config.data.display());
        } else if is_new && self.dry_run {
            let key = self.master.as_deref().map(MasterKey::read).transpose()?;
            preview(&config, &job, key, out)?
        } else {
            provide_key(&config, self.master.as_deref(), self.new_master, is_new)?;
            job::run_where(&config, out, &job, &Request::Post("/v1/maintenance/import"), true)?
        };
        out.data(&done, text)?;
        if done.is_good() {
            return Ok(());
        }
        bail!("not all was restored as it is in the export")
    }
}

/// A new data directory gets the key that it is told; none is made unasked, since it could not be taken back.
fn provide_key(
    config: &Config,
    master: Option<&std::path::Path>,
    new: bool,
    is_new: bool,
) -> anyhow::Result<()> {
    let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
    let there = master_key(config, &secrets)?;
    match (master, there) {
        (Some(path), Some(there)) => {
            let given = MasterKey::read(path)?;
            if given.id() != there.id() {
                bail!(
                    "`{}` has another master key than `{}`; import into another data directory",
                    config.data.display(),
                    path.display()
                );
            }
            Ok(())
        }
        (Some(path), None) => MasterKey::read(path)?.install(&config.data),
        (None, None) if is_new && !new => bail!(
            "`{}` has no master key: give a copy of the old server's with `--master FILE`, so that agents, builders and \
             exports go on with it; or say `--new-master`",
            config.data.display()
        ),
        _ => Ok(()),
    }
}

/// What would be restored where there is nothing yet.
fn preview(
    config: &Config,
    job: &maintenance::Import,
    master: Option<MasterKey>,
    out: Out,
) -> anyhow::Result<ImportReport> {
    let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
    let master = match master {
        Some(key) => Some(key),
        None => master_key(config, &secrets)?,
    };
    let bar = Bar::new(out);
    let place = Place::open_there(&job.from, &config.export, &job.options, &secrets)?;
    let options: RestoreOptions = job.restore_options()?;
    let own = master.as_ref().map(|key| key.export_key().public().id());
    let report = |step: colophon_store::Progress| bar.show(&step.into());
    let mut tenants = Vec::new();
    let slugs: Vec<Option<&TenantSlug>> = match job.tenants.as_slice() {
        [] => vec![None],
        slugs => slugs.iter().map(Some).collect(),
    };
    for slug in slugs {
        let found = survey(&place, slug, &config.export, (master.as_ref(), &options), &report);
        let found = found.map_err(|error| anyhow::anyhow!(error.told()))?;
        tenants.extend(found.iter().map(|one| {
            let same_key = own.as_ref() == Some(&one.verified.key);
            Imported::preview(one, same_key, job.new_export_key)
        }));
    }
    Ok(ImportReport {
        from: job.from.clone(),
        tenants,
        failed: Vec::new(),
        discarded: Vec::new(),
        problems: Vec::new(),
        requests: place.traffic().0,
    })
}

fn text(done: &ImportReport) -> String {
    let mut lines: Vec<String> = done.tenants.iter().flat_map(told).collect();
    for failed in &done.failed {
        lines.push(format!("{}: NOT RESTORED: {}", failed.tenant, failed.problem));
    }
    for gone in &done.discarded {
        lines.push(format!(
            "{}: what was left of its import is gone, {}",
            gone.tenant,
            count(gone.rows, "row")
        ));
    }
    lines.extend(done.problems.iter().map(|problem| row("problem", problem)));
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines.join("\n")
}

fn told(one: &Imported) -> Vec<String> {
    let word = if one.dry_run { "good; nothing was written" } else { "restored" };
    let key = if one.same_key { "this server's own" } else { "NOT this server's own" };
    let mut lines = vec![
        format!("{}: {word}", one.tenant),
        row("export", format!("{}, {}", one.export, count(one.bags, "bag"))),
        row("key", format!("{} {key}", one.key)),
        row("builds", one.builds),
        row("audit log", count(one.lines, "line")),
        row("blobs", format!("{}, {}", one.blobs, Size::bytes(one.bytes).rounded())),
    ];
    lines.extend(one.export_key.as_ref().map(|key| row("sealing", format!("goes on with {key}"))));
    lines.extend(one.tip.map(|tip| row("tip", tip)));
    if !one.dry_run {
        lines.push(row(
            "git",
            format!("{}, {}", count(one.objects, "object"), count(one.tags, "tag")),
        ));
    }
    if let Some(found) = &one.compared {
        let word =
            if found.findings.is_empty() { "the same as in the export" } else { "NOT THE SAME" };
        lines.push(row("compared", word));
        lines.extend(
            found.findings.iter().map(|it| row("problem", format!("{} {}", it.at, it.problem))),
        );
    }
    lines.push(row("to do", "an export does not hold these; make them anew:"));
    lines.extend(one.missing.iter().map(|it| row("", format!("{}: {}", it.what, it.how))));
    lines
}
