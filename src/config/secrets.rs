//! What an operator can set about where secrets are found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secrets::SecretRef;
use crate::units::Span;

/// Where the server's own keys are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Where the master key is found. None: `keys/master.key` in the data directory.
    pub master: Option<String>,
}

/// Where secrets are found that are not on this machine in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// For `vault:…`.
    pub vault: VaultConfig,
    /// For `sops:…`.
    pub sops: SopsConfig,
}

/// A Vault or OpenBao server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultConfig {
    /// Its URL, such as `https://vault.example:8200`. None: there is none.
    pub address: Option<String>,
    /// Where the token is found that it takes: `env:…`, `file:…` or `systemd:…`.
    pub token: Option<String>,
    /// The namespace of every path.
    pub namespace: Option<String>,
    /// How long what was read is used again.
    pub cache: Span,
    /// Whether `http://` is allowed to other machines too. Secrets then go unprotected.
    pub plain_http: bool,
}

/// The program that decrypts SOPS files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SopsConfig {
    /// The program, version 3.9 or later.
    pub program: PathBuf,
}

impl Default for VaultConfig {
    fn default() -> Self {
        let cache = Span::seconds(30);
        Self { address: None, token: None, namespace: None, cache, plain_http: false }
    }
}

impl Default for SopsConfig {
    fn default() -> Self {
        Self { program: PathBuf::from("sops") }
    }
}

impl KeysConfig {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let wrong = self.master.as_deref().and_then(|from| from.parse::<SecretRef>().err());
        wrong.into_iter().map(|error| format!("`keys.master`: {error}")).collect()
    }
}

impl SecretsConfig {
    /// What types cannot say.
    pub(super) fn problems(&self) -> Vec<String> {
        let vault = &self.vault;
        let mut problems = Vec::new();
        if let Some(address) = &vault.address
            && !is_protected(address)
            && !(vault.plain_http && address.starts_with("http://"))
        {
            problems.push(
                "`secrets.vault.address` must begin with https://, or with http:// on this machine \
                 (`secrets.vault.plain_http` allows others)"
                    .to_owned(),
            );
        }
        let token = vault.token.as_deref().map(str::parse::<SecretRef>);
        if token.is_some_and(|from| !from.is_ok_and(|from| from.is_near())) {
            let text = "`secrets.vault.token` must be `env:NAME`, `file:/path` or `systemd:NAME`";
            problems.push(text.to_owned());
        }
        if vault.address.is_some() && vault.token.is_none() {
            problems
                .push("`secrets.vault.token` is missing: where the vault's token is".to_owned());
        }
        problems
    }
}

/// Whether nobody on the way can read what goes there.
fn is_protected(url: &str) -> bool {
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty();
    }
    let Ok(url) = url.parse::<axum::http::Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let here = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback());
    url.scheme_str() == Some("http") && here
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vault's token must not cross a network in clear because of a slip.
    #[test]
    fn a_vault_is_reached_by_https_or_on_this_machine() {
        let problems = |address: &str, plain_http| {
            let token = Some("env:VAULT_TOKEN".to_owned());
            let address = Some(address.to_owned());
            let vault = VaultConfig { address, token, plain_http, ..VaultConfig::default() };
            SecretsConfig { vault, ..SecretsConfig::default() }.problems().len()
        };
        for good in [
            "https://vault.example:8200",
            "http://127.0.0.1:8200",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert_eq!(problems(good, false), 0, "{good}");
        }
        let bad = [
            "http://vault.example",
            "http://127.0.0.1.example",
            "ftp://x",
            "vault.example",
            "https://",
        ];
        for bad in bad {
            assert_eq!(problems(bad, false), 1, "{bad}");
        }
        assert_eq!(problems("http://vault.example", true), 0);
        assert_eq!(problems("ftp://x", true), 1);
    }

    /// What opens the vault is not in the vault, nor in the configuration.
    #[test]
    fn the_vaults_token_is_found_on_this_machine() {
        for (token, expected) in [
            (Some("file:/run/token"), 0),
            (Some("systemd:vault"), 0),
            (Some("vault:secret/a#b"), 1),
            (Some("hvs.abcdef"), 1),
            (None, 1),
        ] {
            let address = Some("https://vault.example".to_owned());
            let token = token.map(str::to_owned);
            let vault = VaultConfig { address, token, ..VaultConfig::default() };
            let problems = SecretsConfig { vault, ..SecretsConfig::default() }.problems();
            assert_eq!(problems.len(), expected);
            assert!(!problems.concat().contains("hvs."), "what was given may be the token");
        }
    }
}
