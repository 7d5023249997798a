//! The transport over HTTP/1.1.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use colophon_model::UnixMillis;
use ureq::http::{HeaderMap, header};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use crate::transport::{NetworkError, Response, Resume, Transport};
use crate::{BaseUrl, BucketFlaw, BucketUrl, Config, Error, Network};

/// A bearer token. Never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token as read from a file or the environment; white space around it is dropped.
    /// `None` when nothing is left, or when it could not be sent in a header.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let sendable = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        sendable.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Gets files of one tenant over HTTP.
pub struct HttpTransport {
    agent: Agent,
    base: String,
    token: Option<Token>,
    /// How buckets are reached, if they may be.
    buckets: Option<Buckets>,
}

/// How buckets are reached.
struct Buckets {
    network: Network,
    /// Who gives out URLs into them.
    server: BaseUrl,
}

impl HttpTransport {
    /// Reaches the tenant of `config` by `network`.
    ///
    /// # Errors
    /// When a certificate, key or proxy cannot be used, and [`Error::PlainHttp`] when the token
    /// would leave this machine unencrypted.
    pub fn new(config: &Config, network: &Network, token: Option<Token>) -> Result<Self, Error> {
        if token.is_some() {
            network.check_token_is_safe(&config.url)?;
        }
        let buckets = Buckets { network: network.clone(), server: config.url.clone() };
        Ok(Self {
            agent: network.agent(&config.url)?,
            base: config.tenant_url(),
            token,
            buckets: (!network.no_bucket).then_some(buckets),
        })
    }

    /// Reaches `url` by `network`, without a token.
    ///
    /// # Errors
    /// When a certificate, key or proxy cannot be used.
    pub fn at(url: &BaseUrl, network: &Network) -> Result<Self, Error> {
        Ok(Self { agent: network.agent(url)?, base: url.to_string(), token: None, buckets: None })
    }
}

/// What one request told about the way to the server.
#[derive(Debug, Clone)]
pub struct Probe {
    /// HTTP status of the tenant's timestamp.
    pub status: u16,
    /// The server's clock.
    pub date: Option<UnixMillis>,
    /// Whether the connection is TLS.
    pub encrypted: bool,
    /// Whether it goes through a proxy.
    pub proxied: bool,
}

impl HttpTransport {
    /// Asks for the tenant's timestamp, to see whether everything on the way works.
    ///
    /// # Errors
    /// [`Error::Network`] when there is no answer.
    pub fn probe(&self) -> Result<Probe, Error> {
        const PATH: &str = "tuf/timestamp.json";
        let response = self.request(PATH).call().map_err(|error| failure(error).at(PATH))?;
        let date = text_header(response.headers(), &header::DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(&date).ok());
        let since = |date: SystemTime| date.duration_since(SystemTime::UNIX_EPOCH).ok();
        Ok(Probe {
            status: response.status().as_u16(),
            date: date.and_then(since).map(|since| UnixMillis::new(since.as_millis() as u64)),
            encrypted: self.base.starts_with("https:"),
            proxied: self.agent.config().proxy().is_some(),
        })
    }

    /// Sends JSON, and wants no more in answer than that it was taken.
    pub(crate) fn post(&self, path: &str, json: &[u8]) -> Result<(), Error> {
        let mut request = self.agent.post(format!("{}/{path}", self.base));
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(Token(token)) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.send(json).map_err(|error| failure(error).at(path))?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            status @ (401 | 403) => Err(Error::Auth { status }),
            404 => Err(Error::NotFound { path: path.to_owned() }),
            status => Err(NetworkError::Status(status).at(path)),
        }
    }

    fn request(&self, path: &str) -> RequestBuilder<WithoutBody> {
        self.authorized(self.agent.get(format!("{}/{path}", self.base)))
    }

    fn authorized(&self, request: RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody> {
        match &self.token {
            Some(Token(token)) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }
}

impl Transport for HttpTransport {
    fn get(&self, path: &str, resume: Option<&Resume>) -> Result<Response, NetworkError> {
        answered(ranged(self.request(path), resume).call().map_err(failure)?)
    }

    fn goes_elsewhere(&self) -> bool {
        self.buckets.is_some()
    }

    fn elsewhere(&self, url: &str) -> Result<BucketUrl, BucketFlaw> {
        let Buckets { network, server } = self.buckets.as_ref().ok_or(BucketFlaw::Url)?;
        BucketUrl::new(url, server, network.allow_http)
    }

    fn get_elsewhere(
        &self,
        url: &BucketUrl,
        resume: Option<&Resume>,
    ) -> Result<Response, NetworkError> {
        let buckets = self.buckets.as_ref().ok_or(NetworkError::Offline)?;
        // A client of its own for each bundle, which knows neither token nor certificate.
        let agent = buckets.network.bucket_agent(url.host());
        let agent = agent.map_err(|error| NetworkError::Connection(Box::new(error)))?;
        let response = ranged(agent.get(url.reveal()), resume).call();
        answered(response.map_err(|error| match error {
            ureq::Error::TooManyRedirects
            | ureq::Error::RedirectFailed
            | ureq::Error::RequireHttpsOnly(_) => NetworkError::Redirect,
            error => failure(error),
        })?)
    }

    fn size(&self, path: &str) -> Result<Option<u64>, NetworkError> {
        let request = self.authorized(self.agent.head(format!("{}/{path}", self.base)));
        let response = request.call().map_err(failure)?;
        let length = text_header(response.headers(), &header::CONTENT_LENGTH);
        let known = response.status().as_u16() == 200;
        Ok(if known { length.and_then(|length| length.parse().ok()) } else { None })
    }
}

/// Asks for the rest alone of what is here in part.
fn ranged(
    request: RequestBuilder<WithoutBody>,
    resume: Option<&Resume>,
) -> RequestBuilder<WithoutBody> {
    let Some(Resume { offset, etag }) = resume else { return request };
    let request = request.header(header::RANGE, format!("bytes={offset}-"));
    request.header(header::IF_RANGE, etag)
}

/// What of an answer matters.
fn answered(response: ureq::http::Response<ureq::Body>) -> Result<Response, NetworkError> {
    let (head, body) = response.into_parts();
    let text = |name| text_header(&head.headers, &name);
    if let Some(encoding) = text(header::CONTENT_ENCODING)
        && head.status.is_success()
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(NetworkError::Encoded(encoding));
    }
    Ok(Response {
        status: head.status.as_u16(),
        etag: text(header::ETAG),
        content_type: text(header::CONTENT_TYPE),
        content_length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        retry_after: text(header::RETRY_AFTER)
            .and_then(|after| retry_after(&after, text(header::DATE))),
        range_start: text(header::CONTENT_RANGE).as_deref().and_then(range_start),
        bucket: text(BUCKET).as_deref().and_then(boolean),
        body: Box::new(body.into_reader()),
    })
}

/// Tells a TLS handshake that failed from a connection that was never there.
fn failure(error: ureq::Error) -> NetworkError {
    let tls = match &error {
        ureq::Error::Io(error) => {
            error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>)
        }
        other => matches!(other, ureq::Error::Rustls(_)),
    };
    if tls { NetworkError::Tls(error.into()) } else { NetworkError::Connection(error.into()) }
}

/// Seconds, or a date (RFC 9110 §10.2.3) that is compared with the server's own clock.
fn retry_after(text: &str, date: Option<String>) -> Option<Duration> {
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    let until = || {
        let date = httpdate::parse_http_date(&date?).ok()?;
        httpdate::parse_http_date(text).ok()?.duration_since(date).ok()
    };
    seconds.or_else(until)
}

fn text_header(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What the tenant's server says of a bucket.
const BUCKET: header::HeaderName = header::HeaderName::from_static("colophon-bucket");

/// A boolean (RFC 9651 §3.3.6).
fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// The `n` of `bytes n-m/size` (RFC 9110 §14.4).
fn range_start(content_range: &str) -> Option<u64> {
    content_range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(range_start("bytes 17-99/100"), Some(17));
        for bad in ["", "bytes */100", "items 1-2/3", "bytes x-2/3", "17-99/100"] {
            assert_eq!(range_start(bad), None, "{bad}");
        }
    }

    #[test]
    fn booleans_are_read_and_nothing_else() {
        assert_eq!([boolean("?1"), boolean(" ?0 ")], [Some(true), Some(false)]);
        for bad in ["", "0", "false", "?2", "?0;a", "?"] {
            assert_eq!(boolean(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let date = Some("Sun, 22 Nov 2026 10:00:00 GMT".to_owned());
        assert_eq!(retry_after("90", None), Some(Duration::from_secs(90)));
        let until = "Sun, 22 Nov 2026 10:00:30 GMT";
        assert_eq!(retry_after(until, date.clone()), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(until, None), None);
        assert_eq!(retry_after("soon", date), None);
    }

    #[test]
    fn tokens_are_trimmed_and_not_printed() {
        assert_eq!(Token::new(" clp_edge_x\n").unwrap().0, "clp_edge_x");
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
        for bad in ["", " \n", "a\nb", "a b", "é"] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }
}
