//! What requests and jobs share.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use colophon_compiler::{Compiler, Limits};
use colophon_gitbridge::Cache;
use colophon_store::quota::Rule;
use colophon_store::rows::TenantRow;
use colophon_store::{Options, Store, Watermarks};

use crate::artifacts::Artifacts;
use crate::bodies::Bodies;
use crate::bundles::Bundles;
use crate::clock::SharedClock;
use crate::config::{self, Config, Durability};
use crate::console::Console;
use crate::fair::{self, Courtesy, Fair, Steps};
use crate::gates::Gates;
use crate::intake::log::{Bounds, DeliveryLog};
use crate::intake::pulls;
use crate::keys::MasterKey;
use crate::outbound::{Outbound, Policy};
use crate::pipeline::Press;
use crate::progress::Streams;
use crate::recall::Recall;
use crate::secrets::{Secrets, check_key, master_key};
use crate::serve::Tls;
use crate::tasks::Tasks;
use crate::templates;
use crate::tokens::Usage;
use crate::turnstile::Turnstiles;
use crate::wheels;

/// Handles, each cheap to clone or shared.
pub struct App {
    /// The use case and everything it stands on.
    pub press: Arc<Press>,
    /// Builds run here.
    pub builds: Tasks,
    /// Bodies of deliveries are read here.
    pub bodies: Bodies,
    /// Turns on processors, which builds take.
    pub processors: Fair,
    /// Turns of connections on the threads that answer.
    pub steps: Steps,
    /// Reads and Git requests run here.
    pub reads: Tasks,
    /// One maintenance job runs here. The server's own wait for it.
    pub maintenance: Tasks,
    /// Audit logs that people have checked at the console: one at a time of all, so that it takes no place from
    /// maintenance, nor many threads.
    pub audits: Tasks,
    /// How many Git requests of a tenant are answered at a time.
    pub git_turnstiles: Turnstiles,
    /// The places of streams that tell how far builds are.
    pub streams: Streams,
    /// Whether the server is about to end: it is not ready any more.
    pub stopping: AtomicBool,
    /// The certificate in use, once it serves with one.
    pub tls: OnceLock<Arc<Tls>>,
    /// Pushes to mirrors run here.
    pub mirrors: Tasks,
    /// Flows are read from builders here.
    pub pulls: Tasks,
    /// Events are sent to endpoints here.
    pub notifications: Tasks,
    /// Exports that are due run here.
    pub exports: Tasks,
    /// When tokens were used last.
    pub usage: Usage,
    /// The pages for people, and who is logged in.
    pub console: Console,
    /// The configuration the program was started with.
    pub config: Config,
    /// URL under which clients reach the server, without a final slash.
    pub public_url: String,
}

/// Most checks of audit logs that wait for the one that runs.
const AUDITS_WAITING: usize = 8;
/// How long a request waits for others of its tenant to end.
const TURNSTILE_PATIENCE: Duration = Duration::from_secs(30);

/// The app as handlers take it.
pub type SharedApp = Arc<App>;

impl App {
    /// Opens the data directory and makes the handles. Fails when another process holds it.
    pub fn open(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let press = Arc::new(open_press(
            &config,
            clock,
            Owner::Server { address: config.listen, tls: config.tls.cert.is_some() },
        )?);
        Ok(Self::over(press, config))
    }

    /// An app over an opened press.
    pub fn over(press: Arc<Press>, config: Config) -> Self {
        if config.admin.tenant_label {
            press.metrics.count_by_tenant();
        }
        let courtesy = Courtesy::default();
        let processors = Fair::courteous(config.limits.of_processors(), &courtesy);
        let reads = Fair::courteous(config.limits.of_reads(), &courtesy);
        Self {
            press,
            builds: Tasks::within(config.limits.of_builds()).on(processors.clone()),
            processors,
            bodies: Bodies::new(config.limits.of_bodies()),
            reads: Tasks::over(reads),
            steps: Steps::new(config::processors(), &courtesy),
            maintenance: Tasks::new(1, 0),
            audits: Tasks::new(1, AUDITS_WAITING),
            git_turnstiles: Turnstiles::new(config.git.per_tenant, TURNSTILE_PATIENCE),
            streams: Streams::new(&config.events),
            stopping: AtomicBool::new(false),
            tls: OnceLock::new(),
            mirrors: Tasks::new(config.mirror.workers, 0),
            pulls: Tasks::new(pulls::AT_ONCE, 0),
            notifications: Tasks::new(config.outbound.workers, 0),
            exports: Tasks::new(config.export.workers, 0),
            usage: Usage::default(),
            console: Console::new(),
            public_url: config.public_url(),
            config,
        }
    }
}

/// The window of the quota, in milliseconds: 24 hours.
pub const QUOTA_WINDOW: u64 = 24 * 60 * 60 * 1000;

/// Opens the store below `config.data`, the keys, and the compiler.
pub fn open_press(config: &Config, clock: SharedClock, owner: Owner) -> anyhow::Result<Press> {
    // First: a mistake in the configuration or in a template must not leave a new data directory behind.
    let compiler = templates::compiler(config.compiler.templates.as_deref())?
        .with_wheels(wheels::read(config.compiler.wheels.as_deref())?)
        .with_pauses(fair::breathe);
    let artifacts = Artifacts::new(config)?;
    let store = Store::open(&config.data, &store_options(config, owner))
        .with_context(|| format!("cannot open data directory `{}`", config.data.display()))?;
    let secrets = Secrets::new(&config.secrets, clock.clone());
    let keys = open_keys(config, &secrets, &store)?;
    let mut press = press_over(config, (store, compiler, keys, secrets), clock);
    press.artifacts = artifacts;
    press.export_builds = config.export.follows_builds();
    Ok(press)
}

/// A press over a store that is to be thrown away, in `dir`, with the keys and secrets of another one.
///
/// # Errors
/// When there is no store in `dir` and none can be made.
pub fn open_aside(config: &Config, press: &Press, dir: &std::path::Path) -> anyhow::Result<Press> {
    let compiler = templates::compiler(config.compiler.templates.as_deref())?;
    let options = Options { cache_bytes: ASIDE_CACHE, ..store_options(config, Owner::Command) };
    let store = Store::open(dir, &options)
        .with_context(|| format!("cannot open data directory `{}`", dir.display()))?;
    let secrets = Secrets::new(&config.secrets, press.clock.clone());
    let parts = (store, compiler, press.keys.clone(), secrets);
    Ok(press_over(config, parts, press.clock.clone()))
}

/// Memory for pages of a store that is to be thrown away, in bytes.
const ASIDE_CACHE: usize = 8 << 20;

fn press_over(
    config: &Config,
    (store, compiler, keys, secrets): (Store, Compiler, MasterKey, Secrets),
    clock: SharedClock,
) -> Press {
    let quota = Rule { limit: config.quota.builds_per_day, window_millis: QUOTA_WINDOW };
    let limits = Limits { body: config.limits.body_bytes, ..Limits::default() };
    let objects = Cache::new(config.git.cache.get());
    let gates = Gates::new(&config.gates);
    let bundles = Bundles::new(&config.edge, config.limits.waiting);
    let mut press =
        Press::new(store, compiler, keys, clock, quota, limits, gates, objects, bundles);
    press.offline_roots = config.edge.offline_roots;
    let (bodies, bytes) = (config.intake.refused_bodies, config.intake.refused_bytes.get());
    press.deliveries = DeliveryLog::new(Bounds { bodies, bytes });
    press.recall = Recall::new(&config.edge);
    press.secrets = secrets;
    press.outbound =
        Outbound { policy: Policy::new(&config.outbound), public_url: config.public_url() };
    press
}

/// The key is made with the first tenant's store and never again: a new one would silently void
/// every webhook secret and every root that agents have pinned.
fn open_keys(config: &Config, secrets: &Secrets, store: &Store) -> anyhow::Result<MasterKey> {
    let key = match master_key(config, secrets)? {
        Some(key) => key,
        None => create_key(config, store)?,
    };
    check_key(config, &key)?;
    Ok(key)
}

fn create_key(config: &Config, store: &Store) -> anyhow::Result<MasterKey> {
    if store.view()?.scan::<TenantRow>(&String::new()).next().is_some() {
        bail!(
            "`{}` holds tenants but no `keys/master.key`; restore that file from its backup",
            config.data.display()
        );
    }
    MasterKey::create(&config.data)
}

/// What holds a data directory. The text in the lock file tells a second process, and a person.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A server.
    Server {
        /// Where it listens.
        address: SocketAddr,
        /// Whether it speaks TLS there.
        tls: bool,
    },
    /// A command that ends by itself.
    Command,
}

impl Owner {
    fn text(self) -> String {
        let pid = std::process::id();
        match self {
            Self::Server { address, tls: false } => format!("pid {pid} at http://{address}"),
            Self::Server { address, tls: true } => format!("pid {pid} at https://{address}"),
            Self::Command => format!("pid {pid}, a colophon command"),
        }
    }
}

fn store_options(config: &Config, owner: Owner) -> Options {
    Options {
        durability: match config.store.durability {
            Durability::Full => colophon_store::Durability::Full,
            Durability::Fast => colophon_store::Durability::Fast,
        },
        cache_bytes: config.store.cache_bytes,
        watermarks: Watermarks {
            low: config.space.low.get(),
            high: config.space.high.get(),
            reserve: config.space.reserve.get(),
        },
        owner: owner.text(),
        ..Options::default()
    }
}

/// The URL in what the process that holds a data directory says of itself.
pub fn owner_url(owner: &str) -> Option<String> {
    let url = owner.trim().rsplit_once(" at ")?.1;
    (url.starts_with("http://") || url.starts_with("https://")).then(|| url.to_owned())
}
