//! Secrets of the server: one random master key on disk, everything else derived from it.
//!
//! HKDF-SHA256 (RFC 5869) with one label per use, so that no secret is stored in the database and
//! no key serves two purposes.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use colophon_model::TenantUid;
use colophon_trust::Seed;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::tokens::{Token, TokenKind};

/// The server's master key: 32 random bytes in `<data>/keys/master.key`, mode 0600.
///
/// Whoever reads it can sign as every tenant whose roots were made on this server.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Reads the key below `data`, or makes one when there is none yet.
    pub fn load_or_create(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("keys").join("master.key");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("`{}`", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::create(&path),
            Err(e) => Err(e).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }

    /// A key from given bytes, for tests and for programs that keep it elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        if hex::decode_to_slice(text.trim_end(), &mut key).is_err() {
            bail!("the master key must be 64 hex digits");
        }
        Ok(Self(key))
    }

    fn create(path: &Path) -> anyhow::Result<Self> {
        let key = Self(random_bytes()?);
        write_secret(path, &format!("{}\n", hex::encode(key.0)))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(key)
    }

    /// The HMAC secret with which a tenant's builder signs its webhooks. `generation` rises when
    /// the secret is rotated.
    pub fn webhook_secret(&self, tenant: TenantUid, generation: u32) -> String {
        let bytes = self.derive::<24>(&format!("webhook/{tenant}/{generation}"));
        format!("whsec_{}", data_encoding::BASE64.encode(&bytes))
    }

    /// The key that signs expiring download URLs.
    pub fn url_key(&self) -> [u8; 32] {
        self.derive("edge-url/1")
    }

    /// The seed of every tenant's TUF keys.
    pub fn trust_seed(&self) -> Seed {
        Seed::new(self.derive("tuf/1"))
    }

    /// The token with which the command line administers a running server on the same machine.
    pub fn operator_token(&self) -> Token {
        Token::from_random(TokenKind::Operator, &self.derive("operator/1"))
    }

    fn derive<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut out = [0; N];
        Hkdf::<Sha256>::new(Some(b"colophon server v1"), &self.0)
            .expand(label.as_bytes(), &mut out)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        out
    }
}

/// Bytes from the operating system's generator.
pub fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

/// Writes a new file that only its owner may read, durably. Refuses to overwrite.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        let first = MasterKey::load_or_create(data.path()).unwrap();
        let again = MasterKey::load_or_create(data.path()).unwrap();
        assert_eq!(first.0, again.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let path = data.path().join("keys/master.key");
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_refused_rather_than_replaced() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("keys")).unwrap();
        fs::write(data.path().join("keys/master.key"), "abc").unwrap();
        assert!(MasterKey::load_or_create(data.path()).is_err());
    }

    #[test]
    fn no_two_uses_share_a_secret() {
        let key = MasterKey::from_bytes([1; 32]);
        let (a, b) = (TenantUid::from_bytes([1; 16]), TenantUid::from_bytes([2; 16]));
        assert_ne!(key.webhook_secret(a, 1), key.webhook_secret(b, 1));
        assert_ne!(key.webhook_secret(a, 1), key.webhook_secret(a, 2));
        assert!(!format!("{key:?}").contains("01"), "the key does not leak through Debug");
    }
}
