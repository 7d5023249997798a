//! What agents would ask for next, in one frame. Made once for all who hold the same.

mod beside;

use std::num::NonZeroU64;
use std::str::FromStr;

use axum::body::Bytes;
use colophon_model::{Digest, Sha256, TenantUid};
use colophon_store::rows::{BundleTree, EdgeRepo, TenantHead, TenantRow, TufFile};
use colophon_store::{Store, View};
use colophon_trust::limits::{MAX_METADATA, MAX_ROOT_UPDATES};
use colophon_trust::sync::{self, Answer, Answers, Changed};

use crate::deltas::{Deltas, Frame, Pair};
use crate::feed::repo;
use crate::made::{Made, Weigh};
use crate::tasks::TaskError;

pub use beside::With;

/// Most deltas in a frame, and most bytes of them together: the others are asked for one by one.
const DELTAS: usize = 32;
const DELTA_BYTES: usize = 1024 * 1024;
/// How far back a targets file is looked for; older ones are purged.
const VERSIONS: u64 = 16;
/// Most bytes of frames that are kept, so that agents that ask at about the same time share one.
const ROOM: u64 = 8 * 1024 * 1024;

/// The beginning of a tree's digest: 8 to 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreePrefix(String);

/// Not 8 to 64 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("a tree is named by 8 to 64 hex digits")]
pub struct InvalidPrefix;

impl FromStr for TreePrefix {
    type Err = InvalidPrefix;
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let valid = (8..=64).contains(&text.len()) && text.bytes().all(hex);
        valid.then(|| Self(text.to_owned())).ok_or(InvalidPrefix)
    }
}

impl TreePrefix {
    fn is_of(&self, tree: &Digest) -> bool {
        tree.to_string().starts_with(&self.0)
    }
}

/// What an agent says it holds. What it leaves out it does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Held {
    /// Version of its newest root; without it, it is told of no root.
    pub root: Option<u64>,
    /// Version of its timestamp.
    pub timestamp: Option<u64>,
    /// Version of its snapshot.
    pub snapshot: Option<u64>,
    /// Its targets file.
    pub targets: Option<Sha256>,
    /// Its bundles, of those that its targets file lists; at most [`sync::MAX_TREES`].
    pub trees: Vec<TreePrefix>,
    /// What it wants of these bundles beside their files.
    pub with: With,
}

impl Held {
    /// Those of its bundles of which something is another by now.
    fn changed(&self, before: &[u8], current: &[u8]) -> Vec<Changed> {
        let mut changed = sync::changed(before, current);
        changed.retain(|one| self.trees.iter().any(|tree| tree.is_of(&one.from)));
        changed
    }
}

/// What an agent holds, and where the repository is. Frames of another time have another key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    root: NonZeroU64,
    timestamp: NonZeroU64,
    held: Held,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Too many are being made, or the program is stopping.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The files could not be read.
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    /// The tenant went away.
    #[error("the tenant has no such file")]
    Missing,
    /// The frame could not be made.
    #[error(transparent)]
    Encode(#[from] sync::EncodeError),
}

/// Makes frames and keeps them for a moment.
pub struct Syncs {
    frames: Made<Wanted, Kept>,
}

/// A frame, and what it takes to know it again: an agent may name so many trees that this is more than the frame.
#[derive(Debug, Clone)]
struct Kept {
    frame: Bytes,
    key: u64,
}

impl Kept {
    fn new(frame: Bytes, wanted: &Wanted) -> Self {
        let tree = |tree: &TreePrefix| size_of::<TreePrefix>() + tree.0.len();
        let trees: usize = wanted.held.trees.iter().map(tree).sum();
        Self { frame, key: (size_of::<Wanted>() + trees) as u64 }
    }
}

impl Weigh for Kept {
    fn weight(&self) -> u64 {
        self.frame.weight() + self.key
    }
}

impl Default for Syncs {
    fn default() -> Self {
        Self { frames: Made::new(ROOM) }
    }
}

/// What is to be sent to who holds `held`; `None` when it holds the newest.
///
/// # Errors
/// [`SyncError::Store`], and [`SyncError::Missing`] when the tenant is not there.
pub fn wanted(view: &View, tenant: &TenantRow, held: Held) -> Result<Option<Wanted>, SyncError> {
    let EdgeRepo { root, timestamp, .. } = state(view, tenant)?;
    let (root, timestamp) = (root.version, timestamp.version);
    let newest = held.timestamp == Some(timestamp.get()) && held.root >= Some(root.get());
    Ok((!newest).then_some(Wanted { root, timestamp, held }))
}

fn state(view: &View, tenant: &TenantRow) -> Result<EdgeRepo, SyncError> {
    let head = view.get::<TenantHead>(&tenant.uid)?.ok_or(SyncError::Missing)?;
    Ok(repo::state(tenant, &head))
}

impl Syncs {
    /// The frame. Whoever asks for one that is being made waits for it.
    ///
    /// # Errors
    /// [`SyncError`]; nothing is kept of it.
    pub async fn get(
        &self,
        (store, deltas): (&Store, &Deltas),
        tenant: &TenantRow,
        wanted: &Wanted,
    ) -> Result<Bytes, SyncError> {
        let make = async {
            let frame = make(store, deltas, tenant, &wanted.held).await?;
            Ok(Kept::new(frame, wanted))
        };
        self.frames.get(tenant.uid, wanted.clone(), make).await.map(|kept| kept.frame)
    }

    /// Forgets what is kept of a tenant that was erased.
    pub fn forget(&self, tenant: TenantUid) {
        self.frames.forget(tenant);
    }
}

/// Deltas first: nothing large is held while they are made.
async fn make(
    store: &Store,
    deltas: &Deltas,
    tenant: &TenantRow,
    held: &Held,
) -> Result<Bytes, SyncError> {
    let look = {
        let (store, tenant, held) = (store.clone(), tenant.clone(), held.clone());
        move || pairs(&store.view()?, &tenant, &held)
    };
    let mut frames = Vec::new();
    let mut room = DELTA_BYTES;
    for pair in deltas.in_turn(look).await?? {
        // One that cannot be had now is asked for again by its own path.
        let Ok(frame) = deltas.get(store, &pair).await else { continue };
        let Some(left) = room.checked_sub(frame.bytes.len()) else { continue };
        room = left;
        frames.push((pair, frame));
    }
    let (store, tenant, held) = (store.clone(), tenant.clone(), held.clone());
    deltas.in_turn(move || encode(&store.view()?, &tenant, &held, &frames)).await?
}

/// The bundles that the agent has and that are others by now.
fn pairs(view: &View, tenant: &TenantRow, held: &Held) -> Result<Vec<Pair>, SyncError> {
    if held.trees.is_empty() {
        return Ok(Vec::new());
    }
    let Targets { current, held: Some(before) } = Targets::read(view, tenant, held)? else {
        return Ok(Vec::new());
    };
    let mut pairs = Vec::new();
    for Changed { from, to, .. } in held.changed(&before, &current) {
        if from != to
            && pairs.len() < DELTAS
            && is_bundle(view, tenant, from)?
            && is_bundle(view, tenant, to)?
        {
            pairs.push(Pair { tenant: tenant.uid, from: Some(from), to });
        }
    }
    Ok(pairs)
}

fn is_bundle(view: &View, tenant: &TenantRow, tree: Digest) -> Result<bool, SyncError> {
    Ok(view.get::<BundleTree>(&(tenant.uid, tree))?.is_some())
}

/// Two targets files.
struct Targets {
    current: Vec<u8>,
    /// The one that the agent holds, if it is still here.
    held: Option<Vec<u8>>,
}

impl Targets {
    /// Reads files from the newest back, one at least, and not more than a large one has.
    fn read(view: &View, tenant: &TenantRow, held: &Held) -> Result<Self, SyncError> {
        let newest = state(view, tenant)?.targets.version.get();
        let name = |version: u64| format!("{version}.targets.json");
        let current = file(view, tenant, &name(newest))?.ok_or(SyncError::Missing)?;
        let Some(wanted) = held.targets else { return Ok(Self { current, held: None }) };
        let mut room = MAX_METADATA;
        for version in (newest.saturating_sub(VERSIONS - 1)..=newest).rev() {
            let Some(bytes) = file(view, tenant, &name(version))? else { continue };
            if Sha256::of(&bytes) == wanted {
                return Ok(Self { current, held: Some(bytes) });
            }
            let Some(left) = room.checked_sub(bytes.len() as u64) else { break };
            room = left;
        }
        Ok(Self { current, held: None })
    }
}

fn encode(
    view: &View,
    tenant: &TenantRow,
    held: &Held,
    deltas: &[(Pair, Frame)],
) -> Result<Bytes, SyncError> {
    let mut answers = Answers::default();
    let targets = Targets::read(view, tenant, held)?;
    add_roots(view, tenant, held, &mut answers)?;
    let EdgeRepo { snapshot, targets: newest, .. } = state(view, tenant)?;
    let timestamp = file(view, tenant, "timestamp.json")?.ok_or(SyncError::Missing)?;
    // One that does not fit is asked for by its own path.
    let _ = answers.add("tuf/timestamp.json", Answer::File(timestamp));
    if held.snapshot != Some(snapshot.version.get()) {
        let name = format!("{}.snapshot.json", snapshot.version);
        let bytes = file(view, tenant, &name)?.ok_or(SyncError::Missing)?;
        let _ = answers.add(&format!("tuf/{name}"), Answer::File(bytes));
    }
    let changed = targets.held.as_deref().map(|before| held.changed(before, &targets.current));
    if held.targets != Some(Sha256::of(&targets.current)) {
        let path = format!("tuf/{}.targets.json", newest.version);
        let _ = answers.add(&path, Answer::File(targets.current));
    }
    for (Pair { from, to, .. }, frame) in deltas {
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        let _ = answers.add(&format!("delta/{from}..{to}"), Answer::File(frame.bytes.to_vec()));
    }
    beside::add(view, tenant, held.with, &changed.unwrap_or_default(), &mut answers)?;
    Ok(answers.encode(targets.held.as_deref())?.into())
}

/// The roots after the one that the agent has, and that there is none after them.
fn add_roots(
    view: &View,
    tenant: &TenantRow,
    held: &Held,
    answers: &mut Answers,
) -> Result<(), SyncError> {
    let Some(root) = held.root else { return Ok(()) };
    let next = root.saturating_add(1);
    for version in next..next.saturating_add(u64::from(MAX_ROOT_UPDATES)) {
        let name = format!("{version}.root.json");
        let bytes = file(view, tenant, &name)?;
        let last = bytes.is_none();
        let added =
            answers.add(&format!("tuf/{name}"), bytes.map_or(Answer::Missing, Answer::File));
        if last || !added {
            break;
        }
    }
    Ok(())
}

/// A metadata file.
fn file(view: &View, tenant: &TenantRow, name: &str) -> Result<Option<Vec<u8>>, SyncError> {
    let Some(TufFile { digest }) = view.get::<TufFile>(&(tenant.uid, name.to_owned()))? else {
        return Ok(None);
    };
    Ok(view.read_blob(tenant.uid, &digest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agents choose what they name, so what is kept must count against the room in full.
    #[test]
    fn a_long_question_counts_against_the_room() {
        let trees = vec![TreePrefix("a".repeat(64)); sync::MAX_TREES];
        let held = Held { trees, ..Held::default() };
        let wanted = Wanted { root: NonZeroU64::MIN, timestamp: NonZeroU64::MIN, held };
        let kept = Kept::new(Bytes::from_static(b"frame"), &wanted);
        assert!(kept.weight() >= 64 * sync::MAX_TREES as u64, "{}", kept.weight());
    }

    #[test]
    fn trees_are_named_by_their_beginning() {
        let tree = Digest::of(b"x");
        let text = tree.to_string();
        for length in [8, 9, 64] {
            assert!(text[..length].parse::<TreePrefix>().unwrap().is_of(&tree));
        }
        assert!(!"00000000".parse::<TreePrefix>().unwrap().is_of(&tree));
        for bad in ["", &text[..7], "0000000g", "ABCDEF00", &format!("{text}0")] {
            assert!(bad.parse::<TreePrefix>().is_err(), "{bad:?}");
        }
    }
}
