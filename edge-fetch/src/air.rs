//! A tenant's repository as a folder, for machines without a network: a copy that stock TUF clients
//! read too, and a transport over it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use colophon_model::Sha256;
use colophon_trust::limits::MAX_ROOT;
use colophon_trust::{EnvName, Role, TargetFile, TargetName};
use serde_json::Value;

use crate::attestation;
use crate::disk;
use crate::environment::download;
use crate::transport::{NetworkError, Response, Resume};
use crate::{Agent, Error, Transport};

/// Gets files from a folder that [`Agent::export`] wrote.
pub struct FolderTransport {
    folder: PathBuf,
}

impl FolderTransport {
    /// The folder must hold `tuf` and `targets`.
    ///
    /// # Errors
    /// When it holds no metadata.
    pub fn new(folder: PathBuf) -> Result<Self, Error> {
        let timestamp = folder.join("tuf/timestamp.json");
        fs::metadata(&timestamp).map_err(|source| Error::Input { path: timestamp, source })?;
        Ok(Self { folder })
    }
}

impl Transport for FolderTransport {
    fn get(&self, path: &str, _: Option<&Resume>) -> Result<Response, NetworkError> {
        let failed = |error: std::io::Error| NetworkError::Connection(error.into());
        let bytes = disk::absent_as_none(fs::read(self.folder.join(path))).map_err(failed)?;
        let status = if bytes.is_some() { 200 } else { 404 };
        let bytes = bytes.unwrap_or_default();
        Ok(Response {
            status,
            etag: None,
            content_type: None,
            content_length: Some(bytes.len() as u64),
            retry_after: None,
            range_start: None,
            bucket: None,
            body: Box::new(Cursor::new(bytes)),
        })
    }
}

/// What an export wrote.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exported {
    /// Metadata files.
    pub metadata: u64,
    /// Bundles.
    pub bundles: u64,
}

impl<T: Transport> Agent<T> {
    /// Writes the newest metadata, all roots and the current bundles to `folder`, in the layout of
    /// the server. `timestamp.json` is written last: a copy without it is not complete.
    ///
    /// # Errors
    /// Also when the folder cannot be written; nothing of the agent's own is changed but its metadata.
    pub fn export(&self, folder: &Path) -> Result<Exported, Error> {
        let offers = match self.check() {
            // Machines without a network are to hear of it too.
            Err(Error::Archived { .. }) => Vec::new(),
            offers => offers?,
        };
        let (tuf, targets) = (folder.join("tuf"), folder.join("targets"));
        disk::make_folder(&tuf)?;
        disk::make_folder(&targets)?;
        let mut exported = Exported::default();
        for offer in &offers {
            let zip = self.zip(&offer.name, &offer.file)?;
            disk::replace(&targets.join(offer.name.file_name(&offer.file.sha256)), &zip)?;
            self.export_attestation(folder, &offer.file)?;
            if let Some(env) = offer.env.file() {
                let name = EnvName::beside(&offer.name).file_name(&env.sha256);
                disk::replace(&targets.join(name), &download(&self.transport, env)?)?;
            }
            exported.bundles += 1;
        }
        exported.metadata += self.export_roots(&tuf)?;
        for role in [Role::Targets, Role::Snapshot, Role::Timestamp] {
            let bytes = self.cache.metadata(role)?.unwrap_or_default();
            let name = match role {
                Role::Timestamp => "timestamp.json".to_owned(),
                _ => format!("{}.{role}.json", version(&bytes)),
            };
            disk::replace(&tuf.join(name), &bytes)?;
            exported.metadata += 1;
        }
        Ok(exported)
    }

    /// What is attested about a bundle, for agents that require it; they check it.
    fn export_attestation(&self, folder: &Path, file: &TargetFile) -> Result<(), Error> {
        if file.custom.attestation.is_none() {
            return Ok(());
        }
        let bytes = match attestation::fetch(&self.transport, &file.sha256) {
            Err(Error::NotFound { .. }) => return Ok(()),
            bytes => bytes?,
        };
        let folder = folder.join(format!("bundles/{}", file.sha256));
        disk::make_folder(&folder)?;
        disk::replace(&folder.join("provenance.json"), &bytes)
    }

    /// All roots up to the trusted one, so that whoever pinned an older one can follow. They are
    /// checked by whoever reads them.
    fn export_roots(&self, tuf: &Path) -> Result<u64, Error> {
        let newest = self.cache.metadata(Role::Root)?.unwrap_or_default();
        let last = version(&newest);
        let mut written = 0;
        for number in 1..last {
            let name = format!("{number}.root.json");
            match self.file(&format!("tuf/{name}"), MAX_ROOT) {
                Ok(bytes) => disk::replace(&tuf.join(name), &bytes)?,
                // A server need not keep those that nobody has pinned.
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
            written += 1;
        }
        disk::replace(&tuf.join(format!("{last}.root.json")), &newest)?;
        Ok(written + 1)
    }

    fn zip(&self, name: &TargetName, file: &TargetFile) -> Result<Vec<u8>, Error> {
        file.check_limits()?;
        let path = format!("targets/{}", name.file_name(&file.sha256));
        let bytes = self.file(&path, file.length)?;
        if Sha256::of(&bytes) == file.sha256 {
            return Ok(bytes);
        }
        Err(Error::HashMismatch { name: name.clone() })
    }

    fn file(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let answer = self.transport.get(path, None).map_err(|error| error.at(path))?;
        answer.expect(path, &[200])?.read_up_to(path, limit)
    }
}

/// The version of metadata that was verified when it was stored.
fn version(metadata: &[u8]) -> u64 {
    let json: Value = serde_json::from_slice(metadata).unwrap_or_default();
    json["signed"]["version"].as_u64().unwrap_or(1)
}
