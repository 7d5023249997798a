//! What the branch began with, read from the beginning of the first bag's Git bundle.

use colophon_gitbridge::{Taken, TakenLimits, signed};
use colophon_model::{FileMode, GitKind, Oid};
use colophon_store::rows::{FirstCommit, Planted};

use super::error::content;
use super::source::Source;
use super::writer::Writer;
use super::{RestoreError, Surveyed, check};
use crate::export::layout;
use crate::pipeline::Press;

/// Most of a bundle that is looked at, in bytes, and most that it may inflate to.
const PREFIX: usize = 16 << 20;
const LIMITS: TakenLimits = TakenLimits { objects: 10_000, object: 16 << 20, total: 64 << 20 };
/// Most files that a branch begins with.
const FILES: usize = 1_000;

/// Writes the files that the branch began with, and its first commit.
pub(super) async fn first(
    press: &Press,
    source: &Source<'_>,
    from: &Surveyed,
) -> Result<(), RestoreError> {
    let Some(bag) = from.proven.bags.first() else { return Ok(()) };
    let at = bag.name.file(layout::MIRROR);
    let wrong = |problem: String| content(&at, problem);
    let bundle = source.beginning(bag, layout::MIRROR, PREFIX).await?;
    let bundle = bundle.ok_or_else(|| wrong("is not there".to_owned()))?;
    let pack = after_header(&bundle).ok_or_else(|| wrong("is no Git bundle".to_owned()))?;
    let mut taken = Taken::default();
    let commit = taken.read_first_commit(pack, &LIMITS);
    let commit = commit.map_err(|error| wrong(format!("begins with no commit: {error}")))?;
    let (files, row) = files(&taken, commit).map_err(|error| wrong(error.to_string()))?;
    let uid = from.tenant.uid;
    let mut writer = Writer::new(&press.store, uid);
    let view = press.store.view()?;
    for (path, mode, bytes) in files {
        check(mode == FileMode::Regular, &at, "begins with a file that may be executed")?;
        writer.blob(&view, &bytes, None)?;
        writer.put(&(uid, path), &Planted { digest: colophon_model::Digest::of(&bytes) })?;
    }
    writer.put(&uid, &row)?;
    Ok(writer.flush()?)
}

type Files = Vec<(String, FileMode, Vec<u8>)>;

fn files(
    taken: &Taken,
    commit: Oid,
) -> Result<(Files, FirstCommit), colophon_gitbridge::TakeError> {
    let made = signed(GitKind::Commit, taken.get(commit, GitKind::Commit)?);
    let tree = taken.commit(commit)?.tree;
    let mut files = Vec::new();
    for file in taken.files(tree, FILES)? {
        let bytes = taken.get(file.oid, GitKind::Blob)?.to_vec();
        files.push((file.path.to_string(), file.mode, bytes));
    }
    Ok((files, FirstCommit { commit, signature: made.map(|made| made.signature) }))
}

/// What follows the empty line that ends a bundle's header.
fn after_header(bundle: &[u8]) -> Option<&[u8]> {
    let end = bundle.windows(2).position(|pair| pair == b"\n\n")?;
    bundle.get(end + 2..)
}
