//! Checking stored objects against their ids.

use colophon_model::{Digest, GitKind, Ordinal, TagObject};

use crate::object::Object;
use crate::{Error, ObjectLog, read};

/// Checks that the object at `at` can be read and hashes to its id, and that a blob's bytes are
/// those of the store's blob with the same digest. Returns its kind and bytes.
///
/// # Errors
/// [`Error::Damaged`] says what is wrong with it.
pub fn verify(log: &dyn ObjectLog, at: Ordinal) -> Result<(GitKind, Vec<u8>), Error> {
    let entry = read::entry(log, at)?;
    let (kind, bytes) = read::object(log, at)?;
    if bytes.len() as u64 != entry.size {
        return Err(Error::damaged(at, "its size is not what was recorded"));
    }
    if entry.blob.is_some_and(|blob| blob != Digest::of(&bytes)) {
        return Err(Error::damaged(at, "its bytes are not those of its blob"));
    }
    let object = Object::new(kind, bytes)?;
    if object.oid != entry.oid {
        return Err(Error::damaged(at, "its bytes do not hash to its id"));
    }
    Ok((kind, object.bytes))
}

/// Whether a tag object hashes to its id and names its target.
pub fn verify_tag(tag: &TagObject) -> Result<bool, Error> {
    let object = Object::new(GitKind::Tag, tag.bytes.clone())?;
    let names = object.bytes.starts_with(format!("object {}\n", tag.target).as_bytes());
    Ok(names && object.oid == tag.oid)
}
