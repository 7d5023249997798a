//! The Git facade's view of a tenant's rows, and what those rows are made from.

pub mod commits;
mod draft;
mod rebuild;
mod recent;
mod replay;
mod restore;

use std::sync::Arc;

use colophon_gitbridge::{Appended, Ident, ObjectLog, ReadError, Ref, Signer};
use colophon_model::{Digest, GitKind, LogEntry, Oid, Ordinal, SshSignature, TagObject, TenantUid};
use colophon_store::rows::{GitOid, RefRow, TenantHead};
use colophon_store::{Change, View};
use colophon_trust::sshsig::SshKey;

pub use rebuild::{Rebuild, RebuildError, Rebuilt};
pub use recent::Recent;
pub(crate) use recent::Remembered;
pub use restore::{Restore, Restored};

/// One tenant's object log, tags and refs, as one snapshot shows them. Everything is keyed by the
/// tenant's uid, so an object of another tenant does not exist here.
pub struct TenantLog<'a> {
    view: &'a View,
    uid: TenantUid,
    remembered: Option<Remembered<'a>>,
}

impl<'a> TenantLog<'a> {
    /// The log of tenant `uid` in `view`.
    pub const fn new(view: &'a View, uid: TenantUid) -> Self {
        Self { view, uid, remembered: None }
    }

    /// The same for the next commit, with what the last ones left in memory.
    pub(crate) const fn with(view: &'a View, uid: TenantUid, remembered: Remembered<'a>) -> Self {
        Self { view, uid, remembered: Some(remembered) }
    }
}

impl ObjectLog for TenantLog<'_> {
    fn len(&self) -> Result<u32, ReadError> {
        Ok(self.view.get::<TenantHead>(&self.uid)?.map_or(0, |head| head.next_ordinal))
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        Ok(self.view.get::<GitOid>(&(self.uid, *oid))?.map(|row| row.ordinal))
    }

    fn entries(&self, from: Ordinal, most: u32, bytes: usize) -> Result<Vec<LogEntry>, ReadError> {
        let (mut entries, mut read) = (Vec::new(), 0);
        self.view.visit(
            &self.uid,
            &(self.uid, from),
            |(_, at): (_, Ordinal), entry: LogEntry| {
                let follows = at.get() == from.get() + entries.len() as u32;
                if follows {
                    read += entry.deflated.len();
                    entries.push(entry);
                }
                follows && entries.len() < most as usize && read <= bytes
            },
        )?;
        Ok(entries)
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        Ok(self.view.get::<LogEntry>(&(self.uid, at))?)
    }

    fn recent(&self, oid: &Oid) -> Option<(GitKind, Arc<[u8]>)> {
        self.remembered.as_ref()?.object(self.uid, oid)
    }

    fn keep_recent(&self, oid: Oid, kind: GitKind, bytes: &[u8]) {
        if let Some(remembered) = &self.remembered {
            remembered.keep_object(self.view, (self.uid, oid), (kind, bytes));
        }
    }

    fn recent_blob(&self, content: &Digest) -> Option<Oid> {
        self.remembered.as_ref()?.blob(self.uid, content)
    }

    fn keep_recent_blob(&self, content: Digest, oid: Oid) {
        if let Some(remembered) = &self.remembered {
            remembered.keep_blob(self.view, (self.uid, content), oid);
        }
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        Ok(self.view.get::<TagObject>(&(self.uid, *oid))?)
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        let from = (self.uid, prefix.to_owned());
        let mut refs = Vec::new();
        self.view.visit(&self.uid, &from, |(_, name): (_, String), row: RefRow| {
            let found = name.starts_with(prefix);
            if found {
                refs.push(Ref { name, oid: row.oid, peeled: row.peeled });
            }
            found
        })?;
        Ok(refs)
    }

    fn find_ref(&self, name: &str) -> Result<Option<Ref>, ReadError> {
        let row = self.view.get::<RefRow>(&(self.uid, name.to_owned()))?;
        Ok(row.map(|RefRow { oid, peeled }| Ref { name: name.to_owned(), oid, peeled }))
    }

    fn ref_changes(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.view.ref_changes(self.uid)?)
    }

    fn newest_tags(&self, most: usize) -> Result<Vec<Ref>, ReadError> {
        let mut tags = Vec::new();
        for folder in TAG_FOLDERS {
            tags.extend(self.newest_in(folder, most)?);
        }
        // Newest first.
        tags.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(tags.into_iter().take(most).map(|(_, tag)| tag).collect())
    }
}

/// Where tags are, one folder for each outcome of a build. Names in it sort by time.
const TAG_FOLDERS: [&str; 2] = ["refs/tags/bld/", "refs/tags/build-failed/"];

impl TenantLog<'_> {
    /// The newest tags of a folder, newest first, each with its stamp.
    fn newest_in(&self, folder: &str, most: usize) -> Result<Vec<(String, Ref)>, ReadError> {
        // No name begins with the folder's and the byte after the slash.
        let end = (self.uid, format!("{}0", folder.trim_end_matches('/')));
        let mut tags = Vec::new();
        for row in self.view.scan::<RefRow>(&self.uid).descending().starting_at(&end).take(most) {
            let ((_, name), RefRow { oid, peeled }) = row?;
            if !name.starts_with(folder) {
                break;
            }
            tags.push((stamp(&name).to_owned(), Ref { name, oid, peeled }));
        }
        Ok(tags)
    }
}

/// The stamp in a tag's name: the digits that its last part begins with.
fn stamp(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default()
}

/// The address of whoever commits, and the name under which the key is listed.
pub const COMMITTER: &str = "builds@colophon.invalid";

/// Who commits: the same for every commit, so that a commit depends on its build alone.
pub fn committer() -> Result<Ident, colophon_gitbridge::Error> {
    Ident::new("colophon", COMMITTER)
}

/// Signs new commits and tags with the server's key.
#[derive(Debug)]
pub struct KeySigner(pub SshKey);

impl Signer for KeySigner {
    fn sign(&self, payload: &[u8]) -> SshSignature {
        self.0.sign(payload)
    }
}

/// Puts the objects of a commit into a change. Refs are the caller's: it knows their names.
pub fn record_objects(change: &mut Change, uid: TenantUid, appended: &Appended) {
    for (ordinal, entry) in &appended.entries {
        change.put(&(uid, entry.oid), &GitOid { ordinal: *ordinal });
        change.put(&(uid, *ordinal), entry);
    }
    for tag in &appended.tags {
        change.put(&(uid, tag.oid), tag);
    }
}
