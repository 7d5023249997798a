//! A server in this process on a free port, and the requests tests make of it.

pub(crate) mod bao;
pub(crate) mod builder;
pub(crate) mod checkout;
pub(crate) mod clients;
pub(crate) mod collector;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod forge;
pub(crate) mod gates;
pub(crate) mod import;
pub(crate) mod numbers;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod relay;
pub(crate) mod s3;
pub(crate) mod sign;
pub(crate) mod upstream;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use colophon::app::App;
use colophon::clock::{Clock, SystemClock};
use colophon::config::{Config, Space};
use colophon::gates::Mode;
use colophon::intake::legacy_signature as webhook_signature;
use colophon::serve::Server;
use colophon::tenants;
use colophon::tokens::{TokenKind, create_token};
use colophon::units::Size;
use colophon_model::{CodePolicy, TenantSlug, UnixMillis};
use serde_json::Value;

/// A clock that stands at the moment at which it was made until a test moves it. Stock clients and the agent
/// go by the machine's time, and would find metadata that was signed on a fixed day expired a week later.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(SystemClock.now().get()))
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::SeqCst))
    }
}

/// A running server; stopped and removed when dropped.
pub(crate) struct TestServer {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) url: String,
    /// URL of the admin listener; empty without one.
    pub(crate) admin: String,
    pub(crate) dir: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A tenant and what its people hold.
pub(crate) struct TestTenant {
    pub(crate) slug: String,
    pub(crate) secret: String,
    pub(crate) root: Vec<u8>,
    pub(crate) api: String,
    pub(crate) git: String,
    pub(crate) edge: String,
}

/// A status, headers, and the body as bytes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The problem's code, for an error.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A server whose configuration `change` has changed.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            data: dir.path().join("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            // Tests run on any disk.
            space: Space { low: Size::bytes(0), high: Size::bytes(0), reserve: Size::bytes(0) },
            ..Config::default()
        };
        // Gates have tests of their own.
        config.gates.smoke = Mode::Off;
        config.gates.launcher = Some(programs::program("colophon"));
        change(&mut config);
        let clock = Arc::new(TestClock::new());
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server_clock = clock.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::start(config, server_clock).await.unwrap();
                ready.send((server.app(), server.address(), server.admin_address())).unwrap();
                let stop = async move { drop(stopped.await) };
                server.run(stop).await.unwrap();
            });
        });
        let (app, address, admin) = started.recv().unwrap();
        let url = format!("http://{address}");
        let admin = admin.map_or_else(String::new, |address| format!("http://{address}"));
        Self { app, clock, url, admin, dir, stop: Some(stop), thread: Some(thread) }
    }

    /// The time there, in milliseconds.
    pub(crate) fn clock_millis(&self) -> u64 {
        self.clock.now().get()
    }

    pub(crate) fn tenant(&self, slug: &str) -> TestTenant {
        let slug: TenantSlug = slug.parse().unwrap();
        let made = tenants::create(&self.app.press, &slug, CodePolicy::AllowCustom).unwrap();
        let token = |kind| {
            let now = self.clock.now();
            let store = &self.app.press.store;
            let made = create_token(store, &slug, kind, "test", 30, now).unwrap();
            made.token.reveal().to_owned()
        };
        TestTenant {
            secret: made.webhook_secret,
            root: made.root,
            api: token(TokenKind::Api),
            git: token(TokenKind::Git),
            edge: token(TokenKind::Edge),
            slug: slug.to_string(),
        }
    }

    /// Posts a flow, signed as the builder signs.
    pub(crate) fn build(&self, tenant: &TestTenant, body: &[u8]) -> Answer {
        let signature = webhook_signature(&tenant.secret, body);
        let headers = [("x-tenant-slug", tenant.slug.as_str()), ("x-ap-signature", &signature)];
        self.post("/build", &headers, body)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = agent().post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body).unwrap())
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { self.url.clone() + path };
        let mut request = agent().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call().unwrap())
    }

    pub(crate) fn get_with(&self, path: &str, token: &str) -> Answer {
        self.get(path, &[("authorization", &format!("Bearer {token}"))])
    }

    pub(crate) fn git_url(&self, tenant: &TestTenant) -> String {
        format!("{}/git/{}.git", self.url, tenant.slug)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.app.config.data.clone()
    }

    /// Asks as the operator, as the command line does.
    pub(crate) fn operator(&self, method: &str, path: &str, body: &str) -> Answer {
        let (url, agent) = (format!("{}{path}", self.url), agent());
        let token = self.app.press.keys.operator_token();
        let bearer = format!("Bearer {}", token.reveal());
        let answer = match method {
            "PUT" => agent.put(url).header("authorization", bearer).send(body),
            "POST" => agent.post(url).header("authorization", bearer).send(body),
            "DELETE" => agent.delete(url).header("authorization", bearer).call(),
            _ => agent.get(url).header("authorization", bearer).call(),
        };
        read(answer.unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

/// The trace of every request of a test: answers tell its id, and tests compare answers.
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A client whose requests all belong to one trace, unless they name another.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.middleware(in_one_trace).build().into()
}

fn in_one_trace(
    mut request: ureq::http::Request<ureq::SendBody<'_>>,
    next: ureq::middleware::MiddlewareNext<'_>,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let parent = ureq::http::HeaderValue::from_static(TRACEPARENT);
    request.headers_mut().entry("traceparent").or_insert(parent);
    next.handle(request)
}

pub(crate) fn read(response: ureq::http::Response<ureq::Body>) -> Answer {
    read_whole(response).unwrap()
}

/// The same of a server that may be gone before the end.
pub(crate) fn read_whole(
    mut response: ureq::http::Response<ureq::Body>,
) -> Result<Answer, ureq::Error> {
    let bytes = response.body_mut().with_config().limit(64 << 20).read_to_vec()?;
    let status = response.status().as_u16();
    Ok(Answer { status, headers: response.headers().clone(), bytes })
}

/// The demonstration's flows.
pub(crate) const ORDER_INTAKE: &[u8] = include_bytes!("../fixtures/flows/order_intake.json");
pub(crate) const HELLO_LANGFLOW: &[u8] = include_bytes!("../fixtures/flows/hello_langflow.json");

/// A small Builder flow, different for each `text`.
pub(crate) fn small_flow(slug: &str, revision: Option<u64>, text: &str) -> Vec<u8> {
    let mut flow = serde_json::json!({
        "schema_version": "1.0", "id": format!("native-{slug}"), "slug": slug, "name": slug,
        "nodes": [
            {"id": "start", "kind": "trigger.manual"},
            {"id": "greet", "kind": "data.map", "fields": {"text": text}}
        ],
        "edges": [{"from": "start", "to": "greet"}]
    });
    if let Some(revision) = revision {
        flow["revision"] = revision.into();
    }
    serde_json::to_vec(&flow).unwrap()
}

/// `length` hex digits that do not compress well, the same for the same `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> String {
    let mut text = String::new();
    let mut number = seed;
    while text.len() < length {
        // Knuth's MMIX generator.
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:08x}", number >> 32).unwrap();
    }
    text.truncate(length);
    text
}

/// A real LangFlow export when it could be fetched, else ours; and which.
pub(crate) fn langflow_export() -> (Vec<u8>, &'static str) {
    let path = programs::cache().join("langflow-1.13.0").join("Basic Prompting.json");
    if let Ok(body) = std::fs::read(&path) {
        return (body, "LangFlow 1.13.0 starter project `Basic Prompting`");
    }
    programs::must_be_marked_unavailable("langflow-1.13.0");
    (HELLO_LANGFLOW.to_vec(), "a flow of ours in LangFlow's format")
}
