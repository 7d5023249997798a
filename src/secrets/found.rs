//! Reading a secret from where it is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::secret::LONGEST;
use super::vault::Vault;
use super::{Secret, SecretRef, sops};
use crate::clock::SharedClock;
use crate::config::SecretsConfig;

/// Why a secret could not be read. The text says where it was looked for, and nothing of what was
/// found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub(super) String);

/// Every place that the configuration opens.
pub struct Secrets {
    config: SecretsConfig,
    vault: Vault,
}

impl Secrets {
    /// The places that `config` tells of. `clock` says when something from a vault is read again.
    pub fn new(config: &SecretsConfig, clock: SharedClock) -> Self {
        Self { config: config.clone(), vault: Vault::new(&config.vault, clock) }
    }

    /// Reads a secret as it is now; from a vault as it was at most `secrets.vault.cache` ago.
    pub fn read(&self, from: &SecretRef) -> Result<Secret, SecretError> {
        self.look(from, false)
    }

    /// Reads a secret that was just refused: from where it is, whatever is remembered.
    pub fn read_anew(&self, from: &SecretRef) -> Result<Secret, SecretError> {
        self.look(from, true)
    }

    fn look(&self, from: &SecretRef, anew: bool) -> Result<Secret, SecretError> {
        let text = match from {
            SecretRef::Vault { mount, path, key } => {
                let token = || self.vault_token();
                self.vault.read((mount, path, key), anew, token)?
            }
            SecretRef::Sops { file, key } => sops::read(&self.config.sops, file, key)?,
            near => self::near(near)?,
        };
        let no_secret =
            || SecretError(format!("what `{from}` holds is no password, token or key on one line"));
        Secret::new(&text).ok_or_else(no_secret)
    }

    /// The vault, and the token that it takes.
    pub(super) fn vault(&self) -> Result<(&Vault, Secret), SecretError> {
        self.vault.address()?;
        Ok((&self.vault, self.vault_token()?))
    }

    /// What opens the vault is itself found on this machine.
    fn vault_token(&self) -> Result<Secret, SecretError> {
        let from = self.config.vault.token.as_deref().unwrap_or_default();
        let wrong =
            || SecretError("`secrets.vault.token` does not say where a token is".to_owned());
        let from = from.parse::<SecretRef>().map_err(|_| wrong())?;
        if !from.is_near() {
            return Err(wrong());
        }
        Secret::new(&near(&from)?)
            .ok_or_else(|| SecretError(format!("what `{from}` holds is no token")))
    }
}

impl SecretRef {
    /// Whether it is on this machine, and needs nothing else to be read.
    pub(crate) const fn is_near(&self) -> bool {
        matches!(self, Self::Env(_) | Self::File(_) | Self::Systemd(_))
    }
}

/// Reads from the environment or a file.
fn near(from: &SecretRef) -> Result<Zeroizing<String>, SecretError> {
    match from {
        SecretRef::Env(name) => std::env::var(name)
            .map(Zeroizing::new)
            .map_err(|_| SecretError(format!("the server has no environment variable `{name}`"))),
        SecretRef::File(path) => file(path),
        SecretRef::Systemd(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                SecretError(format!(
                    "systemd hands no credentials to the server; its unit needs \
                     `LoadCredential={name}:…`"
                ))
            })?;
            file(&Path::new(&folder).join(name))
        }
        far => Err(SecretError(format!("`{far}` is not on this machine"))),
    }
}

fn file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(|e| SecretError(format!("`{}` cannot be read: {}", path.display(), e.kind())))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;

    /// The file is read each time, and no error or debug output shows what it holds.
    #[test]
    fn files_are_read_anew_and_never_shown() {
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let from: SecretRef = format!("file:{}", path.display()).parse().unwrap();
        let read = || secrets.read(&from);
        assert!(read().unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, "first\n").unwrap();
        let first = read().unwrap();
        assert_eq!(first.basic("x"), "Basic eDpmaXJzdA==");
        assert_eq!(first.blot("your first mistake"), "your … mistake");
        std::fs::write(&path, "second\n").unwrap();
        assert_ne!(read().unwrap(), first);
        assert_eq!(format!("{first:?}"), "Secret(…)");
        for bad in [" \n".to_owned(), "hunter2\nhunter3".to_owned(), "hunter2".repeat(5_000)] {
            std::fs::write(&path, bad).unwrap();
            assert!(!read().unwrap_err().to_string().contains("hunter"));
        }
        let missing = "env:COLOPHON_NO_SUCH_VARIABLE".parse().unwrap();
        assert!(secrets.read(&missing).is_err());
    }

    /// A vault that nobody told of is not guessed from the environment.
    #[test]
    fn a_vault_that_is_not_configured_is_named_as_missing() {
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        let from = "vault:secret/acme#token".parse().unwrap();
        let error = secrets.read(&from).unwrap_err().to_string();
        assert!(error.contains("secrets.vault.address"), "{error}");
    }
}
