//! Which clients a listener takes that asks them for a certificate: those of the authorities that the operator
//! names, and commands of whoever holds the master key.
//!
//! The address that a connection comes from says nothing: a proxy, a neighbour in the same pod and every user of the
//! machine come over loopback too.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use data_encoding::BASE64;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName as Authority, Error, SignatureScheme};

use crate::keys::MasterKey;

/// What a command on the server's machine shows: a certificate whose key derives from the master key. No
/// authority signs it; the server knows its public key.
pub struct CommandIdentity {
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// Its key, PKCS #8.
    pub key: PrivatePkcs8KeyDer<'static>,
}

impl CommandIdentity {
    /// That of commands beside a server with this master key.
    ///
    /// # Errors
    /// When the certificate cannot be made, which would be a mistake here.
    pub fn of(key: &MasterKey) -> anyhow::Result<Self> {
        let key = key.command_key();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519);
        let pair = pair.context("the key of commands is no key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "colophon command");
        let certificate = params.self_signed(&pair).context("no certificate for commands")?;
        Ok(Self { certificate: certificate.into(), key })
    }

    /// The key as PEM (RFC 7468 §10).
    pub fn key_pem(&self) -> String {
        let text = BASE64.encode(self.key.secret_pkcs8_der());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }
}

/// The public key of commands, once it is known: certificates are read before the data is opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Commands(Arc<OnceLock<Vec<u8>>>);

impl Commands {
    /// Lets commands with this identity in.
    pub(super) fn admit(&self, identity: &CommandIdentity) -> Result<(), Error> {
        let _ = self.0.set(public_key(&identity.certificate)?); // the same, if there is one
        Ok(())
    }

    fn admits(&self, certificate: &CertificateDer<'_>) -> bool {
        self.0.get().is_some_and(|known| public_key(certificate).is_ok_and(|key| key == *known))
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(parsed.subject_public_key_info().as_ref().to_vec())
}

/// Asks the operator's authorities, unless it is a command. That a client holds the key of its certificate is
/// checked in either case.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) authorities: Arc<dyn ClientCertVerifier>,
    pub(super) commands: Commands,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[Authority] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.commands.admits(certificate) {
            return Ok(ClientCertVerified::assertion());
        }
        self.authorities.verify_client_cert(certificate, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
