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

/// A file that another one is likely to resemble.
struct Alike {
    oid: Oid,
    /// How many letters their names begin with in common.
    shared: usize,
}

/// Entries of a directory, from a place in it on.
type Nearest<'a> = Box<dyn Iterator<Item = (&'a String, &'a Child)> + 'a>;

/// A tree that a [`Dir`] became, with the one it replaces.
pub(crate) struct NewTree {
    pub(crate) object: Object,
    pub(crate) old: Option<Oid>,
}

impl Dir {
    /// Opens the tree `oid`.
    pub(crate) fn open(log: &dyn ObjectLog, oid: Oid) -> Result<Self, Error> {
        let at = read::locate(log, oid)?;
        let bytes = read::base_tree(log, (oid, at))?;
        let tree = gix_object::TreeRef::from_bytes(&bytes, gix_hash::Kind::Sha1);
        let damaged = || Error::damaged(at, "it is not a well-formed tree");
        let entries = tree.map_err(|_| damaged())?.entries;
        let children = entries.into_iter().map(|entry| {
            let name = std::str::from_utf8(entry.filename).ok()?.to_owned();
            Some((name, Child::Closed { mode: entry.mode, oid: from_gix(entry.oid)? }))
        });
        let children = children.collect::<Option<_>>().ok_or_else(damaged)?;
        Ok(Self { old: Some(oid), children })
    }

    /// Puts a file and returns a blob that it is likely to resemble: the one that it replaces, a
    /// neighbour of the same kind, or one at the same place in a folder beside its own.
    pub(crate) fn put(
        &mut self,
        log: &dyn ObjectLog,
        path: &ArtifactPath,
        mode: FileMode,
        oid: Oid,
    ) -> Result<Option<Oid>, Error> {
        let (folders, name) = split(path);
        let mut dir = &mut *self;
        for folder in folders {
            dir.check_name(folder, path)?;
            let child = dir.children.entry(folder.to_owned());
            dir = child.or_insert(Child::Open(Self::default())).opened(log, path)?;
        }
        dir.check_name(name, path)?;
        let new = Child::Closed { mode: entry_kind(mode).into(), oid };
        let alike = match dir.children.insert(name.to_owned(), new) {
            None => dir.neighbour(name),
            Some(Child::Closed { mode, oid }) if mode.is_blob() => return Ok(Some(oid)),
            Some(child) if child.is_vacant() => dir.neighbour(name),
            Some(_) => return Err(refuse(path, "a folder stands there")),
        };
        match alike {
            Some(Alike { shared: 0, oid }) => Ok(self.cousin(log, path)?.or(Some(oid))),
            Some(Alike { oid, .. }) => Ok(Some(oid)),
            None => self.cousin(log, path),
        }
    }

    /// A file at the same place in the folder beside one of the folders of `path`: the folders of two
    /// flows are generated alike. Innermost folders first; a few trees are read, however many
    /// folders there are.
    fn cousin(&mut self, log: &dyn ObjectLog, path: &ArtifactPath) -> Result<Option<Oid>, Error> {
        let (folders, name) = split(path);
        let folders: Vec<&str> = folders.collect();
        for above in (0..folders.len()).rev() {
            let Some(dir) = self.descend(log, path, &folders[..above])? else { continue };
            let Some(beside) = dir.folder_beside(folders[above]) else { continue };
            let place = [&[&*beside], &folders[above + 1..]].concat();
            let alike = dir.descend(log, path, &place)?.and_then(|dir| dir.resembling(name));
            if alike.is_some() {
                return Ok(alike);
            }
        }
        Ok(None)
    }

    /// The folder at `folders`, if there is one.
    fn descend(
        &mut self,
        log: &dyn ObjectLog,
        path: &ArtifactPath,
        folders: &[&str],
    ) -> Result<Option<&mut Self>, Error> {
        let mut dir = self;
        for folder in folders {
            match dir.children.get_mut(*folder) {
                Some(child) if child.is_folder() => dir = child.opened(log, path)?,
                _ => return Ok(None),
            }
        }
        Ok(Some(dir))
    }

    /// The nearest folder by name.
    fn folder_beside(&self, name: &str) -> Option<String> {
        let (mut before, mut after) = self.around(name);
        let folder = |(other, child): (&String, &Child)| {
            (child.is_folder() && !child.is_vacant()).then(|| other.clone())
        };
        before.find_map(folder).or_else(|| after.find_map(folder))
    }

    /// The file of this name, or else one that is named alike.
    fn resembling(&self, name: &str) -> Option<Oid> {
        match self.children.get(name) {
            Some(Child::Closed { mode, oid }) if mode.is_blob() => Some(*oid),
            _ => self.neighbour(name).filter(|found| found.shared > 0).map(|found| found.oid),
        }
    }

    /// The nearest file by name that ends in the same extension: generated files of a folder are
    /// alike.
    fn neighbour(&self, name: &str) -> Option<Alike> {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension)?;
        let alike = |(other, child): (&String, &Child)| match child {
            Child::Closed { mode, oid } if mode.is_blob() => {
                let (_, end) = other.rsplit_once('.')?;
                let shared = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
                (end == extension).then_some(Alike { shared, oid: *oid })
            }
            _ => None,
        };
        let (mut before, mut after) = self.around(name);
        let nearest = [after.find_map(alike), before.find_map(alike)];
        nearest.into_iter().flatten().max_by_key(|found| found.shared)
    }

    /// What stands before `name`, the nearest first, and what stands behind it.
    fn around(&self, name: &str) -> (Nearest<'_>, Nearest<'_>) {
        let before = (Bound::Unbounded, Bound::Excluded(name));
        let after = (Bound::Excluded(name), Bound::Unbounded);
        let before = self.children.range::<str, _>(before).rev();
        (Box::new(before), Box::new(self.children.range::<str, _>(after)))
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

    /// Whether a folder stands here, or stood here when the commit began.
    fn is_folder(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Closed { mode, .. } => mode.is_tree(),
        }
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
