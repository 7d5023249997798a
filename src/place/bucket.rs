//! A bucket of a store that speaks S3.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{BackoffConfig, ClientOptions, Error, RetryConfig};

use super::signed::Signed;
use super::{Options, PlaceUrl, Traffic, Trouble};
use crate::config::{Encryption, ExportConfig};
use crate::secrets::Secrets;

/// A bucket, and how it is reached.
pub(super) struct Bucket {
    name: String,
    endpoint: Option<String>,
    region: String,
    path_style: bool,
    plain: bool,
}

impl Bucket {
    pub(super) fn new(
        name: &str,
        config: &ExportConfig,
        options: &Options,
    ) -> Result<Self, Trouble> {
        let endpoint = options.endpoint.clone().or_else(|| config.endpoint.clone());
        let endpoint = endpoint.or_else(|| variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned());
        let region = options.region.clone().or_else(|| config.region.clone());
        let region = region.or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let plain = match &endpoint {
            Some(url) => is_plain(url, config)?,
            None => false,
        };
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        Ok(Self { name: name.to_owned(), endpoint, region, path_style: config.path_style, plain })
    }

    pub(super) fn open(
        &self,
        config: &ExportConfig,
        secrets: &Secrets,
        traffic: &Arc<Traffic>,
    ) -> Result<(object_store::aws::AmazonS3, Signed), Trouble> {
        // What reqwest is built without must be there before its first client; a second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_allow_http(self.plain)
            .with_http1_only()
            .with_connect_timeout(Duration::from_secs(5))
            .with_read_timeout(config.request_timeout.get())
            .with_timeout_disabled();
        let connector = Counting(traffic.clone());
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.name)
            .with_region(&self.region)
            .with_allow_http(self.plain)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(client.clone())
            .with_http_connector(connector.clone())
            // Requests are repeated by who knows what they were for.
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: 0,
                retry_timeout: config.request_timeout.get(),
            });
        if let Some(endpoint) = &self.endpoint {
            // In place of both variables that may name another.
            builder = builder
                .with_endpoint(endpoint)
                .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        builder = with_credentials(builder, config, secrets)?;
        builder = match (&config.encryption, &config.kms_key) {
            (Encryption::None, _) => builder,
            (Encryption::S3, _) => with_sse(builder, "AES256"),
            (Encryption::Kms, Some(key)) => builder.with_sse_kms_encryption(key),
            (Encryption::Kms, None) => with_sse(builder, "aws:kms"),
        };
        let failed = |error: Error| Trouble::of(&self.name, &error);
        let store = builder.build().map_err(failed)?;
        let signed = Signed {
            client: connector.connect(&client).map_err(failed)?,
            credentials: store.credentials().clone(),
            region: self.region.clone(),
            base: self.base(),
            encryption: config.encryption,
            kms_key: config.kms_key.clone(),
        };
        Ok((store, signed))
    }

    /// What tells a place in it from others: its store and its URL.
    pub(super) fn place_name(&self, url: &PlaceUrl) -> String {
        format!("{} {url}", self.endpoint.as_deref().unwrap_or("aws"))
    }

    /// What names its store whatever is configured later.
    pub(super) fn found_by(&self) -> Options {
        let amazon = || format!("https://s3.{}.amazonaws.com", self.region);
        let endpoint = self.endpoint.clone().unwrap_or_else(amazon);
        Options { endpoint: Some(endpoint), region: Some(self.region.clone()) }
    }

    /// What stands before an object's name in its URL.
    fn base(&self) -> String {
        let Self { name, region, .. } = self;
        match (&self.endpoint, self.path_style) {
            (Some(endpoint), true) => format!("{endpoint}/{name}"),
            (Some(endpoint), false) => endpoint.clone(),
            (None, true) => format!("https://s3.{region}.amazonaws.com/{name}"),
            (None, false) => format!("https://{name}.s3.{region}.amazonaws.com"),
        }
    }
}

/// With the key that is configured, if one is.
pub(super) fn with_credentials(
    builder: AmazonS3Builder,
    config: &ExportConfig,
    secrets: &Secrets,
) -> Result<AmazonS3Builder, Trouble> {
    let (Some(id), Some(from)) = (&config.access_key, &config.secret_key) else {
        return Ok(builder);
    };
    let wrong = |text: String| Trouble::new("export-credentials", text);
    let from = from.parse().map_err(|error| wrong(format!("`export.secret_key`: {error}")))?;
    let secret = secrets.read(&from).map_err(|error| wrong(error.to_string()))?;
    Ok(builder.with_access_key_id(id).with_secret_access_key(secret.reveal()))
}

/// With an encryption that has no method of its own.
fn with_sse(builder: AmazonS3Builder, word: &str) -> AmazonS3Builder {
    let key: Option<AmazonS3ConfigKey> = "aws_server_side_encryption".parse().ok();
    match key {
        Some(key) => builder.with_config(key, word),
        None => builder,
    }
}

/// The first of these variables of the environment that says something.
pub(super) fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
}

/// Whether an endpoint is reached without encryption, where that may be.
pub(super) fn is_plain(url: &str, config: &ExportConfig) -> Result<bool, Trouble> {
    if url.starts_with("http://") {
        if !config.plain_http && !is_near(url) {
            return Err(Trouble::new("export-plain-http", format!("`{url}` is not encrypted"))
                .hint("use https://, or set `export.plain_http`"));
        }
        return Ok(true);
    }
    if url.starts_with("https://") {
        return Ok(false);
    }
    let text = format!("`{url}` is no endpoint: it begins with https://");
    Err(Trouble::new("export-refused", text))
}

/// Whether the endpoint is this machine.
fn is_near(url: &str) -> bool {
    let rest = url.trim_start_matches("http://");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    // A name before an `@` is somebody's, and no host.
    let plain = !authority.contains('@');
    plain && (host == "localhost" || host.parse().is_ok_and(|at: IpAddr| at.is_loopback()))
}

/// Counts requests on their way.
#[derive(Debug, Clone)]
struct Counting(Arc<Traffic>);

#[derive(Debug)]
struct Counted(HttpClient, Arc<Traffic>);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Counted(client, self.0.clone())))
    }
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.1.requests.fetch_add(1, Ordering::Relaxed);
        self.1.sent.fetch_add(request.body().content_length() as u64, Ordering::Relaxed);
        self.0.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Credentials and evidence go over a line that anybody can read only when there is no line.
    #[test]
    fn only_this_machine_is_near() {
        for near in ["http://localhost:9000", "http://127.0.0.1/x", "http://[::1]:9000"] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "http://[2001:db8::1]:9000",
            "http://127.0.0.1.example.com",
            "http://127.example.com",
            "http://localhost:x@s3.example.com",
            "http://192.0.2.1",
            "http://",
        ] {
            assert!(!is_near(far), "{far}");
        }
    }

    /// A copy of a key that lies at one store is looked for there, whatever is configured by then.
    #[test]
    fn a_store_is_found_again_after_another_was_configured() {
        let at = |endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            ExportConfig {
                endpoint,
                region: Some("eu-west-1".to_owned()),
                ..ExportConfig::default()
            }
        };
        let options = Options::default();
        let new = |config: &ExportConfig, options: &Options| {
            Bucket::new("keys", config, options).unwrap_or_else(|trouble| panic!("{trouble}"))
        };
        let (one, other) = (at(Some("https://one.example/")), at(Some("https://other.example")));
        let found = new(&one, &options).found_by();
        assert_eq!(new(&other, &found).base(), "https://one.example/keys");
        let amazon = Bucket { endpoint: None, ..new(&one, &options) }.found_by();
        assert_eq!(new(&other, &amazon).base(), "https://s3.eu-west-1.amazonaws.com/keys");
    }
}
