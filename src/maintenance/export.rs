//! A tenant's Git objects as files for stock git.

use crate::audit::By;
use colophon_model::audit::{Action, Chain, Subject};
use colophon_store::rows::TenantRow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use colophon_gitbridge::{
    ExportError, ObjectLog, PackIndex, Ref, Stretch, bundle_header, packed_refs, write_pack,
};
use colophon_model::{Oid, Ordinal, TagObject, TenantBranch, TenantSlug};
use colophon_store::{Progress, Report};
use serde::{Deserialize, Serialize};

use super::{Job, JobError, Site, tenant};
use crate::projection::TenantLog;

/// Writes a bare repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitExport {
    /// The tenant.
    pub tenant: TenantSlug,
    /// An absolute path on the server's machine, absent or empty.
    pub bare: PathBuf,
}

/// Writes a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitBundle {
    /// The tenant.
    pub tenant: TenantSlug,
    /// An absolute path on the server's machine, absent.
    pub file: PathBuf,
    /// A commit or tag that the reader has: the bundle holds what came after it.
    #[serde(default)]
    pub since: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Where to.
    pub path: PathBuf,
    /// The commit at the tip of the branch.
    pub tip: Oid,
    /// Refs in it.
    pub refs: u64,
    /// Objects in it.
    pub objects: u64,
}

/// Why a repository or a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    /// The path is taken.
    #[error("`{0}` is there already; name a path that is not, or an empty directory")]
    Taken(PathBuf),
    /// There is no such commit on the branch.
    #[error("`{0}` is no commit of the branch and no tag; give 40 hex digits or a tag's name")]
    UnknownRevision(String),
    /// There is nothing to write.
    #[error("nothing came after `{0}`")]
    Nothing(String),
    /// The branch has no commit, or the log does not end with it.
    #[error("the branch is damaged; `colophon git rebuild` makes it anew")]
    NoTip,
    /// A file cannot be written.
    #[error("`{path}` cannot be written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The objects cannot be read.
    #[error("the Git objects cannot be read")]
    Git(#[from] colophon_gitbridge::Error),
}

impl Job for GitExport {
    type Outcome = Exported;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Exported, JobError> {
        check_place(&self.bare, site)?;
        let view = site.press.store.view()?;
        let tenant = tenant(&view, &self.tenant)?;
        written(site, &tenant)?;
        let log = TenantLog::new(&view, tenant.uid);
        let whole = Selection::new(&log, &tenant.slug, None)?;
        let dir = &self.bare;
        let packs = dir.join("objects").join("pack");
        make_empty(dir)?;
        [&packs, &dir.join("refs").join("heads")].into_iter().try_for_each(|dir| make_dir(dir))?;
        let (aside, index) = write_file(&packs.join("new.pack"), &[], &whole, report)?;
        let (name, objects) = (format!("pack-{}", index.name()), index.objects() as u64);
        let pack = packs.join(format!("{name}.pack"));
        fs::rename(&aside, &pack).map_err(|source| OutError::File { path: pack, source })?;
        write(&packs.join(format!("{name}.idx")), &index.encode())?;
        write(&dir.join("packed-refs"), &packed_refs(&whole.refs))?;
        write(&dir.join("config"), CONFIG)?;
        // Last: without it, this is no repository.
        write(&dir.join("HEAD"), format!("ref: {}\n", whole.branch).as_bytes())?;
        Ok(whole.exported(dir, objects))
    }
}

impl Job for GitBundle {
    type Outcome = Exported;

    fn run(&self, site: Site<'_>, report: Report<'_>) -> Result<Exported, JobError> {
        check_place(&self.file, site)?;
        if self.file.symlink_metadata().is_ok() {
            return Err(OutError::Taken(self.file.clone()).into());
        }
        let view = site.press.store.view()?;
        let tenant = tenant(&view, &self.tenant)?;
        written(site, &tenant)?;
        let log = TenantLog::new(&view, tenant.uid);
        let part = Selection::new(&log, &tenant.slug, self.since.as_deref())?;
        let since = part.since.map(|(oid, _)| oid);
        let head = bundle_header(since, part.tip, &part.refs);
        let aside = self.file.with_added_extension("part");
        let (aside, index) = write_file(&aside, &head, &part, report)?;
        let taken = |source| OutError::File { path: self.file.clone(), source };
        fs::rename(&aside, &self.file).map_err(taken)?;
        Ok(part.exported(&self.file, index.objects() as u64))
    }
}

/// What `git init --bare` writes there, as far as it matters.
const CONFIG: &[u8] = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";

/// Refs and objects that go out.
struct Selection<'a> {
    log: &'a TenantLog<'a>,
    branch: String,
    tip: Oid,
    /// What the reader has.
    since: Option<(Oid, Ordinal)>,
    refs: Vec<Ref>,
    tags: Vec<TagObject>,
}

impl<'a> Selection<'a> {
    fn new(
        log: &'a TenantLog<'a>,
        slug: &TenantSlug,
        since: Option<&str>,
    ) -> Result<Self, OutError> {
        let branch = TenantBranch::new(slug.clone()).full_name();
        let refs = log.refs("refs/").map_err(unread)?;
        let tip = refs.iter().find(|one| one.name == branch).ok_or(OutError::NoTip)?.oid;
        let end = log.ordinal(&tip).map_err(unread)?.ok_or(OutError::NoTip)?;
        if log.len().map_err(unread)? != end.get() + 1 {
            return Err(OutError::NoTip);
        }
        let since = since.map(|text| revision(log, &refs, text)).transpose()?;
        if since.is_some_and(|(_, at)| at == end) {
            return Err(OutError::Nothing(tip.to_string()));
        }
        let mut part = Self { log, branch, tip, since, refs: Vec::new(), tags: Vec::new() };
        part.take(refs)?;
        Ok(part)
    }

    /// Keeps the refs that name something after `since`, with their tag objects.
    fn take(&mut self, refs: Vec<Ref>) -> Result<(), OutError> {
        for one in refs {
            let commit = one.peeled.unwrap_or(one.oid);
            let at = self.log.ordinal(&commit).map_err(unread)?;
            if self.since.is_some_and(|(_, since)| at.is_none_or(|at| at <= since)) {
                continue;
            }
            if one.peeled.is_some() {
                let tag = self.log.tag(&one.oid).map_err(unread)?;
                self.tags.push(tag.ok_or(colophon_gitbridge::Error::Missing(one.oid))?);
            }
            self.refs.push(one);
        }
        Ok(())
    }

    fn exported(&self, path: &Path, objects: u64) -> Exported {
        let refs = self.refs.len() as u64;
        Exported { path: path.to_owned(), tip: self.tip, refs, objects }
    }
}

/// The commit that a text names.
fn revision(log: &TenantLog<'_>, refs: &[Ref], text: &str) -> Result<(Oid, Ordinal), OutError> {
    let unknown = || OutError::UnknownRevision(text.chars().take(80).collect());
    let tag = format!("refs/tags/{text}");
    let named = refs.iter().find(|one| one.name == text || one.name == tag);
    let named = named.map(|one| one.peeled.unwrap_or(one.oid));
    let oid = named.or_else(|| text.parse().ok()).ok_or_else(unknown)?;
    let at = log.ordinal(&oid).map_err(unread)?.ok_or_else(unknown)?;
    let entry = log.entry(at).map_err(unread)?.ok_or_else(unknown)?;
    if entry.kind == colophon_model::GitKind::Commit { Ok((oid, at)) } else { Err(unknown()) }
}

fn unread(error: colophon_gitbridge::ReadError) -> OutError {
    colophon_gitbridge::Error::Read(error).into()
}

/// Writes down that the tenant's repository is taken along, before it is.
fn written(site: Site<'_>, tenant: &TenantRow) -> Result<(), JobError> {
    let act = By::here().did(Action::GitExport, Subject::new("repository", &tenant.slug));
    let done = site.press.write_down(Chain::Tenant(tenant.uid), &[act]);
    Ok(done.map_err(colophon_store::Error::from)?)
}

fn check_place(path: &Path, site: Site<'_>) -> Result<(), JobError> {
    super::backup::check_outside(path, &site.config.data)
}

/// Makes the directory, which is absent or empty.
fn make_empty(dir: &Path) -> Result<(), OutError> {
    make_dir(dir)?;
    let failed = |source| OutError::File { path: dir.to_owned(), source };
    match fs::read_dir(dir).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(OutError::Taken(dir.to_owned())),
    }
}

fn make_dir(dir: &Path) -> Result<(), OutError> {
    fs::create_dir_all(dir).map_err(|source| OutError::File { path: dir.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), OutError> {
    let written = fs::write(path, bytes).and_then(|()| File::open(path)?.sync_all());
    written.map_err(|source| OutError::File { path: path.to_owned(), source })
}

/// Writes `head` and the pack to a new file; returns its path. What fails leaves no file.
fn write_file(
    path: &Path,
    head: &[u8],
    what: &Selection<'_>,
    report: Report<'_>,
) -> Result<(PathBuf, PackIndex), OutError> {
    let failed = |source| OutError::File { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    let written = fill(&file, head, what, report).map_err(|error| match error {
        ExportError::Log(error) => OutError::Git(error),
        ExportError::Write(source) => failed(source),
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    Ok((path.to_owned(), written?))
}

fn fill(
    file: &File,
    head: &[u8],
    what: &Selection<'_>,
    report: Report<'_>,
) -> Result<PackIndex, ExportError> {
    let mut out = BufWriter::new(file);
    out.write_all(head)?;
    let since = what.since.map(|(_, at)| at);
    let first = since.map_or(0, |at| u64::from(at.get()) + 1);
    let end = what.log.len().map_err(colophon_gitbridge::Error::Read)?;
    let total = Some(u64::from(end) - first);
    let done = |done| report(Progress { stage: "writing objects", done, total });
    let part = Stretch { since, until: None };
    let index = write_pack(what.log, part, &what.tags, &mut out, &done)?;
    out.flush()?;
    file.sync_all()?;
    Ok(index)
}
