//! One look at the server, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Instant;

use colophon_gitbridge::{Part, TakeError, Taken};
use colophon_model::{ArtifactPath, FlowId, GitKind, Oid};
use serde::Deserialize;

use super::blobs::Blobs;
use super::event::millis;
use super::shelf::{Shelf, Stuck};
use super::version::{Blob, File};
use super::{Event, Fault, Held, Source, Tip, Version, VersionName};
use crate::http::chain;

pub use super::shelf::Keep;

/// Most files of a version.
const FILES: usize = 250_000;
/// Blobs that are asked for at once: an answer that is cut costs no more than these.
const AT_ONCE: usize = 256;
/// Up to so many new blobs each is synced by itself.
const FEW: usize = 32;

/// Which version is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The tip of the tenant's branch.
    Branch,
    /// One commit.
    Commit(Oid),
    /// What a ref names: a tag, by its full name or behind `refs/tags/`.
    Ref(String),
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The folder is at the wanted commit as it was.
    Unchanged(Oid),
    /// The folder is at another commit than before, if there was one before.
    Switched(Oid),
}

/// What is told while it happens.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Event);

/// A folder that is kept at a version.
pub struct Checkout {
    held: Held,
    pub(super) source: Box<dyn Source>,
    pin: Pin,
    flows: Option<BTreeSet<FlowId>>,
    keep: Keep,
    shelf: Shelf,
    blobs: Blobs,
    /// The version readers get, once every file of it was read here.
    whole: Option<(VersionName, Oid)>,
    /// When to look for versions whose grace has passed; none when all that is here is to be kept.
    prune_at: Option<Instant>,
    /// Whether a version that failed may have left blobs that none holds.
    strays: bool,
}

/// A text that names no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a commit in full (40 hex digits), a tag or a branch")]
pub struct InvalidPin;

impl FromStr for Pin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if let Ok(oid) = text.parse() {
            return Ok(Self::Commit(oid));
        }
        if text.is_empty() || text.len() > 250 || !text.chars().all(plain) {
            return Err(InvalidPin);
        }
        Ok(Self::Ref(text.to_owned()))
    }
}

impl Checkout {
    /// Takes up work in a folder: what a crash has left half-done goes. `flows` are the only ones whose
    /// files are wanted; `None` for all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn new(
        held: Held,
        source: Box<dyn Source>,
        pin: Pin,
        flows: Option<BTreeSet<FlowId>>,
        keep: Keep,
    ) -> Result<Self, Fault> {
        let (shelf, mut blobs) = (Shelf::new(held.folder()), Blobs::new(held.folder()));
        shelf.tidy(&mut blobs)?;
        let (whole, prune_at, strays) = (None, Some(Instant::now()), false);
        Ok(Self { held, source, pin, flows, keep, shelf, blobs, whole, prune_at, strays })
    }

    /// The folder.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// The version that readers get now, and its commit.
    pub fn current(&self) -> Option<(VersionName, Oid)> {
        let name = self.held.folder().current_version()?;
        let commit = name.commit()?;
        Some((name, commit))
    }

    /// Brings the folder to the wanted version, if it is not there.
    ///
    /// # Errors
    /// When the server or the disk fails. Readers then have what they had.
    pub fn round(&mut self, tell: Tell<'_>) -> Result<Outcome, Fault> {
        let seen = self.whole.as_ref().map(|(_, commit)| *commit);
        let wanted = match &self.pin {
            Pin::Commit(oid) => *oid,
            Pin::Ref(name) => {
                self.source.find(name)?.ok_or_else(|| Fault::NoVersion(name.clone()))?
            }
            Pin::Branch => match (self.source.tip(seen)?, seen) {
                (Tip::At(oid), _) | (Tip::Unmoved, Some(oid)) => oid,
                (Tip::Unmoved, None) => {
                    return Err(Fault::NoServer("it answers 304 to nothing".to_owned()));
                }
            },
        };
        let as_left = self.whole.is_some() && self.whole == self.current();
        if as_left && seen == Some(wanted) {
            return self.stay(wanted, tell);
        }
        self.reach(wanted, tell)
    }

    fn stay(&mut self, wanted: Oid, tell: Tell<'_>) -> Result<Outcome, Fault> {
        if self.prune_at.is_some_and(|at| at <= Instant::now()) {
            self.prune(tell)?;
        }
        Ok(Outcome::Unchanged(wanted))
    }

    fn reach(&mut self, wanted: Oid, tell: Tell<'_>) -> Result<Outcome, Fault> {
        let (since, before) = (Instant::now(), self.current());
        if let Some((name, commit)) = before.clone()
            && commit == wanted
            && self.is_whole(&name, tell)?
        {
            self.whole = Some((name, wanted));
            return self.stay(wanted, tell);
        }
        let (name, fetched) = if let Some(name) = self.kept(wanted, tell)? {
            (name, 0)
        } else {
            let strays = std::mem::replace(&mut self.strays, true);
            let made = self.make(wanted, tell)?;
            self.strays = strays;
            made
        };
        self.shelf.switch(&name)?;
        self.whole = Some((name.clone(), wanted));
        let (old, new) =
            (before.and_then(|(name, _)| self.shelf.read(&name).ok()?), self.shelf.read(&name)?);
        tell(Event::Switched {
            old: old.as_ref().map(|old| old.commit),
            new: wanted,
            version: name,
            files: new.as_ref().map_or(0, |new| new.files.len()),
            fetched,
            millis: millis(since.elapsed()),
            backwards: old.zip(new).is_some_and(|(old, new)| old.time > new.time),
        });
        self.prune(tell)?;
        Ok(Outcome::Switched(wanted))
    }

    /// Takes away what is not to be kept any longer.
    fn prune(&mut self, tell: Tell<'_>) -> Result<(), Fault> {
        for Stuck { name, fault } in self.shelf.prune(self.keep, &mut self.blobs)? {
            tell(Event::Stuck { version: name, detail: chain(&fault) });
        }
        if self.strays {
            self.shelf.sweep(&mut self.blobs)?;
            self.strays = false;
        }
        let more = self.shelf.all()?.len() > self.keep.versions.saturating_add(1);
        self.prune_at = Instant::now().checked_add(self.keep.grace).filter(|_| more);
        Ok(())
    }

    /// Whether a version is here for the wanted flows, and every file of it is as it was put there.
    fn is_whole(&mut self, name: &VersionName, tell: Tell<'_>) -> Result<bool, Fault> {
        let Some(version) = self.shelf.read(name)? else { return Ok(false) };
        if version.flows != self.flows {
            return Ok(false);
        }
        let flaw = self.shelf.flaw(name, &version, &mut self.blobs)?;
        if let Some(found) = &flaw {
            tell(Event::Damaged { commit: version.commit, found: found.clone() });
        }
        Ok(flaw.is_none())
    }

    /// A version of this commit that was kept.
    fn kept(&mut self, wanted: Oid, tell: Tell<'_>) -> Result<Option<VersionName>, Fault> {
        let current = self.current().map(|(name, _)| name);
        for name in self.shelf.all()? {
            let other = current.as_ref() != Some(&name);
            if other && name.commit() == Some(wanted) && self.is_whole(&name, tell)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Makes the version from what is here and what has to be fetched; returns its name, and how many
    /// blobs were fetched.
    fn make(&mut self, wanted: Oid, tell: Tell<'_>) -> Result<(VersionName, usize), Fault> {
        let mut taken = Taken::default();
        let asked = self.source.objects(&[wanted], Part::WithoutBlobs, &mut taken);
        asked.map_err(|fault| unknown(fault, wanted))?;
        let commit = taken.commit(wanted)?;
        let files = taken.files(commit.tree, FILES)?.into_iter().map(File::from).collect();
        let mut version =
            Version { commit: wanted, tree: commit.tree, time: commit.time, flows: None, files };
        self.narrow(&mut version, tell)?;
        let fetched = self.fetch(&version.blobs(), tell)?;
        let name = self.shelf.build(&version, &mut self.blobs)?;
        Ok((name, fetched))
    }

    /// Fetches the blobs that are not here; returns how many those were.
    fn fetch(&mut self, blobs: &BTreeSet<Blob>, tell: Tell<'_>) -> Result<usize, Fault> {
        let mut missing: BTreeMap<Oid, Vec<Blob>> = BTreeMap::new();
        for blob in blobs {
            if !self.blobs.holds(*blob)? {
                missing.entry(blob.oid).or_default().push(*blob);
            }
        }
        let (oids, total) = (missing.keys().copied().collect::<Vec<_>>(), missing.len());
        let mut parts: Vec<&[Oid]> = oids.chunks(AT_ONCE).rev().collect();
        let mut done = 0;
        while let Some(part) = parts.pop() {
            let mut taken = Taken::default();
            match self.source.objects(part, Part::Whole, &mut taken) {
                // Few and large: ask for fewer.
                Err(Fault::Answer(TakeError::TooMuch { .. })) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                    continue;
                }
                answered => answered?,
            }
            for oid in part {
                let bytes = taken.get(*oid, GitKind::Blob)?;
                for blob in missing.get(oid).into_iter().flatten() {
                    self.blobs.put(*blob, bytes, total <= FEW)?;
                }
            }
            done += part.len();
            tell(Event::Progress { done: done as u64, total: total as u64 });
        }
        Ok(total)
    }

    /// Leaves out what only other flows have, by the manifest of the commit itself.
    fn narrow(&mut self, version: &mut Version, tell: Tell<'_>) -> Result<(), Fault> {
        let Some(wanted) = self.flows.clone() else { return Ok(()) };
        let manifest = version.files.iter().find(|file| file.path.as_str() == "manifest.json");
        let blob =
            manifest.ok_or_else(|| Fault::NoVersion("without a manifest.json".to_owned()))?.blob;
        self.fetch(&BTreeSet::from([blob]), &mut |_| {})?;
        let bytes = super::disk::read(&self.blobs.path(blob))?.unwrap_or_default();
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|_| TakeError::NotA { oid: blob.oid, wanted: "a manifest of flows" })?;
        self.check_flows(&wanted, &manifest, tell)?;
        let files = |ours: bool| -> BTreeSet<&ArtifactPath> {
            let flows = manifest.flows.iter().filter(|(flow, _)| wanted.contains(*flow) == ours);
            flows.flat_map(|(_, listed)| &listed.files).collect()
        };
        let (ours, others) = (files(true), files(false));
        version.files.retain(|file| !others.contains(&file.path) || ours.contains(&file.path));
        version.flows = Some(wanted);
        Ok(())
    }

    /// A flow that is not on the branch is a mistake of whoever asks for it. One that was there when this work
    /// began has been deleted since, which is told, and the others go on.
    fn check_flows(
        &self,
        wanted: &BTreeSet<FlowId>,
        manifest: &Manifest,
        tell: Tell<'_>,
    ) -> Result<(), Fault> {
        for flow in wanted.iter().filter(|flow| !manifest.flows.contains_key(*flow)) {
            if self.whole.is_none() {
                let there = manifest.flows.keys().cloned().collect();
                return Err(Fault::NoFlow { flow: flow.clone(), there });
            }
            tell(Event::NoFlow { flow: flow.clone() });
        }
        Ok(())
    }
}

/// What is read of the manifest on the branch.
#[derive(Deserialize)]
struct Manifest {
    flows: BTreeMap<FlowId, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    files: Vec<ArtifactPath>,
}

/// Git's words for an object that is not there, or not for us.
fn unknown(fault: Fault, wanted: Oid) -> Fault {
    match fault {
        Fault::Answer(TakeError::Refused(words)) if words.contains("not our ref") => {
            Fault::NoVersion(wanted.to_string())
        }
        other => other,
    }
}
