//! What a power cut leaves of a folder. A file has the bytes that were synced; whether it has later ones,
//! some of them or zeros is the disk's choice, and so is every name that was made, moved or removed since
//! its folder was synced. This is what POSIX promises, and less than any one file system gives: only that
//! one move happens as a whole is taken for granted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::path::{Path, PathBuf};

thread_local! {
    static RECORD: RefCell<Option<Record>> = const { RefCell::new(None) };
}

/// What of that which was not synced is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// All of it.
    Everything,
    /// The bytes; the names are there. So are many file systems that write bytes late.
    Contents,
    /// What a generator that begins with this number draws.
    Drawn(u64),
}

/// Follows what happens below a folder, all of which is on the medium now.
pub(crate) fn watch(root: &Path) {
    let mut record = Record { root: root.to_owned(), nodes: Vec::new(), steps: Vec::new() };
    record.take_in(root);
    RECORD.set(Some(record));
}

/// Ends that, at the moment of the cut.
pub(crate) fn cut() -> Record {
    let mut record = RECORD.take().expect("a folder is watched");
    let root = record.root.clone();
    record.capture(0, &root);
    record
}

pub(crate) fn made(path: &Path) {
    tell(|record| record.made(path));
}

pub(crate) fn moving(from: &Path, to: &Path) {
    tell(|record| record.moving(from, to));
}

pub(crate) fn removing(path: &Path) {
    tell(|record| record.removing(path));
}

pub(crate) fn synced(path: &Path) {
    tell(|record| record.synced(path));
}

pub(crate) fn synced_folder(path: &Path) {
    tell(|record| record.synced_folder(path));
}

fn tell(event: impl FnOnce(&mut Record)) {
    RECORD.with_borrow_mut(|record| record.as_mut().map_or((), event));
}

type Names = BTreeMap<OsString, usize>;

/// A file or folder, whatever its name is.
enum Node {
    File {
        synced: Vec<u8>,
        last: Vec<u8>,
        rights: Option<Permissions>,
    },
    Folder {
        /// The names that were there in the beginning.
        base: Names,
        /// Those that are there now.
        live: Names,
    },
}

/// A change of names in the folder `in_folder`.
struct Step {
    in_folder: usize,
    name: OsString,
    what: What,
    synced: bool,
}

enum What {
    Named(usize),
    Unnamed(usize),
    Moved { from: (usize, OsString), node: usize },
}

/// A folder, and what was done in it since it was watched.
pub(crate) struct Record {
    root: PathBuf,
    nodes: Vec<Node>,
    steps: Vec<Step>,
}

impl Record {
    fn take_in(&mut self, path: &Path) -> usize {
        let id = self.nodes.len();
        if !path.is_dir() {
            let bytes = fs::read(path).unwrap();
            self.nodes.push(file(bytes));
            return id;
        }
        self.nodes.push(folder());
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let child = self.take_in(&entry.path());
            let Node::Folder { base, live } = &mut self.nodes[id] else { unreachable!() };
            base.insert(entry.file_name(), child);
            live.insert(entry.file_name(), child);
        }
        id
    }

    fn live(&mut self, id: usize) -> &mut Names {
        match &mut self.nodes[id] {
            Node::Folder { live, .. } => live,
            Node::File { .. } => panic!("a file is no folder"),
        }
    }

    fn find(&mut self, path: &Path) -> Option<usize> {
        let inside = path.strip_prefix(&self.root).ok()?.to_owned();
        inside.iter().try_fold(0, |id, name| self.live(id).get(name).copied())
    }

    /// The folder and the name of a path below the root.
    fn place(&mut self, path: &Path) -> Option<(usize, OsString)> {
        path.strip_prefix(&self.root).ok()?.file_name()?;
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn step(&mut self, (in_folder, name): (usize, OsString), what: What) {
        self.steps.push(Step { in_folder, name, what, synced: false });
    }

    fn made(&mut self, path: &Path) {
        if self.find(path).is_some() || !path.starts_with(&self.root) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.made(parent);
        }
        let node = if path.is_dir() { folder() } else { file(Vec::new()) };
        let (id, place) = (self.nodes.len(), self.place(path).unwrap());
        self.nodes.push(node);
        self.live(place.0).insert(place.1.clone(), id);
        self.step(place, What::Named(id));
    }

    fn moving(&mut self, from: &Path, to: &Path) {
        let (Some(node), Some(there)) = (self.find(from), self.place(to)) else { return };
        if let Some(old) = self.find(to) {
            self.capture(old, to);
        }
        let from = self.place(from).unwrap();
        self.live(from.0).remove(&from.1);
        self.live(there.0).insert(there.1.clone(), node);
        self.step(there, What::Moved { from, node });
    }

    /// A folder goes name by name, those in it first.
    fn removing(&mut self, path: &Path) {
        let (Some(node), Some(place)) = (self.find(path), self.place(path)) else { return };
        if path.is_dir() {
            let names: Vec<_> = self.live(node).keys().cloned().collect();
            for name in &names {
                self.removing(&path.join(name));
            }
        }
        self.capture(node, path);
        self.live(place.0).remove(&place.1);
        self.step(place, What::Unnamed(node));
    }

    fn synced(&mut self, path: &Path) {
        let Some(id) = self.find(path) else { return };
        let bytes = fs::read(path).unwrap();
        if let Node::File { synced, .. } = &mut self.nodes[id] {
            *synced = bytes;
        }
    }

    fn synced_folder(&mut self, path: &Path) {
        let Some(id) = self.find(path) else { return };
        let steps = self.steps.iter_mut().filter(|step| step.in_folder == id);
        steps.for_each(|step| step.synced = true);
    }

    /// Notes the bytes and rights that files have now.
    fn capture(&mut self, id: usize, path: &Path) {
        match &mut self.nodes[id] {
            Node::File { last, rights, .. } => {
                *last = fs::read(path).unwrap();
                *rights = Some(fs::metadata(path).unwrap().permissions());
            }
            Node::Folder { live, .. } => {
                for (name, id) in live.clone() {
                    self.capture(id, &path.join(name));
                }
            }
        }
    }

    /// Makes the folder what is found after the cut.
    pub(crate) fn leave(&self, loss: Loss) {
        let mut dice = match loss {
            Loss::Drawn(seed) => Some(Dice(seed)),
            Loss::Everything | Loss::Contents => None,
        };
        let names = self.names(loss, &mut dice);
        fs::remove_dir_all(&self.root).unwrap();
        self.write(0, &self.root, &names, &mut dice);
    }

    fn names(&self, loss: Loss, dice: &mut Option<Dice>) -> Vec<Names> {
        let base = |node: &Node| match node {
            Node::Folder { base, .. } => base.clone(),
            Node::File { .. } => Names::new(),
        };
        let mut names: Vec<Names> = self.nodes.iter().map(base).collect();
        for step in &self.steps {
            let kept =
                dice.as_mut().map_or(matches!(loss, Loss::Contents), |dice| dice.below(2) == 1);
            if step.synced || kept {
                step.happen(&mut names);
            }
        }
        names
    }

    fn write(&self, id: usize, path: &Path, names: &[Names], dice: &mut Option<Dice>) {
        match &self.nodes[id] {
            Node::Folder { .. } => {
                fs::create_dir(path).unwrap();
                for (name, id) in &names[id] {
                    self.write(*id, &path.join(name), names, dice);
                }
            }
            Node::File { synced, last, rights } => {
                fs::write(path, found(synced, last, dice)).unwrap();
                let set = rights.clone().map_or(Ok(()), |rights| fs::set_permissions(path, rights));
                set.unwrap();
            }
        }
    }
}

impl Step {
    fn happen(&self, names: &mut [Names]) {
        let remove = |names: &mut Names, name: &OsString, node: usize| {
            if names.get(name) == Some(&node) {
                names.remove(name);
            }
        };
        match &self.what {
            What::Named(node) => {
                names[self.in_folder].insert(self.name.clone(), *node);
            }
            What::Unnamed(node) => remove(&mut names[self.in_folder], &self.name, *node),
            What::Moved { from, node } => {
                remove(&mut names[from.0], &from.1, *node);
                names[self.in_folder].insert(self.name.clone(), *node);
            }
        }
    }
}

/// What a file has after the cut.
fn found(synced: &[u8], last: &[u8], dice: &mut Option<Dice>) -> Vec<u8> {
    match dice.as_mut().filter(|_| synced != last).map_or(0, |dice| dice.below(4)) {
        0 => synced.to_vec(),
        1 => last.to_vec(),
        2 => last[..last.len() / 2].to_vec(),
        _ => vec![0; last.len()],
    }
}

const fn folder() -> Node {
    Node::Folder { base: Names::new(), live: Names::new() }
}

fn file(synced: Vec<u8>) -> Node {
    Node::File { last: synced.clone(), synced, rights: None }
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The model itself: synced is there, and the rest may go.
#[test]
fn what_is_synced_stays() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("old"), "old").unwrap();
    watch(&root);
    let (new, old) = (root.join("new"), root.join("old"));
    fs::write(&new, "new").unwrap();
    made(&new);
    removing(&old);
    fs::remove_file(&old).unwrap();
    let record = cut();
    record.leave(Loss::Everything);
    assert!(!new.exists() && fs::read(&old).unwrap() == b"old");
    record.leave(Loss::Contents);
    assert!(!old.exists() && fs::read(&new).unwrap().is_empty());

    watch(&root);
    fs::write(&new, "newer").unwrap();
    synced(&new);
    moving(&new, &old);
    fs::rename(&new, &old).unwrap();
    synced_folder(&root);
    let record = cut();
    record.leave(Loss::Everything);
    assert!(!new.exists() && fs::read(&old).unwrap() == b"newer");
}
