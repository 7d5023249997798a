//! The public keys that verify what is exported.

use colophon_model::{Sha256, TenantUid};
use colophon_store::View;
use colophon_store::rows::FormerKey;

use super::error::ExportError;
use super::layout;
use crate::keys::MasterKey;
use crate::projection::COMMITTER;

/// Public keys as files.
#[derive(Debug)]
pub(super) struct PublicKeys {
    /// By path below the tenant's folder.
    pub(super) files: Vec<(String, String)>,
    /// The id of the key that signs bags.
    pub(super) bags: String,
    /// The id of the key that signs checkpoints.
    pub(super) checkpoints: String,
}

impl PublicKeys {
    /// Those of a server.
    pub(super) fn of(keys: &MasterKey) -> Self {
        let bags = keys.export_key().public();
        let notes = keys.note_key().verifier().public();
        let mut pems = vec![(bags.id(), bags.to_pem()), (notes.id(), notes.to_pem())];
        pems.extend(keys.attestation_keys().public().iter().map(|key| (key.id(), key.to_pem())));
        let mut files: Vec<_> = pems.into_iter().map(|(id, pem)| (layout::key(&id), pem)).collect();
        let signer = format!("{COMMITTER} namespaces=\"git\" {}\n", keys.git_key().public().line());
        files.push((layout::SIGNERS.to_owned(), signer));
        Self { files, bags: bags.id(), checkpoints: notes.id() }
    }

    /// With those of the servers that the tenant was with before.
    pub(super) fn with_former(
        mut self,
        view: &View,
        tenant: TenantUid,
    ) -> Result<Self, ExportError> {
        for row in view.scan::<FormerKey>(&tenant) {
            let ((_, path), FormerKey { text }) = row?;
            match self.files.iter_mut().find(|(own, _)| *own == path) {
                // Lines of allowed signers; a key has a path of its own.
                Some((_, own)) if !own.contains(&text) => own.push_str(&text),
                Some(_) => {}
                None => self.files.push((path, text)),
            }
        }
        Ok(self)
    }

    /// Tells this set from another.
    pub(super) fn fingerprint(&self) -> Sha256 {
        let all: Vec<&str> =
            self.files.iter().flat_map(|(path, text)| [path.as_str(), "\n", text]).collect();
        Sha256::of(all.concat().as_bytes())
    }
}
