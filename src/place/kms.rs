//! AWS Key Management Service, as far as something small is encrypted with a key that never leaves it.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>. This server only encrypts: whoever decrypts does so
//! with AWS's own tools.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use colophon_model::Sha256;
use data_encoding::BASE64;
use object_store::ClientOptions;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector as _, ReqwestConnector};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Trouble;
use super::bucket::{is_plain, variable, with_credentials};
use crate::config::ExportConfig;
use crate::secrets::Secrets;

/// What names a key: `arn:aws:kms:REGION:ACCOUNT:key/ID` or `…:alias/NAME`, `alias/NAME`, or an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KmsKey(String);

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no key of AWS KMS: an ARN (`arn:aws:kms:…`), `alias/NAME`, or the id of a key"
)]
pub struct InvalidKmsKey(String);

impl KmsKey {
    /// The region that an ARN names, and the partition.
    fn of_arn(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.strip_prefix("arn:")?.split(':');
        let (partition, _service, region) = (parts.next()?, parts.next()?, parts.next()?);
        Some((region, partition))
    }
}

impl FromStr for KmsKey {
    type Err = InvalidKmsKey;
    fn from_str(text: &str) -> Result<Self, InvalidKmsKey> {
        let word = |text: &str, more: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.len() <= 256 && text.chars().all(good)
        };
        let named = |text: &str| match text.split_once('/') {
            Some(("alias", name)) => word(name, "/_-"),
            Some(("key", id)) => word(id, "-"),
            _ => false,
        };
        let good = match text.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", partition, "kms", region, account, name] => {
                let digits = account.bytes().all(|byte| byte.is_ascii_digit());
                partition.starts_with("aws")
                    && word(partition, "-")
                    && word(region, "-")
                    && word(account, "")
                    && digits
                    && named(name)
            }
            [name] if name.starts_with("alias/") => named(name),
            [id] => word(id, "-"),
            _ => false,
        };
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKmsKey(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The service, for one key.
pub(crate) struct Kms {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
    endpoint: String,
    key: KmsKey,
}

/// What was encrypted.
#[derive(Debug, Deserialize)]
pub(crate) struct KmsCiphertext {
    /// The key, by its ARN: what an alias stood for.
    #[serde(rename = "KeyId")]
    pub(crate) key: String,
    /// Base64.
    #[serde(rename = "CiphertextBlob")]
    pub(crate) ciphertext: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

const CREDENTIALS: &str =
    "credentials are found as AWS tools find them: docs/export.md, \"Credentials\"";

/// The code of a recipient that copies of keys cannot be encrypted for.
pub(crate) const RECIPIENT: &str = "export-recipient";

impl Kms {
    /// Where the service is: `AWS_ENDPOINT_URL_KMS`, else `AWS_ENDPOINT_URL`, else Amazon's of the key's region.
    ///
    /// # Errors
    /// When it is not encrypted on its way and may not be so.
    pub(crate) fn endpoint(
        key: &KmsKey,
        config: &ExportConfig,
    ) -> Result<(String, String), Trouble> {
        let named = key.of_arn().map(|(region, _)| region.to_owned());
        // A region that is configured for another store is not Amazon's.
        let configured = config.region.clone().filter(|_| config.endpoint.is_none());
        let region = named.or(configured);
        let region = region.or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = variable(&["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"]);
        let endpoint = endpoint.unwrap_or_else(|| {
            let china = key.of_arn().is_some_and(|(_, partition)| partition == "aws-cn");
            format!("https://kms.{region}.amazonaws.com{}", if china { ".cn" } else { "" })
        });
        is_plain(&endpoint, config)?;
        Ok((endpoint.trim_end_matches('/').to_owned(), region))
    }

    /// Credentials are found as those for buckets are. An access key that is configured with an endpoint of its own is that
    /// store's, and not shown to Amazon.
    ///
    /// # Errors
    /// [`Trouble`] when what is configured cannot be, or credentials cannot be read.
    pub(crate) fn open(
        key: &KmsKey,
        config: &ExportConfig,
        secrets: &Secrets,
    ) -> Result<Self, Trouble> {
        // What reqwest is built without must be there before its first client; a second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (endpoint, region) = Self::endpoint(key, config)?;
        let client = ClientOptions::new()
            .with_allow_http(is_plain(&endpoint, config)?)
            .with_http1_only()
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(config.request_timeout.get());
        let mut builder = AmazonS3Builder::from_env().with_bucket_name("none").with_region(&region);
        if config.endpoint.is_none() {
            builder = with_credentials(builder, config, secrets)?;
        }
        let failed = |error: object_store::Error| Trouble::of(&key.to_string(), &error);
        let credentials = builder.build().map_err(failed)?.credentials().clone();
        let client = ReqwestConnector::default().connect(&client).map_err(failed)?;
        Ok(Self { client, credentials, region, endpoint, key: key.clone() })
    }

    /// Encrypts at most 4096 bytes. Decrypting with another context fails.
    ///
    /// # Errors
    /// [`Trouble`] when the service does not answer, or refuses.
    pub(crate) async fn encrypt(
        &self,
        plain: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<KmsCiphertext, Trouble> {
        let (key, plain) = (self.key.to_string(), Zeroizing::new(BASE64.encode(plain)));
        let question = Question { key_id: &key, plaintext: &plain, encryption_context: context };
        let body = serde_json::to_string(&question).unwrap_or_default();
        let unanswered = |error: &dyn std::error::Error| {
            let text = format!("key `{key}` at {}: {}", self.endpoint, crate::http::chain(error));
            Trouble { passing: true, ..Trouble::new(RECIPIENT, text) }
        };
        let digest = Sha256::of(body.as_bytes());
        let request = Request::post(format!("{}/", self.endpoint))
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", "TrentService.Encrypt")
            .body(body.into());
        let mut request = request.map_err(|error| unanswered(&error))?;
        let failed = |error: object_store::Error| Trouble::of(&key, &error);
        let credential = self.credentials.get_credential().await.map_err(failed)?;
        AwsAuthorizer::new(&credential, "kms", &self.region)
            .try_authorize(&mut request, Some(digest.as_bytes()))
            .map_err(failed)?;
        let answer = self.client.execute(request).await.map_err(|error| unanswered(&error))?;
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.map_err(|error| unanswered(&error))?;
        if !parts.status.is_success() {
            return Err(self.refused(parts.status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| unanswered(&error))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Trouble {
        let said: Refusal = serde_json::from_slice(body).unwrap_or_default();
        let kind = said.kind.rsplit('#').next().unwrap_or_default();
        let message: String = said.message.chars().filter(|c| !c.is_control()).take(300).collect();
        let text = format!("key `{}` at {}: {status} {kind} {message}", self.key, self.endpoint);
        let trouble = Trouble::new(RECIPIENT, text);
        match kind {
            "AccessDeniedException" => {
                trouble.hint("the server's credentials need `kms:Encrypt` with that key")
            }
            "NotFoundException" => {
                trouble.hint("is it of this account and region? An ARN names both")
            }
            "DisabledException" | "KMSInvalidStateException" => {
                trouble.hint("enable the key, or name another")
            }
            "InvalidKeyUsageException" => trouble.hint("name a symmetric key (SYMMETRIC_DEFAULT)"),
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "MissingAuthenticationToken"
            | "IncompleteSignature" => trouble.hint(CREDENTIALS),
            _ if status == StatusCode::FORBIDDEN => trouble.hint(CREDENTIALS),
            _ if kind == "ThrottlingException" || status.as_u16() >= 429 => {
                Trouble { passing: true, ..trouble }
            }
            _ => trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys are named in each way that KMS knows, and what is none is refused before anything is sent.
    #[test]
    fn keys_are_arns_aliases_or_ids() {
        for good in [
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/press/keys",
            "alias/colophon",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
        ] {
            assert_eq!(good.parse::<KmsKey>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "alias/",
            "alias/a b",
            "key/x y",
            "arn:aws:s3:::evidence",
            "arn:aws:kms:eu-central-1:1111:secret/x",
            "arn:gcp:kms:x:1:key/a",
            "arn:aws:kms:x:account:key/a",
            "a\nb",
        ] {
            assert!(bad.parse::<KmsKey>().is_err(), "{bad}");
        }
    }

    /// An ARN says its region; a region of another store is not asked for at Amazon's.
    #[test]
    fn the_service_is_that_of_the_keys_region() {
        let arn: KmsKey = "arn:aws:kms:eu-west-3:111122223333:key/a".parse().unwrap();
        let config =
            ExportConfig { region: Some("eu-north-1".to_owned()), ..ExportConfig::default() };
        let at = |key: &KmsKey, config: &ExportConfig| Kms::endpoint(key, config).unwrap().1;
        assert_eq!(at(&arn, &config), "eu-west-3");
        let alias = "alias/x".parse().unwrap();
        assert_eq!(at(&alias, &config), "eu-north-1");
        let garage = ExportConfig { endpoint: Some("https://garage.example".to_owned()), ..config };
        assert_ne!(at(&alias, &garage), "eu-north-1");
    }
}
