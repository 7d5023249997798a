//! The Git facade's view of a tenant's rows, and what those rows are made from.

pub mod commits;
mod draft;
mod rebuild;
mod replay;

use colophon_gitbridge::{Appended, Ident, ObjectLog, ReadError, Ref, Signer};
use colophon_model::{LogEntry, Oid, Ordinal, SshSignature, TagObject, TenantUid};
use colophon_store::rows::{GitOid, RefRow, TenantHead};
use colophon_store::{Change, View};
use colophon_trust::sshsig::SshKey;

pub use rebuild::{Rebuild, RebuildError, Rebuilt};

/// One tenant's object log, tags and refs, as one snapshot shows them. Everything is keyed by the
/// tenant's uid, so an object of another tenant does not exist here.
pub struct TenantLog<'a> {
    view: &'a View,
    uid: TenantUid,
}

impl<'a> TenantLog<'a> {
    /// The log of tenant `uid` in `view`.
    pub const fn new(view: &'a View, uid: TenantUid) -> Self {
        Self { view, uid }
    }
}

impl ObjectLog for TenantLog<'_> {
    fn len(&self) -> Result<u32, ReadError> {
        Ok(self.view.get::<TenantHead>(&self.uid)?.map_or(0, |head| head.next_ordinal))
    }

    fn ordinal(&self, oid: &Oid) -> Result<Option<Ordinal>, ReadError> {
        Ok(self.view.get::<GitOid>(&(self.uid, *oid))?.map(|row| row.ordinal))
    }

    fn entry(&self, at: Ordinal) -> Result<Option<LogEntry>, ReadError> {
        Ok(self.view.get::<LogEntry>(&(self.uid, at))?)
    }

    fn tag(&self, oid: &Oid) -> Result<Option<TagObject>, ReadError> {
        Ok(self.view.get::<TagObject>(&(self.uid, *oid))?)
    }

    fn refs(&self, prefix: &str) -> Result<Vec<Ref>, ReadError> {
        let from = (self.uid, prefix.to_owned());
        let mut refs = Vec::new();
        for row in self.view.scan::<RefRow>(&self.uid).starting_at(&from) {
            let ((_, name), RefRow { oid, peeled }) = row?;
            if !name.starts_with(prefix) {
                break;
            }
            refs.push(Ref { name, oid, peeled });
        }
        Ok(refs)
    }
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
