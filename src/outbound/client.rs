//! Sending an event to an endpoint, over HTTP, signed by Standard Webhooks 1.0. Blocks; every answer is bounded
//! in size and time.

use std::io::Read as _;
use std::time::{Duration, Instant};

use colophon_gitbridge::visible;
use colophon_model::UnixMillis;
use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::DefaultConnector;

use super::policy::Policy;
use super::resolver::{Guarded, forbidden};
use crate::clock::SharedClock;
use crate::http::chain;
use crate::intake::standard_signature;
use crate::outgoing;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const EXCERPT: u64 = 1024;

/// Connections to endpoints.
pub(super) struct Client {
    agent: Agent,
    clock: SharedClock,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// Names the event, the same with every attempt.
    pub(super) id: &'a str,
    /// The body, the same with every attempt.
    pub(super) body: &'a str,
    /// Secrets that are good, newest first: each signs.
    pub(super) secrets: &'a [String],
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer's status, or why there is none.
    pub(super) status: Result<u16, String>,
    /// How long the endpoint asks us to wait, in milliseconds.
    pub(super) asked: Option<u64>,
    /// The beginning of the answer's body, as it can be shown.
    pub(super) excerpt: String,
    /// How long it took.
    pub(super) took: Duration,
}

/// The value of `webhook-signature`: one signature for each secret.
pub(super) fn signatures(message: &Message<'_>, now: UnixMillis) -> String {
    let seconds = now.get() / 1000;
    let sign = |secret: &String| {
        standard_signature(secret, (message.id, seconds), message.body.as_bytes())
    };
    message.secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

impl Client {
    /// A client under `policy` that gives an endpoint so long for its whole answer.
    pub(super) fn new(policy: Policy, clock: SharedClock, within: Duration) -> Self {
        Self::over(Guarded { policy, inner: DefaultResolver::default() }, clock, within)
    }

    /// Certificates are checked against those that the machine trusts. Redirects are not followed, since
    /// nobody has checked where they lead, and no proxy is asked, since it would look names up by itself.
    fn over(resolver: impl Resolver, clock: SharedClock, within: Duration) -> Self {
        let config = Agent::config_builder()
            .tls_config(outgoing::tls())
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("colophon/", env!("CARGO_PKG_VERSION"), " (webhooks)"))
            .timeout_connect(Some(CONNECT.min(within)))
            .timeout_global(Some(within))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Self { agent, clock }
    }

    /// Sends `message` to `url`.
    pub(super) fn send(&self, url: &str, message: &Message<'_>) -> Reply {
        let (start, now) = (Instant::now(), self.clock.now());
        let request = outgoing::traced(self.agent.post(url))
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", (now.get() / 1000).to_string())
            .header("webhook-signature", signatures(message, now));
        let (status, asked, excerpt) = match request.send(message.body) {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let asked = head.headers.get(header::RETRY_AFTER);
                let asked = asked.and_then(|value| value.to_str().ok());
                let asked = asked.and_then(|text| outgoing::retry_after(text, now));
                let mut bytes = Vec::new();
                // What came is told. That it was cut changes nothing about the status.
                let _ = body.into_reader().take(EXCERPT).read_to_end(&mut bytes);
                (Ok(head.status.as_u16()), asked, visible(&bytes))
            }
            Err(error) => (Err(why(&error)), None, String::new()),
        };
        Reply { status, asked, excerpt, took: start.elapsed() }
    }
}

fn why(error: &ureq::Error) -> String {
    match forbidden(error) {
        Some(forbidden) => format!("it is not sent there: {forbidden}"),
        None => format!("the endpoint cannot be reached: {}", chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::tests::policy;
    use super::*;
    use crate::clock::SystemClock;
    use std::io::Write as _;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use ureq::config::Config;
    use ureq::http::Uri;
    use ureq::unversioned::resolver::ResolvedSocketAddrs;
    use ureq::unversioned::transport::NextTimeout;

    /// The example of the specification, as its own libraries have it in their tests.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = "{\"test\": 2432232314}";
        let one = Message { id, body, secrets: std::slice::from_ref(&secret) };
        let now = UnixMillis::new(1_614_265_330_999);
        assert_eq!(signatures(&one, now), expected);
        let two = [secret.clone(), secret.clone()];
        let two = Message { secrets: &two, ..one };
        assert_eq!(signatures(&two, now), format!("{expected} {expected}"));
    }

    /// A name server that gives another answer each time it is asked.
    #[derive(Debug)]
    struct Names {
        answers: Vec<Vec<SocketAddr>>,
        asked: AtomicUsize,
    }

    impl Resolver for Names {
        fn resolve(
            &self,
            _: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst);
            let mut found = self.empty();
            for address in &self.answers[turn.min(self.answers.len() - 1)] {
                found.push(*address);
            }
            Ok(found)
        }
    }

    /// A receiver that answers every request with `answer`, and tells how many came.
    fn receiver(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let seen = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                seen.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 8192];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (address, count)
    }

    fn client(answers: Vec<Vec<SocketAddr>>, allow: &[&str]) -> Client {
        let inner = Names { answers, asked: AtomicUsize::new(0) };
        let guarded = Guarded { policy: policy(allow, true), inner };
        Client::over(guarded, Arc::new(SystemClock), Duration::from_secs(5))
    }

    const MESSAGE: Message<'static> = Message { id: "x", body: "{}", secrets: &[] };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

    /// A name that led outside when it was checked and leads inside when it is used: it is the checked address
    /// that is used, and what is looked up anew is checked anew.
    #[test]
    fn a_name_that_turns_inside_is_not_followed() {
        let (inside, asked) = receiver(OK);
        let client = client(vec![vec![inside]], &[]);
        for _ in 0..2 {
            let reply = client.send("http://rebind.example/", &MESSAGE);
            let why = reply.status.unwrap_err();
            assert!(why.contains("`127.0.0.1` is not a public address"), "{why}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing was sent");
    }

    /// Of a name with addresses inside and outside, only those outside are tried.
    #[test]
    fn of_mixed_addresses_only_those_that_may_be_are_tried() {
        let (inside, asked) = receiver(OK);
        let (allowed, taken) = receiver(OK);
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), inside.port());
        // The second receiver listens on the same address: it is told apart by the name alone.
        let client = client(vec![vec![mapped, inside], vec![allowed]], &["hooks.internal"]);
        assert!(client.send("http://mixed.example/", &MESSAGE).status.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        assert_eq!(client.send("http://hooks.internal/", &MESSAGE).status, Ok(200));
        assert_eq!(taken.load(Ordering::SeqCst), 1);
    }

    /// What a redirect leads to was checked by nobody.
    #[test]
    fn a_redirect_is_an_answer_like_another() {
        let (inside, asked) = receiver(OK);
        let to = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{inside}/\r\ncontent-length: 0\r\n\r\n"
        );
        let (first, _) = receiver(to.leak());
        let client = client(vec![vec![first], vec![inside]], &["127.0.0.0/8"]);
        assert_eq!(client.send("http://x/", &MESSAGE).status, Ok(302));
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    /// An endpoint that answers without end is read no further than the excerpt.
    #[test]
    fn answers_are_cut() {
        let long =
            format!("HTTP/1.1 500 x\r\nretry-after: 7\r\n\r\n{}\u{7}", "a\u{1b}b".repeat(9_000));
        let (address, _) = receiver(long.leak());
        let reply = client(vec![vec![address]], &["127.0.0.1"]).send("http://x/", &MESSAGE);
        assert_eq!((reply.status, reply.asked), (Ok(500), Some(7_000)));
        assert!(
            reply.excerpt.len() < 1_024 && reply.excerpt.starts_with("a?b"),
            "{}",
            reply.excerpt
        );
    }

    /// Literal addresses do not go past the guard.
    #[test]
    fn a_literal_address_is_checked_when_it_is_connected_to() {
        let (inside, asked) = receiver(OK);
        let real = Client::new(policy(&[], true), Arc::new(SystemClock), Duration::from_secs(5));
        for host in
            ["127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1"]
        {
            let reply = real.send(&format!("http://{host}:{}/", inside.port()), &MESSAGE);
            assert!(reply.status.is_err(), "{host}: {reply:?}");
        }
        let named = real.send(&format!("http://localhost:{}/", inside.port()), &MESSAGE);
        assert!(named.status.unwrap_err().contains("not a public address"));
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
