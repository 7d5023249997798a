//! Changed files in, log entries out: one commit on the tip of a linear history.

use std::collections::HashSet;

use colophon_model::{
    ArtifactPath, Digest, FileMode, GitKind, LogEntry, Oid, Ordinal, Signatures, SshSignature,
    TagObject, UnixMillis,
};

use crate::history::Commit;
use crate::object::Object;
use crate::read::MAX_DEPTH;
use crate::worktree::{Dir, check_distinct};
use crate::zlib::Deflater;
use crate::{Error, Ident, Message, ObjectLog, Signer, TagName, delta, read};

/// So many times smaller than the object a delta is, before either is compressed, when the object is not
/// compressed to be compared: text rarely packs better.
const FAR_SMALLER: u64 = 16;

/// A commit to be.
#[derive(Debug)]
pub struct NewCommit<'a> {
    /// The tip of the log; `None` for the first commit.
    pub parent: Option<Oid>,
    /// How the tree differs from the parent's, in any order, each path once.
    pub changes: &'a [Change<'a>],
    /// Subject and trailers.
    pub message: &'a Message,
    /// Author and committer.
    pub author: &'a Ident,
    /// When; kept in whole seconds, UTC.
    pub time: UnixMillis,
    /// Annotated tags of this commit.
    pub tags: &'a [NewTag],
    /// Who signs the commit and the tags; `None` leaves them unsigned.
    pub signer: Option<&'a dyn Signer>,
}

/// One file that differs from the parent commit.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The file is there, with these bytes.
    Put {
        /// Where.
        path: &'a ArtifactPath,
        /// Regular or executable.
        mode: FileMode,
        /// The content.
        bytes: &'a [u8],
        /// The store's address of the content. The caller vouches that it is.
        digest: Digest,
    },
    /// The file of the parent is gone. Folders that become empty go with it.
    Remove {
        /// Which.
        path: &'a ArtifactPath,
    },
}

impl Change<'_> {
    const fn path(&self) -> &ArtifactPath {
        match self {
            Self::Put { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// An annotated tag to be.
#[derive(Debug)]
pub struct NewTag {
    /// The name below `refs/tags/`.
    pub name: TagName,
    /// Subject and trailers.
    pub message: Message,
}

/// Rows for the transaction that makes a commit visible.
#[derive(Debug)]
pub struct Appended {
    /// The new tip.
    pub commit: Oid,
    /// New entries in order, dense from the log's length on; the commit is the last.
    pub entries: Vec<(Ordinal, LogEntry)>,
    /// The tags, in the order in which they were asked for.
    pub tags: Vec<TagObject>,
    /// What the signer said. Facts: keep them, since the commit cannot be made again without.
    pub signatures: Option<Signatures>,
}

/// Makes a commit on the tip of `log`.
///
/// Reads the parent's trees along the changed paths only. An object that the log already holds is
/// not added again. The same log and the same commit give the same ids and the same entries.
///
/// Fails with [`Error::NotTip`] when the parent is not the log's last entry, which keeps history
/// linear and lets an ordinal stand for everything that a commit reaches.
pub fn append(log: &dyn ObjectLog, new: &NewCommit<'_>) -> Result<Appended, Error> {
    check_tip(log, new.parent)?;
    check_distinct(new.changes.iter().map(Change::path))?;
    let mut writer = Writer::new(log)?;
    let mut root = open_root(log, new.parent)?;
    writer.apply(&mut root, new.changes)?;
    let tree = writer.close(root)?;
    let (commit, signature) =
        Object::commit(tree, new.parent, new.author, new.time, new.message, new.signer)?;
    let oid = commit.oid;
    writer.put(commit.parts(), None, None)?;
    let tags = new.tags.iter().map(|tag| annotate(oid, tag, new.author, new.time, new.signer));
    let (tags, signed): (Vec<_>, Vec<_>) = tags.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let tag_signatures = signed.into_iter().flatten().collect();
    let signatures = signature.map(|commit| Signatures { commit, tags: tag_signatures });
    Ok(Appended { commit: oid, tags, entries: writer.entries, signatures })
}

/// Makes an annotated tag of the commit `target`. [`append()`] does so for a new commit; on its own
/// this marks a commit that exists, such as the unchanged tip after a failed build. Returns what the
/// signer said beside it.
pub fn annotate(
    target: Oid,
    tag: &NewTag,
    tagger: &Ident,
    time: UnixMillis,
    signer: Option<&dyn Signer>,
) -> Result<(TagObject, Option<SshSignature>), Error> {
    let (object, signature) = Object::tag(target, tag, tagger, time, signer)?;
    Ok((TagObject { oid: object.oid, target, bytes: object.bytes }, signature))
}

fn check_tip(log: &dyn ObjectLog, parent: Option<Oid>) -> Result<(), Error> {
    let next = log.len().map_err(Error::Read)?;
    let at = match parent {
        Some(oid) => log.ordinal(&oid).map_err(Error::Read)?,
        None => None,
    };
    let follows = at.map_or(0, |at| u64::from(at.get()) + 1);
    let found = parent.is_some() == at.is_some();
    if found && follows == u64::from(next) { Ok(()) } else { Err(Error::NotTip) }
}

fn open_root(log: &dyn ObjectLog, parent: Option<Oid>) -> Result<Dir, Error> {
    let Some(parent) = parent else { return Ok(Dir::default()) };
    let at = read::locate(log, parent)?;
    Dir::open(log, Commit::read(log, at)?.tree)
}

/// Collects new entries, each at the next ordinal.
struct Writer<'a> {
    log: &'a dyn ObjectLog,
    first: u32,
    entries: Vec<(Ordinal, LogEntry)>,
    fresh: HashSet<Oid>,
    deflater: Deflater,
}

impl<'a> Writer<'a> {
    fn new(log: &'a dyn ObjectLog) -> Result<Self, Error> {
        let first = log.len().map_err(Error::Read)?;
        let deflater = Deflater::new();
        Ok(Self { log, first, entries: Vec::new(), fresh: HashSet::new(), deflater })
    }

    /// Removals go first, so that a folder can take the place of a file and the other way round;
    /// both in order of the paths, so that ordinals do not depend on the order of the list.
    fn apply(&mut self, root: &mut Dir, changes: &[Change<'_>]) -> Result<(), Error> {
        let mut changes: Vec<_> = changes.iter().collect();
        changes.sort_by_key(|change| (matches!(change, Change::Put { .. }), change.path()));
        for change in changes {
            match *change {
                Change::Remove { path } => root.remove(self.log, path)?,
                Change::Put { path, mode, bytes, digest } => {
                    let oid = self.blob_id(bytes, digest)?;
                    let like = root.put(self.log, path, mode, oid)?;
                    // What resembles it stands in the parent's tree or in this commit, so it need not be looked for.
                    if like != Some(oid) {
                        self.put((oid, GitKind::Blob, bytes), like, Some(digest))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Most files of a build are as they were, and hashing them is most of what they would cost.
    fn blob_id(&self, bytes: &[u8], digest: Digest) -> Result<Oid, Error> {
        if let Some(known) = self.log.recent_blob(&digest) {
            return Ok(known);
        }
        let oid = Object::id(GitKind::Blob, bytes)?;
        self.log.keep_recent_blob(digest, oid);
        Ok(oid)
    }

    fn close(&mut self, root: Dir) -> Result<Oid, Error> {
        let mut trees = Vec::new();
        let oid = root.close(&mut trees)?;
        for tree in trees {
            self.put(tree.object.parts(), tree.old, None)?;
        }
        Ok(oid)
    }

    /// Adds an object unless it is there; as a delta against `old`, the object at the same path in
    /// the parent or one that it resembles, when that is smaller.
    fn put(
        &mut self,
        (oid, kind, bytes): (Oid, GitKind, &[u8]),
        old: Option<Oid>,
        blob: Option<Digest>,
    ) -> Result<(), Error> {
        if self.fresh.contains(&oid) || self.log.ordinal(&oid).map_err(Error::Read)?.is_some() {
            return Ok(());
        }
        let size = bytes.len() as u64;
        let Payload { base, depth, inflated, deflated } = self.payload(old, bytes)?;
        let at = self.next()?;
        if kind != GitKind::Commit {
            // The next version of the file, or of the folder, is a delta against it.
            self.log.keep_recent(oid, kind, bytes);
        }
        self.fresh.insert(oid);
        self.entries
            .push((at, LogEntry { oid, kind, size, base, depth, inflated, deflated, blob }));
        Ok(())
    }

    /// The smaller form. What is far smaller as a delta already is not compressed whole to be compared.
    fn payload(&mut self, old: Option<Oid>, bytes: &[u8]) -> Result<Payload, Error> {
        let delta = self.delta(old, bytes)?;
        let is_small = |delta: &Payload| delta.inflated <= bytes.len() as u64 / FAR_SMALLER;
        let delta = match delta {
            Some(delta) if is_small(&delta) => return Ok(delta),
            other => other,
        };
        let whole = Payload {
            base: None,
            depth: 0,
            inflated: bytes.len() as u64,
            deflated: self.deflater.deflate(bytes),
        };
        Ok(delta.filter(|delta| delta.deflated.len() < whole.deflated.len()).unwrap_or(whole))
    }

    /// The delta against an object of the log, unless its chain is as long as chains get.
    fn delta(&mut self, old: Option<Oid>, bytes: &[u8]) -> Result<Option<Payload>, Error> {
        // What this commit adds itself has no place in the log yet.
        let Some(old) = old.filter(|old| !self.fresh.contains(old)) else { return Ok(None) };
        let base = read::locate(self.log, old)?;
        let depth = read::entry(self.log, base)?.depth;
        if depth >= MAX_DEPTH {
            return Ok(None);
        }
        let (_, old) = read::base(self.log, (old, base))?;
        Ok(delta::encode(&old, bytes).map(|delta| Payload {
            base: Some(base),
            depth: depth + 1,
            inflated: delta.len() as u64,
            deflated: self.deflater.deflate(&delta),
        }))
    }

    fn next(&self) -> Result<Ordinal, Error> {
        let added = u32::try_from(self.entries.len()).map_err(|_| Error::Full)?;
        // The last ordinal stays free, so that a log's length is always a `u32`.
        let at = self.first.checked_add(added).filter(|at| *at < u32::MAX).ok_or(Error::Full)?;
        Ok(Ordinal::new(at))
    }
}

/// One of the two forms in which an object can be stored.
struct Payload {
    base: Option<Ordinal>,
    depth: u8,
    inflated: u64,
    deflated: Vec<u8>,
}
