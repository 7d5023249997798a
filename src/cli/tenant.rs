//! `colophon tenant …`.

mod life;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::RootsOrigin;

use super::admin::{self, Access};
use super::job::{self, Request, row};
use super::out::Out;
use crate::config::{Config, Overrides};
use crate::export::KeyFate;
use crate::http::tenants::{CreateTenant, CreatedTenant};
use crate::http::tokens::CreatedToken;
use crate::maintenance::{Erase, ErasureReport, RecordFate, Shredded, Statement};
use crate::tenants::{self, Step};
use crate::tokens::TokenKind;
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant: its branch, its webhook secret, its edge repository
    Create {
        /// Name: lower-case letters, digits and single hyphens
        slug: TenantSlug,
        /// Which code its LangFlow exports and ActivePieces flows may carry
        #[arg(long, value_enum, default_value_t)]
        components: Components,
        /// Make a first token of each of these kinds; they are shown once
        #[arg(long = "token", value_enum, value_delimiter = ',', value_name = "KIND,…")]
        tokens: Vec<TokenKind>,
        /// Write the root metadata that agents pin to this new file
        #[arg(long, value_name = "FILE")]
        root_out: Option<PathBuf>,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// List tenants
    List {
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Show what is known of a tenant; its secrets are not shown
    Show(One),
    /// Refuse every credential of a tenant; nothing of it is lost
    Suspend(One),
    /// Take a suspended tenant's credentials again
    Resume(One),
    /// Make a tenant read-only; agents keep its flows, see `edge archive`
    Archive(One),
    /// Let an archived tenant be built for again
    Restore(One),
    /// Keep a tenant from being erased, and its tags from being purged, until `release`: a legal hold
    Hold(One),
    /// Lift a legal hold
    Release(One),
    /// Erase a tenant and every byte that only it has; its name is never given again
    Erase {
        /// The tenant
        slug: TenantSlug,
        /// Its name once more: this cannot be undone
        #[arg(long, value_name = "SLUG")]
        confirm: String,
        /// Who approved it; it stands in the report, and beside sealed exports
        #[arg(long, value_name = "TEXT")]
        approved_by: Option<String>,
        /// Go on when copies of the key of sealed exports cannot be destroyed; the report says which
        #[arg(long)]
        leave_keys: bool,
        /// Write the signed report to this new file; it cannot be made again
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        #[command(flatten)]
        overrides: Overrides,
    },
}

/// One tenant.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant
    slug: TenantSlug,
    #[command(flatten)]
    overrides: Overrides,
}

impl Tenant {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Create { slug, components, tokens, root_out, overrides } => {
                let wanted = CreateTenant { slug, components: components.into(), tokens };
                run_create(&Config::load(&overrides)?, out, &wanted, root_out.as_deref())
            }
            Self::List { overrides } => {
                let listed = life::list(&Config::load(&overrides)?)?;
                out.data(&listed, life::table)
            }
            Self::Show(one) => life::show(&Config::load(&one.overrides)?, out, &one.slug),
            Self::Suspend(one) => one.step(out, Step::Suspend),
            Self::Resume(one) => one.step(out, Step::Resume),
            Self::Archive(one) => one.step(out, Step::Archive),
            Self::Restore(one) => one.step(out, Step::Restore),
            Self::Hold(one) => one.step(out, Step::Hold),
            Self::Release(one) => one.step(out, Step::Release),
            Self::Erase { slug, confirm, approved_by, leave_keys, report, overrides } => {
                let job = Erase { slug, confirm, approved_by, leave_keys };
                erase(&overrides, out, &job, report.as_deref())
            }
        }
    }
}

impl One {
    fn step(&self, out: Out, step: Step) -> anyhow::Result<()> {
        life::step(&Config::load(&self.overrides)?, out, &self.slug, step)
    }
}

fn run_create(
    config: &Config,
    out: Out,
    wanted: &CreateTenant,
    root_out: Option<&Path>,
) -> anyhow::Result<()> {
    // The file comes first: a path that cannot be written must not leave a tenant whose secret
    // nobody has seen.
    let file = root_out.map(new_file).transpose()?;
    let made = create(config, wanted)?;
    out.data(&made, |made| text(made, root_out))?;
    if let Some(mut file) = file {
        file.write_all(made.root.as_bytes())?;
    }
    Ok(())
}

fn erase(
    overrides: &Overrides,
    out: Out,
    job: &Erase,
    report: Option<&Path>,
) -> anyhow::Result<()> {
    job.check()?;
    // The file comes before the erasure: the report cannot be made again.
    let file = report.map(new_file).transpose()?;
    let mut path = format!("/v1/tenants/{0}?confirm={0}", job.slug);
    if let Some(who) = &job.approved_by {
        let _ = write!(path, "&approved_by={}", encoded(who));
    }
    if job.leave_keys {
        path.push_str("&leave_keys=true");
    }
    let done = job::run(overrides, out, job, &Request::Delete(path)).inspect_err(|_| {
        let _ = report.map(std::fs::remove_file); // it is empty
    })?;
    let envelope = serde_json::to_string(&done.envelope)?;
    if let Some(mut file) = file {
        writeln!(file, "{envelope}")?;
        file.sync_all()?;
    }
    out.data(&done, |done| erasure_text(done, &envelope, report))
}

/// Percent-encoded for a query (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Policies as the command line spells them.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Components {
    /// No component sources at all
    None,
    /// Those of known LangFlow releases
    #[default]
    KnownOnly,
    /// Any: the tenant's flows can run code of their own
    AllowCustom,
}

impl From<Components> for CodePolicy {
    fn from(components: Components) -> Self {
        match components {
            Components::None => Self::None,
            Components::KnownOnly => Self::KnownOnly,
            Components::AllowCustom => Self::AllowCustom,
        }
    }
}

fn new_file(path: &Path) -> anyhow::Result<File> {
    File::create_new(path).with_context(|| format!("cannot create `{}`", path.display()))
}

fn create(config: &Config, wanted: &CreateTenant) -> anyhow::Result<CreatedTenant> {
    match admin::open_or_create(config)? {
        Access::Direct(press) => {
            let tokens = (wanted.tokens.as_slice(), &config.tokens);
            let made = tenants::create_with(&press, &wanted.slug, wanted.components, tokens)?;
            Ok(CreatedTenant::new(config, made))
        }
        Access::Server(client) => client.post("/v1/tenants", wanted),
    }
}

fn text(made: &CreatedTenant, root_out: Option<&Path>) -> String {
    let root = match root_out {
        Some(path) => format!("written to {}", path.display()),
        None => format!("later: GET /v1/t/{}/tuf/1.root.json with a token of kind edge", made.slug),
    };
    let roots = match made.roots {
        RootsOrigin::Server => {
            "made on this server: whoever holds its master key can sign for the tenant"
        }
        RootsOrigin::Offline => "made in a ceremony: this server cannot replace its root",
    };
    let mut text = format!(
        "tenant          {}\nuid             {}\ngit             {}\nwebhook secret  {}\n\
         root metadata   {root}\n\
         root keys       {roots}",
        made.slug, made.uid, made.git_url, made.webhook_secret
    );
    for (what, folder) in made.buckets.named() {
        let _ = write!(text, "\n{what:<15} {folder}");
    }
    text.push_str(
        "\nkeep the secret: it goes into the builder's webhook settings and is not shown again",
    );
    for CreatedToken { token, view } in &made.tokens {
        let kind = view.kind.word();
        let _ = write!(text, "\ntoken {kind:<9} {token}\n                id {}; ", view.id);
        let _ = write!(text, "valid until {}; it is not shown again", view.expires);
    }
    text
}

fn shredded_text(done: &Shredded) -> Vec<String> {
    let mut lines = vec![row("key", format!("{} of its sealed exports is destroyed", done.key))];
    for KeyFate { place, deleted, left } in &done.keys {
        lines.push(row("", format!("{place}: {deleted} deleted")));
        lines.extend(left.iter().map(|what| row("LEFT", what)));
    }
    for RecordFate { place, problem } in &done.records {
        let said = problem.as_deref().unwrap_or("a signed record of it lies there");
        lines.push(row("record", format!("{place}: {said}")));
    }
    lines
}

fn erasure_text(done: &ErasureReport, envelope: &str, report: Option<&Path>) -> String {
    let Statement { tenant, slug, started, finished, erased, outside, shredded, .. } =
        &done.statement;
    let size = Size::bytes(erased.blob_bytes).rounded();
    let mut lines = vec![
        format!("erased tenant {slug} ({tenant})"),
        row("rows", erased.rows),
        row("blobs", format!("{} deleted of {}, {size}", erased.blobs, erased.memberships)),
        row("segments", format!("{} rewritten, and the metadata", erased.segments)),
        row("from", started),
        row("to", finished),
    ];
    lines.extend(shredded.iter().flat_map(shredded_text));
    lines.push("beyond this server's reach, and to be erased there:".to_owned());
    lines.extend(outside.iter().map(|place| format!("  - {}: {}", place.what, place.how)));
    lines.push(match report {
        Some(path) => format!("the signed report is in {}", path.display()),
        None => format!("signed report, to be kept; it is stored nowhere:\n{envelope}"),
    });
    lines.join("\n")
}
