//! A tenant's key, encrypted for those who may have it: an age file for all age recipients, and a small JSON document for each
//! key of a vault or KMS (docs/export-format.md, "Copies of keys").

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use axum::body::Bytes;
use colophon_model::{Sha256, TenantUid};
use serde::Serialize;

use super::envelope::{Identity, KeyId};
use super::error::{ExportError, Trouble};
use super::layout;
use super::place::{Failure, Kms};
use super::recipient::Recipient;
use super::upload::Carrier;
use crate::config::ExportConfig;
use crate::secrets::Secrets;

/// Whom one file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// Every age recipient.
    Age(BTreeSet<KeyId>),
    /// One key of a vault or KMS.
    Service(Recipient),
}

/// A copy for somebody who decrypts with a service.
#[derive(Serialize)]
struct Document<'a> {
    ciphertext: String,
    /// What is bound to it, and has to be given to decrypt it; left out when the key cannot bind anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a BTreeMap<String, String>>,
    format: u32,
    id: &'a KeyId,
    key: String,
    provider: &'static str,
    tenant: TenantUid,
}

/// The version of [`Document`].
const FORMAT: u32 = 1;

impl Audience {
    /// The files that a list of recipients asks for.
    pub(super) fn all(recipients: &[Recipient]) -> Vec<Self> {
        let (mut age, mut services) = (BTreeSet::new(), BTreeSet::new());
        for recipient in recipients {
            match recipient {
                Recipient::Age(key) => drop(age.insert(key.clone())),
                service => drop(services.insert(service.clone())),
            }
        }
        let first = (!age.is_empty()).then_some(Self::Age(age));
        first.into_iter().chain(services.into_iter().map(Self::Service)).collect()
    }

    /// As the store remembers them.
    pub(super) fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Age(keys) => keys.iter().map(ToString::to_string).collect(),
            Self::Service(one) => [one.to_string()].into(),
        }
    }

    /// Another audience is another file: who reads the bucket's versions sees when that changed.
    pub(super) fn file(&self, tenant: TenantUid, key: &KeyId) -> String {
        let mut all = vec![key.to_string()];
        all.extend(self.names());
        let tag = Sha256::of(all.join("\n").as_bytes()).to_string();
        let end = if matches!(self, Self::Age(_)) { "age" } else { "json" };
        format!("{}/{}.{end}", layout::copies(tenant), &tag[..32])
    }
}

/// A key to be encrypted.
pub(super) struct Unwrapped<'a> {
    pub(super) tenant: TenantUid,
    pub(super) identity: &'a Identity,
    /// The key as a file of identities that says whose it is.
    pub(super) file: &'a str,
}

impl Unwrapped<'_> {
    /// The bytes of the copy.
    pub(super) async fn wrap(
        &self,
        audience: &Audience,
        (config, secrets): (&ExportConfig, &Secrets),
        carrier: &Carrier<'_>,
    ) -> Result<Bytes, ExportError> {
        let service = match audience {
            Audience::Age(keys) => return for_age(keys, self.file),
            Audience::Service(service) => service,
        };
        let trouble = carrier.again(async || self.by(service, config, secrets).await).await;
        Ok(trouble.map_err(|failure| failure.into_trouble(&service.to_string()))?)
    }

    async fn by(
        &self,
        service: &Recipient,
        config: &ExportConfig,
        secrets: &Secrets,
    ) -> Result<Bytes, Failure> {
        let id = self.identity.id();
        let line = zeroize::Zeroizing::new(format!("{}\n", self.identity.to_text().as_str()));
        let context = context(self.tenant, &id.to_string());
        let made = seal(service, (line.as_bytes(), &context), (config, secrets)).await;
        let Sealed { ciphertext, key, provider, bound } = made.map_err(Failure::Trouble)?;
        let context = bound.then_some(&context);
        let document = Document {
            ciphertext,
            context,
            format: FORMAT,
            id: &id,
            key,
            provider,
            tenant: self.tenant,
        };
        Ok(format!("{}\n", serde_json::to_value(&document).unwrap_or_default()).into())
    }
}

/// What a service has encrypted.
struct Sealed {
    ciphertext: String,
    key: String,
    provider: &'static str,
    bound: bool,
}

async fn seal(
    service: &Recipient,
    (plain, context): (&[u8], &BTreeMap<String, String>),
    (config, secrets): (&ExportConfig, &Secrets),
) -> Result<Sealed, Trouble> {
    match service {
        Recipient::Transit(key) => {
            // Members are sorted and there is no white space: the form of RFC 8785.
            let bound = serde_json::to_vec(context).unwrap_or_default();
            let made = secrets.wrap(key, plain, &bound).map_err(|error| Trouble {
                passing: error.passing,
                ..Trouble::new(super::place::RECIPIENT, error.text)
            })?;
            let (ciphertext, bound) = (made.ciphertext, made.bound);
            Ok(Sealed { ciphertext, key: key.to_string(), provider: "vault-transit", bound })
        }
        Recipient::Kms(key) => {
            let made = Kms::open(key, config, secrets)?.encrypt(plain, context).await?;
            Ok(Sealed {
                ciphertext: made.ciphertext,
                key: made.key,
                provider: "aws-kms",
                bound: true,
            })
        }
        Recipient::Age(key) => {
            Err(Trouble::new(super::place::RECIPIENT, format!("`{key}` is no service")))
        }
    }
}

/// What is bound to a copy, so that one tenant's is not taken for another's, and rights can be given by tenant.
fn context(tenant: TenantUid, key: &str) -> BTreeMap<String, String> {
    [("colophon-key", key.to_owned()), ("colophon-tenant", tenant.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// What is wrong with a recipient before anybody is asked.
pub fn recipient_problem(recipient: &Recipient, config: &ExportConfig) -> Option<Trouble> {
    match recipient {
        Recipient::Kms(key) => Kms::endpoint(key, config).err(),
        Recipient::Age(_) | Recipient::Transit(_) => None,
    }
}

/// Whether something can be encrypted for a recipient: a few bytes that are no key, for a tenant that is none, are. Age recipients
/// need nobody to answer.
///
/// # Errors
/// [`Trouble`] when the service does not answer, or refuses.
pub fn try_recipient(
    recipient: &Recipient,
    config: &ExportConfig,
    secrets: &Secrets,
) -> Result<(), ExportError> {
    if matches!(recipient, Recipient::Age(_)) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ExportError::Aside)?;
    let context = context(TenantUid::from_bytes([0; 16]), "none");
    let tried = seal(recipient, (b"a trial of colophon doctor\n", &context), (config, secrets));
    runtime.block_on(tried)?;
    Ok(())
}

/// A file of identities as `age -i` reads it, encrypted for each recipient.
fn for_age(recipients: &BTreeSet<KeyId>, file: &str) -> Result<Bytes, ExportError> {
    let keys = recipients.iter().map(|recipient| recipient.to_string().parse());
    let keys: Result<Vec<age::x25519::Recipient>, _> = keys.collect();
    let keys = keys.map_err(|_| ExportError::Key)?;
    let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as _));
    let encryptor = encryptor.map_err(|_| ExportError::Key)?;
    let mut bytes = Vec::new();
    let made = encryptor.wrap_output(&mut bytes).and_then(|mut writer| {
        writer.write_all(file.as_bytes())?;
        writer.finish().map(drop)
    });
    made.map_err(ExportError::Aside)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All age recipients share a file, each key of a service has one of its own, and none is named twice.
    #[test]
    fn who_shares_a_file() {
        let [a, b] = [1, 2].map(|byte| Recipient::from(Identity::from_secret([byte; 32]).id()));
        let vault: Recipient = "vault:transit/colophon".parse().unwrap();
        let kms: Recipient = "awskms:alias/colophon".parse().unwrap();
        let all = Audience::all(&[kms.clone(), a.clone(), vault.clone(), b.clone(), a.clone()]);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].names(), [a.to_string(), b.to_string()].into());
        assert_eq!(all[1..], [Audience::Service(vault.clone()), Audience::Service(kms)]);
        let (tenant, key) = (TenantUid::from_bytes([1; 16]), Identity::from_secret([3; 32]).id());
        let names: BTreeSet<String> = all.iter().map(|one| one.file(tenant, &key)).collect();
        assert_eq!(names.len(), 3);
        assert!(Audience::all(&[vault])[0].file(tenant, &key).strip_suffix(".json").is_some());
    }
}
