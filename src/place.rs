//! Where objects are kept outside of the data directory: a bucket of any store that speaks S3, a folder, or memory.
//! Exports for auditors go there, and bundles for agents.

mod bucket;
mod destroy;
mod kms;
mod parts;
mod read;
mod signed;
mod trouble;
mod url;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use colophon_model::Digest;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{
    Attribute, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};
use serde::{Deserialize, Serialize};

use crate::config::ExportConfig;
use crate::secrets::Secrets;
use bucket::Bucket;
pub(crate) use destroy::Destroyed;
pub use kms::{InvalidKmsKey, KmsKey};
pub(crate) use kms::{Kms, RECIPIENT};
pub(crate) use parts::Upload;
pub(crate) use read::{Pieces, TOO_LARGE};
pub(crate) use signed::{Reply, Signed};
pub use trouble::Trouble;
pub use url::{InvalidPlace, PlaceUrl};

/// What is said of a place beside its URL, as far as it is not what the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// URL of the store, for one that is not Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// How objects are kept from being deleted (S3 Object Lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The strictest mode.
    pub mode: LockMode,
    /// For how long after it was written.
    pub keep: Duration,
}

/// How strict a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has a right of its own to may still delete.
    Governance,
    /// Nobody may, the owner of the account included. The audit log alone is locked so, which holds pseudonyms
    /// only; all else is locked as with `governance`.
    Compliance,
}

/// An open place.
pub struct Place {
    store: Arc<dyn ObjectStore>,
    url: PlaceUrl,
    base: Path,
    /// What tells it from other places.
    id: Digest,
    traffic: Arc<Traffic>,
    pub(crate) signed: Option<Signed>,
    /// What makes URLs that are good without credentials.
    presigns: Option<AmazonS3>,
    /// Whether writes with a condition are refused when it does not hold.
    conditional: AtomicBool,
    lock: Option<Lock>,
    /// What was said of it beside its URL.
    options: Options,
    stop: Arc<AtomicBool>,
}

/// The code of what was given up because the program ends.
pub(crate) const STOPPED: &str = "export-stopped";

fn id(name: &str) -> Digest {
    Digest::of(format!("colophon export place v1\n{name}").as_bytes())
}

/// What was sent to a place.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is there already, or is not what was expected.
    There,
    /// Nothing is there.
    Missing,
    /// It was refused, or failed.
    Trouble(Trouble),
}

impl Failure {
    fn of(path: &str, error: &Error) -> Self {
        let trouble = Trouble::of(path, error);
        match error {
            _ if trouble.code == "export-no-bucket" => Self::Trouble(trouble),
            Error::AlreadyExists { .. } | Error::Precondition { .. } => Self::There,
            Error::NotFound { .. } => Self::Missing,
            _ => Self::Trouble(trouble),
        }
    }

    /// As trouble: where it is no answer that can be gone on with.
    pub(crate) fn into_trouble(self, path: &str) -> Trouble {
        match self {
            Self::There => Trouble::new(
                "export-conflict",
                format!("`{path}` is there already, or was changed by somebody else"),
            ),
            Self::Missing => Trouble::new("export-missing", format!("`{path}` is not there")),
            Self::Trouble(trouble) => trouble,
        }
    }
}

/// Which version of an object is meant.
#[derive(Debug, Clone)]
pub(crate) struct Version(UpdateVersion, Bytes);

impl Version {
    /// What it was.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.1
    }

    /// The version of an object with this text that is named so.
    pub(crate) fn named(text: &str, e_tag: Option<String>, version: Option<String>) -> Self {
        Self(UpdateVersion { e_tag, version }, Bytes::copy_from_slice(text.as_bytes()))
    }

    /// What it is named by: tag and version.
    pub(crate) const fn names(&self) -> (&Option<String>, &Option<String>) {
        (&self.0.e_tag, &self.0.version)
    }
}

type Answered<T> = Result<T, Failure>;

impl Place {
    /// Opens a place. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`Trouble`] when what is configured cannot be, or credentials cannot be read.
    pub fn open(
        url: &PlaceUrl,
        config: &ExportConfig,
        options: &Options,
        secrets: &Secrets,
    ) -> Result<Self, Trouble> {
        let traffic = Arc::new(Traffic::default());
        let name = Self::name_of(url, config, options)?;
        let refused = |error: Error| Trouble::of(&url.to_string(), &error);
        let mut presigns = None;
        let (store, base, signed): (Arc<dyn ObjectStore>, _, _) = match url {
            PlaceUrl::S3 { bucket, prefix } => {
                let s3 = Bucket::new(bucket, config, options)?;
                let (store, signed) = s3.open(config, secrets, &traffic)?;
                let base = Path::parse(prefix).map_err(|error| refused(error.into()))?;
                presigns = Some(store.clone());
                (Arc::new(store), base, Some(signed))
            }
            PlaceUrl::File(folder) => {
                let made = std::fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
                let folder = made.map_err(|error| {
                    Trouble::new("export-refused", format!("`{}`: {error}", folder.display()))
                })?;
                let store =
                    LocalFileSystem::new_with_prefix(folder).map_err(refused)?.with_fsync(true);
                (Arc::new(store), Path::default(), None)
            }
            PlaceUrl::Memory(name) => (memory(name), Path::default(), None),
        };
        let conditional = AtomicBool::new(true);
        let lock = config.lock();
        let (id, stop) = (id(&name), Arc::default());
        let (url, options) = (url.clone(), options.clone());
        Ok(Self {
            store,
            url,
            base,
            id,
            traffic,
            signed,
            presigns,
            conditional,
            lock,
            options,
            stop,
        })
    }

    /// As [`Self::open`], to read: a folder that is not there is not made.
    ///
    /// # Errors
    /// Those of [`Self::open`], and when there is no such folder.
    pub fn open_there(
        url: &PlaceUrl,
        config: &ExportConfig,
        options: &Options,
        secrets: &Secrets,
    ) -> Result<Self, Trouble> {
        if let PlaceUrl::File(folder) = url
            && !folder.is_dir()
        {
            let text = format!("there is no folder `{}`", folder.display());
            return Err(Trouble::new("export-missing", text));
        }
        Self::open(url, config, options, secrets)
    }

    /// What would tell a place from others, without opening it.
    ///
    /// # Errors
    /// When what is configured cannot be.
    pub(crate) fn name_of(
        url: &PlaceUrl,
        config: &ExportConfig,
        options: &Options,
    ) -> Result<String, Trouble> {
        match url {
            PlaceUrl::S3 { bucket, .. } => {
                Ok(Bucket::new(bucket, config, options)?.place_name(url))
            }
            PlaceUrl::File(_) | PlaceUrl::Memory(_) => Ok(url.to_string()),
        }
    }

    /// Endpoint and region of a place's store, as they are found now: with them it is found again when others are
    /// configured. Nothing for what is no bucket.
    ///
    /// # Errors
    /// When what is configured cannot be.
    pub(crate) fn store_of(url: &PlaceUrl, config: &ExportConfig) -> Result<Options, Trouble> {
        match url {
            PlaceUrl::S3 { bucket, .. } => {
                Ok(Bucket::new(bucket, config, &Options::default())?.found_by())
            }
            PlaceUrl::File(_) | PlaceUrl::Memory(_) => Ok(Options::default()),
        }
    }

    /// What rows in the store are named by that tell of a place, without opening it.
    ///
    /// # Errors
    /// [`Trouble`] when what is configured cannot be.
    pub fn id_of(
        url: &PlaceUrl,
        config: &ExportConfig,
        options: &Options,
    ) -> Result<Digest, Trouble> {
        Ok(id(&Self::name_of(url, config, options)?))
    }

    /// Asks nothing more of it once `stop` says so.
    #[must_use]
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    /// Trouble once nothing more may be asked.
    pub(crate) fn check_stop(&self) -> Answered<()> {
        if self.stop.load(Ordering::Relaxed) {
            let text = "the program is stopping; the next run goes on".to_owned();
            return Err(Failure::Trouble(Trouble::new(STOPPED, text)));
        }
        Ok(())
    }

    /// Its URL.
    pub const fn url(&self) -> &PlaceUrl {
        &self.url
    }

    /// Endpoint and region, as far as they were named with it.
    pub(super) fn named(&self) -> (Option<String>, Option<String>) {
        (self.options.endpoint.clone(), self.options.region.clone())
    }

    /// What its rows in the store are named by.
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// How what is written is locked.
    pub const fn lock(&self) -> Option<Lock> {
        self.lock
    }

    /// Requests and bytes of bodies that were sent so far. Folders and memory need none.
    pub fn traffic(&self) -> (u64, u64) {
        let Traffic { requests, sent } = &*self.traffic;
        (requests.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
    }

    /// Whether it is known to refuse what must not be written.
    pub(crate) fn is_conditional(&self) -> bool {
        self.conditional.load(Ordering::Relaxed)
    }

    /// Goes on without conditions, each of which is looked for before the write.
    pub(crate) fn give_up_conditions(&self) {
        self.conditional.store(false, Ordering::Relaxed);
    }

    fn path(&self, key: &str) -> Answered<Path> {
        let whole = if self.base.as_ref().is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.base)
        };
        Path::parse(whole).map_err(|error| Failure::of(key, &error.into()))
    }

    /// The whole name of an object, as signed calls need it.
    pub(crate) fn full(&self, key: &str) -> Answered<String> {
        Ok(self.path(key)?.to_string())
    }

    /// What is known of an object without reading it.
    pub(crate) async fn look(&self, key: &str) -> Answered<ObjectMeta> {
        self.store.head(&self.path(key)?).await.map_err(|error| Failure::of(key, &error))
    }

    /// The names that begin with `prefix` and a slash, below the place, sorted.
    pub(crate) async fn list(&self, prefix: &str) -> Answered<Vec<String>> {
        let found: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.path(prefix)?))
            .try_collect()
            .await
            .map_err(|error| Failure::of(prefix, &error))?;
        let skip = if self.base.as_ref().is_empty() { 0 } else { self.base.as_ref().len() + 1 };
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|meta| meta.location.as_ref().get(skip..).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The folders right below `prefix`, sorted.
    pub(crate) async fn folders(&self, prefix: &str) -> Answered<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.path(prefix)?)).await;
        let listed = listed.map_err(|error| Failure::of(prefix, &error))?;
        let names =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    /// Writes an object where nothing is, locked as the place locks `key`.
    pub(crate) async fn put_new(&self, key: &str, bytes: Bytes) -> Answered<()> {
        let path = self.path(key)?;
        if !self.is_conditional() {
            match self.store.head(&path).await {
                Ok(_) => return Err(Failure::There),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(Failure::of(key, &error)),
            }
        }
        if let (Some(signed), Some(lock)) = (&self.signed, self.lock_of(key)) {
            return signed.put_locked(path.as_ref(), bytes, lock).await;
        }
        self.put(
            key,
            &path,
            bytes,
            if self.is_conditional() { PutMode::Create } else { PutMode::Overwrite },
        )
        .await
        .map(drop)
    }

    /// Writes an object over the version that is meant, or where nothing is. Returns the version that it is then.
    pub(crate) async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        over: Option<&Version>,
    ) -> Answered<Version> {
        let path = self.path(key)?;
        let Some(Version(version, before)) = over else {
            return self.unlocked(key, &path, bytes).await;
        };
        if let PlaceUrl::File(folder) = &self.url {
            let lock = folder.join(format!("{key}.lock"));
            let failed = |error: std::io::Error| {
                Failure::Trouble(Trouble::new(
                    "export-refused",
                    format!("`{}`: {error}", lock.display()),
                ))
            };
            // Folders have no conditional write: whoever replaces holds the lock.
            let file =
                std::fs::File::options().create(true).truncate(false).write(true).open(&lock);
            let file = file.map_err(failed)?;
            file.lock().map_err(failed)?;
            if self.get(key).await? != *before {
                return Err(Failure::There);
            }
            return self.put(key, &path, bytes, PutMode::Overwrite).await;
        }
        if self.is_conditional() {
            return self.put(key, &path, bytes, PutMode::Update(version.clone())).await;
        }
        if self.get(key).await? != *before {
            return Err(Failure::There);
        }
        self.put(key, &path, bytes, PutMode::Overwrite).await
    }

    /// Writes an object where nothing is, without a lock; for probes.
    pub(crate) async fn put_unlocked(&self, key: &str, bytes: Bytes) -> Answered<()> {
        self.put(key, &self.path(key)?, bytes, PutMode::Create).await.map(drop)
    }

    /// Whether a write can name the version that it goes over.
    pub(crate) const fn has_versions_of_etag(&self) -> bool {
        !matches!(self.url, PlaceUrl::File(_))
    }

    /// As [`Self::put_new`] for what is replaced later, and so cannot be locked.
    async fn unlocked(&self, key: &str, path: &Path, bytes: Bytes) -> Answered<Version> {
        if self.is_conditional() {
            return self.put(key, path, bytes, PutMode::Create).await;
        }
        match self.store.head(path).await {
            Ok(_) => Err(Failure::There),
            Err(Error::NotFound { .. }) => self.put(key, path, bytes, PutMode::Overwrite).await,
            Err(error) => Err(Failure::of(key, &error)),
        }
    }

    async fn put(&self, key: &str, path: &Path, bytes: Bytes, mode: PutMode) -> Answered<Version> {
        let payload = PutPayload::from_bytes(bytes.clone());
        let done = self.store.put_opts(path, payload, mode.into()).await;
        let done = done.map_err(|error| Failure::of(key, &error))?;
        Ok(Version(done.into(), bytes))
    }

    /// Locks an object that was written in parts, as the place locks `key`.
    pub(crate) async fn lock_written(&self, key: &str) -> Answered<()> {
        match (&self.signed, self.lock_of(key)) {
            (Some(signed), Some(lock)) => signed.retain(self.path(key)?.as_ref(), lock).await,
            _ => Ok(()),
        }
    }

    /// Writes an object of that media type where nothing is.
    pub(crate) async fn put_file(
        &self,
        key: &str,
        bytes: Bytes,
        media: &'static str,
    ) -> Answered<()> {
        let mut options = PutOptions::from(PutMode::Create);
        // Folders keep no such thing.
        if self.presigns.is_some() {
            options.attributes.insert(Attribute::ContentType, media.into());
        }
        let payload = PutPayload::from_bytes(bytes);
        let done = self.store.put_opts(&self.path(key)?, payload, options).await;
        done.map(drop).map_err(|error| Failure::of(key, &error))
    }

    /// A URL by which anybody reads an object for a while (AWS Signature Version 4, "Authenticating Requests: Using
    /// Query Parameters"). `None` where there are no such URLs. Nothing is asked for it, but perhaps credentials.
    pub(crate) async fn presign(&self, key: &str, lifetime: Duration) -> Answered<Option<String>> {
        let Some(store) = &self.presigns else { return Ok(None) };
        let url = store.signed_url(Method::GET, &self.path(key)?, lifetime).await;
        url.map(|url| Some(url.into())).map_err(|error| Failure::of(key, &error))
    }

    /// Deletes an object; one that is not there is deleted.
    pub(crate) async fn remove(&self, key: &str) -> Answered<()> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Failure::of(key, &error)),
        }
    }

    /// Writes an object over whatever is there; for what is not evidence.
    pub(crate) async fn write(&self, key: &str, bytes: Bytes) -> Answered<()> {
        self.put(key, &self.path(key)?, bytes, PutMode::Overwrite).await.map(drop)
    }

    /// Deletes an object, as far as the credentials allow.
    pub(crate) async fn forget(&self, key: &str) {
        if let Ok(path) = self.path(key) {
            // A writer that may not delete is as it should be.
            let _ = self.store.delete(&path).await;
        }
    }

    /// Writes over an object if that is the version that is meant; for probes.
    pub(crate) async fn put_over(&self, key: &str, bytes: Bytes, tag: &str) -> Answered<()> {
        let version = UpdateVersion { e_tag: Some(tag.to_owned()), version: None };
        self.put(key, &self.path(key)?, bytes, PutMode::Update(version)).await.map(drop)
    }

    fn lock_of(&self, key: &str) -> Option<Lock> {
        let lock = self.lock?;
        let audit = key.contains("/data/audit/");
        let mode = if audit { lock.mode } else { LockMode::Governance };
        Some(Lock { mode, ..lock })
    }
}

/// Stores in memory that were named before.
static MEMORIES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

fn memory(name: &str) -> Arc<InMemory> {
    let mut named = MEMORIES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    named.entry(name.to_owned()).or_default().clone()
}
