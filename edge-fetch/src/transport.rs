//! The seam to the network: one verb, answers with a body that is read as it arrives.

use std::io::{self, Read};
use std::time::Duration;

use crate::{BucketFlaw, BucketUrl, Error};

/// Gets files of one tenant. Nothing that comes through it is trusted.
pub trait Transport {
    /// Asks for `path`, relative to the tenant's URL; with `resume`, for the rest of a file of which
    /// the beginning is already here. Every status is an answer, not an error.
    ///
    /// # Errors
    /// When there is no answer.
    fn get(&self, path: &str, resume: Option<&Resume>) -> Result<Response, NetworkError>;

    /// Whether other hosts than the tenant's server may be asked.
    fn goes_elsewhere(&self) -> bool {
        false
    }

    /// The URL of another host that the server gave out, if it may be asked.
    ///
    /// # Errors
    /// When it may not.
    fn elsewhere(&self, url: &str) -> Result<BucketUrl, BucketFlaw> {
        let _ = url;
        Err(BucketFlaw::Url)
    }

    /// As [`Self::get`], of another host, which is told nothing that the tenant's server is told.
    ///
    /// # Errors
    /// When there is no answer.
    fn get_elsewhere(
        &self,
        url: &BucketUrl,
        resume: Option<&Resume>,
    ) -> Result<Response, NetworkError> {
        let _ = (url, resume);
        Err(NetworkError::Offline)
    }

    /// How many bytes `path` has, without getting it, where that can be known.
    ///
    /// # Errors
    /// When there is no answer.
    fn size(&self, path: &str) -> Result<Option<u64>, NetworkError> {
        let _ = path;
        Ok(None)
    }
}

/// No network: nothing can be asked for.
#[derive(Debug, Clone, Copy)]
pub struct Offline;

impl Transport for Offline {
    fn get(&self, _: &str, _: Option<&Resume>) -> Result<Response, NetworkError> {
        Err(NetworkError::Offline)
    }
}

/// Gets a whole file of at most `limit` bytes, or one byte more of a longer one.
pub(crate) fn read(transport: &impl Transport, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    transport
        .get(path, None)
        .map_err(|error| error.at(path))?
        .expect(path, &[200])?
        .read_up_to(path, limit)
}

/// Where a cut download stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// How many bytes are here.
    pub offset: u64,
    /// The strong ETag that the file had (RFC 9110 §13.1.5): the rest is only wanted if it still
    /// has it.
    pub etag: String,
}

/// An answer, with what of its headers matters.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `ETag`, as it was sent.
    pub etag: Option<String>,
    /// `Content-Type`, as it was sent.
    pub content_type: Option<String>,
    /// `Content-Length`: how many bytes the body is announced to have.
    pub content_length: Option<u64>,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
    /// The first byte's position from `Content-Range`.
    pub range_start: Option<u64>,
    /// What the tenant's server says of a bucket in `Colophon-Bucket`: that there is none, or may be one. `None`: nothing.
    pub bucket: Option<bool>,
    /// The body. A connection that breaks gives an error, never an early end.
    pub body: Box<dyn Read>,
}

/// Why there is no answer, or no usable one.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No connection, or it broke.
    #[error("the connection failed")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The TLS handshake failed: one side did not accept the other's certificate.
    #[error("the TLS connection was refused")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body broke off or stalled.
    #[error("the transfer broke off after {received} bytes")]
    Cut {
        /// Bytes received by this request.
        received: u64,
        /// What happened, when the connection said.
        source: Option<io::Error>,
    },
    /// A status that means neither success nor anything final.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// The server asks to come back later.
    #[error("the server answered with status {status} and asks to wait {} s", retry_after.as_secs())]
    Busy {
        /// 429, 503 or another.
        status: u16,
        /// How long to wait.
        retry_after: Duration,
    },
    /// A web page where a file was expected: some network wants a sign-in first.
    #[error("the answer is a web page; a sign-in page or proxy is in the way")]
    WebPage,
    /// The body is announced with another length than is signed.
    #[error("the server announces {announced} bytes where {expected} are missing")]
    Length {
        /// What the server announces.
        announced: u64,
        /// What is missing.
        expected: u64,
    },
    /// The body was compressed on the way, though it was asked for as it is.
    #[error("something on the way encodes the answer as `{0}`")]
    Encoded(String),
    /// A host sent on too often, or to where nothing is encrypted.
    #[error("the host sent on to where it is not followed")]
    Redirect,
    /// Nothing may be asked for.
    #[error("nothing is asked for offline")]
    Offline,
    /// The rest of a file was asked for and another part was sent.
    #[error("the server sent another part of the file than was asked for")]
    Range,
}

impl NetworkError {
    pub(crate) fn at(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            // Trying again does not help, as it does after all the others.
            Self::Offline => Error::Absent { what: format!("`{path}`") },
            source => Error::Network { path, source },
        }
    }
}

impl Response {
    /// Lets through what `accepted` lists; turns everything else into the error it means.
    pub(crate) fn expect(self, path: &str, accepted: &[u16]) -> Result<Self, Error> {
        if accepted.contains(&self.status) {
            return self.usable(path);
        }
        let error = self.refusal(path);
        self.finish();
        Err(error)
    }

    /// The same for a host that is not the tenant's server: what it refuses says nothing about the token, nor about
    /// what the server has.
    pub(crate) fn expect_elsewhere(self, path: &str, accepted: &[u16]) -> Result<Self, Error> {
        if accepted.contains(&self.status) {
            return self.usable(path);
        }
        Err(NetworkError::Status(self.status).at(path))
    }

    fn usable(self, path: &str) -> Result<Self, Error> {
        let page = self.content_type.as_deref().is_some_and(|t| t.starts_with("text/html"));
        if page { Err(NetworkError::WebPage.at(path)) } else { Ok(self) }
    }

    /// What a status means that is not wanted.
    fn refusal(&self, path: &str) -> Error {
        match (self.status, self.retry_after) {
            (status @ (401 | 403), _) => Error::Auth { status },
            (404 | 410, _) => Error::NotFound { path: path.to_owned() },
            (status, Some(retry_after)) => NetworkError::Busy { status, retry_after }.at(path),
            (status, None) => NetworkError::Status(status).at(path),
        }
    }

    /// Reads the rest of a small body that nobody wants: the connection serves the next request then,
    /// and is closed otherwise.
    fn finish(self) {
        const SMALL: u64 = 16 * 1024;
        if self.content_length.is_some_and(|length| length <= SMALL) {
            // The answer is known already; a connection that breaks now is not asked again.
            let _ = io::copy(&mut self.body.take(SMALL), &mut io::sink());
        }
    }

    /// Reads at most one byte past `limit`, so that the reader of the bytes sees that there is more
    /// without anyone having to hold it.
    pub(crate) fn read_up_to(self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match self.body.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => {
                let received = bytes.len() as u64;
                Err(NetworkError::Cut { received, source: Some(error) }.at(path))
            }
        }
    }
}
