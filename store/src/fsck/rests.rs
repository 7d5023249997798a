//! Whether the rows that say what rests on what are those that the blobs say.

use std::collections::{HashMap, HashSet};

use colophon_model::Digest;

use super::{FsckOptions, FsckReport, Problem};
use crate::blob::BlobRow;
use crate::delta::Rests;
use crate::gc::{self, Detached, Way};
use crate::row::{Row, key_bytes};
use crate::{Batch, Check, Error, KeyRange, Store, Table, View};

/// What the blobs say that rest on others.
#[derive(Default)]
struct Said {
    /// The base of each.
    bases: HashMap<Digest, Digest>,
    /// Those whose bytes do not even say that.
    mute: HashSet<Digest>,
}

pub(super) fn check(
    store: &Store,
    options: FsckOptions,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let view = store.view()?;
    let mut said = said(store, &view)?;
    for row in view.scan::<Rests>(&()) {
        let ((base, digest), _) = row?;
        if said.bases.get(&digest) == Some(&base) {
            said.bases.remove(&digest);
        } else if !said.mute.contains(&digest) && !is_damaged(store, &view, &digest)? {
            let repaired = options.repair && drop_stray(store, &view, base, digest)?;
            let message = format!("it is said to rest on {base}, and does not");
            add(found, &digest, message, repaired);
        }
    }
    for (digest, base) in said.bases {
        if is_damaged(store, &view, &digest)? {
            continue;
        }
        let repaired = options.repair && restore(store, &view, base, digest)?;
        add(found, &digest, format!("no row says that it rests on {base}"), repaired);
    }
    Ok(store.quarantine_suspects()?)
}

/// Rows of blobs that are gone: what a blob rests on cannot be told from it when it is damaged, so such a row
/// may outlive it.
pub(crate) fn stray_rests(view: &View) -> Result<Vec<(Digest, Digest)>, Error> {
    let (mut stray, reader) = (Vec::new(), view.durable());
    for row in view.scan::<Rests>(&()) {
        let ((base, digest), _) = row?;
        if reader.row(&digest).map_err(Error::Read)?.is_none() {
            stray.push((base, digest));
        }
    }
    Ok(stray)
}

/// What rests on a blob that has no row is damaged.
fn said(store: &Store, view: &View) -> Result<Said, Error> {
    let (mut said, mut resting) = (Said::default(), Vec::new());
    let scanned = view.snapshot().visit(Table::Blob, &KeyRange::prefix(b""), &mut |key, row| {
        if let (Ok(digest), Ok(row)) = (BlobRow::decode_key(key), BlobRow::decode(row)) {
            resting.extend((row.codec.depth() > 0).then_some(digest));
        }
        true
    });
    scanned.map_err(Error::Read)?;
    let reader = view.durable();
    for digest in resting {
        let stored = reader.stored(&digest).map_err(Error::Read)?;
        let Some(base) = stored.and_then(|stored| stored.base()) else {
            said.mute.insert(digest);
            continue;
        };
        if reader.row(&base).map_err(Error::Read)?.is_none() {
            store.damage().suspect(digest);
        }
        said.bases.insert(digest, base);
    }
    Ok(said)
}

/// What is damaged says nothing that can be relied on. A blob that is gone is not damaged.
fn is_damaged(store: &Store, view: &View, digest: &Digest) -> Result<bool, Error> {
    let reader = view.durable();
    if reader.row(digest).map_err(Error::Read)?.is_none() {
        return Ok(false);
    }
    let is_damaged = reader.is_damaged(digest).map_err(Error::Read)?;
    if is_damaged {
        store.damage().suspect(*digest);
    }
    Ok(is_damaged)
}

fn add(found: &mut FsckReport, digest: &Digest, message: String, repaired: bool) {
    found.add(Problem {
        code: "E_REST".into(),
        place: format!("blob {digest}"),
        message,
        repaired,
    });
}

fn drop_stray(store: &Store, view: &View, base: Digest, digest: Digest) -> Result<bool, Error> {
    let row = view.snapshot().get(Table::Blob, digest.as_bytes()).map_err(Error::Read)?;
    gc::commit_detached(store, vec![Detached { digest, base, row, way: Way::Stray }])
}

fn restore(store: &Store, view: &View, base: Digest, digest: Digest) -> Result<bool, Error> {
    let key = BlobRow::encode_key(&digest);
    let row = view.snapshot().get(Table::Blob, &key).map_err(Error::Read)?;
    let Some(value) = row else { return Ok(false) };
    let mut batch = Batch::default();
    batch.checks.push(Check::Equals { table: Table::Blob, key, value });
    batch.writes.insert((Table::Rests, key_bytes(&(base, digest))), Some(Vec::new()));
    Ok(store.writer().alone(move |committer| committer.commit_rows(&[batch]))?[0].is_ok())
}
