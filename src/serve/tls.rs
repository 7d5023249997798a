//! TLS on the public listener: rustls with ring. The files are read again when they change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use colophon_model::UnixMillis;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::clients::{Clients, CommandIdentity, Commands};
use crate::config::Tls as Settings;
use crate::keys::MasterKey;

/// The certificate in use.
pub struct Tls {
    settings: Settings,
    commands: Commands,
    current: RwLock<Loaded>,
}

struct Loaded {
    acceptor: TlsAcceptor,
    /// When the certificate ends.
    end: UnixMillis,
    /// When the files were last written.
    written: Vec<Option<SystemTime>>,
}

impl Tls {
    /// Reads the files that `settings` name. `None`: no TLS.
    pub fn load(settings: &Settings) -> anyhow::Result<Option<Self>> {
        if settings.cert.is_none() {
            return Ok(None);
        }
        let commands = Commands::default();
        let current = RwLock::new(read(settings, &commands)?);
        Ok(Some(Self { settings: settings.clone(), commands, current }))
    }

    /// Lets commands in that hold the server's master key, where clients need a certificate.
    ///
    /// # Errors
    /// As [`CommandIdentity::of`].
    pub fn admit_commands(&self, key: &MasterKey) -> anyhow::Result<()> {
        Ok(self.commands.admit(&CommandIdentity::of(key)?)?)
    }

    /// What takes connections with the newest certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// When the certificate in use ends.
    pub fn end(&self) -> UnixMillis {
        self.current.read().unwrap_or_else(PoisonError::into_inner).end
    }

    /// Reads the files again, if any was written since, and says whether it did. What is not good is
    /// not taken: the certificate in use stays.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let unchanged = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.written == written(&self.settings)
        };
        if unchanged {
            return Ok(false);
        }
        let new = read(&self.settings, &self.commands)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }
}

fn written(settings: &Settings) -> Vec<Option<SystemTime>> {
    let files = [&settings.cert, &settings.key, &settings.client_ca];
    let time = |file: &Path| std::fs::metadata(file).and_then(|about| about.modified()).ok();
    files.into_iter().map(|file| file.as_deref().and_then(time)).collect()
}

fn read(settings: &Settings, commands: &Commands) -> anyhow::Result<Loaded> {
    let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else {
        bail!("`tls.cert` and `tls.key` go together");
    };
    let written = written(settings);
    let chain = certificates(cert)?;
    let end = end_of(&chain[0]).with_context(|| format!("`{}`", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("`{}` is no private key", key.display()))?;
    let verifier =
        settings.client_ca.as_deref().map(|file| verifier(file, commands)).transpose()?;
    let acceptor = acceptor(verifier, chain, key)?;
    Ok(Loaded { acceptor, end, written })
}

/// What asks clients for a certificate of an authority in `file`, or that of commands.
fn verifier(file: &Path, commands: &Commands) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        roots.add(authority).with_context(|| format!("`{}`", file.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build()?;
    Ok(Arc::new(Clients { authorities, commands: commands.clone() }))
}

fn acceptor(
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.context("certificate and key do not fit each other")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = || format!("`{}` holds no certificates", file.display());
    let all = CertificateDer::pem_file_iter(file).with_context(wrong)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().with_context(wrong)?;
    if all.is_empty() {
        bail!(wrong());
    }
    Ok(all)
}

fn end_of(certificate: &CertificateDer<'_>) -> anyhow::Result<UnixMillis> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| anyhow::anyhow!("the first certificate cannot be read"))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    Ok(UnixMillis::new(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::{ClientConfig, ClientConnection, ServerConnection};

    /// Writes a certificate for `localhost` that ends with `year`.
    fn write(dir: &Path, year: i32) -> Settings {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        Settings { cert: Some(cert_file), key: Some(key_file), client_ca: None }
    }

    fn touch(file: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::File::options().append(true).open(file).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let settings = write(dir.path(), 2040);
        let tls = Tls::load(&settings).unwrap().unwrap();
        assert!(!tls.reload().unwrap(), "nothing was written");
        write(dir.path(), 2050);
        touch(settings.cert.as_ref().unwrap(), 1);
        assert!(tls.reload().unwrap());
        assert!(tls.end().rfc3339().starts_with("2050-01-01"), "{}", tls.end());
        std::fs::write(settings.cert.as_ref().unwrap(), "no certificate").unwrap();
        touch(settings.cert.as_ref().unwrap(), 2);
        assert!(tls.reload().unwrap_err().to_string().contains("cert.pem"));
        assert!(tls.end().rfc3339().starts_with("2050-01-01"), "the old one stays");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let settings = Settings { key: write(two.path(), 2040).key, ..write(one.path(), 2040) };
        assert!(Tls::load(&settings).is_err());
        assert!(Tls::load(&Settings::default()).unwrap().is_none());
    }

    /// Whether a client gets through that shows this certificate, or none.
    fn gets_through(tls: &Tls, shows: Option<&CommandIdentity>, authority: &Path) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(certificates(authority).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match shows {
            Some(CommandIdentity { certificate, key }) => {
                config.with_client_auth_cert(vec![certificate.clone()], key.clone_key().into())
            }
            None => Ok(config.with_no_client_auth()),
        };
        let config = Arc::new(config.unwrap());
        let mut client = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(tls.acceptor().config().clone()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        true
    }

    /// Where a connection comes from is no credential: only the authorities' clients get in, and commands that
    /// hold this server's master key.
    #[test]
    fn clients_need_a_certificate_and_commands_have_one_of_the_master_key() {
        let dir = tempfile::tempdir().unwrap();
        let settings = write(dir.path(), 2096);
        let cert = settings.cert.clone().unwrap();
        let open = Tls::load(&settings).unwrap().unwrap();
        assert!(gets_through(&open, None, &cert));
        let strict = Settings { client_ca: Some(cert.clone()), ..settings };
        let strict = Tls::load(&strict).unwrap().unwrap();
        let of = |byte| CommandIdentity::of(&MasterKey::from_bytes([byte; 32])).unwrap();
        assert!(!gets_through(&strict, Some(&of(1)), &cert), "before the data is open");
        strict.admit_commands(&MasterKey::from_bytes([1; 32])).unwrap();
        assert!(!gets_through(&strict, None, &cert));
        assert!(gets_through(&strict, Some(&of(1)), &cert));
        assert!(!gets_through(&strict, Some(&of(2)), &cert), "of another server");
        // Whoever has seen the certificate cannot use it.
        let stolen = CommandIdentity { key: of(2).key, ..of(1) };
        let shown = std::panic::catch_unwind(|| gets_through(&strict, Some(&stolen), &cert));
        assert!(!shown.unwrap_or(false));
    }
}
