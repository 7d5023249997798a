//! The payload of a bag: that all of it is there, that nothing else is, and that it goes on where the bag before
//! ended.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::audit::{Action, Entry, Word};
use colophon_model::{BuildRecord, Digest, Sha256, TenantBranch};
use colophon_trust::attest::PublicKey;
use colophon_trust::dsse::Envelope;
use colophon_trust::note::NoteVerifier;

use super::tags::Tags;
use super::{Check, Named};
use crate::export::acts::{self, OpenAct};
use crate::export::error::ExportError;
use crate::export::head::Head;
use crate::export::layout;

/// Largest file of the payload that is looked into whole, in bytes. Exports have none that is larger: bags end before.
const KEPT: usize = 64 << 20;
/// What is looked into whole, beside the log and statements.
const LISTS: [&str; 5] =
    [layout::BUILDS, layout::BLOB_LIST, layout::OBJECTS, layout::OMITTED, layout::CHECKPOINT];
/// How much of a bundle is looked into, in bytes.
const BEGINNING: usize = 1 << 20;
/// What the names of statements about bundles end with.
const STATEMENT: &str = ".dsse.json";

impl Check<'_> {
    /// Checks one bag. Those before it were checked.
    pub(super) async fn bag(&mut self, tags: &Tags, head: &Head) -> Result<(), ExportError> {
        self.keys(tags).await?;
        self.guide(tags).await?;
        let files = self.payload(tags).await?;
        let text = |path: &str| files.get(path).map_or("", String::as_str);
        self.audit(tags, &files);
        self.checkpoint(tags, text(layout::CHECKPOINT));
        let named = self.blob_list(tags, text(layout::BLOB_LIST));
        self.objects(tags, &files, &named);
        if is_closed(tags, &files, layout::BUILDS) {
            self.skip_builds(tags);
        } else {
            let digests = named.values().filter_map(|blob| blob.digest).collect();
            let bundles = self.builds(tags, text(layout::BUILDS), &digests);
            self.documents(tags, &files, &bundles);
        }
        let bundle = files.get(layout::MIRROR).map(String::as_str);
        self.git(tags, head, bundle, is_closed(tags, &files, layout::MIRROR));
        Ok(())
    }

    /// Reads the public keys that the bag vouches for.
    async fn keys(&mut self, tags: &Tags) -> Result<(), ExportError> {
        for line in tags.info.values(layout::PUBLIC_KEY) {
            let Some((sha256, path)) = line.split_once("  ") else { continue };
            if self.keys.contains_key(path) {
                continue;
            }
            let Some(bytes) = self.get(path).await? else { continue };
            if Sha256::of(&bytes).to_string() != sha256 {
                self.found.wrong(path, "is not the key that the bag names");
            }
            if let Ok(key) = PublicKey::from_pem(&String::from_utf8_lossy(&bytes)) {
                self.keys.insert(path.to_owned(), key);
            }
        }
        Ok(())
    }

    /// Looks that the text is there that says how to check. Bags have it in common.
    async fn guide(&mut self, tags: &Tags) -> Result<(), ExportError> {
        for line in tags.info.values(layout::GUIDE) {
            let Some((sha256, path)) = line.split_once("  ") else { continue };
            if !self.guides.insert(line.to_owned()) {
                continue;
            }
            let Some(bytes) = self.get(path).await? else { continue };
            if Sha256::of(&bytes).to_string() != sha256 {
                self.found.wrong(path, "is not the text that the bag names");
            }
        }
        Ok(())
    }

    /// Reads every file that the manifest lists, and makes sure that there is no other. Returns what is looked into together,
    /// of the bundle its beginning; what can be is looked into by itself, and not kept.
    async fn payload(&mut self, tags: &Tags) -> Result<BTreeMap<String, String>, ExportError> {
        let carrier = self.carrier;
        let folder = tags.name.file("data");
        let listed = carrier.again(async || carrier.place.list(&carrier.key(&folder)).await).await;
        let listed = listed.map_err(|failure| failure.into_trouble(&folder))?;
        let before = carrier.key(&tags.name.file("")).len();
        for path in listed.iter().filter_map(|name| name.get(before..)) {
            if !tags.manifest.contains_key(path) {
                self.found.wrong(tags.name.file(path), "is in no manifest");
            }
        }
        let (mut files, mut octets) = (BTreeMap::new(), 0);
        for (path, sha256) in &tags.manifest {
            let at = tags.name.file(path);
            let name = path.strip_suffix(layout::SEALED).unwrap_or(path);
            let keep = self.keeps(name);
            let how = self.how(tags, path, keep);
            let Some(object) = carrier.object(&carrier.key(&at), how).await? else {
                self.found.wrong(at, "is not there");
                continue;
            };
            let unaltered = object.sha256 == *sha256;
            if !unaltered {
                self.found.wrong(&at, "was changed");
            }
            octets += object.length;
            let Some(inside) = self.opened(tags, path, object, unaltered) else { continue };
            if keep == KEPT && !inside.is_whole() {
                let text = format!("has {} bytes, and may have {KEPT}", inside.length);
                self.found.wrong(at, text);
            } else if name.ends_with(STATEMENT) {
                self.attestation(tags, name, &inside.first);
            } else if keep > 0 {
                files.insert(name.to_owned(), text_of(inside.first));
            }
        }
        self.found.bytes += octets;
        let oxum = format!("{octets}.{}", tags.manifest.len());
        if tags.info.value("Payload-Oxum") != Some(&oxum) {
            self.found.wrong(
                tags.name.file(layout::INFO),
                format!("the payload is {oxum}, not what it says"),
            );
        }
        Ok(files)
    }

    /// The lines of the log, or what a sealed bag says of them: both, when they could be opened.
    fn audit(&mut self, tags: &Tags, files: &BTreeMap<String, String>) {
        let Some(walk) = &mut self.walk else { return };
        let first = self.found.lines + 1;
        let (path, acts) = (layout::audit(first), files.get(&layout::acts(first)));
        let at = tags.name.file(&path);
        let mut broken = None;
        match files.get(&path) {
            None if acts.is_some() => {
                for line in acts.map_or("", String::as_str).lines() {
                    let Ok(act) = serde_json::from_str::<OpenAct>(line) else {
                        broken = Some(format!("`{line}` is no act"));
                        break;
                    };
                    if let Err(error) = walk.step_hashed(&act.hashes()) {
                        broken = Some(error.to_string());
                        break;
                    }
                    self.given_up.extend(act.given_up().map(str::to_owned));
                    self.last_line = act.hashes().line;
                }
            }
            lines => {
                for line in lines.map_or("", String::as_str).lines() {
                    match walk.step(line) {
                        Ok(entry) if is_given_up(&entry) => self.given_up.push(entry.time),
                        Ok(_) => {}
                        Err(error) => {
                            broken = Some(error.to_string());
                            break;
                        }
                    }
                    self.last_line = Sha256::of(line.as_bytes());
                }
                let said = lines.map(|lines| acts::of_lines(lines).unwrap_or_default());
                if let (Some(acts), Some(said)) = (acts, said)
                    && *acts != said
                {
                    broken = Some("the acts beside them are not those of the lines".to_owned());
                }
            }
        }
        let (before, size) = (self.found.lines, walk.size());
        self.found.lines = size;
        let range = tags.info.range("Audit-Lines").unwrap_or((before + 1, before));
        let last = tags.info.value("Audit-Last").and_then(|text| text.parse().ok());
        if let Some(broken) = broken {
            self.found.wrong(&at, broken);
        } else if range != (before + 1, size) || last != Some(self.last_line) {
            self.found.wrong(
                &at,
                format!("the lines are {} to {size}, not those of the bag's info", before + 1),
            );
        }
    }

    fn checkpoint(&mut self, tags: &Tags, note: &str) {
        let Some((size, root)) = self.walk.as_ref().map(|walk| (walk.size(), walk.root())) else {
            return;
        };
        let checkpoint = tags.name.file(layout::CHECKPOINT);
        let id = tags.info.value("Checkpoint-Key").unwrap_or_default();
        let verifier = self.keys.get(&layout::key(id)).and_then(NoteVerifier::of);
        let Some(verifier) = verifier else {
            self.found.wrong(checkpoint, "its key is not there");
            return;
        };
        match verifier.open(note) {
            Ok(signed) if (signed.size, signed.root) == (size, root) => {}
            Ok(signed) => {
                let text = format!(
                    "is over {} lines with another root than the {size} lines have",
                    signed.size
                );
                self.found.wrong(checkpoint, text);
            }
            Err(error) => self.found.wrong(checkpoint, error.to_string()),
        }
    }

    /// The blobs that a bag names.
    fn blob_list(&mut self, tags: &Tags, text: &str) -> BTreeMap<Sha256, Named> {
        let mut named = BTreeMap::new();
        for line in text.lines() {
            let Some((sha256, blob)) = parse(line) else {
                self.found
                    .wrong(tags.name.file(layout::BLOB_LIST), format!("`{line}` names no blob"));
                continue;
            };
            named.insert(sha256, blob);
            if !self.note(sha256, blob) {
                let text = format!("blob {sha256} was another one in an earlier bag");
                self.found.wrong(tags.name.file(layout::BLOB_LIST), text);
            }
        }
        named
    }

    /// The records; returns the bundles in them.
    fn builds(&mut self, tags: &Tags, text: &str, named: &BTreeSet<Digest>) -> BTreeSet<Sha256> {
        let at = tags.name.file(layout::BUILDS);
        let (before, mut bundles) = (self.builds, BTreeSet::new());
        for line in text.lines() {
            let Ok(record) = serde_json::from_str::<BuildRecord>(line) else {
                self.found.wrong(&at, format!("what follows build {} is no record", self.builds));
                return bundles;
            };
            let edges = record.outputs.iter().filter_map(|output| output.edge.as_ref());
            bundles.extend(edges.map(|edge| edge.sha256));
            if record.number != self.builds + 1 {
                let text = format!("after build {} comes {}", self.builds, record.number);
                self.found.wrong(&at, text);
            }
            for digest in digests(&record) {
                if !named.contains(&digest) {
                    self.found.wrong(
                        &at,
                        format!("blob {digest} of build {} is not listed", record.number),
                    );
                }
            }
            (self.builds, self.last_build) = (record.number, Some(record.id));
        }
        self.found.builds = self.builds;
        let range = tags.info.range("Builds").unwrap_or((before + 1, before));
        let last = self.last_build.map(|id| id.to_string());
        if range != (before + 1, self.builds) || tags.info.value("Last-Build") != last.as_deref() {
            self.found.wrong(
                at,
                format!(
                    "the builds are {} to {}, not those of the bag's info",
                    before + 1,
                    self.builds
                ),
            );
        }
        bundles
    }

    /// Each document about a bundle is there, or said to have ended before it could be exported.
    fn documents(
        &mut self,
        tags: &Tags,
        files: &BTreeMap<String, String>,
        bundles: &BTreeSet<Sha256>,
    ) {
        if is_closed(tags, files, layout::OMITTED) {
            return;
        }
        let omitted = files.get(layout::OMITTED).map_or("", String::as_str);
        let omitted: BTreeSet<&str> = omitted.lines().collect();
        for zip in bundles {
            for (kind, path) in layout::documents(zip) {
                let there = tags.manifest.contains_key(&path)
                    || tags.manifest.contains_key(&format!("{path}{}", layout::SEALED));
                let ended = format!("{zip} {} ended", layout::word(kind));
                if !there && !omitted.contains(ended.as_str()) {
                    let text = "is not there, and not said to have ended".to_owned();
                    self.found.wrong(tags.name.file(&path), text);
                }
            }
        }
    }

    /// The beginning of the bundle says what it rests on and where the branch is then.
    fn git(&mut self, tags: &Tags, head: &Head, bundle: Option<&str>, closed: bool) {
        let at = tags.name.file(layout::MIRROR);
        let tip = tags.info.value("Git-Tip").and_then(|text| text.parse().ok());
        let since = tags.info.value("Git-Previous-Tip").and_then(|text| text.parse().ok());
        if since != self.tip {
            self.found.wrong(
                tags.name.file(layout::INFO),
                "the branch does not go on where the bag before left it",
            );
        }
        self.tip = tip;
        let Some(bundle) = bundle else {
            if tip != since && !closed {
                self.found.wrong(at, "is not there, and the branch has moved");
            }
            return;
        };
        let mut lines = bundle.lines();
        let signature = lines.next();
        let header: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        let rests = header.iter().find_map(|line| line.strip_prefix('-')).map(str::trim);
        let branch = TenantBranch::new(head.tenant.slug.clone()).full_name();
        let wanted = tip.map(|tip: colophon_model::Oid| format!("{tip} {branch}"));
        let moved = wanted.is_some_and(|line| header.contains(&line.as_str()));
        let good = signature == Some("# v2 git bundle")
            && rests == since.map(|oid| oid.to_string()).as_deref();
        if !good || !moved {
            self.found.wrong(
                at,
                "does not lead from the branch's tip before to the one that the bag names",
            );
        }
    }

    /// How much of the file of a bag is looked into.
    fn keeps(&self, name: &str) -> usize {
        let first = self.found.lines + 1;
        let log = [layout::audit(first), layout::acts(first)];
        let whole = LISTS.contains(&name) || log.iter().any(|part| part == name);
        match name {
            layout::MIRROR => BEGINNING,
            _ if whole || name.ends_with(STATEMENT) => KEPT,
            _ => 0,
        }
    }

    fn attestation(&mut self, tags: &Tags, path: &str, json: &[u8]) {
        let envelope: Option<Envelope> = serde_json::from_slice(json).ok();
        let payload = envelope
            .and_then(|envelope| self.keys.values().find_map(|key| envelope.attested_by(key)));
        let statement: Option<serde_json::Value> =
            payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        let about = statement.as_ref().and_then(|it| it["subject"][0]["digest"]["sha256"].as_str());
        let zip = path.rsplit('/').next().and_then(|name| name.split('.').next());
        if about.is_none() || about != zip {
            self.found.wrong(
                tags.name.file(path),
                "is not signed by a key of the export, or about another bundle",
            );
        }
    }
}

/// Bytes as text, without a copy where they are.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Whether a line tells that an erasure was begun and given up.
fn is_given_up(entry: &Entry) -> bool {
    entry.action == Action::TenantErase && entry.outcome == Word::Failed
}

/// Whether a file is there, sealed with a key that was not given.
fn is_closed(tags: &Tags, files: &BTreeMap<String, String>, path: &str) -> bool {
    !files.contains_key(path) && tags.manifest.contains_key(&format!("{path}{}", layout::SEALED))
}

/// A line of `blobs.txt`.
pub(in crate::export) fn parse(line: &str) -> Option<(Sha256, Named)> {
    let mut parts = line.splitn(5, ' ');
    let sha256 = parts.next()?.parse().ok()?;
    let size = parts.next()?.parse().ok()?;
    let digest = parts.next()?.parse().ok()?;
    let sealed = parts.next()? != "-";
    parts.next().filter(|path| !path.is_empty())?;
    Some((sha256, Named { digest: Some(digest), size, sealed }))
}

/// The blobs that a record names by itself.
fn digests(record: &BuildRecord) -> Vec<Digest> {
    let files =
        record.outputs.iter().flat_map(|output| output.files.iter().map(|file| file.digest));
    let trees =
        record.outputs.iter().filter_map(|output| output.edge.as_ref().map(|edge| edge.tree));
    [record.body].into_iter().chain(record.manifest).chain(files).chain(trees).collect()
}
