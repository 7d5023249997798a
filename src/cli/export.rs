//! `colophon export`: what tenants built, for their auditors.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use colophon_model::TenantSlug;
use colophon_trust::attest::PublicKey;

use super::admin::{self, Access};
use super::job::{self, Bar, Request, count, row};
use super::out::Out;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides};
use crate::export::envelope::{self, Opener};
use crate::export::{self, Exported, Options, Place, PlaceUrl, Verified, VerifyOptions};
use crate::exporter::{self, ExportStatus, Phase};
use crate::http::exports::ExportList;
use crate::maintenance;
use crate::maintenance::{ExportIdentity, ExportReport, Revealed};
use crate::secrets::Secrets;
use crate::units::Size;
use zeroize::Zeroizing;

/// Exports what tenants built, or checks what was exported.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Export {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Box<Make>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check what was exported: every signature, hash and link, from the place alone
    Verify(Verify),
    /// Say how exports fare, and what is not exported yet
    Status(Status),
    /// Restore what was exported into a temporary folder, check it, delete it, and write down what came of it
    Drill(DrillArgs),
    /// Print the public key that signs exports, and its fingerprint
    Key(Overrides),
    /// Hand out the keys of a tenant's sealed exports, for an auditor: who has them reads all of it, what is to come too
    Identity(Identity),
    /// Seal a tenant's exports with a new key from now on; the old one opens what it sealed
    RotateKey(RotateKey),
}

/// Adds to an export what is new.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Make {
    /// Where to: `s3://bucket/prefix` or `file:///absolute/folder`
    #[arg(required = true)]
    to: Option<PlaceUrl>,
    /// Whose; may be given several times
    #[arg(long, value_name = "SLUG", required_unless_present = "all_tenants")]
    tenant: Vec<TenantSlug>,
    /// Every tenant's
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on where a store writes over what is there: only when nobody else exports there
    #[arg(long)]
    allow_unconditional: bool,
    /// Take what is there as it is, though it is not what was left there
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    overrides: Overrides,
}

/// Hands out a key.
#[derive(Debug, Args)]
struct Identity {
    /// Whose
    #[arg(long, value_name = "SLUG")]
    tenant: TenantSlug,
    /// That key alone, `age1…` [default: all that the tenant ever had]
    #[arg(long, value_name = "RECIPIENT")]
    key: Option<envelope::KeyId>,
    /// Write it to this new file, which only you may read [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Replaces a key.
#[derive(Debug, Args)]
struct RotateKey {
    /// Whose
    #[arg(long, value_name = "SLUG")]
    tenant: TenantSlug,
    #[command(flatten)]
    overrides: Overrides,
}

/// What is said of a place beside its URL.
#[derive(Debug, Clone, Args)]
pub(super) struct PlaceArgs {
    /// URL of the store, for one that is not Amazon's [default: `AWS_ENDPOINT_URL`]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Region that requests are signed for [default: `AWS_REGION`, else us-east-1]
    #[arg(long)]
    region: Option<String>,
}

/// Restores what was exported, for trial.
#[derive(Debug, Args)]
struct DrillArgs {
    /// The place that was exported to
    from: PlaceUrl,
    /// Whose; may be given several times
    #[arg(long, value_name = "SLUG", required_unless_present = "all_tenants")]
    tenant: Vec<TenantSlug>,
    /// Every tenant's
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    overrides: Overrides,
}

/// Checks what was exported.
#[derive(Debug, Args)]
struct Verify {
    /// The place that was exported to, or a tenant's folder in it
    at: PlaceUrl,
    /// The tenant [default: all that are there]
    #[arg(long, value_name = "SLUG")]
    tenant: Option<TenantSlug>,
    /// The key that must have signed it, in PEM, as `colophon export key` gives it [default: the one that lies there]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The key that opens what is sealed, as `colophon export identity` gives it; may be given several times
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Take that key from the data directory, or from the server that holds it [needs `--tenant`]
    #[arg(long, requires = "tenant")]
    own: bool,
    /// How many of a hundred blobs are read, drawn anew each time; everything else is always read
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    sample: u8,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    overrides: Overrides,
}

/// Says how exports fare.
#[derive(Debug, Args)]
struct Status {
    /// The tenant [default: all]
    slug: Option<TenantSlug>,
    #[command(flatten)]
    overrides: Overrides,
}

impl PlaceArgs {
    pub(super) fn options(&self) -> Options {
        Options { endpoint: self.endpoint.clone(), region: self.region.clone() }
    }
}

impl Export {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self.command {
            None => make(*self.make, out),
            Some(Command::Verify(verify)) => verify.run(out),
            Some(Command::Status(status)) => status.run(out),
            Some(Command::Drill(drill)) => drill.run(out),
            Some(Command::Key(overrides)) => key(&overrides, out),
            Some(Command::Identity(identity)) => identity.run(out),
            Some(Command::RotateKey(rotate)) => rotate.run(out),
        }
    }
}

impl Status {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let list = statuses(&Config::load(&self.overrides)?, self.slug.as_ref())?;
        out.data(&list, |list| {
            let all: Vec<String> = list.exports.iter().map(status_text).collect();
            if all.is_empty() { "nothing is exported".to_owned() } else { all.join("\n") }
        })
    }
}

/// How exports fare: of every tenant, or of one.
pub(super) fn statuses(config: &Config, slug: Option<&TenantSlug>) -> anyhow::Result<ExportList> {
    match (admin::open(config)?, slug) {
        (Access::Server(client), None) => client.get("/v1/exports"),
        (Access::Server(client), Some(slug)) => client.get(&format!("/v1/tenants/{slug}/exports")),
        (Access::Direct(press), slug) => {
            let (view, now) = (press.store.view()?, press.clock.now());
            let exports = match slug {
                Some(slug) => exporter::status(&view, &config.export, slug, now)?,
                None => exporter::list(&view, &config.export, now)?,
            };
            Ok(ExportList { exports })
        }
    }
}

fn status_text(export: &ExportStatus) -> String {
    let word = match export.phase {
        Phase::Current => "everything is there",
        Phase::Waiting => "something is to be exported",
        Phase::Failing => "failing; another attempt follows",
    };
    let mut lines = vec![format!("tenant {} → {}", export.slug, export.to), row("state", word)];
    let mut say = |label, text: Option<String>| lines.extend(text.map(|text| row(label, text)));
    let there = count(export.sequence, "bag");
    say("there", Some(format!("{there}, {}", count(export.builds, "build"))));
    let since = export.since.as_ref();
    say("waiting", since.map(|at| format!("{} since {at}", count(export.waiting, "build"))));
    say("complete", export.succeeded.clone());
    say("failures", (export.failures > 0).then(|| export.failures.to_string()));
    say("why", export.trouble.clone());
    say("next", export.next.clone());
    for keys in &export.keys_left {
        let left = keys.left.join("; ");
        say("KEYS LEFT", Some(format!("at {} since {}: {left}", keys.at, keys.since)));
    }
    say("by itself", (!export.scheduled).then(|| "no: `export.to` does not name it".to_owned()));
    lines.join("\n")
}

fn make(make: Make, out: Out) -> anyhow::Result<()> {
    let Make { to, tenant, all_tenants: _, dry_run, allow_unconditional, anew, place, overrides } =
        make;
    let to = to.context("a place to export to is needed")?;
    let job = maintenance::Export {
        to,
        tenants: tenant,
        options: place.options(),
        dry_run,
        allow_unconditional,
        anew,
    };
    let done = job::run(&overrides, out, &job, &Request::Post("/v1/maintenance/export"))?;
    out.data(&done, exported)?;
    if done.failed.is_empty() { Ok(()) } else { bail!("not every tenant was exported") }
}

fn exported(done: &ExportReport) -> String {
    let mut lines: Vec<String> = done.tenants.iter().flat_map(told).collect();
    for failed in &done.failed {
        lines.push(format!("{}: NOT EXPORTED: {}", failed.tenant, failed.problem));
    }
    if done.requests > 0 {
        let sent = Size::bytes(done.sent);
        lines.push(row("requests", format!("{}, {} sent", done.requests, sent.rounded())));
    }
    lines.join("\n")
}

fn told(one: &Exported) -> Vec<String> {
    let Exported { tenant, folder, bags, sequence, .. } = one;
    let word = match (one.dry_run, bags.len() as u64) {
        (_, 0) => return vec![format!("{tenant}: nothing new; {} there", count(*sequence, "bag"))],
        (true, bags) => format!("would write {}; nothing was written", count(bags, "bag")),
        (false, bags) => format!("wrote {}", count(bags, "bag")),
    };
    let mut lines = vec![format!("{tenant}: {word}"), row("folder", folder)];
    if let Some(key) = bags.last().and_then(|bag| bag.key.as_ref()) {
        lines.push(row("sealed", format!("with {key}")));
    }
    for bag in bags {
        lines.push(row("bag", &bag.name));
        let (builds, entries) = (count(bag.builds, "build"), count(bag.lines, "line"));
        lines.push(row("", format!("{builds}, {entries} of the audit log")));
        let (objects, blobs) = (count(bag.objects, "object"), count(bag.blobs, "blob"));
        let size = Size::bytes(bag.bytes);
        lines.push(row("", format!("{objects}, {blobs} among them, {}", size.rounded())));
    }
    for name in &one.orphaned {
        lines.push(row(
            "orphaned",
            format!("{name}: another exporter came first; it harms nothing"),
        ));
    }
    lines
}

impl DrillArgs {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { from, tenant, all_tenants: _, place, overrides } = self;
        let job = maintenance::Drill { from, tenants: tenant, options: place.options() };
        let path = "/v1/maintenance/export/drill";
        let done = job::run(&overrides, out, &job, &Request::Post(path))?;
        out.data(&done, |done| done.tenants.iter().map(drilled).collect::<Vec<_>>().join("\n"))?;
        if done.tenants.iter().all(maintenance::Drilled::is_good) {
            return Ok(());
        }
        bail!("not every export can be restored; the audit log says which")
    }
}

fn drilled(one: &maintenance::Drilled) -> String {
    let word = if one.is_good() { "restored and good" } else { "NOT GOOD" };
    let mut lines = vec![format!("{}: {word}", one.tenant)];
    lines.extend(one.code.as_ref().map(|code| row("code", code)));
    lines.extend(one.problems.iter().map(|problem| row("problem", problem)));
    let size = Size::bytes(one.bytes);
    lines.push(row(
        "restored",
        format!("{}, {}", count(one.bags, "bag"), count(one.builds, "build")),
    ));
    lines.push(row("", format!("{}, {}", count(one.blobs, "blob"), size.rounded())));
    lines.extend(one.tip.map(|tip| row("tip", tip)));
    let maintenance::Millis { verify, restore, check } = one.millis;
    lines.push(row(
        "took",
        format!("{verify} ms to verify, {restore} to restore, {check} to check"),
    ));
    lines.join("\n")
}

impl Verify {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { at, tenant, key, identity, own, sample, place, overrides } = self;
        let config = Config::load(&overrides)?;
        let own = tenant.as_ref().filter(|_| own);
        let opener = opener(&identity, own, &overrides, out)?;
        let key = key.map(|path| {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
            PublicKey::from_pem(&text).with_context(|| format!("`{}`", path.display()))
        });
        let options = VerifyOptions {
            key: key.transpose()?,
            percent: sample,
            concurrency: config.export.concurrency,
            opener,
        };
        let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
        let bar = Bar::new(out);
        let found = Place::open_there(&at, &config.export, &place.options(), &secrets)
            .map_err(export::ExportError::from)
            .and_then(|place| {
                let report = |step: colophon_store::Progress| bar.show(&step.into());
                export::verify_all(&place, tenant.as_ref(), &config.export, &options, &report)
            });
        drop(bar);
        let found = found.map_err(|error| anyhow::anyhow!(error.told()))?;
        out.data(&found, |found| found.iter().map(verified).collect::<Vec<_>>().join("\n"))?;
        if found.iter().all(Verified::is_clean) {
            return Ok(());
        }
        bail!("the export was changed, or is damaged; docs/export.md says what to do")
    }
}

/// Opens with the keys of files, and with the store's own.
fn opener(
    files: &[PathBuf],
    own: Option<&TenantSlug>,
    overrides: &Overrides,
    out: Out,
) -> anyhow::Result<Opener> {
    let mut identities = Vec::new();
    for path in files {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        let read = envelope::Identity::parse_all(&text);
        identities.extend(read.with_context(|| format!("`{}`", path.display()))?);
    }
    if let Some(tenant) = own {
        let revealed = reveal(tenant, None, overrides, out)?;
        identities.extend(envelope::Identity::parse_all(&revealed.identity)?);
    }
    Ok(Opener::new(identities))
}

fn reveal(
    tenant: &TenantSlug,
    key: Option<envelope::KeyId>,
    overrides: &Overrides,
    out: Out,
) -> anyhow::Result<Revealed> {
    let job = ExportIdentity { tenant: tenant.clone(), key };
    job::run(overrides, out, &job, &Request::Post("/v1/maintenance/export/identity"))
}

impl Identity {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { tenant, key, out: file, overrides } = self;
        if let Some(path) = file.as_ref().filter(|path| path.exists()) {
            bail!("`{}` is there already", path.display());
        }
        let revealed = reveal(&tenant, key, &overrides, out)?;
        let Some(path) = file else {
            return out.data(&revealed, |revealed| revealed.identity.trim_end().to_owned());
        };
        crate::keys::write_secret(&path, &revealed.identity)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        let told = Written { key: revealed.key, keys: revealed.keys, file: path };
        out.data(&told, |told| {
            let all =
                told.keys.iter().map(|key| format!("key {key} is in {}", told.file.display()));
            all.collect::<Vec<_>>().join("\n")
        })
    }
}

impl RotateKey {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let job = maintenance::RotateExportKey { tenant: self.tenant };
        let path = "/v1/maintenance/export/rotate-key";
        let done = job::run(&self.overrides, out, &job, &Request::Post(path))?;
        out.data(&done, |done| {
            let lines = [
                format!("{}: what is exported from now on has a new key", done.tenant),
                row("key", &done.key),
                row("before", format!("{}: kept for what it sealed", done.former)),
            ];
            lines.join("\n")
        })
    }
}

/// A key that was written to a file.
#[derive(Debug, serde::Serialize)]
struct Written {
    key: String,
    keys: Vec<String>,
    file: PathBuf,
}

fn verified(found: &Verified) -> String {
    let name = found.tenant.as_ref().map_or_else(|| found.folder.clone(), ToString::to_string);
    let state = if found.is_clean() { "good" } else { "NOT GOOD" };
    let given = if found.key_given {
        "as given"
    } else {
        "AS IT LIES THERE: compare it with `colophon export key`, or give it with `--key`"
    };
    let read = match found.blobs_read {
        read if read == found.blobs => "all read".to_owned(),
        read => format!("{read} read"),
    };
    let mut lines = vec![
        format!("{name}: {state}, {}", count(found.bags, "bag")),
        row("key", format!("{} {given}", &found.key)),
        row("builds", found.builds),
        row("audit log", count(found.lines, "line")),
        row("blobs", format!("{}, {read}", found.blobs)),
    ];
    for (at, key) in found.sealed.iter().enumerate() {
        let label = if at == 0 { "sealed" } else { "" };
        lines.push(row(label, format!("with {key}")));
    }
    if found.unopened > 0 {
        let files = count(found.unopened, "file");
        lines.push(row(
            "NOT OPENED",
            format!("{files}: unaltered, but what is in them was not looked at; give `--identity`"),
        ));
    }
    for erased in &found.erased {
        if erased.came_to_nothing {
            let text = "and came to nothing: the tenant went on";
            lines.push(row("erasure", format!("begun at {}, {text}", erased.began)));
            continue;
        }
        let at = erased.finished.as_ref().unwrap_or(&erased.began);
        let word = if erased.finished.is_some() { "at" } else { "begun at" };
        let keys = erased.former_keys.iter().chain([&erased.key]).map(ToString::to_string);
        let keys: Vec<String> = keys.collect();
        let keys = match keys.as_slice() {
            [key] => format!("key {key} is destroyed"),
            keys => format!("keys {} are destroyed", keys.join(", ")),
        };
        lines.push(row("erased", format!("{word} {at}; {keys}")));
        lines.extend(erased.left.iter().map(|what| row("LEFT", what)));
    }
    lines.extend(
        found.findings.iter().map(|it| row("problem", format!("{} {}", it.at, it.problem))),
    );
    let others =
        [("ahead", &found.ahead), ("orphaned", &found.orphaned), ("unfinished", &found.unfinished)];
    for (label, names) in others {
        lines.extend(names.iter().map(|name| row(label, name)));
    }
    lines.join("\n")
}

/// The key that signs exports, for an auditor.
#[derive(Debug, serde::Serialize)]
struct Key {
    /// The id under which exports name it.
    id: String,
    /// As `openssl` reads it.
    pem: String,
    /// SHA-256 of that text, as `sha256sum` prints it of the file.
    fingerprint: colophon_model::Sha256,
}

fn key(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    let public = admin::master(&config)?.export_key().public();
    let pem = public.to_pem();
    let key = Key { id: public.id(), fingerprint: colophon_model::Sha256::of(pem.as_bytes()), pem };
    out.data(&key, |key| {
        format!("{}{}\n{}", key.pem, row("id", &key.id), row("SHA-256", key.fingerprint))
    })
}
