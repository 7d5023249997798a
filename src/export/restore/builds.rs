//! Build records and all that they name, bag by bag in the order in which they were made.

use std::collections::BTreeMap;

use colophon_model::{
    BuildId, BuildKind, BuildRecord, Digest, EdgeManifest, EdgeOutput, Output, Sha256, Tree,
    TreeEntry,
};
use colophon_store::rows::{BuildNumber, BundleAlias, BundleTree, FlowClaim, FlowOwner, SeenPlan};
use colophon_store::{Progress, Report};

use super::blobs::{Bases, Blobs, Named};
use super::error::content;
use super::flows::Flows;
use super::source::{Source, Wanted};
use super::writer::Writer;
use super::{RestoreError, Surveyed, check};
use crate::export::layout;
use crate::export::verify::Tags;
use crate::export::verify::payload::parse;
use crate::pipeline::{Press, manifest_path};

/// Restores builds.
pub(super) struct Builds<'a> {
    press: &'a Press,
    source: &'a Source<'a>,
    from: &'a Surveyed,
    concurrency: usize,
    bases: Bases,
    /// What the flows are so far.
    pub(super) flows: Flows,
    /// Bundles so far.
    bundles: BTreeMap<Sha256, BundleAlias>,
    /// Blobs that were written.
    pub(super) written: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    done: u64,
}

impl<'a> Builds<'a> {
    pub(super) fn new(
        press: &'a Press,
        source: &'a Source<'a>,
        from: &'a Surveyed,
        concurrency: usize,
    ) -> Self {
        Self {
            press,
            source,
            from,
            concurrency,
            bases: Bases::default(),
            flows: Flows::default(),
            bundles: BTreeMap::new(),
            written: 0,
            bytes: 0,
            done: 0,
        }
    }

    /// Restores the builds of every bag, and what is known of their bundles.
    pub(super) async fn run(&mut self, report: Report<'_>) -> Result<(), RestoreError> {
        for bag in &self.from.proven.bags {
            self.bag(bag, report).await?;
        }
        let (uid, mut writer) = (self.from.tenant.uid, self.writer());
        let current: Vec<Sha256> = self
            .flows
            .heads
            .values()
            .filter_map(|head| Some(head.edge.as_ref()?.output.sha256))
            .collect();
        for (sha256, alias) in &self.bundles {
            // What had ended with its bundle when it was exported is not served again.
            if !alias.documents.is_empty() || current.contains(sha256) {
                writer.put(&(uid, *sha256), alias)?;
            }
        }
        Ok(writer.flush()?)
    }

    fn writer(&self) -> Writer<'a> {
        Writer::new(&self.press.store, self.from.tenant.uid)
    }

    async fn bag(&mut self, bag: &Tags, report: Report<'_>) -> Result<(), RestoreError> {
        let records = self.records(bag).await?;
        let listed = self.listed(bag).await?;
        // The lists first: they say what else belongs to a bundle.
        let lists: Vec<Named> = edges(&records).map(|edge| Named::list(edge.tree)).collect();
        self.fetch(bag, &listed, lists, report).await?;
        let mut files = Vec::new();
        for record in &records {
            files.extend(names(record));
            for edge in record.outputs.iter().filter_map(|output| output.edge.as_ref()) {
                let tree = self.tree(edge)?;
                let name =
                    |entry: &TreeEntry| Named::file(entry.digest, "bundle", entry.path.as_str());
                files.extend(tree.entries().iter().map(name));
            }
        }
        self.fetch(bag, &listed, files, report).await?;
        self.documents(bag, &records).await?;
        self.rows(bag, &records)?;
        self.done += records.len() as u64;
        let total = Some(self.from.verified.builds);
        report(Progress { stage: "restoring builds", done: self.done, total });
        Ok(())
    }

    async fn fetch(
        &mut self,
        bag: &Tags,
        listed: &BTreeMap<Digest, Wanted>,
        names: Vec<Named>,
        report: Report<'_>,
    ) -> Result<(), RestoreError> {
        let mut blobs = Blobs {
            source: self.source,
            store: &self.press.store,
            uid: self.from.tenant.uid,
            listed,
            at: bag.name.file(layout::BLOB_LIST),
            concurrency: self.concurrency,
            bases: &mut self.bases,
            written: 0,
            bytes: 0,
        };
        blobs.fetch(names, report).await?;
        let (written, bytes) = (blobs.written, blobs.bytes);
        self.written += written;
        self.bytes += bytes;
        Ok(())
    }

    /// The records of a bag: of this tenant, and each with the id that follows from what it says.
    async fn records(&self, bag: &Tags) -> Result<Vec<BuildRecord>, RestoreError> {
        let (uid, text) = (self.from.tenant.uid, self.source.text(bag, layout::BUILDS).await?);
        let mut records = Vec::new();
        for line in text.lines() {
            let number = self.done + records.len() as u64 + 1;
            let at = || format!("{} (build {number})", bag.name.file(layout::BUILDS));
            let record: BuildRecord = serde_json::from_str(line)
                .map_err(|error| content(at(), format!("cannot be read: {error}")))?;
            check(record.tenant == uid, at(), "is of another tenant")?;
            check(record.number == number, at(), "has another number")?;
            check(
                record.id == BuildId::derive(uid, number, &record.key),
                at(),
                "has an id that is not its own",
            )?;
            let tags = record.tags.iter().map(colophon_model::BuildTag::full_name);
            let failed = record.failure.iter().map(|failure| failure.tag.full_name());
            let slug = &self.from.tenant.slug;
            let own = [format!("refs/tags/bld/{slug}/"), format!("refs/tags/build-failed/{slug}/")];
            for tag in tags.chain(failed) {
                let good = own.iter().any(|folder| tag.starts_with(folder));
                check(good, at(), "has a tag of another tenant")?;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The blobs that a bag names, by BLAKE3.
    async fn listed(&self, bag: &Tags) -> Result<BTreeMap<Digest, Wanted>, RestoreError> {
        let mut listed = BTreeMap::new();
        for line in self.source.text(bag, layout::BLOB_LIST).await?.lines() {
            let wrong =
                || content(bag.name.file(layout::BLOB_LIST), "has a line that names no blob");
            let (sha256, named) = parse(line).ok_or_else(wrong)?;
            let digest = named.digest.ok_or_else(wrong)?;
            let key = line.split(' ').nth(3).filter(|key| *key != "-").map(str::to_owned);
            listed.insert(digest, Wanted { sha256, size: named.size, digest, key });
        }
        Ok(listed)
    }

    fn tree(&self, edge: &EdgeOutput) -> Result<Tree, RestoreError> {
        let wrong = |problem: &str| content(format!("trees/{}", edge.tree), problem);
        let uid = self.from.tenant.uid;
        let text = self.press.store.view()?.read_blob(uid, &edge.tree)?;
        let text = text.ok_or_else(|| wrong("is not there"))?;
        Tree::decode(&text).map_err(|error| wrong(&format!("is no list of files: {error}")))
    }

    /// What a bundle says of itself.
    fn manifest(&self, edge: &EdgeOutput) -> Result<EdgeManifest, RestoreError> {
        let at = || format!("trees/{}/{}", edge.tree, manifest_path());
        let tree = self.tree(edge)?;
        let entry = tree.entries().iter().find(|entry| entry.path == manifest_path());
        let entry = entry.ok_or_else(|| content(at(), "is not there"))?;
        let text = self.press.store.view()?.read_blob(self.from.tenant.uid, &entry.digest)?;
        let manifest: Option<EdgeManifest> =
            text.and_then(|text| serde_json::from_slice(&text).ok());
        let manifest = manifest.ok_or_else(|| content(at(), "cannot be read"))?;
        check(manifest.slug == self.from.tenant.slug, at(), "is of another tenant")?;
        Ok(manifest)
    }

    /// What was written about bundles; a later bag has the last word.
    async fn documents(&mut self, bag: &Tags, records: &[BuildRecord]) -> Result<(), RestoreError> {
        let mut writer = self.writer();
        for edge in edges(records) {
            let mut documents = BTreeMap::new();
            for (kind, path) in layout::documents(&edge.sha256) {
                let Some(bytes) = self.source.file(bag, &path).await? else { continue };
                let digest = Digest::of(&bytes);
                documents.insert(kind, digest);
                let base =
                    self.bases.turn(&format!("document/{}/{kind:?}", edge.target_name), digest);
                writer.blob(&self.press.store.view()?, &bytes, base)?;
            }
            let alias = self.bundles.entry(edge.sha256).or_insert_with(|| BundleAlias {
                tree: edge.tree,
                render: edge.render.clone(),
                length: edge.length,
                name: edge.target_name.clone(),
                documents: BTreeMap::new(),
            });
            let same = alias.tree == edge.tree;
            check(same, layout::BUILDS, "has two bundles with one checksum")?;
            alias.render.clone_from(&edge.render);
            alias.name.clone_from(&edge.target_name);
            alias.documents.extend(documents);
        }
        Ok(writer.flush()?)
    }

    /// The rows of a bag's builds, and the lists of their files.
    fn rows(&mut self, bag: &Tags, records: &[BuildRecord]) -> Result<(), RestoreError> {
        let (uid, mut writer) = (self.from.tenant.uid, self.writer());
        let view = self.press.store.view()?;
        for record in records {
            for output in &record.outputs {
                let list = list(output).filter(|tree| tree.digest() == output.tree);
                let at = || format!("{} (build {})", bag.name.file(layout::BUILDS), record.number);
                let list =
                    list.ok_or_else(|| content(at(), "has files that are not those of its tree"))?;
                let base = self
                    .bases
                    .turn(&format!("list/{}/{}", record.flow, output.target), output.tree);
                writer.blob(&view, &list.encode(), base)?;
            }
            Self::row(record, &mut writer)?;
            let edge = record.outputs.iter().find_map(|output| output.edge.as_ref());
            let manifest = edge.map(|edge| self.manifest(edge)).transpose()?;
            if let Some(edge) = edge {
                writer.put(&(uid, edge.tree), &BundleTree)?;
            }
            self.flows.after(record, manifest);
        }
        Ok(writer.flush()?)
    }

    fn row(record: &BuildRecord, writer: &mut Writer<'_>) -> Result<(), RestoreError> {
        let (uid, flow) = (writer.uid, record.flow.clone());
        writer.put(&(uid, record.id), record)?;
        writer.put(&(uid, record.number), &BuildNumber { build: record.id })?;
        if record.failure.is_some() {
            return Ok(());
        }
        let (source, native) = (record.source, record.native.clone());
        writer.put(&(uid, source, native.clone()), &FlowClaim { flow: flow.clone() })?;
        writer.put(&(uid, flow.clone()), &FlowOwner { source, native })?;
        if record.kind != BuildKind::Deletion {
            writer.put(&(uid, flow, record.plan), &SeenPlan)?;
        }
        Ok(())
    }
}

fn edges(records: &[BuildRecord]) -> impl Iterator<Item = &EdgeOutput> {
    records.iter().flat_map(|record| &record.outputs).filter_map(|output| output.edge.as_ref())
}

/// The blobs that a record names by itself, lists of files aside.
fn names(record: &BuildRecord) -> Vec<Named> {
    let flow = format!("flow/{}", record.flow);
    let mut names = vec![Named::file(record.body, &flow, "received")];
    names.extend(record.manifest.map(|digest| Named::file(digest, "branch", "manifest.json")));
    let files = record.outputs.iter().flat_map(|output| &output.files);
    names.extend(files.map(|file| Named::file(file.digest, "branch", file.path.as_str())));
    names
}

/// The list of an output's files on the branch, which is made from the record.
fn list(output: &Output) -> Option<Tree> {
    let entry = |file: &colophon_model::OutputFile| TreeEntry {
        path: file.path.clone(),
        mode: file.mode,
        digest: file.digest,
    };
    Tree::new(output.files.iter().map(entry).collect()).ok()
}
