//! What is on the disk, and what of it a crash leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use colophon_model::Digest;

use super::{Fate, Inode, Op};

/// What a file takes up is a multiple of this.
const BLOCK: usize = 4096;

/// A state of the disk. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    dirs: BTreeSet<String>,
    names: BTreeMap<String, Inode>,
    files: BTreeMap<Inode, Arc<Content>>,
}

/// A file's bytes. A block that was neither written nor set aside is a hole: it reads as zeros and
/// takes up nothing.
#[derive(Debug, Clone, Default)]
struct Content {
    len: usize,
    blocks: BTreeMap<usize, Arc<[u8; BLOCK]>>,
}

/// The blocks from byte `from` to byte `to`.
fn blocks(from: usize, to: usize) -> Range<usize> {
    from / BLOCK..to.div_ceil(BLOCK)
}

impl Content {
    fn block(&mut self, number: usize) -> &mut [u8; BLOCK] {
        Arc::make_mut(self.blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK])))
    }

    fn set_len(&mut self, len: usize) {
        self.blocks.split_off(&len.div_ceil(BLOCK));
        if len < self.len && self.blocks.contains_key(&(len / BLOCK)) {
            self.block(len / BLOCK)[len % BLOCK..].fill(0);
        }
        self.len = len;
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.len = self.len.max(end);
        for number in blocks(offset, end) {
            let (from, to) = (offset.max(number * BLOCK), end.min((number + 1) * BLOCK));
            let block = self.block(number);
            block[from - number * BLOCK..to - number * BLOCK]
                .copy_from_slice(&bytes[from - offset..to - offset]);
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        let end = offset + out.len();
        out.fill(0);
        for (number, block) in self.blocks.range(blocks(offset, end)) {
            let (from, to) = (offset.max(number * BLOCK), end.min((number + 1) * BLOCK));
            out[from - offset..to - offset]
                .copy_from_slice(&block[from - number * BLOCK..to - number * BLOCK]);
        }
    }
}

impl Image {
    /// The root directory, without files.
    pub(super) fn empty() -> Self {
        Self { dirs: BTreeSet::from([String::new()]), ..Self::default() }
    }

    pub(super) fn find(&self, name: &str) -> Option<Inode> {
        self.names.get(name).cloned()
    }

    /// The names in `dir`, or `None` when there is no such directory.
    pub(super) fn list(&self, dir: &str) -> Option<Vec<String>> {
        let inside = self.names.keys().filter(|name| parent(name) == dir);
        let last = |name: &String| name.rsplit('/').next().map(str::to_owned);
        self.dirs.contains(dir).then(|| inside.filter_map(last).collect())
    }

    pub(super) fn len(&self, file: &Inode) -> usize {
        self.files.get(file).map_or(0, |content| content.len)
    }

    /// Fills `out` if the file is long enough.
    pub(super) fn read(&self, file: &Inode, offset: usize, out: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(out.len()).filter(|end| *end <= self.len(file))?;
        if end > offset {
            self.files.get(file)?.read(offset, out);
        }
        Some(())
    }

    pub(super) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let whole = |file| {
            let mut bytes = vec![0; self.len(file)];
            self.read(file, 0, &mut bytes);
            bytes
        };
        self.names.iter().map(|(name, file)| (name.clone(), whole(file))).collect()
    }

    pub(super) fn fingerprint(&self) -> Digest {
        let mut all = Vec::new();
        for (name, file) in &self.names {
            all.extend_from_slice(format!("{name} {}\n", self.len(file)).as_bytes());
            for (number, block) in self.files.get(file).iter().flat_map(|file| &file.blocks) {
                all.extend_from_slice(&number.to_be_bytes());
                all.extend_from_slice(&**block);
            }
        }
        Digest::of(&all)
    }

    /// Bytes taken up by files that have a name or are `open`.
    pub(super) fn used(&self, open: impl Fn(&Inode) -> bool) -> u64 {
        let named: BTreeSet<&Inode> = self.names.values().collect();
        let there = self.files.iter().filter(|(file, _)| named.contains(file) || open(file));
        there.map(|(_, content)| (content.blocks.len() * BLOCK) as u64).sum()
    }

    /// How many of `len` bytes can be written at `offset` when `free` bytes are.
    pub(super) fn room(&self, file: &Inode, offset: usize, len: usize, free: u64) -> usize {
        let taken = self.files.get(file).map(|content| &content.blocks);
        let mut free = free / BLOCK as u64;
        for number in blocks(offset, offset + len) {
            let new = taken.is_none_or(|taken| !taken.contains_key(&number));
            if new && free == 0 {
                return (number * BLOCK).saturating_sub(offset);
            }
            free -= u64::from(new);
        }
        len
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { name, file } => {
                self.names.insert(name.clone(), file.clone());
            }
            Op::Rename { from, to, file } => {
                self.forget(from, file);
                self.names.insert(to.clone(), file.clone());
            }
            Op::Remove { name, file } => self.forget(name, file),
            Op::MakeDir { dir } => {
                self.dirs.insert(dir.clone());
            }
            Op::Write { file, offset, bytes } => self.content(file).write(*offset, bytes),
            Op::SetLen { file, len } => self.content(file).set_len(*len),
            Op::Allocate { file, len } => {
                self.content(file).set_len(*len);
                for number in blocks(0, *len) {
                    self.content(file).block(number);
                }
            }
            Op::Sync { .. }
            | Op::Settle { .. }
            | Op::SyncDir { .. }
            | Op::FailedSync { .. }
            | Op::FailedSyncDir { .. } => {}
        }
    }

    /// Takes the name away, unless it is another file's by now.
    fn forget(&mut self, name: &str, file: &Inode) {
        if self.names.get(name) == Some(file) {
            self.names.remove(name);
        }
    }

    /// Frees what nobody can open any more.
    fn free_nameless(&mut self) {
        let named: BTreeSet<&Inode> = self.names.values().collect();
        self.files.retain(|file, _| named.contains(file));
    }

    /// Takes a file's bytes over from another state.
    fn adopt(&mut self, file: &Inode, from: &Self) {
        match from.files.get(file) {
            Some(content) => self.files.insert(file.clone(), Arc::clone(content)),
            None => self.files.remove(file),
        };
    }

    fn content(&mut self, file: &Inode) -> &mut Content {
        Arc::make_mut(self.files.entry(file.clone()).or_default())
    }
}

/// What is seen, what is durable, and what is not yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Moment {
    /// What those see who use the disk.
    pub(super) live: Image,
    durable: Image,
    pending: Vec<(usize, Op)>,
}

impl Moment {
    /// All of `image` is durable.
    pub(super) fn settled(image: Image) -> Self {
        Self { live: image.clone(), durable: image, pending: Vec::new() }
    }

    /// The disk does operation `n`.
    pub(super) fn step(&mut self, n: usize, op: &Op) {
        self.live.apply(op);
        match op {
            Op::MakeDir { .. } => self.durable.apply(op),
            Op::Sync { file } => self.settle(|op| writes_to(op) == Some(file), |_| true),
            Op::Settle { file } => {
                self.settle(|op| writes_to(op) == Some(file), |_| true);
                self.live.adopt(file, &self.durable);
            }
            Op::SyncDir { dir } => self.settle(|op| names_in(op) == Some(dir), |_| true),
            // Every other operation happens to be on the disk; the others are forgotten.
            Op::FailedSync { file } => {
                self.settle(|op| writes_to(op) == Some(file), |n| n.is_multiple_of(2));
            }
            Op::FailedSyncDir { dir } => {
                self.settle(|op| names_in(op) == Some(dir), |n| n.is_multiple_of(2));
            }
            op => self.pending.push((n, op.clone())),
        }
    }

    /// Nothing is pending any more of what `concerns` a sync; what is `kept` is durable.
    fn settle(&mut self, concerns: impl Fn(&Op) -> bool, kept: impl Fn(usize) -> bool) {
        let (done, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, op)| concerns(op));
        self.pending = pending;
        let done: Vec<_> = done;
        done.iter().filter(|(n, _)| kept(*n)).for_each(|(_, op)| self.durable.apply(op));
    }

    /// What is on the disk after a crash, when `fate` decides about what is pending.
    pub(super) fn survive(mut self, mut fate: impl FnMut(usize, &Op) -> Fate) -> Image {
        for (n, op) in &self.pending {
            match (fate(*n, op), op) {
                (Fate::Lost, _) => {}
                (Fate::Torn(len), Op::Write { file, offset, bytes }) => {
                    let bytes = bytes[..len.min(bytes.len())].into();
                    let torn = Op::Write { file: file.clone(), offset: *offset, bytes };
                    self.durable.apply(&torn);
                }
                (Fate::Kept | Fate::Torn(_), op) => self.durable.apply(op),
            }
        }
        self.durable.free_nameless();
        self.durable
    }
}

/// The file whose bytes or length the operation changes.
fn writes_to(op: &Op) -> Option<&Inode> {
    match op {
        Op::Write { file, .. } | Op::SetLen { file, .. } | Op::Allocate { file, .. } => Some(file),
        _ => None,
    }
}

/// The directory whose names the operation changes.
fn names_in(op: &Op) -> Option<&str> {
    match op {
        Op::Create { name, .. } | Op::Remove { name, .. } => Some(parent(name)),
        Op::Rename { from, to, .. } => {
            assert_eq!(parent(from), parent(to), "no file is moved between directories");
            Some(parent(to))
        }
        _ => None,
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
