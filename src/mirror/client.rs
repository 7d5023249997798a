//! The remote over HTTP: its refs, and pushes to it. Every answer is bounded in size and time.

use std::io::{Cursor, Read};
use std::time::Duration;

use colophon_gitbridge::{Advertisement, Report, visible};
use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body, SendBody};

use super::fault::Fault;
use super::url::MirrorUrl;
use crate::clock::SharedClock;
use crate::http::chain;
use crate::outgoing;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the remote may be silent: it runs its hooks before it answers.
const SILENCE: Duration = Duration::from_mins(2);
/// How long reading the refs may take in all.
const REFS: Duration = Duration::from_mins(2);
/// How long a push may take in all.
const PUSH: Duration = Duration::from_mins(15);
/// Up to this size a request is sent with its length, above in chunks: as Git does
/// (`http.postBuffer`).
const WITH_LENGTH: usize = 1 << 20;
/// How much of an error's body is read.
const WORDS: u64 = 4096;

/// Connections to remotes.
pub(super) struct Client {
    agent: Agent,
    clock: SharedClock,
}

/// One remote and who we are there.
pub(super) struct Remote<'a> {
    pub(super) client: &'a Client,
    pub(super) url: &'a MirrorUrl,
    /// Value of the `Authorization` header.
    pub(super) authorization: Option<String>,
}

impl Client {
    /// Certificates are checked against those that the machine trusts. Redirects are not followed,
    /// so that a credential goes nowhere but to the mirror's own host.
    pub(super) fn new(clock: SharedClock) -> Self {
        let config = Agent::config_builder()
            .tls_config(outgoing::tls())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            // Forges look for `git/` to tell a Git client.
            .user_agent(concat!("git/colophon-", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .build();
        Self { agent: config.new_agent(), clock }
    }
}

impl Remote<'_> {
    /// Reads what the remote holds.
    pub(super) fn refs(&self) -> Result<Advertisement, Fault> {
        let url = format!("{}/info/refs?service=git-receive-pack", self.url);
        let mut request = outgoing::traced(self.client.agent.get(url));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let sent = request.config().timeout_global(Some(REFS)).build().call();
        let body = self.accept(sent, "advertisement", Advertisement::MAX_BYTES)?;
        Advertisement::parse(&body).map_err(Fault::Answer)
    }

    /// Sends a push, and reads what the remote says to it.
    pub(super) fn push(&self, body: &mut dyn Read, side_band: bool) -> Result<Report, Fault> {
        let unread = |e: std::io::Error| Fault::Local(format!("the push could not be made: {e}"));
        let mut start = Vec::new();
        body.take(WITH_LENGTH as u64 + 1).read_to_end(&mut start).map_err(unread)?;
        let request = self.client.agent.post(format!("{}/git-receive-pack", self.url));
        let mut request = outgoing::traced(request)
            .header(header::CONTENT_TYPE, "application/x-git-receive-pack-request")
            .header(header::ACCEPT, "application/x-git-receive-pack-result");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.config().timeout_global(Some(PUSH)).build();
        let sent = if start.len() <= WITH_LENGTH {
            request.send(&start)
        } else {
            request.send(SendBody::from_reader(&mut Cursor::new(start).chain(body)))
        };
        let answer = self.accept(sent, "result", Report::MAX_BYTES)?;
        Report::parse(&answer, side_band).map_err(Fault::Answer)
    }

    /// The body of an answer of the kind that was asked for.
    fn accept(
        &self,
        sent: Result<Response<Body>, ureq::Error>,
        kind: &str,
        most: usize,
    ) -> Result<Vec<u8>, Fault> {
        let (head, body) = sent.map_err(|e| Fault::Unreachable(chain(&e)))?.into_parts();
        let content = text(&head.headers, &header::CONTENT_TYPE);
        match head.status.as_u16() {
            200 if content == format!("application/x-git-receive-pack-{kind}") => {}
            200 => {
                return Err(Fault::Unreachable(format!(
                    "what answers is no Git server, or a sign-in page in between: its answer is `{}`",
                    visible(content.as_bytes())
                )));
            }
            300..=399 => return Err(Fault::Moved(target(&head.headers))),
            status => {
                let now = self.client.clock.now();
                let asked = outgoing::retry_after(text(&head.headers, &header::RETRY_AFTER), now);
                let words =
                    if content.starts_with("text/plain") { words(body) } else { String::new() };
                return Err(Fault::Status { status, retry_after: asked, words });
            }
        }
        let mut bytes = Vec::new();
        let read = body.into_reader().take(most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| Fault::Unreachable(format!("its answer was cut: {e}")))?;
        Ok(bytes)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Where a redirect leads, without what follows the repository's own URL.
fn target(headers: &HeaderMap) -> String {
    let location = text(headers, &header::LOCATION);
    let path = location.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_suffix("/info/refs").unwrap_or(path);
    visible(path.as_bytes())
}

fn words(body: Body) -> String {
    let mut bytes = Vec::new();
    let _ = body.into_reader().take(WORDS).read_to_end(&mut bytes); // what came is told
    visible(&bytes)
}
