//! Reads objects: small ones whole, and those of any size piece by piece.

use axum::body::Bytes;
use colophon_model::Sha256;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use object_store::{Error, ObjectStoreExt as _, UpdateVersion};
use sha2::Digest as _;

use super::{Answered, Failure, Place, Trouble, Version};

/// Largest object that is read whole without saying how large it may be, in bytes: nothing of that size is written so.
const WHOLE: u64 = 64 << 20;
/// The code of an object that is larger than it may be.
pub(crate) const TOO_LARGE: &str = "export-too-large";

/// An object on its way. Nothing of it is worth anything before [`Self::next`] has said that it ended.
pub(crate) struct Pieces<'a> {
    key: &'a str,
    stream: BoxStream<'static, Result<Bytes, Error>>,
    version: UpdateVersion,
    /// Its length, as the store says it.
    said: u64,
    came: u64,
    most: u64,
}

impl Pieces<'_> {
    /// The next piece, as large as the store makes them; `None` at the end, when all of it came.
    pub(crate) async fn next(&mut self) -> Answered<Option<Bytes>> {
        let next = self.stream.try_next().await.map_err(|error| Failure::of(self.key, &error))?;
        self.came += next.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.came > self.most {
            return Err(self.too_large());
        }
        if next.is_none() {
            whole(self.key, self.said, self.came)?;
        }
        Ok(next)
    }

    fn too_large(&self) -> Failure {
        let text = format!("`{}` has more than {} bytes", self.key, self.most);
        Failure::Trouble(Trouble::new(TOO_LARGE, text))
    }
}

impl Place {
    /// Reads an object of at most 64 MiB.
    pub(crate) async fn get(&self, key: &str) -> Answered<Bytes> {
        Ok(self.get_version(key).await?.0)
    }

    /// The same, and which version of it that is.
    pub(crate) async fn get_version(&self, key: &str) -> Answered<(Bytes, Version)> {
        let (bytes, version) = self.read(key, WHOLE).await?;
        Ok((bytes.clone(), Version(version, bytes)))
    }

    /// Reads an object of at most `most` bytes, whatever is said of its size.
    pub(crate) async fn get_within(&self, key: &str, most: u64) -> Answered<Bytes> {
        Ok(self.read(key, most).await?.0)
    }

    async fn read(&self, key: &str, most: u64) -> Answered<(Bytes, UpdateVersion)> {
        let (mut pieces, mut bytes) = (self.pieces(key, most).await?, Vec::new());
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok((bytes.into(), pieces.version))
    }

    /// Begins to read an object of at most `most` bytes, whatever is said of its size.
    pub(crate) async fn pieces<'a>(&self, key: &'a str, most: u64) -> Answered<Pieces<'a>> {
        let found = self.store.get(&self.path(key)?).await;
        let found = found.map_err(|error| Failure::of(key, &error))?;
        let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
        let (said, version) = (found.meta.size, UpdateVersion { e_tag, version });
        let pieces = Pieces { key, stream: found.into_stream(), version, said, came: 0, most };
        if said > most { Err(pieces.too_large()) } else { Ok(pieces) }
    }

    /// Checksum and length of an object of any size.
    pub(crate) async fn measure(&self, key: &str) -> Answered<(Sha256, u64)> {
        let (mut pieces, mut hasher) = (self.pieces(key, u64::MAX).await?, sha2::Sha256::new());
        while let Some(piece) = pieces.next().await? {
            hasher.update(&piece);
        }
        Ok((Sha256::from_bytes(hasher.finalize().into()), pieces.came))
    }
}

/// An answer that ends too early is asked for again.
fn whole(key: &str, said: u64, came: u64) -> Answered<()> {
    if said == came {
        return Ok(());
    }
    let trouble =
        Trouble::new("export-unreachable", format!("`{key}` has {said} bytes, and {came} came"));
    Err(Failure::Trouble(Trouble { passing: true, ..trouble }))
}
