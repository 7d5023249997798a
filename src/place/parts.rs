//! Objects in parts, for what is too large for one request. A part that failed is sent again by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{MultipartId, MultipartUpload, ObjectStoreExt as _, PutPayload};

use super::{Answered, Failure, Place, Trouble};

/// An object that is written in parts, and is there when it is complete.
pub(crate) struct Upload {
    key: String,
    way: Way,
}

enum Way {
    /// Parts are named by their numbers, so one may be sent twice.
    Bucket { store: AmazonS3, path: Path, id: MultipartId, parts: Mutex<BTreeMap<usize, PartId>> },
    /// Parts are appended, so none may.
    Appended(tokio::sync::Mutex<Box<dyn MultipartUpload>>),
}

impl Place {
    /// Begins an object in parts. Whether something is there is for the caller to look at before.
    pub(crate) async fn begin(&self, key: &str) -> Answered<Upload> {
        let path = self.path(key)?;
        let failed = |error| Failure::of(key, &error);
        let way = if let Some(store) = &self.presigns {
            let id = store.create_multipart(&path).await.map_err(failed)?;
            Way::Bucket { store: store.clone(), path, id, parts: Mutex::default() }
        } else {
            let upload = self.store.put_multipart(&path).await.map_err(failed)?;
            Way::Appended(tokio::sync::Mutex::new(upload))
        };
        Ok(Upload { key: key.to_owned(), way })
    }
}

impl Upload {
    /// Sends part number `at`, from 0 on; each part once it is known what became of the one before.
    pub(crate) async fn part(&self, at: usize, bytes: Bytes) -> Answered<()> {
        let failed = |error| Failure::of(&self.key, &error);
        let payload = PutPayload::from_bytes(bytes);
        match &self.way {
            Way::Bucket { store, path, id, parts } => {
                let part = store.put_part(path, id, at, payload).await.map_err(failed)?;
                parts.lock().unwrap_or_else(PoisonError::into_inner).insert(at, part);
                Ok(())
            }
            Way::Appended(upload) => {
                let done = upload.lock().await.put_part(payload).await;
                done.map_err(|error| once(failed(error)))
            }
        }
    }

    /// Makes an object of the parts. Once its answer was lost, another one says that there is no such upload: what lies
    /// there tells.
    pub(crate) async fn complete(&self) -> Answered<()> {
        let failed = |error| Failure::of(&self.key, &error);
        match &self.way {
            Way::Bucket { store, path, id, parts } => {
                let parts = parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let done = store.complete_multipart(path, id, parts.into_values().collect()).await;
                done.map(drop).map_err(failed)
            }
            Way::Appended(upload) => {
                let done = upload.lock().await.complete().await;
                done.map(drop).map_err(|error| once(failed(error)))
            }
        }
    }

    /// Has the parts forgotten, which take room until somebody does, as far as the credentials allow.
    pub(crate) async fn abort(&self) {
        let done = match &self.way {
            Way::Bucket { store, path, id, .. } => store.abort_multipart(path, id).await,
            Way::Appended(upload) => upload.lock().await.abort().await,
        };
        if let Err(error) = done {
            let trouble = Trouble::of(&self.key, &error);
            tracing::debug!(%trouble, "parts of an object that was given up are left");
        }
    }
}

/// What may not be tried again.
fn once(failure: Failure) -> Failure {
    match failure {
        Failure::Trouble(trouble) => Failure::Trouble(Trouble { passing: false, ..trouble }),
        other => other,
    }
}
