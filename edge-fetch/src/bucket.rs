//! Another host that has whole bundles: a bucket, into which the server gives out signed URLs.
//!
//! What comes from there is believed as little as what comes from the server: a bundle is the one whose length and
//! hash were signed. Nor is the host told anything: no token, no certificate of this machine.

use std::fmt;

use serde::Deserialize;
use ureq::http::Uri;

use crate::BaseUrl;

/// Most bytes of what tells where a bundle lies.
pub(crate) const MAX_LOCATION: u64 = 16 * 1024;

/// What the server says about where else a bundle lies. Whoever has the URL may read it, so it is never printed.
#[derive(Deserialize)]
pub(crate) struct Location {
    url: String,
}

/// A URL into a bucket that this agent may ask.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketUrl {
    url: String,
    host: BaseUrl,
}

/// Why a bucket is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BucketFlaw {
    /// What the server said is no location.
    #[error("the server does not say where the bucket is")]
    Location,
    /// The URL is none.
    #[error("the bucket's URL cannot be used")]
    Url,
    /// The bucket is unencrypted where the server is not, or on this machine where the server is not.
    #[error("the bucket's URL is less safe than the server's")]
    LessSafe,
}

impl Location {
    /// Reads what the server says.
    pub(crate) fn read(json: &[u8]) -> Result<Self, BucketFlaw> {
        serde_json::from_slice(json).map_err(|_| BucketFlaw::Location)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl BucketUrl {
    /// A URL that `server` gave out. The server may be anybody, and must not get this machine to talk to itself or, without
    /// `allow_http`, to others in the clear.
    ///
    /// # Errors
    /// [`BucketFlaw`].
    pub fn new(text: &str, server: &BaseUrl, allow_http: bool) -> Result<Self, BucketFlaw> {
        let uri: Uri = text.parse().map_err(|_| BucketFlaw::Url)?;
        let (scheme, host) = uri.scheme_str().zip(uri.authority()).ok_or(BucketFlaw::Url)?;
        let host = BaseUrl::new(&format!("{scheme}://{host}")).map_err(|_| BucketFlaw::Url)?;
        let is_here = host.is_loopback();
        if is_here && !server.is_loopback() {
            return Err(BucketFlaw::LessSafe);
        }
        if !(host.is_https() || is_here || allow_http) {
            return Err(BucketFlaw::LessSafe);
        }
        Ok(Self { url: text.to_owned(), host })
    }

    /// The host, without what makes the URL good.
    pub const fn host(&self) -> &BaseUrl {
        &self.host
    }

    /// All of it.
    pub(crate) fn reveal(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketUrl({}, ..)", self.host)
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bucket at {}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever plays the server must not be able to send the agent to this machine's own services, nor into the clear.
    #[test]
    fn a_bucket_is_no_less_safe_than_the_server() {
        let take = |bucket: &str, server: &str, allow| {
            BucketUrl::new(bucket, &server.parse().unwrap(), allow).map(|_| ())
        };
        let (https, here) = ("https://press.example", "http://127.0.0.1:8080");
        let signed = "?X-Amz-Signature=0123&X-Amz-Expires=60";
        assert_eq!(take(&format!("https://s3.example/b/k.zip{signed}"), https, false), Ok(()));
        assert_eq!(take(&format!("https://s3.example/b/k.zip{signed}"), here, false), Ok(()));
        assert_eq!(take("http://127.0.0.1:9000/b/k", here, false), Ok(()));
        assert_eq!(take("http://s3.example/b/k", "http://press.example", true), Ok(()));
        for (bucket, server, allow) in [
            ("http://s3.example/b/k", https, false),
            ("http://s3.example/b/k", here, false),
            ("http://127.0.0.1:9000/b/k", https, false),
            ("http://127.0.0.1:9000/b/k", https, true),
            ("https://localhost/b/k", https, false),
            ("https://[::1]/b/k", https, false),
        ] {
            assert_eq!(take(bucket, server, allow), Err(BucketFlaw::LessSafe), "{bucket}");
        }
        for bad in
            ["", "/b/k", "ftp://s3.example/k", "file:///etc/passwd", "https://a:b@s3.example/k"]
        {
            assert_eq!(take(bad, https, true), Err(BucketFlaw::Url), "{bad}");
        }
    }

    /// What makes a URL good is in its query.
    #[test]
    fn a_signature_is_not_printed() {
        let server = "https://press.example".parse().unwrap();
        let url = BucketUrl::new("https://s3.example/b/k?X-Amz-Signature=secret", &server, false);
        let url = url.unwrap();
        assert!(!format!("{url} {url:?}").contains("secret"));
        assert_eq!(url.to_string(), "the bucket at https://s3.example");
    }

    #[test]
    fn a_location_is_read_and_anything_else_is_refused() {
        let location = Location::read(br#"{"url":"https://x/y","url_expires":"z","more":1}"#);
        assert_eq!(location.map(|location| location.url().to_owned()).ok().unwrap(), "https://x/y");
        for bad in ["", "<html>", "{}", "{\"url\":1}", "[]"] {
            assert_eq!(Location::read(bad.as_bytes()).err(), Some(BucketFlaw::Location), "{bad}");
        }
    }
}
