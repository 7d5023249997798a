//! The transport over HTTP/1.1.

use std::fmt;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, header};

use crate::transport::{NetworkError, Response, Resume, Transport};

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

/// How long to wait for a connection, and for the next bytes of an answer.
const CONNECT: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_secs(30);
/// How long one answer may take in all: a sender that drips bytes ends here, and is resumed.
const BODY: Duration = Duration::from_mins(15);

/// Gets files of one tenant over HTTP.
pub struct HttpTransport {
    agent: Agent,
    base: String,
    token: Option<Token>,
}

impl HttpTransport {
    /// `base` is the tenant's URL without a slash at the end.
    ///
    /// Redirects are not followed: nothing here needs them, and a network's sign-in page is told
    /// from an answer. The body is asked for as it is, since a range of a compressed one is not a
    /// range of the file.
    pub fn new(base: String, token: Option<Token>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("edge-fetch/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALL))
            .timeout_recv_body(Some(BODY))
            .build();
        Self { agent: config.new_agent(), base, token }
    }
}

impl Transport for HttpTransport {
    fn get(&self, path: &str, resume: Option<&Resume>) -> Result<Response, NetworkError> {
        let mut request = self.agent.get(format!("{}/{path}", self.base));
        if let Some(Token(token)) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(Resume { offset, etag }) = resume {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
            request = request.header(header::IF_RANGE, etag);
        }
        let response = request.call().map_err(|error| NetworkError::Connection(error.into()))?;
        let (head, body) = response.into_parts();
        let text = |name| text_header(&head.headers, &name);
        Ok(Response {
            status: head.status.as_u16(),
            etag: text(header::ETAG),
            content_type: text(header::CONTENT_TYPE),
            content_length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            range_start: text(header::CONTENT_RANGE).as_deref().and_then(range_start),
            body: Box::new(body.into_reader()),
        })
    }
}

fn text_header(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
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
    fn tokens_are_trimmed_and_not_printed() {
        assert_eq!(Token::new(" clp_edge_x\n").unwrap().0, "clp_edge_x");
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
        for bad in ["", " \n", "a\nb", "a b", "é"] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }
}
