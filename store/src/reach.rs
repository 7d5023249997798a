//! Which blobs the rows of a tenant name, and how: what is alive, and why.
//!
//! Every row that names a blob is listed here. A row that is missing here is a blob that is lost,
//! so the state machine of the tests has one of each (`tests/it/machine`).

use std::collections::HashSet;

use colophon_model::{
    ArtifactPath, BuildId, BuildRecord, Digest, FlowId, LogEntry, Ordinal, Sha256, TenantUid, Tree,
};
use rayon::prelude::*;

use crate::row::{Row, key_bytes};
use crate::rows::{
    BundleAlias, DeliveryBody, DeliveryKey, Document, FlowHead, Planted, TufFile, blob_of_log_entry,
};
use crate::{Error, InvalidRow, KeyRange, Table, View};

/// Records that are parsed together.
const PAGE: usize = 1024;

/// By what a blob is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The JSON as received for a build.
    Body(BuildId),
    /// The branch's manifest with a build in it.
    Manifest(BuildId),
    /// The list of a build's files, or of those of its bundle.
    Tree(BuildId),
    /// A file of a build.
    File(BuildId, ArtifactPath),
    /// The current build of a flow.
    Head(FlowId),
    /// The encrypted environment of a flow.
    Environment(FlowId),
    /// The body of a delivery that was refused.
    Delivery(DeliveryKey),
    /// The list of a bundle's files, by the SHA-256 of its zip.
    Bundle(Sha256),
    /// What was written about a bundle.
    Document(Sha256, Document),
    /// A file of a bundle.
    BundleFile(Sha256, ArtifactPath),
    /// A file of the tenant's TUF repository.
    Tuf(String),
    /// A file that the tenant's branch began with.
    Planted(String),
    /// An object of the tenant's Git log.
    GitObject(Ordinal),
}

/// A digest and, where it is a tree's, that it names others.
struct Name {
    digest: Digest,
    reason: Reason,
    /// Whether it is the tree of a bundle: its files are named by nothing else.
    lists: bool,
}

impl Name {
    fn plain(digest: Digest, reason: Reason) -> Self {
        Self { digest, reason, lists: false }
    }

    fn list(digest: Digest, reason: Reason) -> Self {
        Self { digest, reason, lists: true }
    }
}

/// How a file is named that a tree lists.
fn listed(tree: &Reason, path: ArtifactPath) -> Option<Reason> {
    match tree {
        Reason::Tree(build) => Some(Reason::File(*build, path)),
        Reason::Bundle(sha256) => Some(Reason::BundleFile(*sha256, path)),
        _ => None,
    }
}

/// Every blob that rows of tenant `uid` name.
///
/// # Errors
/// [`Error::Corrupt`] when the list of a bundle's files is damaged: what it names is not known then.
pub(crate) fn reached(view: &View, uid: TenantUid) -> Result<HashSet<Digest>, Error> {
    let (mut found, mut trees) = (HashSet::new(), HashSet::new());
    names(view, uid, &mut |name| {
        if name.lists {
            trees.insert(name.digest);
        }
        found.insert(name.digest);
    })?;
    for tree in trees {
        found.extend(files_of(view, &tree)?.into_iter().map(|(_, digest)| digest));
    }
    Ok(found)
}

/// Everything of tenant `uid` that names `digest`.
pub(crate) fn reasons(view: &View, uid: TenantUid, digest: &Digest) -> Result<Vec<Reason>, Error> {
    let (mut found, mut trees) = (Vec::new(), Vec::new());
    names(view, uid, &mut |name| {
        if name.lists {
            trees.push((name.digest, name.reason.clone()));
        }
        if name.digest == *digest {
            found.push(name.reason);
        }
    })?;
    for (tree, reason) in trees {
        // A damaged tree names nothing that can be told; the blob's other reasons still hold.
        for (path, file) in files_of(view, &tree).unwrap_or_default() {
            if file == *digest {
                found.extend(listed(&reason, path));
            }
        }
    }
    found.dedup();
    Ok(found)
}

fn files_of(view: &View, tree: &Digest) -> Result<Vec<(ArtifactPath, Digest)>, Error> {
    let bytes = view.read_any(tree)?;
    let tree = Tree::decode(&bytes).map_err(|_| Error::Corrupt { digest: *tree })?;
    Ok(tree.entries().iter().map(|entry| (entry.path.clone(), entry.digest)).collect())
}

/// Shows every name in a row of the tenant, files in a bundle's tree not among them.
fn names(view: &View, uid: TenantUid, visit: &mut dyn FnMut(Name)) -> Result<(), Error> {
    let mut told = true; // whether the records and the planted files name all there is
    records(view, uid, &mut |record| {
        told &= record.manifest.is_some();
        names_of_record(&record, visit);
    })?;
    let mut planted = false;
    for row in view.scan::<Planted>(&uid) {
        let ((_, path), row) = row?;
        planted = true;
        visit(Name::plain(row.digest, Reason::Planted(path)));
    }
    for row in view.scan::<FlowHead>(&uid) {
        let ((_, flow), head) = row?;
        if let Some(env) = &head.env {
            visit(Name::plain(env.digest, Reason::Environment(flow.clone())));
        }
        visit(Name::plain(head.body, Reason::Head(flow)));
    }
    for row in view.scan::<DeliveryBody>(&uid) {
        let ((_, key), body) = row?;
        visit(Name::plain(body.digest, Reason::Delivery(key)));
    }
    for row in view.scan::<TufFile>(&uid) {
        let ((_, name), file) = row?;
        visit(Name::plain(file.digest, Reason::Tuf(name)));
    }
    for row in view.scan::<BundleAlias>(&uid) {
        let ((_, sha256), alias) = row?;
        visit(Name::list(alias.tree, Reason::Bundle(sha256)));
        for (document, digest) in alias.documents {
            visit(Name::plain(digest, Reason::Document(sha256, document)));
        }
    }
    if told && planted { Ok(()) } else { names_of_log(view, uid, visit) }
}

fn names_of_record(record: &BuildRecord, visit: &mut dyn FnMut(Name)) {
    let id = record.id;
    visit(Name::plain(record.body, Reason::Body(id)));
    if let Some(manifest) = record.manifest {
        visit(Name::plain(manifest, Reason::Manifest(id)));
    }
    for output in &record.outputs {
        visit(Name::plain(output.tree, Reason::Tree(id)));
        for file in &output.files {
            visit(Name::plain(file.digest, Reason::File(id, file.path.clone())));
        }
        if let Some(edge) = &output.edge {
            visit(Name::list(edge.tree, Reason::Tree(id)));
        }
    }
}

/// Shows every build record of the tenant, parsed on all cores.
fn records(view: &View, uid: TenantUid, visit: &mut dyn FnMut(BuildRecord)) -> Result<(), Error> {
    let mut page = Vec::with_capacity(PAGE);
    let mut result = Ok(());
    let range = KeyRange::prefix(&key_bytes(&uid));
    let scanned = view.snapshot().visit(BuildRecord::TABLE, &range, &mut |_, value| {
        page.push(value.to_vec());
        if page.len() == PAGE {
            result = parse_page(&mut page, visit);
        }
        result.is_ok()
    });
    scanned.map_err(Error::Read)?;
    result?;
    parse_page(&mut page, visit)
}

fn parse_page(page: &mut Vec<Vec<u8>>, visit: &mut dyn FnMut(BuildRecord)) -> Result<(), Error> {
    let records: Result<Vec<BuildRecord>, InvalidRow> =
        page.par_drain(..).map(|value| BuildRecord::decode(&value)).collect();
    records.map_err(|e| e.of(Table::Build))?.into_iter().for_each(visit);
    Ok(())
}

/// The Git log names every file of the branch. It is read only where rows of format 1 do not.
fn names_of_log(view: &View, uid: TenantUid, visit: &mut dyn FnMut(Name)) -> Result<(), Error> {
    let range = KeyRange::prefix(&key_bytes(&uid));
    let mut result = Ok(());
    let scanned = view.snapshot().visit(Table::GitLog, &range, &mut |key, value| {
        let entry = LogEntry::decode_key(key).and_then(|key| Ok((key, blob_of_log_entry(value)?)));
        match entry {
            Ok(((_, ordinal), Some(blob))) => visit(Name::plain(blob, Reason::GitObject(ordinal))),
            Ok((_, None)) => {}
            Err(error) => result = Err(error.of(Table::GitLog)),
        }
        result.is_ok()
    });
    scanned.map_err(Error::Read)?;
    result
}
