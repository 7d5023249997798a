//! `edge-fetch.toml`: what an administrator sets for all runs in one folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use colophon_model::FlowId;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::disk;
use crate::{AttestationRule, Cache, Error};

/// The file's contents. A flag or an `EDGE_FETCH_*` variable of the same name wins over it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// PEM file with the only authorities to trust, instead of the machine's.
    pub ca_cert: Option<PathBuf>,
    /// PEM file with this machine's certificate and those between it and its authority.
    pub client_cert: Option<PathBuf>,
    /// PEM file with that certificate's private key.
    pub client_key: Option<PathBuf>,
    /// Address of a proxy, or `none`.
    pub proxy: Option<String>,
    /// Send the token unencrypted to another machine.
    pub allow_http: bool,
    /// How long to wait for the next bytes from the server, such as `30s`.
    #[serde(deserialize_with = "duration")]
    pub stall_timeout: Option<Duration>,
    /// Fetch bundles from the server alone, though it knows of a bucket.
    pub no_bucket: bool,
    /// Never tell the server what runs here.
    pub no_report: bool,
    /// Whether bundles must be attested; without this they must when there are keys.
    pub attestation: Option<AttestationRule>,
    /// PEM files with the keys that must have attested, instead of those of the enrolment.
    pub attestation_keys: Vec<PathBuf>,
    /// What is set per flow.
    pub flows: BTreeMap<FlowId, FlowSettings>,
}

/// What is set for one flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowSettings {
    /// Program and arguments that say, by exit code 0, that a new generation works.
    pub health: Vec<String>,
    /// How long it may take, such as `30s`.
    #[serde(deserialize_with = "duration")]
    pub health_timeout: Option<Duration>,
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map(Some).map_err(D::Error::custom)
}

impl Settings {
    /// Reads the file of a folder; nothing is set when there is none. Paths are relative to it.
    ///
    /// # Errors
    /// When the file cannot be read, or says what this version does not know.
    pub fn of(cache: &Cache) -> Result<Self, Error> {
        let path = cache.dir().join("edge-fetch.toml");
        let Some(bytes) = disk::read(&path)? else { return Ok(Self::default()) };
        let mut settings: Self = toml::from_slice(&bytes).map_err(|error| Error::Input {
            path,
            source: std::io::Error::other(error.to_string().trim_end().to_owned()),
        })?;
        for file in [&mut settings.ca_cert, &mut settings.client_cert, &mut settings.client_key] {
            *file = file.take().map(|file| cache.dir().join(file));
        }
        for file in &mut settings.attestation_keys {
            *file = cache.dir().join(&file);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_unknown_settings_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        assert_eq!(Settings::of(&cache).unwrap(), Settings::default());
        let write = |text| std::fs::write(dir.path().join("edge-fetch.toml"), text).unwrap();
        write("ca_cert = 'ca.pem'\n[flows.order]\nhealth = ['true']\nhealth_timeout = '5s'\n");
        let settings = Settings::of(&cache).unwrap();
        assert_eq!(settings.ca_cert, Some(dir.path().join("ca.pem")));
        let order = &settings.flows[&"order".parse().unwrap()];
        assert_eq!(order.health_timeout, Some(Duration::from_secs(5)));
        for bad in [
            "ca_crt = 'x'",
            "proxy = 1",
            "attestation = 'maybe'",
            "[flows.order]\nhealth_timeout = 'soon'",
            "[",
        ] {
            write(bad);
            assert_eq!(Settings::of(&cache).unwrap_err().exit(), crate::Exit::Usage, "{bad}");
        }
    }
}
