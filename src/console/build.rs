//! The pages of one build: what is known of it, its files, and what changed since the flow's build before.

use colophon_model::{
    BuildRecord, Digest, EdgeOutput, GateResult, GateStatus, Output, OutputFile, SandboxLevel,
};
use colophon_store::rows::{BuildNumber, BundleAlias, Document, TenantRow};
use colophon_store::{Error, View};
use serde::Serialize;

use super::code::{self, Part};
use super::diff::{self, Hunk};
use super::pages::Link;
use super::tenant::{kind, outcome};
use super::words::{Badge, bytes, segment, time};
use crate::builds::{Diff, DiffFile, Side};
use crate::feed;

/// Builds that are looked at for the flow's build before.
const LOOKED_AT: usize = 2_000;
/// Largest file that is shown, in bytes.
const LARGEST: u64 = 256 * 1024;
/// Most lines of a file that are shown.
const LINES: usize = 5_000;
/// Most files whose lines are compared in one page.
const COMPARED: usize = 50;
/// Most bytes that are compared in one page.
const COMPARED_BYTES: u64 = 1024 * 1024;

/// What is known of a build.
#[derive(Debug, Serialize)]
pub struct BuildPage {
    id: String,
    number: u64,
    flow: String,
    name: String,
    source: String,
    kind: &'static str,
    state: Badge,
    revision: Option<u64>,
    key: String,
    commit: String,
    tags: Vec<String>,
    built: String,
    received: String,
    compiler: String,
    gates: Vec<Gate>,
    outputs: Vec<Made>,
    previous: Option<Link>,
    diff_href: Option<String>,
    graph_href: Option<String>,
    documents: Vec<Link>,
    commands: Vec<Command>,
}

#[derive(Debug, Serialize)]
struct Gate {
    name: String,
    state: Badge,
    millis: Option<String>,
    sandbox: Option<String>,
    words: Option<String>,
}

/// What was made for one target.
#[derive(Debug, Serialize)]
struct Made {
    target: &'static str,
    tree: String,
    files: Vec<File>,
    edge: Option<Bundle>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    /// None: the viewer may not read it.
    href: Option<String>,
    size: String,
}

#[derive(Debug, Serialize)]
struct Bundle {
    version: String,
    runtime: &'static str,
    name: String,
    sha256: String,
    length: String,
    files: u64,
}

/// A command to copy.
#[derive(Debug, Serialize)]
struct Command {
    id: &'static str,
    what: &'static str,
    text: String,
}

/// Where a build stands: whose it is, and what the viewer may see.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// What is read.
    pub view: &'a View,
    /// Whose build.
    pub tenant: &'a TenantRow,
    /// Whether the viewer may read code.
    pub reads_code: bool,
    /// Where clients reach the server.
    pub public_url: &'a str,
}

impl Place<'_> {
    fn href(&self, record: &BuildRecord) -> String {
        format!("/console/t/{}/builds/{}", self.tenant.slug, record.id)
    }

    /// The page of `record`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn page(&self, record: &BuildRecord) -> Result<BuildPage, Error> {
        let here = self.href(record);
        let previous = previous(self.view, self.tenant, record)?;
        let text = |before: &BuildRecord| format!("Build {}", before.number);
        let sees = |what: bool| what && self.reads_code;
        let has_files = !record.outputs.is_empty();
        Ok(BuildPage {
            id: record.id.to_string(),
            number: record.number,
            flow: record.flow.to_string(),
            name: record.name.clone(),
            source: record.source.to_string(),
            kind: kind(record.kind),
            state: outcome(record),
            revision: record.revision,
            key: record.key.to_string(),
            commit: record.commit.to_string(),
            tags: tags(record),
            built: time(record.stamp.time()),
            received: time(record.received),
            compiler: record.compiler.clone(),
            gates: record.gates.iter().map(gate).collect(),
            outputs: record.outputs.iter().map(|o| self.output(&here, o)).collect(),
            diff_href: sees(previous.is_some() && has_files).then(|| format!("{here}/diff")),
            graph_href: sees(canonical(record).is_some()).then(|| format!("{here}/graph")),
            previous: previous.map(|before| Link::new(self.href(&before), text(&before))),
            documents: self.documents(record)?,
            commands: self.commands(record),
        })
    }

    fn output(&self, here: &str, output: &Output) -> Made {
        let href = |file: &OutputFile| {
            let path: Vec<_> = file.path.components().map(segment).collect();
            format!("{here}/files/{}/{}", output.target, path.join("/"))
        };
        let file = |file: &OutputFile| File {
            path: file.path.to_string(),
            href: self.reads_code.then(|| href(file)),
            size: bytes(file.size),
        };
        Made {
            target: output.target.as_str(),
            tree: output.tree.to_string(),
            files: output.files.iter().map(file).collect(),
            edge: output.edge.as_ref().map(bundle),
        }
    }

    /// What is written about the build, that the viewer may read.
    fn documents(&self, record: &BuildRecord) -> Result<Vec<Link>, Error> {
        let here = self.href(record);
        let mut links = Vec::new();
        if record.manifest.is_some() {
            links.push(Link::new(format!("{here}/manifest.json"), "Manifest of the branch"));
        }
        if let Some(edge) = edge_of(record).filter(|_| self.reads_code) {
            let alias = self.view.get::<BundleAlias>(&(self.tenant.uid, edge.sha256))?;
            let has =
                |document| alias.as_ref().is_some_and(|a| a.documents.contains_key(&document));
            if has(Document::Provenance) {
                links.push(Link::new(
                    format!("{here}/provenance.json"),
                    "Attestation of the bundle",
                ));
            }
            if has(Document::Sbom) {
                links.push(Link::new(
                    format!("{here}/sbom.json"),
                    "Bill of materials of the bundle",
                ));
            }
        }
        Ok(links)
    }

    fn commands(&self, record: &BuildRecord) -> Vec<Command> {
        let (url, slug) = (self.public_url, &self.tenant.slug);
        let tag = record.tags.first();
        let mut commands = Vec::new();
        if let Some(tag) = tag {
            let text = format!(
                "git -c http.extraHeader=\"Authorization: Bearer $GIT_TOKEN\" clone --branch {tag} {url}/git/{slug}.git"
            );
            commands.push(Command {
                id: "clone",
                what: "Clone this build, with a token of kind git",
                text,
            });
        }
        let text =
            format!("curl -H \"Authorization: Bearer $API_TOKEN\" {url}/v1/builds/{}", record.id);
        commands.push(Command {
            id: "curl",
            what: "Read its record, with a token of kind api",
            text,
        });
        if let Some(edge) = edge_of(record) {
            let text = format!(
                "edge-fetch enroll --url {url} --tenant {slug} --root root.json --token-file token"
            );
            commands.push(Command {
                id: "enroll",
                what: "Let a device run the tenant's flows",
                text,
            });
            let (sha256, name) = (edge.sha256, &edge.target_name);
            let text = format!(
                "curl -o {name} -H \"Authorization: Bearer $EDGE_TOKEN\" {url}/v1/t/{slug}/targets/{sha256}.{name}"
            );
            commands.push(Command {
                id: "bundle",
                what: "Download the bundle, with a token of kind edge",
                text,
            });
        }
        commands
    }
}

fn tags(record: &BuildRecord) -> Vec<String> {
    let failed = record.failure.as_ref().map(|failure| failure.tag.to_string());
    record.tags.iter().map(ToString::to_string).chain(failed).collect()
}

fn gate(gate: &GateResult) -> Gate {
    let sandbox = |level| match level {
        SandboxLevel::None => "not confined",
        SandboxLevel::Partial => "confined in part",
        SandboxLevel::Full => "confined",
    };
    Gate {
        name: gate.name.clone(),
        state: match gate.status {
            GateStatus::Passed => Badge::good("passed"),
            GateStatus::Failed => Badge::bad("failed"),
            GateStatus::Skipped => Badge::warn("skipped"),
        },
        millis: gate
            .micros
            .map(|micros| format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100)),
        sandbox: gate.sandbox.as_ref().map(|report| sandbox(report.level).to_owned()),
        words: gate.words.clone(),
    }
}

fn bundle(edge: &EdgeOutput) -> Bundle {
    Bundle {
        version: feed::version(edge.seq),
        runtime: edge.runtime.as_str(),
        name: edge.target_name.clone(),
        sha256: edge.sha256.to_string(),
        length: bytes(edge.length),
        files: edge.files,
    }
}

fn edge_of(record: &BuildRecord) -> Option<&EdgeOutput> {
    record.outputs.iter().find_map(|output| output.edge.as_ref())
}

/// The flow as it was committed.
pub(super) fn canonical(record: &BuildRecord) -> Option<&OutputFile> {
    let name = format!("/{}.json", record.flow);
    let files = record.outputs.iter().flat_map(|output| &output.files);
    files.into_iter().find(|file| {
        file.path.as_str().starts_with("app/flows/") && file.path.as_str().ends_with(&name)
    })
}

/// The flow's build before `record` that has outputs, among the tenant's last ones.
///
/// # Errors
/// When the store cannot be read.
pub fn previous(
    view: &View,
    tenant: &TenantRow,
    record: &BuildRecord,
) -> Result<Option<BuildRecord>, Error> {
    let Some(before) = record.number.checked_sub(1) else { return Ok(None) };
    let rows = view.scan::<BuildNumber>(&tenant.uid).descending();
    for row in rows.starting_at(&(tenant.uid, before)).take(LOOKED_AT) {
        let (_, BuildNumber { build }) = row?;
        let found = view.get::<BuildRecord>(&(tenant.uid, build))?;
        if let Some(found) = found.filter(|f| f.flow == record.flow && !f.outputs.is_empty()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The document of `record` with this name, and its media type.
///
/// # Errors
/// When the store cannot be read.
pub fn document(
    place: &Place<'_>,
    record: &BuildRecord,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let uid = place.tenant.uid;
    let of_bundle = |document| -> Result<Option<Digest>, Error> {
        let Some(edge) = edge_of(record).filter(|_| place.reads_code) else { return Ok(None) };
        let alias = place.view.get::<BundleAlias>(&(uid, edge.sha256))?;
        Ok(alias.and_then(|alias| alias.documents.get(&document).copied()))
    };
    let digest = match name {
        "manifest.json" => record.manifest,
        "provenance.json" => of_bundle(Document::Provenance)?,
        "sbom.json" => of_bundle(Document::Sbom)?,
        _ => None,
    };
    digest.map_or(Ok(None), |digest| place.view.read_blob(uid, &digest))
}

/// One file.
#[derive(Debug, Serialize)]
pub struct CodePage {
    path: String,
    size: String,
    digest: String,
    lines: Vec<Vec<Part>>,
    /// Why there are no lines, or not all.
    note: Option<String>,
}

/// The page of a file of `record`; none: it has no such file.
///
/// # Errors
/// When the store cannot be read.
pub fn code_page(
    place: &Place<'_>,
    record: &BuildRecord,
    (target, path): (&str, &str),
) -> Result<Option<CodePage>, Error> {
    let output = record.outputs.iter().find(|output| output.target.as_str() == target);
    let file = output.and_then(|o| o.files.iter().find(|file| file.path.as_str() == path));
    let Some(file) = file else { return Ok(None) };
    let (mut lines, mut note) = match text(place, file.size, &file.digest)? {
        Ok(text) => (code::lines(path, &text), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    if lines.len() > LINES {
        note = Some(format!("The first {LINES} of {} lines.", lines.len()));
        lines.truncate(LINES);
    }
    let (size, digest) = (bytes(file.size), file.digest.to_string());
    Ok(Some(CodePage { path: path.to_owned(), size, digest, lines, note }))
}

/// A file as text, or why it is not shown.
fn text(place: &Place<'_>, size: u64, digest: &Digest) -> Result<Result<String, String>, Error> {
    if size > LARGEST {
        return Ok(Err(format!("Files over {} are not shown.", bytes(LARGEST))));
    }
    let Some(found) = place.view.read_blob(place.tenant.uid, digest)? else {
        return Ok(Err("The file is not there; the store's check says more.".to_owned()));
    };
    Ok(String::from_utf8(found).map_err(|_| "The file is not text.".to_owned()))
}

/// What changed since the flow's build before.
#[derive(Debug, Serialize)]
pub struct DiffPage {
    before: Link,
    after: Link,
    files: Vec<Changed>,
}

#[derive(Debug, Serialize)]
struct Changed {
    id: usize,
    path: String,
    how: &'static str,
    target: String,
    hunks: Vec<Hunk>,
    note: Option<String>,
}

/// The page of what changed from `before` to `after`.
///
/// # Errors
/// When the store cannot be read.
pub fn diff_page(
    place: &Place<'_>,
    before: &BuildRecord,
    after: &BuildRecord,
) -> Result<DiffPage, Error> {
    let link =
        |record: &BuildRecord| Link::new(place.href(record), format!("Build {}", record.number));
    let mut page = DiffPage { before: link(before), after: link(after), files: Vec::new() };
    let mut budget = COMPARED_BYTES;
    for DiffFile { path, change, before, after, .. } in Diff::of(before, after).files {
        let (id, path) = (page.files.len() + 1, path.as_str());
        let sides = [before, after];
        let size: u64 = sides.iter().flatten().map(|side| side.size).sum();
        let (hunks, note) = if id > COMPARED || size > budget {
            (Vec::new(), Some("Too much changed to show it here.".to_owned()))
        } else {
            budget -= size;
            compared(place, path, sides)?
        };
        let target = after.or(before).map(|side| side.target.to_string()).unwrap_or_default();
        let (path, how) = (path.to_owned(), change.word());
        page.files.push(Changed { id, path, how, target, hunks, note });
    }
    Ok(page)
}

type Compared = (Vec<Hunk>, Option<String>);

fn compared(
    place: &Place<'_>,
    path: &str,
    [old, new]: [Option<Side>; 2],
) -> Result<Compared, Error> {
    let side = |side: Option<Side>| {
        side.map_or(Ok(Ok(String::new())), |side| text(place, side.size, &side.digest))
    };
    match (side(old)?, side(new)?) {
        (Ok(old), Ok(new)) if old == new => {
            Ok((Vec::new(), Some("The mode changed, or the file is empty.".to_owned())))
        }
        (Ok(old), Ok(new)) => Ok((diff::hunks(path, &old, &new), None)),
        (Err(why), _) | (_, Err(why)) => Ok((Vec::new(), Some(why))),
    }
}
