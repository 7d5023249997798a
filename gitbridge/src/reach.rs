//! Which objects commits, trees and blobs reach.

use std::collections::HashMap;

use colophon_model::{GitKind, Oid, Ordinal};
use roaring::RoaringBitmap;

use crate::filter::Filter;
use crate::history::Commit;
use crate::mates::Leaf;
use crate::object::from_gix;
use crate::{Error, ObjectLog, read};

/// Most places in the log that are remembered by object id: a few MiB while a request is planned.
const REMEMBERED: usize = 1 << 15;

/// Collects ordinals of objects, those apart that are not wanted.
pub(crate) struct Reach<'a> {
    log: &'a dyn ObjectLog,
    filter: Filter,
    /// Objects that are left out, with all that they reach.
    without: &'a RoaringBitmap,
    found: RoaringBitmap,
    /// The least depth at which each tree was opened, when the filter asks for depths.
    opened: HashMap<Ordinal, u64>,
    places: HashMap<Oid, Ordinal>,
    leaves: Vec<Leaf>,
    /// How many more commits and names in trees may be looked at.
    left: usize,
    most: usize,
}

impl<'a> Reach<'a> {
    /// Objects outside `without` that `filter` admits, found by looking at no more than `most`
    /// commits and names.
    pub(crate) fn new(
        log: &'a dyn ObjectLog,
        filter: Filter,
        without: &'a RoaringBitmap,
        most: usize,
    ) -> Self {
        Self {
            log,
            filter,
            without,
            found: RoaringBitmap::new(),
            opened: HashMap::new(),
            places: HashMap::new(),
            leaves: Vec::new(),
            left: most,
            most,
        }
    }

    /// What was found, and of what was found by opening trees where it lies.
    pub(crate) fn found(self) -> (RoaringBitmap, Vec<Leaf>) {
        (self.found, self.leaves)
    }

    /// Adds the commits from `top` down to `floor`, or to the first one, and what they reach.
    pub(crate) fn commits(&mut self, top: Ordinal, floor: Option<Ordinal>) -> Result<(), Error> {
        match floor {
            None if !self.filter.is_by_depth() => self.everything(top),
            _ => self.walk(top, floor),
        }
    }

    /// History is one line, so a commit reaches all that stands before it in the log.
    fn everything(&mut self, top: Ordinal) -> Result<(), Error> {
        if self.filter.is_open() {
            self.found.insert_range(..=top.get());
            self.found -= self.without;
            return Ok(());
        }
        let all = (0..=top.get()).filter(|at| !self.without.contains(*at));
        for at in all {
            let shape = read::shape(self.log, Ordinal::new(at))?;
            if self.filter.admits(shape.kind, shape.size) {
                self.found.insert(at);
            }
        }
        Ok(())
    }

    fn walk(&mut self, top: Ordinal, floor: Option<Ordinal>) -> Result<(), Error> {
        let mut next = Some(Commit::read(self.log, top)?);
        while let Some(commit) = next {
            self.look()?;
            if !self.is_known(commit.at) {
                self.found.insert(commit.at.get());
                let tree = self.place(commit.tree)?;
                self.add(tree, 0)?;
            }
            next = if Some(commit.at) == floor { None } else { commit.parent(self.log)? };
        }
        Ok(())
    }

    /// Adds an object that is wanted by id, whatever the filter says of it, and what it reaches.
    pub(crate) fn object(&mut self, at: Ordinal) -> Result<(), Error> {
        self.found.insert(at.get());
        match read::shape(self.log, at)?.kind {
            GitKind::Tree => self.open(at, 0),
            _ => Ok(()),
        }
    }

    /// Adds a tree or a blob at `depth`, unless it is left out; says whether it is a new one.
    fn add(&mut self, at: Ordinal, depth: u64) -> Result<bool, Error> {
        if self.without.contains(at.get()) || !self.filter.admits_depth(depth) {
            return Ok(false);
        }
        let is_new = !self.found.contains(at.get());
        if !is_new && !self.is_shallower(at, depth) {
            return Ok(false);
        }
        let shape = read::shape(self.log, at)?;
        if !self.filter.admits(shape.kind, shape.size) {
            return Ok(false);
        }
        self.found.insert(at.get());
        if shape.kind == GitKind::Tree {
            self.open(at, depth + 1)?;
        }
        Ok(is_new)
    }

    /// Adds what a tree names, all of it at `depth`. Trees are no deeper than paths are long.
    fn open(&mut self, at: Ordinal, depth: u64) -> Result<(), Error> {
        if self.filter.is_by_depth() {
            self.opened.insert(at, depth);
        }
        if !self.filter.admits_depth(depth) {
            return Ok(());
        }
        let (_, bytes) = read::object(self.log, at)?;
        let damaged = || Error::damaged(at, "it is not a well-formed tree");
        let tree = gix_object::TreeRef::from_bytes(&bytes, gix_hash::Kind::Sha1);
        for entry in tree.map_err(|_| damaged())?.entries {
            self.look()?;
            let below = self.place(from_gix(entry.oid).ok_or_else(damaged)?)?;
            if self.add(below, depth)? && entry.mode.is_blob() {
                let name = entry.filename.to_vec();
                self.leaves.push(Leaf { at: below, folder: at, name });
            }
        }
        Ok(())
    }

    /// Whether a tree that was opened further down names more of what is admitted here.
    fn is_shallower(&self, at: Ordinal, depth: u64) -> bool {
        self.opened.get(&at).is_some_and(|opened| depth + 1 < *opened)
    }

    fn is_known(&self, at: Ordinal) -> bool {
        self.found.contains(at.get()) || self.without.contains(at.get())
    }

    fn place(&mut self, oid: Oid) -> Result<Ordinal, Error> {
        if let Some(at) = self.places.get(&oid) {
            return Ok(*at);
        }
        let at = read::locate(self.log, oid)?;
        if self.places.len() == REMEMBERED {
            self.places.clear();
        }
        self.places.insert(oid, at);
        Ok(at)
    }

    fn look(&mut self) -> Result<(), Error> {
        let most = self.most;
        self.left =
            self.left.checked_sub(1).ok_or(Error::Limit { what: "objects to look at", most })?;
        Ok(())
    }
}
