//! The folder: where everything is, whose it is, and that one process works there.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use colophon_model::TenantSlug;
use serde::{Deserialize, Serialize};

use super::fault::At as _;
use super::{Fault, ServerUrl, VersionName, disk};

/// What a fresh file system brings along.
const LOST_AND_FOUND: &str = "lost+found";
const OWN: &str = ".colophon";
const MARKER: &str = "checkout.json";
const LOCK: &str = "lock";
/// A look at the lock (`--status`) holds it for a moment, which is no reason to give up.
const PATIENCE: u32 = 10;
const GLANCE: Duration = Duration::from_millis(20);

/// Places below one folder.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
}

/// Whose checkout a folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Form of what is below `.colophon`: 1.
    format: u32,
    /// The server.
    pub server: ServerUrl,
    /// The tenant.
    pub tenant: TenantSlug,
}

/// A folder that this process alone works in, until it is dropped.
#[derive(Debug)]
pub struct Held {
    folder: Folder,
    owner: Owner,
    _lock: File,
}

impl Owner {
    /// The checkout of a tenant.
    pub const fn new(server: ServerUrl, tenant: TenantSlug) -> Self {
        Self { format: 1, server, tenant }
    }
}

impl Folder {
    /// The folder at `dir`, whatever is there.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The link that readers enter.
    pub fn current(&self) -> PathBuf {
        self.dir.join("current")
    }

    /// Where versions are.
    pub fn generations(&self) -> PathBuf {
        self.dir.join("generations")
    }

    /// The folder of one version.
    pub fn generation(&self, name: &VersionName) -> PathBuf {
        self.generations().join(name.as_str())
    }

    fn own(&self, name: &str) -> PathBuf {
        self.dir.join(OWN).join(name)
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.own("objects")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.own("incoming")
    }

    pub(super) fn versions(&self) -> PathBuf {
        self.own("versions")
    }

    pub(super) fn list(&self, name: &VersionName) -> PathBuf {
        self.versions().join(format!("{name}.json"))
    }

    pub(super) fn state(&self) -> PathBuf {
        self.own("state.json")
    }

    /// The version that readers get now.
    pub fn current_version(&self) -> Option<VersionName> {
        let target = std::fs::read_link(self.current()).ok()?;
        let name = target.strip_prefix("generations").ok()?.to_str()?.to_owned();
        VersionName::try_from(name).ok()
    }

    /// Whose checkout it is; `None` when it is nobody's.
    ///
    /// # Errors
    /// When the disk fails, or a later version of this program has made it.
    pub fn owner(&self) -> Result<Option<Owner>, Fault> {
        let path = self.own(MARKER);
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        match serde_json::from_slice::<Owner>(&bytes) {
            Ok(owner) if owner.format == 1 => Ok(Some(owner)),
            _ => Err(Fault::Usage(format!(
                "`{}` is not understood: another version of colophon wrote it",
                path.display()
            ))),
        }
    }

    /// Takes the folder for `owner`, and makes it when it is not there. What it holds stays as it is.
    ///
    /// # Errors
    /// [`Fault::NotOurs`], [`Fault::OtherTenant`], [`Fault::Locked`], or when the disk fails.
    pub fn claim(&self, owner: Owner) -> Result<Held, Fault> {
        self.check(&owner)?; // before anything is written
        disk::make_folders(&self.dir.join(OWN))?;
        let lock = self.lock()?;
        self.check(&owner)?; // it may have been taken meanwhile
        if self.owner()?.as_ref() != Some(&owner) {
            disk::replace(
                &self.own(MARKER),
                &serde_json::to_vec_pretty(&owner).unwrap_or_default(),
                true,
            )?;
        }
        for folder in [self.generations(), self.objects(), self.versions(), self.incoming()] {
            disk::make_folders(&folder)?;
        }
        disk::sync_folder(&self.dir.join(OWN))?;
        disk::sync_folder(&self.dir)?;
        Ok(Held { folder: self.clone(), owner, _lock: lock })
    }

    fn check(&self, asked: &Owner) -> Result<(), Fault> {
        match self.owner()? {
            Some(here) if here.tenant == asked.tenant => Ok(()),
            Some(here) => Err(Fault::OtherTenant {
                dir: self.dir.clone(),
                here: here.tenant.to_string(),
                asked: asked.tenant.to_string(),
            }),
            None => match self.stranger()? {
                Some(found) => Err(Fault::NotOurs { dir: self.dir.clone(), found }),
                None => Ok(()),
            },
        }
    }

    /// Something in a folder that is nobody's. A claim that a crash cut is no stranger.
    fn stranger(&self) -> Result<Option<String>, Fault> {
        let begun = |name: &String| [LOCK, "checkout.json.new"].contains(&name.as_str());
        let mut strange = disk::names(&self.dir)?;
        strange.retain(|name| name != LOST_AND_FOUND && name != OWN);
        strange.extend(disk::names(&self.dir.join(OWN))?.into_iter().filter(|name| !begun(name)));
        Ok(strange.into_iter().next())
    }

    fn lock(&self) -> Result<File, Fault> {
        let path = self.own(LOCK);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).at(&path)?;
        for _ in 0..PATIENCE {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(GLANCE),
                Err(TryLockError::Error(error)) => return Err(error).at(&path),
            }
        }
        Err(Fault::Locked { dir: self.dir.clone() })
    }

    /// Whether a process works here.
    pub(super) fn is_locked(&self) -> bool {
        let Ok(file) = OpenOptions::new().read(true).open(self.own(LOCK)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

impl Held {
    /// The folder.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whose it is.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }
}
