//! `colophon keys`: roots whose keys never touch the server.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use colophon_model::TenantSlug;
use colophon_trust::{OfflineRoot, Role, RootRequest, Seed};
use serde::Serialize;

use super::edge::OnlineRole;
use super::job::{self, Request, count, row};
use super::out::Out;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Overrides};
use crate::evidence::Attester;
use crate::feed::pool::{CeremonyRequest, CeremonyRoots, Imported, RootsFormat};
use crate::keys::{random_bytes, write_secret};
use crate::maintenance::{ImportRoots, RequestRoots};
use crate::secrets::{Secrets, master_key};

/// Seeds of one ceremony.
const SEEDS: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Ask a ceremony for roots: a file to carry to it
    Request {
        /// So many roots, for tenants that there will be
        #[arg(long, value_name = "N", required_unless_present = "renew", conflicts_with = "renew")]
        count: Option<NonZeroU32>,
        /// The next root of a tenant whose root keys are from a ceremony; may be repeated
        #[arg(long, value_name = "TENANT")]
        renew: Vec<TenantSlug>,
        /// With --renew: a role that gets a new key; may be repeated
        #[arg(long, value_enum, value_name = "ROLE", requires = "renew")]
        rotate: Vec<OnlineRole>,
        /// The new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Sign the roots that a request asks for. Runs without a data directory, on a machine without network
    Ceremony {
        /// The file that `colophon keys request` wrote
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// A file with a seed; three for new roots, two or three for renewals
        #[arg(
            long,
            value_name = "FILE",
            conflicts_with = "new_seeds",
            required_unless_present = "new_seeds"
        )]
        seed: Vec<PathBuf>,
        /// Make three new seeds in this folder, to be kept by three people
        #[arg(long, value_name = "DIR")]
        new_seeds: Option<PathBuf>,
        /// The new file with the signed roots
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The public keys that verify what this server attests about bundles
    Show(Overrides),
    /// Check the roots of a ceremony, and put them to use
    Import {
        /// The file that `colophon keys ceremony` wrote
        roots: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
    },
}

impl Keys {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Request { count, renew, rotate, out: file, overrides } => {
                let rotate = rotate.into_iter().map(Role::from).collect();
                let job = match count {
                    Some(count) => RequestRoots::Count(count),
                    None => RequestRoots::Renew { tenants: renew, rotate },
                };
                request(&overrides, out, &job, &file)
            }
            Self::Ceremony { request, seed, new_seeds, out: file } => {
                ceremony(out, &request, &seed, new_seeds.as_deref(), &file)
            }
            Self::Show(overrides) => show(&overrides, out),
            Self::Import { roots, overrides } => {
                let job = ImportRoots(read(&roots)?);
                let request = Request::Post("/v1/maintenance/keys/import");
                out.data(&job::run(&overrides, out, &job, &request)?, imported)
            }
        }
    }
}

fn request(overrides: &Overrides, out: Out, job: &RequestRoots, file: &Path) -> anyhow::Result<()> {
    check_new(file)?;
    let made: CeremonyRequest =
        job::run(overrides, out, job, &Request::Post("/v1/maintenance/keys/request"))?;
    write(file, &made)?;
    let written = Written { roots: made.roots.len() as u64, file: file.to_owned() };
    out.data(&written, |written| {
        format!(
            "asked for {} in {file}; carry it to the ceremony: colophon keys ceremony --request {file}",
            count(written.roots, "root"),
            file = written.file.display()
        )
    })
}

/// The keys that everyone may know, in PEM, and for minisign as a file.
#[derive(Debug, Serialize)]
struct Shown {
    ed25519: String,
    p256: String,
    minisign: String,
}

/// Reads the master key alone, so that it works beside a running server.
fn show(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    let secrets = Secrets::new(&config.secrets, std::sync::Arc::new(SystemClock));
    let keys = master_key(&config, &secrets)?
        .with_context(|| format!("`{}` holds no `keys/master.key`", config.data.display()))?;
    let attester = Attester::new(&keys);
    let [ed25519, p256] = attester.public().map(|key| key.to_pem());
    let shown = Shown { ed25519, p256, minisign: attester.minisign() };
    out.data(&shown, |keys| format!("{}{}{}", keys.ed25519, keys.p256, keys.minisign.trim_end()))
}

/// What is printed of a file that was written.
#[derive(Debug, Serialize)]
struct Written {
    roots: u64,
    file: PathBuf,
}

/// What is printed of a ceremony.
#[derive(Debug, Serialize)]
struct Held {
    file: PathBuf,
    seeds: Vec<PathBuf>,
    roots: Vec<HeldRoot>,
}

/// One root that was signed.
#[derive(Debug, Serialize)]
struct HeldRoot {
    uid: String,
    version: u64,
    expires: String,
    online_keys: Vec<(Role, String)>,
}

impl HeldRoot {
    fn new(request: &RootRequest, root: &OfflineRoot) -> Self {
        Self {
            uid: root.uid().to_string(),
            version: root.version().get(),
            expires: root.expires().rfc3339_seconds(),
            online_keys: request.online.ids().into(),
        }
    }
}

fn ceremony(
    out: Out,
    request: &Path,
    seed: &[PathBuf],
    new_seeds: Option<&Path>,
    file: &Path,
) -> anyhow::Result<()> {
    check_new(file)?;
    let request: CeremonyRequest = read(request)?;
    if new_seeds.is_some() && request.roots.iter().any(|root| root.previous.is_some()) {
        bail!("a renewal is signed with the seeds of the first root: name them with --seed");
    }
    let seeds = match new_seeds {
        None => seed.to_vec(),
        Some(folder) => make_seeds(folder)?,
    };
    let secrets = seeds.iter().map(|path| read_seed(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let now = SystemClock.now();
    let (mut roots, mut held) = (Vec::new(), Vec::new());
    for wanted in &request.roots {
        let root = wanted.sign(&secrets, now)?;
        roots.push(String::from_utf8(root.bytes().to_vec())?);
        held.push(HeldRoot::new(wanted, &root));
    }
    write(file, &CeremonyRoots { format: RootsFormat::One, roots })?;
    out.data(&Held { file: file.to_owned(), seeds, roots: held }, held_text)
}

fn held_text(held: &Held) -> String {
    let mut lines = Vec::new();
    for root in &held.roots {
        lines.push(format!("signed root {} of tenant {}", root.version, root.uid));
        lines.push(row("until", &root.expires));
        lines.extend(root.online_keys.iter().map(|(role, id)| row(role.as_str(), id)));
    }
    lines.extend(held.seeds.iter().map(|seed| format!("seed {}", seed.display())));
    lines.push(format!(
        "{} in {}; carry it to the server: colophon keys import",
        count(held.roots.len() as u64, "root"),
        held.file.display()
    ));
    lines.push(
        "keep the seeds apart and away from the server: any two of them renew every root".into(),
    );
    lines.join("\n")
}

/// Three seeds, each in a file of its own.
fn make_seeds(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files: Vec<_> = (1..=SEEDS).map(|n| folder.join(format!("seed-{n}"))).collect();
    files.iter().try_for_each(|file| check_new(file))?;
    for file in &files {
        let seed: [u8; 32] = random_bytes()?;
        write_secret(file, &format!("{}\n", hex::encode(seed)))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(files)
}

fn read_seed(path: &Path) -> anyhow::Result<Seed> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read seed `{}`", path.display()))?;
    let mut bytes = [0; 32];
    if hex::decode_to_slice(text.trim_end(), &mut bytes).is_err() {
        bail!("`{}` is no seed: it must be 64 hex digits", path.display());
    }
    Ok(Seed::new(bytes))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("`{}` is not such a file", path.display()))
}

/// Writes a new file that only its owner may read.
fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write_secret(path, &format!("{text}\n"))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Says so before any work is done.
fn check_new(path: &Path) -> anyhow::Result<()> {
    if path.try_exists()? {
        bail!("`{}` exists already, and is not replaced", path.display());
    }
    Ok(())
}

fn imported(done: &Imported) -> String {
    let Imported { added, renewed, known, pool } = done;
    format!(
        "took {} into the pool, renewed {}, knew {known}; {} for new tenants",
        count(*added, "root"),
        count(*renewed, "tenant"),
        count(*pool, "root"),
    )
}
