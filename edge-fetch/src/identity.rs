//! The device's own age key: for whom secrets are encrypted that only this machine is to read.

use std::path::PathBuf;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use zeroize::Zeroizing;

use crate::disk;
use crate::{Cache, Error};

/// An X25519 key in the format of age's identity files, so that `age -d -i` takes it. It never leaves this
/// machine; the server learns its public half, the recipient.
pub struct DeviceKey(x25519::Identity);

/// Why a ciphertext gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// It is for other devices.
    #[error("it is not encrypted for this device")]
    NotForThisDevice,
    /// It is no age file, or was cut or changed.
    #[error("it is no age file that can be decrypted ({0})")]
    Broken(String),
}

impl DeviceKey {
    /// Where the key is.
    pub fn path(cache: &Cache) -> PathBuf {
        cache.dir().join("device.key")
    }

    /// The key of this folder, if it has one.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no key.
    pub fn find(cache: &Cache) -> Result<Option<Self>, Error> {
        let path = Self::path(cache);
        let Some(text) = disk::read(&path)?.map(Zeroizing::new) else { return Ok(None) };
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let key = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-1"));
        match key.and_then(|key| key.parse().ok()) {
            Some(key) => Ok(Some(Self(key))),
            None => Err(Error::DeviceKey { path }),
        }
    }

    /// The key of this folder; a new one when it has none. The caller has the folder's lock.
    pub(crate) fn find_or_make(cache: &Cache) -> Result<Self, Error> {
        if let Some(key) = Self::find(cache)? {
            return Ok(key);
        }
        let key = Self(x25519::Identity::generate());
        key.write(&Self::path(cache))?;
        Ok(key)
    }

    /// `age1…`, for whoever is to encrypt.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    /// Decrypts an age file, binary or armored, in memory.
    ///
    /// # Errors
    /// When it is not for this key, or damaged.
    pub fn open(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        match age::decrypt(&self.0, ciphertext) {
            Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
            Err(age::DecryptError::NoMatchingKeys) => Err(Unopened::NotForThisDevice),
            Err(error) => Err(Unopened::Broken(error.to_string())),
        }
    }

    fn write(&self, path: &std::path::Path) -> Result<(), Error> {
        let secret = self.0.to_string();
        let text = Zeroizing::new(format!(
            "# recipient: {}\n{}\n",
            self.recipient(),
            secret.expose_secret()
        ));
        disk::replace_private(path, text.as_bytes())
    }
}

/// The recipient of this folder; it gets a key if it has none, as one that was enrolled before there were
/// keys.
///
/// # Errors
/// [`Error::NotEnrolled`], and when the key cannot be read or written.
pub fn recipient(cache: &Cache) -> Result<String, Error> {
    cache.config()?;
    if let Some(key) = DeviceKey::find(cache)? {
        return Ok(key.recipient());
    }
    let _lock = cache.lock()?;
    Ok(DeviceKey::find_or_make(cache)?.recipient())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        assert!(DeviceKey::find(&cache).unwrap().is_none());
        let made = DeviceKey::find_or_make(&cache).unwrap().recipient();
        assert!(made.starts_with("age1"), "{made}");
        assert_eq!(DeviceKey::find_or_make(&cache).unwrap().recipient(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let about = std::fs::metadata(DeviceKey::path(&cache)).unwrap();
            assert_eq!(about.permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(DeviceKey::path(&cache), "AGE-SECRET-KEY-1X").unwrap();
        let error = DeviceKey::find(&cache).err().unwrap();
        assert_eq!(error.exit(), crate::Exit::Secrets);
        assert!(!error.to_string().contains("SECRET-KEY"), "{error}");
    }

    #[test]
    fn only_what_is_for_this_device_is_opened() {
        let [key, other] = [(); 2].map(|()| DeviceKey(x25519::Identity::generate()));
        let sealed = age::encrypt(&key.0.to_public(), b"{}").unwrap();
        assert_eq!(**key.open(&sealed).unwrap(), *b"{}");
        assert_eq!(other.open(&sealed), Err(Unopened::NotForThisDevice));
        for bad in [&sealed[..sealed.len() - 1], b"{}", b""] {
            assert!(matches!(key.open(bad), Err(Unopened::Broken(_))));
        }
    }
}
