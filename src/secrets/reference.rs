//! The text that says where a secret is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`: a variable of the server's environment.
    Env(String),
    /// `file:/path`: a file on the server's machine, by absolute path.
    File(PathBuf),
    /// `systemd:NAME`: a credential that systemd hands to the unit (systemd.exec(5), `LoadCredential=`).
    Systemd(String),
    /// `vault:MOUNT/PATH#KEY`: a key of a secret in a KV engine, version 2, of Vault or OpenBao.
    Vault {
        /// Where the engine is mounted: one segment.
        mount: String,
        /// The secret's path below the mount.
        path: String,
        /// The key within the secret.
        key: String,
    },
    /// `sops:/path#KEY`: a key of a file that SOPS has encrypted, by absolute path; with dots for keys
    /// within keys.
    Sops {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
}

/// A text that does not say where a secret is. The text is not repeated: it may be the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be `env:NAME`, `file:/absolute/path`, `systemd:NAME`, `vault:MOUNT/PATH#KEY` or \
     `sops:/absolute/path#KEY`: where the secret is found, not what it is"
)]
pub struct InvalidRef;

impl FromStr for SecretRef {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let (kind, rest) = text.split_once(':').ok_or(InvalidRef)?;
        match kind {
            "env" if is_variable(rest) => Ok(Self::Env(rest.to_owned())),
            "file" => absolute(rest).map(Self::File),
            "systemd" if is_word(rest) => Ok(Self::Systemd(rest.to_owned())),
            "vault" => {
                let (place, key) = rest.rsplit_once('#').ok_or(InvalidRef)?;
                let (mount, path) = place.split_once('/').ok_or(InvalidRef)?;
                let plain = is_word(mount) && path.split('/').all(is_word) && is_word(key);
                let [mount, path, key] = [mount, path, key].map(str::to_owned);
                if plain && rest.len() <= 1024 {
                    Ok(Self::Vault { mount, path, key })
                } else {
                    Err(InvalidRef)
                }
            }
            "sops" => {
                let (file, key) = rest.rsplit_once('#').ok_or(InvalidRef)?;
                let plain = key.split('.').all(is_word);
                let file = absolute(file)?;
                if plain { Ok(Self::Sops { file, key: key.to_owned() }) } else { Err(InvalidRef) }
            }
            _ => Err(InvalidRef),
        }
    }
}

fn absolute(path: &str) -> Result<PathBuf, InvalidRef> {
    if path.len() > 1024 || path.contains(char::is_control) {
        return Err(InvalidRef);
    }
    let path = PathBuf::from(path);
    if path.is_absolute() { Ok(path) } else { Err(InvalidRef) }
}

fn is_variable(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.len() <= 200 && name.chars().all(word)
}

/// A name that needs no quoting in a URL or a path, and leads nowhere else.
pub(super) fn is_word(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=200).contains(&name.len()) && name.chars().all(word) && !name.starts_with('.')
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Vault { mount, path, key } => write!(f, "vault:{mount}/{path}#{key}"),
            Self::Sops { file, key } => write!(f, "sops:{}#{key}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip_and_secrets_are_not_taken_for_them() {
        for good in [
            "env:ACME_TOKEN",
            "file:/run/secrets/acme",
            "systemd:acme.token",
            "vault:secret/colophon/acme#token",
            "sops:/etc/colophon/secrets.enc.yaml#mirror.acme",
        ] {
            assert_eq!(good.parse::<SecretRef>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "ghp_abc123",
            "env:",
            "env:A B",
            "env:A=B",
            "file:relative",
            "file:",
            "file:/a\nb",
            "command:cat /x",
            "systemd:",
            "systemd:../x",
            "systemd:a/b",
            "vault:secret#key",
            "vault:secret/a",
            "vault:secret/../sys/raw#key",
            "vault:secret/a//b#key",
            "vault:secret/a?version=1#key",
            "vault:secret/a#",
            "sops:relative#key",
            "sops:/a",
            "sops:/a#k\"]",
            "sops:/a#k..l",
        ] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }

    /// What was given may be the secret itself.
    #[test]
    fn a_refused_reference_is_not_repeated() {
        let error = "ghp_abc123".parse::<SecretRef>().unwrap_err();
        assert!(!error.to_string().contains("ghp_abc123"));
    }
}
