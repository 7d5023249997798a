//! A parent's tree, opened along the changed paths only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use colophon_model::{ArtifactPath, FileMode, Oid};
use gix_object::tree::{Entry, EntryKind, EntryMode};

use crate::object::{Object, from_gix, to_gix};
use crate::{Error, ObjectLog, read};

/// Most entries of a directory: what forges still show and file systems still list at once.
const MAX_ENTRIES: usize = 3_000;

/// A directory that was opened.
#[derive(Default)]
pub(crate) struct Dir {
    /// The tree object that stood here in the parent.
    old: Option<Oid>,
    children: BTreeMap<String, Child>,
}

enum Child {
    /// A file, or a directory that no change has touched.
    Closed {
        mode: EntryMode,
        oid: Oid,
    },
    Open(Dir),
}

/// A tree that a [`Dir`] became, with the one it replaces.
pub(crate) struct NewTree {
    pub(crate) object: Object,
    pub(crate) old: Option<Oid>,
}

impl Dir {
    /// Opens the tree `oid`.
    pub(crate) fn open(log: &dyn ObjectLog, oid: Oid) -> Result<Self, Error> {
        let bytes = read::tree(log, oid)?;
        let tree = gix_object::TreeRef::from_bytes(&bytes, gix_hash::Kind::Sha1);
        let at = read::locate(log, oid)?;
        let damaged = || Error::damaged(at, "it is not a well-formed tree");
        let entries = tree.map_err(|_| damaged())?.entries;
        let children = entries.into_iter().map(|entry| {
            let name = std::str::from_utf8(entry.filename).ok()?.to_owned();
            Some((name, Child::Closed { mode: entry.mode, oid: from_gix(entry.oid)? }))
        });
        let children = children.collect::<Option<_>>().ok_or_else(damaged)?;
        Ok(Self { old: Some(oid), children })
    }

    /// Puts a file and returns a blob that it is likely to resemble: the one that it replaces, or a
    /// neighbour of the same kind.
    pub(crate) fn put(
        &mut self,
        log: &dyn ObjectLog,
        path: &ArtifactPath,
        mode: FileMode,
        oid: Oid,
    ) -> Result<Option<Oid>, Error> {
        let (folders, name) = split(path);
        let mut dir = self;
        for folder in folders {
            dir.check_name(folder, path)?;
            let child = dir.children.entry(folder.to_owned());
            dir = child.or_insert(Child::Open(Self::default())).opened(log, path)?;
        }
        dir.check_name(name, path)?;
        let new = Child::Closed { mode: entry_kind(mode).into(), oid };
        match dir.children.insert(name.to_owned(), new) {
            None => Ok(dir.neighbour(name)),
            Some(Child::Closed { mode, oid }) if mode.is_blob() => Ok(Some(oid)),
            Some(child) if child.is_vacant() => Ok(dir.neighbour(name)),
            Some(_) => Err(refuse(path, "a folder stands there")),
        }
    }

    /// The nearest file by name that ends in the same extension: generated files of a folder are
    /// alike.
    fn neighbour(&self, name: &str) -> Option<Oid> {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension)?;
        let alike = |(other, child): (&String, &Child)| match child {
            Child::Closed { mode, oid } if mode.is_blob() => {
                let (_, end) = other.rsplit_once('.')?;
                (end == extension).then_some(*oid)
            }
            _ => None,
        };
        let before = (Bound::Unbounded, Bound::Excluded(name));
        let after = (Bound::Excluded(name), Bound::Unbounded);
        let found = self.children.range::<str, _>(before).rev().find_map(alike);
        found.or_else(|| self.children.range::<str, _>(after).find_map(alike))
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, log: &dyn ObjectLog, path: &ArtifactPath) -> Result<(), Error> {
        let absent = || refuse(path, "it is not in the parent commit");
        let (folders, name) = split(path);
        let mut dir = self;
        for folder in folders {
            dir = dir.children.get_mut(folder).ok_or_else(absent)?.opened(log, path)?;
        }
        match dir.children.remove(name) {
            Some(Child::Closed { mode, .. }) if mode.is_blob() => Ok(()),
            _ => Err(absent()),
        }
    }

    /// Whether `name` may stand here: it does, or there is room and no other name is the same file
    /// on Windows and macOS. Paths are ASCII, so letter case is all that can differ.
    fn check_name(&self, name: &str, path: &ArtifactPath) -> Result<(), Error> {
        if self.children.get(name).is_some_and(|child| !child.is_vacant()) {
            return Ok(());
        }
        let others = self.children.iter().filter(|(_, child)| !child.is_vacant());
        let mut count = 0;
        for (other, _) in others {
            if other != name && other.eq_ignore_ascii_case(name) {
                return Err(refuse(path, "another name there differs in letter case only"));
            }
            count += 1;
        }
        if count >= MAX_ENTRIES {
            return Err(refuse(path, "its folder has 3,000 entries, and no more fit"));
        }
        Ok(())
    }

    /// Whether no file is left, not even in folders.
    fn is_vacant(&self) -> bool {
        self.children.values().all(Child::is_vacant)
    }

    /// Closes this directory: its trees go to `trees`, deepest first. Empty folders disappear.
    pub(crate) fn close(self, trees: &mut Vec<NewTree>) -> Result<Oid, Error> {
        let mut entries = Vec::with_capacity(self.children.len());
        for (name, child) in self.children {
            let (mode, oid) = match child {
                Child::Closed { mode, oid } => (mode, oid),
                Child::Open(dir) if dir.is_vacant() => continue,
                Child::Open(dir) => (EntryKind::Tree.into(), dir.close(trees)?),
            };
            entries.push(Entry { mode, filename: name.into(), oid: to_gix(oid) });
        }
        let object = Object::tree(entries)?;
        let oid = object.oid;
        trees.push(NewTree { object, old: self.old });
        Ok(oid)
    }
}

impl Child {
    /// Whether this is a folder that will disappear.
    fn is_vacant(&self) -> bool {
        matches!(self, Self::Open(dir) if dir.is_vacant())
    }

    /// This child as a directory, read when it is still closed.
    fn opened(&mut self, log: &dyn ObjectLog, path: &ArtifactPath) -> Result<&mut Dir, Error> {
        if let Self::Closed { mode, oid } = self {
            if !mode.is_tree() {
                return Err(refuse(path, "a file stands where it needs a folder"));
            }
            *self = Self::Open(Dir::open(log, *oid)?);
        }
        match self {
            Self::Open(dir) => Ok(dir),
            Self::Closed { .. } => Err(refuse(path, "a file stands where it needs a folder")),
        }
    }
}

/// Refuses a list of changes that names one file twice.
pub(crate) fn check_distinct<'a>(
    paths: impl Iterator<Item = &'a ArtifactPath>,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for path in paths {
        if !seen.insert(path) {
            return Err(refuse(path, "it is changed twice"));
        }
    }
    Ok(())
}

/// The folders above a file, outermost first, and its name.
fn split(path: &ArtifactPath) -> (impl Iterator<Item = &str>, &str) {
    let path = path.as_str();
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(f, n)| (Some(f), n));
    (folders.into_iter().flat_map(|folders| folders.split('/')), name)
}

const fn entry_kind(mode: FileMode) -> EntryKind {
    match mode {
        FileMode::Regular => EntryKind::Blob,
        FileMode::Executable => EntryKind::BlobExecutable,
    }
}

fn refuse(path: &ArtifactPath, problem: &'static str) -> Error {
    Error::Path { path: path.clone(), problem }
}
