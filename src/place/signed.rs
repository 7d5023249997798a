//! Calls that `object_store` does not have: object lock, retention and versions. Signed as its own are (AWS
//! Signature Version 4). <https://docs.aws.amazon.com/AmazonS3/latest/API/>

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use colophon_model::{Sha256, UnixMillis};
use data_encoding::BASE64;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpClient;

use super::{Failure, Lock, LockMode, Trouble};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Encryption;

/// Sends signed requests.
pub(crate) struct Signed {
    pub(crate) client: HttpClient,
    pub(crate) credentials: AwsCredentialProvider,
    pub(crate) region: String,
    /// What stands before an object's name.
    pub(crate) base: String,
    pub(crate) encryption: Encryption,
    pub(crate) kms_key: Option<String>,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// The text of the first element of that name. Answers of S3 have no attributes where it matters.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(text, _)| text)
    }

    /// What it is when it is no success.
    pub(crate) fn into_failure(self, key: &str) -> Failure {
        let [code, message] =
            ["Code", "Message"].map(|name| self.element(name).unwrap_or_default());
        let text = format!("`{key}`: {} {code} {message}", self.status);
        match self.status.as_u16() {
            409 | 412 => Failure::There,
            404 if code != "NoSuchBucket" => Failure::Missing,
            status => Failure::Trouble(Trouble::of_status(status, &self.body, text)),
        }
    }
}

const IF_NONE_MATCH: HeaderName = HeaderName::from_static("if-none-match");
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
/// Which checksum comes along. S3 asks for it, or for an MD5, with what is locked ("PutObject", "Content-MD5").
const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const SSE: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const SSE_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");

impl Signed {
    /// Writes an object where nothing is, and locks it with the same request.
    pub(crate) async fn put_locked(
        &self,
        key: &str,
        bytes: Bytes,
        lock: Lock,
    ) -> Result<(), Failure> {
        let mut headers = self.encrypted();
        headers.push((IF_NONE_MATCH, "*".to_owned()));
        headers.push((CHECKSUM, BASE64.encode(Sha256::of(&bytes).as_bytes())));
        headers.push((ALGORITHM, "SHA256".to_owned()));
        headers.push((MODE, lock.mode.word().to_owned()));
        headers.push((UNTIL, until(lock)));
        let reply = self.send(Method::PUT, key, "", &headers, bytes).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.into_failure(key)) }
    }

    /// Locks an object that is there (`PutObjectRetention`).
    pub(crate) async fn retain(&self, key: &str, lock: Lock) -> Result<(), Failure> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>\
             <RetainUntilDate>{}</RetainUntilDate></Retention>",
            lock.mode.word(),
            until(lock)
        );
        let sum = BASE64.encode(Sha256::of(body.as_bytes()).as_bytes());
        let headers = [(CHECKSUM, sum), (ALGORITHM, "SHA256".to_owned())];
        let reply = self.send(Method::PUT, key, "?retention=", &headers, body.into()).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.into_failure(key)) }
    }

    /// Asks for what is told in headers or XML: of an object, or of the bucket when `key` is empty.
    pub(crate) async fn ask(
        &self,
        method: Method,
        key: &str,
        query: &str,
    ) -> Result<Reply, Failure> {
        self.send(method, key, query, &[], Bytes::new()).await
    }

    fn encrypted(&self) -> Vec<(HeaderName, String)> {
        match (self.encryption, &self.kms_key) {
            (Encryption::None, _) => Vec::new(),
            (Encryption::S3, _) => vec![(SSE, "AES256".to_owned())],
            (Encryption::Kms, key) => {
                let named = key.iter().map(|key| (SSE_KEY, key.clone()));
                [(SSE, "aws:kms".to_owned())].into_iter().chain(named).collect()
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        key: &str,
        query: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<Reply, Failure> {
        let named = if key.is_empty() { self.base.as_str() } else { key };
        let failed = |error: &dyn std::error::Error| {
            let text = format!("`{named}`: {}", crate::http::chain(error));
            Failure::Trouble(Trouble { passing: true, ..Trouble::new("export-unreachable", text) })
        };
        let slash = if key.is_empty() { "" } else { "/" };
        let digest = Sha256::of(&body);
        let mut request =
            Request::builder().method(method).uri(format!("{}{slash}{key}{query}", self.base));
        for (name, value) in headers {
            request =
                request.header(name, HeaderValue::from_str(value).map_err(|error| failed(&error))?);
        }
        let mut request = request.body(body.into()).map_err(|error| failed(&error))?;
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| Failure::Trouble(Trouble::of(named, &error)))?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, Some(digest.as_bytes()))
            .map_err(|error| Failure::Trouble(Trouble::of(named, &error)))?;
        let (parts, body) =
            self.client.execute(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = body.bytes().await.map_err(|error| failed(&error))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

impl LockMode {
    /// As S3 writes it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

fn until(lock: Lock) -> String {
    let keep = u64::try_from(lock.keep.as_millis()).unwrap_or(u64::MAX);
    UnixMillis::new(SystemClock.now().get().saturating_add(keep)).rfc3339_seconds()
}
