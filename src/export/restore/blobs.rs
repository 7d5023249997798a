//! Fetches blobs, several at a time, and stores them in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use colophon_model::{Digest, TenantUid};
use colophon_store::{Progress, Report, Store};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;

use super::RestoreError;
use super::error::content;
use super::source::{Source, Wanted};
use super::writer::Writer;

/// Memory for blobs on their way, in KiB; one that is larger goes alone.
const BUDGET: u32 = 48 << 10;

/// A blob by what it is: versions of one thing have one name.
pub(super) struct Named {
    digest: Digest,
    name: String,
}

impl Named {
    /// A file at a path of a kind of folder.
    pub(super) fn file(digest: Digest, kind: &str, path: &str) -> Self {
        Self { digest, name: format!("{kind}/{path}") }
    }

    /// The list of a bundle's files.
    pub(super) fn list(digest: Digest) -> Self {
        Self { digest, name: "bundle list".to_owned() }
    }
}

/// The newest version of everything so far: the next one is stored as what differs from it.
#[derive(Debug, Default)]
pub(super) struct Bases(BTreeMap<String, Digest>);

/// Most names that are remembered; what is beyond is stored whole.
const NAMES: usize = 200_000;

impl Bases {
    /// The version before, if there is one; `digest` is the newest now.
    pub(super) fn turn(&mut self, name: &str, digest: Digest) -> Option<Digest> {
        if let Some(before) = self.0.get_mut(name) {
            return Some(std::mem::replace(before, digest));
        }
        if self.0.len() < NAMES {
            self.0.insert(name.to_owned(), digest);
        }
        None
    }
}

/// Fetches the blobs of one bag.
pub(super) struct Blobs<'a, 'b> {
    pub(super) source: &'a Source<'a>,
    pub(super) store: &'a Store,
    pub(super) uid: TenantUid,
    pub(super) listed: &'b BTreeMap<Digest, Wanted>,
    /// The list, for messages.
    pub(super) at: String,
    pub(super) concurrency: usize,
    pub(super) bases: &'b mut Bases,
    pub(super) written: u64,
    pub(super) bytes: u64,
}

impl Blobs<'_, '_> {
    /// Stores those of `names` that the tenant does not have.
    pub(super) async fn fetch(
        &mut self,
        names: Vec<Named>,
        report: Report<'_>,
    ) -> Result<(), RestoreError> {
        let wanted = self.missing(names)?;
        let total = Some(wanted.len() as u64);
        let (source, room) = (self.source, Arc::new(Semaphore::new(BUDGET as usize)));
        let reads = wanted.into_iter().map(|(name, base, wanted)| {
            let room = Arc::clone(&room);
            async move {
                let share = u32::try_from(wanted.size >> 10).unwrap_or(BUDGET).clamp(1, BUDGET);
                let room = room.acquire_many_owned(share).await;
                let room = room.map_err(|_| content(&name, "cannot be read"))?;
                Ok::<_, RestoreError>((source.blob(&wanted).await?, base, room))
            }
        });
        let mut reads = futures_util::stream::iter(reads).buffered(self.concurrency);
        let mut writer = Writer::new(self.store, self.uid);
        let mut done = 0;
        while let Some((bytes, base, _room)) = reads.try_next().await? {
            // A view of now: the version before may be among those that were just written.
            writer.blob(&self.store.view()?, &bytes, base)?;
            (self.written, self.bytes) = (self.written + 1, self.bytes + bytes.len() as u64);
            done += 1;
            report(Progress { stage: "restoring files", done, total });
        }
        Ok(writer.flush()?)
    }

    /// What is to be fetched, each once, with the version before it.
    fn missing(
        &mut self,
        names: Vec<Named>,
    ) -> Result<Vec<(String, Option<Digest>, Wanted)>, RestoreError> {
        let view = self.store.view()?;
        let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
        for Named { digest, name } in names {
            let base = self.bases.turn(&name, digest);
            if !seen.insert(digest) || view.has_blob(self.uid, &digest)? {
                continue;
            }
            let wanted = self.listed.get(&digest);
            let wanted =
                wanted.ok_or_else(|| content(&self.at, format!("does not list blob {digest}")))?;
            missing.push((name, base, wanted.clone()));
        }
        Ok(missing)
    }
}
