//! `colophon audit`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use colophon_model::TenantSlug;
use colophon_model::audit::{Chain, Word};
use colophon_trust::note::NoteVerifier;

use super::admin::{self, Access};
use super::job::{self, Request, count, row};
use super::out::Out;
use crate::audit::{self, ChainReport, Page, Shown, Verified, Wanted};
use crate::config::{Config, Overrides};
use crate::maintenance::{AuditCheckpoint, AuditVerify};
use crate::pipeline::Press;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show what was done, the newest first
    List(List),
    /// Check every line, link and checkpoint, in the store or in an export
    Verify(Verify),
    /// Write a chain's lines and its newest checkpoint to files, for an auditor
    Export(Export),
    /// Sign a checkpoint of every chain that has grown; the server does it by itself
    Checkpoint(Overrides),
}

/// Shows what was done.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant [default: what concerns the server as a whole]
    tenant: Option<TenantSlug>,
    /// Most entries, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Number of the entry to begin at
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Checks chains.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Tenants [default: every chain]
    #[arg(conflicts_with = "file")]
    tenants: Vec<TenantSlug>,
    /// An exported chain in place of the store
    #[arg(long, value_name = "FILE", requires = "key")]
    file: Option<PathBuf>,
    /// Checkpoints that came with it; may be given several times
    #[arg(long, value_name = "FILE", requires = "file")]
    checkpoint: Vec<PathBuf>,
    /// The server's public key for checkpoints, as `GET /v1/keys/audit` and the export give it (`vkey`)
    #[arg(long, value_name = "KEY", requires = "file")]
    key: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Writes a chain to files.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The tenant [default: the server's own chain]
    tenant: Option<TenantSlug>,
    /// Folder for `audit.jsonl`, `checkpoint.txt`, `audit.vkey` and `audit.pem`; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

impl Audit {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(out),
            Self::Verify(verify) => verify.run(out),
            Self::Export(export) => export.run(out),
            Self::Checkpoint(overrides) => {
                let request = Request::Post("/v1/maintenance/audit/checkpoint");
                let done = job::run(&overrides, out, &AuditCheckpoint {}, &request)?;
                out.data(&done, |done| format!("signed {}", count(done.signed, "checkpoint")))
            }
        }
    }
}

/// Where a server keeps a chain.
fn path(tenant: Option<&TenantSlug>) -> String {
    tenant.map_or_else(|| "/v1/audit".to_owned(), |slug| format!("/v1/t/{slug}/audit"))
}

fn chain(press: &Press, tenant: Option<&TenantSlug>) -> anyhow::Result<Chain> {
    let Some(slug) = tenant else { return Ok(Chain::System) };
    Ok(Chain::Tenant(tenants::find(&press.store.view()?, slug)?.uid))
}

impl List {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { tenant, limit, from, overrides } = self;
        let page: Page = match admin::open(&Config::load(&overrides)?)? {
            Access::Direct(press) => {
                let chain = chain(&press, tenant.as_ref())?;
                let wanted = Wanted { from, limit: limit.into(), descending: true };
                audit::page(&press.store.view()?, chain, wanted)?
            }
            Access::Server(client) => {
                let from = from.map_or_else(String::new, |from| format!("&from={from}"));
                client.get(&format!("{}?limit={limit}{from}", path(tenant.as_ref())))?
            }
        };
        out.data(&page, listed)
    }
}

fn listed(page: &Page) -> String {
    let mut lines: Vec<String> = page.entries.iter().map(line).collect();
    if let Some(next) = page.next {
        lines.push(format!("more: `--from {next}`"));
    }
    if lines.is_empty() {
        lines.push("nothing was done yet".to_owned());
    }
    lines.join("\n")
}

fn line(shown: &Shown) -> String {
    let entry = &shown.entry;
    let who = serde_json::to_value(entry.actor.kind).ok();
    let who = who.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
    let times = if entry.count > 1 { format!(" x{}", entry.count) } else { String::new() };
    let outcome = match (&entry.outcome, &entry.code) {
        (Word::Success, _) => String::new(),
        (word, code) => {
            let word = if *word == Word::Refused { "refused" } else { "failed" };
            format!(" {word}: {}", code.as_deref().unwrap_or("unknown"))
        }
    };
    let detail: Vec<String> =
        entry.detail.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let detail = detail.concat();
    let from =
        shown.from.as_ref().map_or_else(String::new, |from| format!(" from {}", from.address));
    format!(
        "{:>6}  {}  {:<18} {} {}{times}{outcome}{detail}  by {who} {}{from}",
        entry.seq, entry.time, entry.action, entry.subject.kind, entry.subject.id, entry.actor.id
    )
}

impl Verify {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { tenants, file, checkpoint, key, overrides } = self;
        let found = if let (Some(file), Some(key)) = (file, key) {
            exported(&file, &checkpoint, &key)?
        } else {
            let request = Request::Post("/v1/maintenance/audit/verify");
            job::run(&overrides, out, &AuditVerify { tenants }, &request)?
        };
        out.data(&found, verified)?;
        if found.is_clean() {
            return Ok(());
        }
        bail!("the audit log was changed, or is damaged; docs/audit.md says what to do")
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn exported(file: &Path, notes: &[PathBuf], key: &str) -> anyhow::Result<Verified> {
    let key = NoteVerifier::parse(key)?;
    let text = read(file)?;
    let notes = notes.iter().map(|note| read(note)).collect::<Result<Vec<_>, _>>()?;
    let first: Option<colophon_model::audit::Entry> =
        text.lines().next().and_then(|line| serde_json::from_str(line).ok());
    let chain = first.with_context(|| format!("`{}` is no audit log", file.display()))?.chain;
    Ok(Verified { chains: vec![audit::verify_lines(chain, text.lines(), &notes, &key)] })
}

fn verified(found: &Verified) -> String {
    let mut lines: Vec<String> = found.chains.iter().flat_map(told).collect();
    if found.chains.is_empty() {
        lines.push("nothing was done yet".to_owned());
    }
    lines.join("\n")
}

fn told(chain: &ChainReport) -> Vec<String> {
    let name = chain.tenant.clone().unwrap_or_else(|| chain.chain.to_string());
    let state = if chain.problems.is_empty() { "good" } else { "NOT GOOD" };
    let mut lines = vec![
        format!("{name}: {state}, {} lines", chain.entries),
        row("root", chain.root),
        row(
            "signed",
            format!(
                "up to line {}, by {}",
                chain.signed_up_to,
                count(chain.checkpoints, "checkpoint")
            ),
        ),
    ];
    lines.extend(chain.problems.iter().map(|problem| row("problem", problem)));
    lines
}

impl Export {
    fn run(self, out: Out) -> anyhow::Result<()> {
        let Self { tenant, out: dir, overrides } = self;
        fs::create_dir(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        let mut lines = fs::File::create_new(dir.join("audit.jsonl"))?;
        let source = Source::open(&Config::load(&overrides)?, tenant.as_ref())?;
        let mut total = 0;
        loop {
            let text = source.lines(total + 1)?;
            if text.is_empty() {
                break;
            }
            lines.write_all(text.as_bytes())?;
            total += text.lines().count() as u64;
        }
        lines.sync_all()?;
        let (note, key) = source.signed()?;
        if let Some(note) = &note {
            fs::write(dir.join("checkpoint.txt"), note)?;
        }
        fs::write(dir.join("audit.vkey"), format!("{key}\n"))?;
        fs::write(dir.join("audit.pem"), NoteVerifier::parse(&key)?.public().to_pem())?;
        let told = serde_json::json!({ "dir": dir, "lines": total, "checkpoint": note.is_some() });
        out.data(&told, |_| format!("wrote {} to {}", count(total, "line"), dir.display()))
    }
}

/// Lines that one read of the store gives.
const LINES: usize = 10_000;

/// Where a chain is read from.
enum Source {
    Store(Box<Press>, Chain),
    Server(admin::Client, String),
}

impl Source {
    fn open(config: &Config, tenant: Option<&TenantSlug>) -> anyhow::Result<Self> {
        Ok(match admin::open(config)? {
            Access::Direct(press) => {
                let chain = chain(&press, tenant)?;
                Self::Store(press, chain)
            }
            Access::Server(client) => Self::Server(client, path(tenant)),
        })
    }

    fn lines(&self, from: u64) -> anyhow::Result<String> {
        match self {
            Self::Store(press, chain) => {
                Ok(audit::lines(&press.store.view()?, *chain, from, LINES)?)
            }
            Self::Server(client, path) => client.text(&format!("{path}/lines?from={from}")),
        }
    }

    /// The newest checkpoint, and the key that verifies it.
    fn signed(&self) -> anyhow::Result<(Option<String>, String)> {
        match self {
            Self::Store(press, chain) => {
                let note = audit::newest_checkpoint(&press.store.view()?, *chain)?;
                Ok((note, press.keys.note_key().verifier().to_vkey()))
            }
            Self::Server(client, path) => {
                let key: serde_json::Value = client.get("/v1/keys/audit")?;
                let key = key["vkey"].as_str().context("the server names no key")?.to_owned();
                Ok((client.find_text(&format!("{path}/checkpoint"))?, key))
            }
        }
    }
}
