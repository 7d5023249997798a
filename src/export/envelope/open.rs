//! Opens age files, with the `age` crate.

use std::io::{self, Read, Write};

use age::{DecryptError, Decryptor, x25519};
use axum::body::Bytes;

use super::{Identity, KeyId};

/// Opens what is sealed for any of its keys.
#[derive(Clone, Default)]
pub struct Opener {
    keys: Vec<Held>,
}

#[derive(Clone)]
struct Held {
    id: KeyId,
    ours: Identity,
    theirs: x25519::Identity,
}

/// Why something was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// It is sealed for other keys, or there is none.
    #[error("it is sealed with a key that was not given")]
    NoKey,
    /// It is no age file.
    #[error("it is not sealed: it is no age file")]
    NotSealed,
    /// It was cut or changed.
    #[error("it was cut or changed after it was sealed")]
    Damaged,
    /// It cannot be read, or what is in it not be written.
    #[error("it cannot be read or written")]
    File(#[source] io::Error),
}

impl From<DecryptError> for Unopened {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::NoMatchingKeys => Self::NoKey,
            DecryptError::InvalidHeader | DecryptError::UnknownFormat => Self::NotSealed,
            DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::NotSealed
            }
            _ => Self::Damaged,
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Opener {
    /// With these keys.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let theirs = |identity: Identity| {
            let theirs = identity.to_text().parse().ok()?;
            Some(Held { id: identity.id(), ours: identity, theirs })
        };
        Self { keys: identities.into_iter().filter_map(theirs).collect() }
    }

    /// Whether it has that key.
    pub fn has(&self, key: &KeyId) -> bool {
        self.identity(key).is_some()
    }

    /// That key, if it has it.
    pub fn identity(&self, key: &KeyId) -> Option<&Identity> {
        self.keys.iter().find(|held| held.id == *key).map(|held| &held.ours)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Opens bytes.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, sealed: &[u8]) -> Result<Bytes, Unopened> {
        let mut plain = Vec::with_capacity(sealed.len());
        self.reader(sealed)?.read_to_end(&mut plain).map_err(|_| Unopened::Damaged)?;
        Ok(plain.into())
    }

    /// Opens a file of any size in bounded memory; returns the length of what is in it. What was written must not be used
    /// when it fails: the file was cut or changed behind it.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_to(&self, sealed: impl Read, into: &mut impl Write) -> Result<u64, Unopened> {
        let mut reader = self.reader(sealed)?;
        let (mut length, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let count = reader.read(&mut buffer).map_err(|_| Unopened::Damaged)?;
            if count == 0 {
                return Ok(length);
            }
            into.write_all(&buffer[..count]).map_err(Unopened::File)?;
            length += count as u64;
        }
    }

    fn reader<R: Read>(&self, sealed: R) -> Result<impl Read, Unopened> {
        let keys = self.keys.iter().map(|held| &held.theirs as &dyn age::Identity);
        Ok(Decryptor::new(sealed)?.decrypt(keys)?)
    }
}
