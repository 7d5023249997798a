//! Secrets of the server: one random master key on disk, everything else derived from it.
//!
//! HKDF-SHA256 (RFC 5869) with one label per use, so that no secret is stored in the database and
//! no key serves two purposes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use colophon_model::TenantUid;
use colophon_store::rows::EndpointId;
use colophon_trust::Seed;
use colophon_trust::attest::AttestationKeys;
use colophon_trust::detached::DetachedKey;
use colophon_trust::dsse::StatementKey;
use colophon_trust::minisign::MinisignKey;
use colophon_trust::note::NoteKey;
use colophon_trust::sshsig::SshKey;
use hkdf::Hkdf;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::tokens::Token;

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
    /// Reads the key below `data`; `None` when there is none yet.
    pub fn load(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(data);
        if path.try_exists()? { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// Reads a key, or a copy of one, from a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("`{}`", path.display()))
    }

    /// Makes the key of a data directory that has none. Never replaces one.
    pub fn create(data: &Path) -> anyhow::Result<Self> {
        let key = Self(random_bytes()?);
        key.install(data)?;
        Ok(key)
    }

    /// Writes the key to a data directory that has none. Never replaces one.
    pub fn install(&self, data: &Path) -> anyhow::Result<()> {
        let path = path(data);
        write_secret(&path, &format!("{}\n", hex::encode(self.0)))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// A key from given bytes, for tests and for programs that keep it elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses 64 hex digits. The error does not repeat them.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        if hex::decode_to_slice(text.trim_end(), &mut key).is_err() {
            bail!("the master key must be 64 hex digits");
        }
        Ok(Self(key))
    }

    /// What tells one key from another, and nothing of it.
    pub fn id(&self) -> String {
        hex::encode(self.derive::<16>("id/1"))
    }

    /// The HMAC secret with which a tenant's builder signs its webhooks. `generation` rises when
    /// the secret is rotated.
    pub fn webhook_secret(&self, tenant: TenantUid, generation: u32) -> String {
        let bytes = self.derive::<24>(&format!("webhook/{tenant}/{generation}"));
        format!("whsec_{}", data_encoding::BASE64.encode(&bytes))
    }

    /// The secret with which events are signed that are sent to an endpoint of a tenant. `generation` rises
    /// when it is rotated.
    pub fn endpoint_secret(
        &self,
        tenant: TenantUid,
        endpoint: EndpointId,
        generation: u32,
    ) -> String {
        let bytes = self.derive::<32>(&format!("endpoint/{tenant}/{endpoint}/{generation}"));
        format!("whsec_{}", data_encoding::BASE64.encode(&bytes))
    }

    /// The key with which a builder that cannot sign shows that it is the tenant's. It is sent as it is,
    /// so that it is another one than [`Self::webhook_secret`] of the same generation.
    pub fn webhook_static_key(&self, tenant: TenantUid, generation: u32) -> String {
        let bytes = self.derive::<24>(&format!("webhook-static/{tenant}/{generation}"));
        format!("whkey_{}", hex::encode(bytes))
    }

    /// The key that signs expiring download URLs.
    pub fn url_key(&self) -> [u8; 32] {
        self.derive("edge-url/1")
    }

    /// The seed of every tenant's TUF keys.
    pub fn trust_seed(&self) -> Seed {
        Seed::new(self.derive("tuf/1"))
    }

    /// The key that signs statements about what was done, such as an erasure.
    pub fn statement_key(&self) -> StatementKey {
        StatementKey::derive(&Seed::new(self.derive("dsse/1")))
    }

    /// The keys that sign what is attested about bundles.
    pub fn attestation_keys(&self) -> AttestationKeys {
        AttestationKeys::derive(&Seed::new(self.derive("attest/1")))
    }

    /// The key that signs bundles for minisign.
    pub fn minisign_key(&self) -> MinisignKey {
        MinisignKey::derive(&Seed::new(self.derive("minisign/1")))
    }

    /// The key that signs checkpoints of the audit log.
    pub fn note_key(&self) -> NoteKey {
        NoteKey::derive(&Seed::new(self.derive("note/1")))
    }

    /// The key that signs what is exported for auditors.
    pub fn export_key(&self) -> DetachedKey {
        DetachedKey::derive(&Seed::new(self.derive("export/1")))
    }

    /// The key that keeps the key of a tenant's exports in the store.
    pub fn export_wrap_key(&self, tenant: TenantUid) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.derive(&format!("export-wrap/{tenant}")))
    }

    /// The key that signs commits and tags, the same for every tenant.
    pub fn git_key(&self) -> SshKey {
        SshKey::from_seed(&Seed::new(self.derive("git/1")))
    }

    /// Proof that a server holds the key: an answer to `nonce` that nobody else can give.
    pub fn proof(&self, nonce: &Nonce) -> String {
        hex::encode(self.derive::<32>(&format!("operator-proof/{}", hex::encode(nonce.0))))
    }

    /// The token with which the command line administers a running server on the same machine.
    pub fn operator_token(&self) -> Token {
        Token::operator(&self.derive("operator/1"))
    }

    /// The key, PKCS #8, that commands show to the TLS listener of a server on the same machine.
    pub fn command_key(&self) -> PrivatePkcs8KeyDer<'static> {
        // RFC 8410 §7: version, algorithm, and the seed as an octet string in an octet string.
        const BEFORE: [u8; 16] =
            [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let seed = self.derive::<32>("command-tls/1");
        [BEFORE.as_slice(), &seed].concat().into()
    }

    fn derive<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut out = [0; N];
        Hkdf::<Sha256>::new(Some(b"colophon server v1"), &self.0)
            .expand(label.as_bytes(), &mut out)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        out
    }
}

/// Random bytes with which the command line asks a server for proof.
#[derive(Debug, Clone, Copy)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// Draws one.
    pub fn random() -> anyhow::Result<Self> {
        Ok(Self(random_bytes()?))
    }

    /// Parses 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }

    /// The nonce in hex.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("keys").join("master.key")
}

/// Bytes from the operating system's generator.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new file that only its owner may read. A crash leaves the whole file or none; a file
/// that is there already is not replaced.
pub fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    // Of a relative path, the folders above are not in the text.
    let path = &std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let aside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, fails when the name is taken.
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    linked?;
    #[cfg(unix)]
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        assert!(MasterKey::load(data.path()).unwrap().is_none());
        let made = MasterKey::create(data.path()).unwrap();
        assert!(MasterKey::create(data.path()).is_err(), "never replaced");
        assert_eq!(MasterKey::load(data.path()).unwrap().unwrap().0, made.0);
        assert_eq!(fs::read_dir(data.path().join("keys")).unwrap().count(), 1);
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
        assert!(MasterKey::load(data.path()).is_err());
    }

    /// Libraries of Standard Webhooks refuse secrets of other lengths than 24 to 64 bytes.
    #[test]
    fn a_webhook_secret_is_one_of_standard_webhooks() {
        let secret =
            MasterKey::from_bytes([1; 32]).webhook_secret(TenantUid::from_bytes([1; 16]), 1);
        let encoded = secret.strip_prefix("whsec_").unwrap();
        let bytes = data_encoding::BASE64.decode(encoded.as_bytes()).unwrap();
        assert!((24..=64).contains(&bytes.len()));
    }

    #[test]
    fn no_two_uses_share_a_secret() {
        let key = MasterKey::from_bytes([1; 32]);
        let (a, b) = (TenantUid::from_bytes([1; 16]), TenantUid::from_bytes([2; 16]));
        assert_ne!(key.webhook_secret(a, 1), key.webhook_secret(b, 1));
        assert_ne!(key.webhook_secret(a, 1), key.webhook_secret(a, 2));
        let (c, d) = (EndpointId::from_random([1; 16]), EndpointId::from_random([2; 16]));
        assert_ne!(key.endpoint_secret(a, c, 1), key.endpoint_secret(a, d, 1));
        assert_ne!(key.endpoint_secret(a, c, 1), key.endpoint_secret(b, c, 1));
        assert_ne!(key.endpoint_secret(a, c, 1), key.endpoint_secret(a, c, 2));
        assert_ne!(key.webhook_static_key(a, 1), key.webhook_static_key(b, 1));
        assert_ne!(key.webhook_static_key(a, 1), key.webhook_static_key(a, 2));
        assert_ne!(key.export_wrap_key(a), key.export_wrap_key(b));
        assert!(!format!("{key:?}").contains("01"), "the key does not leak through Debug");
    }
}
