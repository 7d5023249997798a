//! One agent's folder, and a network that counts.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use colophon::clock::{Clock as _, SystemClock};
use colophon_edge_fetch::{
    Agent, Cache, Config, Fetched, HttpTransport, Network, NetworkError, Platform, Response,
    Resume, Token, Transport, enroll,
};

use crate::place::{TENANT, Tenant};
use crate::processor;
use crate::served::Server;

/// What went over the network: requests, and bytes of the bodies of answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// An update as one agent saw it.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    /// TUF's files, and the one answer that holds all, but for the bundle in it.
    pub(crate) metadata: Traffic,
    /// What the bundle took, by a request of its own or in the answer that holds all.
    pub(crate) bundle: Traffic,
    /// Milliseconds of the server's processors.
    pub(crate) cpu: f64,
    /// Milliseconds from the first request to the new generation.
    pub(crate) wall: f64,
    /// Bytes of the whole zip.
    pub(crate) zip: u64,
    /// The new generation.
    pub(crate) path: PathBuf,
}

/// An enrolled agent.
pub(crate) struct Machine {
    cache: Cache,
    config: Config,
    token: String,
}

impl Machine {
    pub(crate) fn new(dir: PathBuf, server: &Server, tenant: &Tenant) -> anyhow::Result<Self> {
        let cache = Cache::new(dir);
        let url = format!("http://{}", server.address);
        let config = Config {
            url: url.parse()?,
            tenant: TENANT.parse()?,
            token_file: None,
            device: None,
            name: None,
        };
        enroll(&cache, config.clone(), &tenant.root)?;
        Ok(Self { cache, config, token: tenant.token.clone() })
    }

    /// Applies what is new; there must be something.
    pub(crate) fn update(&self, server: &Server) -> anyhow::Result<Update> {
        let counts = Arc::new(Counts::default());
        let http = HttpTransport::new(&self.config, &Network::default(), Token::new(&self.token))?;
        let transport = Counting { http, counts: counts.clone() };
        let (cpu, from) = (processor::nanos(server.pid())?, Instant::now());
        let agent =
            Agent::open(self.cache.clone(), transport, Platform::current(), SystemClock.now())?;
        let mut outcomes = agent.apply(None, &mut |_, _| {})?;
        let wall = from.elapsed().as_secs_f64() * 1e3;
        let cpu = (processor::nanos(server.pid())? - cpu) as f64 / 1e6;
        let outcome = outcomes.pop().context("the tenant offers no bundle")?;
        let applied = outcome.result?;
        ensure!(applied.changed, "nothing was new");
        let told = applied.fetched.as_ref().map_or(0, Fetched::downloaded);
        let (metadata, bundle) = counts.split(told);
        Ok(Update {
            metadata,
            bundle,
            cpu,
            wall,
            zip: outcome.offer.file.length,
            path: applied.path,
        })
    }
}

#[derive(Default)]
struct Counts {
    metadata: Arc<Count>,
    bundle: Arc<Count>,
}

impl Counts {
    fn of(&self, path: &str) -> &Arc<Count> {
        let metadata = path.starts_with("tuf/") || path.starts_with("edge/sync");
        if metadata { &self.metadata } else { &self.bundle }
    }

    /// What went for metadata, and for a bundle of `told` bytes.
    fn split(&self, told: u64) -> (Traffic, Traffic) {
        let (metadata, bundle) = (self.metadata.get(), self.bundle.get());
        let bytes = (metadata.bytes + bundle.bytes).saturating_sub(told);
        (Traffic { bytes, ..metadata }, Traffic { bytes: told, ..bundle })
    }
}

#[derive(Default)]
struct Count {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn get(&self) -> Traffic {
        let [requests, bytes] = [&self.requests, &self.bytes].map(|n| n.load(Ordering::Relaxed));
        Traffic { requests, bytes }
    }
}

struct Counting {
    http: HttpTransport,
    counts: Arc<Counts>,
}

impl Transport for Counting {
    fn get(&self, path: &str, resume: Option<&Resume>) -> Result<Response, NetworkError> {
        let count = self.counts.of(path).clone();
        count.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.http.get(path, resume)?;
        Ok(Response { body: Box::new(Counted { body: response.body, count }), ..response })
    }
}

struct Counted {
    body: Box<dyn Read>,
    count: Arc<Count>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.body.read(into)?;
        self.count.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
