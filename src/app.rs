//! What requests and jobs share.

use std::sync::Arc;

use anyhow::Context as _;
use colophon_compiler::{Compiler, Limits};
use colophon_store::quota::Rule;
use colophon_store::{Options, Store};

use crate::clock::SharedClock;
use crate::config::{Config, Durability};
use crate::keys::MasterKey;
use crate::pipeline::Press;
use crate::tasks::Tasks;

/// Handles, each cheap to clone or shared.
pub struct App {
    /// The use case and everything it stands on.
    pub press: Arc<Press>,
    /// Builds run here.
    pub builds: Tasks,
    /// Reads and Git requests run here.
    pub reads: Tasks,
    /// The configuration the program was started with.
    pub config: Config,
    /// URL under which clients reach the server, without a final slash.
    pub public_url: String,
}

/// The app as handlers take it.
pub type SharedApp = Arc<App>;

impl App {
    /// Opens the data directory and makes the handles. Fails when another process holds it.
    pub fn open(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        let press = Arc::new(open_press(&config, clock)?);
        Ok(Self::over(press, config))
    }

    /// An app over an opened press.
    pub fn over(press: Arc<Press>, config: Config) -> Self {
        let listen = format!("http://{}", config.listen);
        let public_url = config.public_url.clone().unwrap_or(listen);
        Self {
            press,
            builds: Tasks::new(config.limits.builds, config.limits.waiting),
            reads: Tasks::new(config.limits.reads, config.limits.waiting),
            public_url: public_url.trim_end_matches('/').to_owned(),
            config,
        }
    }
}

/// The window of the quota: 24 hours.
const QUOTA_WINDOW: u64 = 24 * 60 * 60 * 1000;

/// Opens the store below `config.data`, the keys, and the compiler.
pub fn open_press(config: &Config, clock: SharedClock) -> anyhow::Result<Press> {
    let store = Store::open(&config.data, &store_options(config))
        .with_context(|| format!("cannot open data directory `{}`", config.data.display()))?;
    let keys = MasterKey::load_or_create(&config.data)?;
    let compiler = Compiler::new().context("the built-in templates are broken")?;
    let quota = Rule { limit: config.quota.builds_per_day, window_millis: QUOTA_WINDOW };
    let limits = Limits { body: config.limits.body_bytes, ..Limits::default() };
    Ok(Press::new(store, compiler, keys, clock, quota, limits))
}

/// The text in the lock file tells a second process, and a person, who holds the directory.
fn store_options(config: &Config) -> Options {
    Options {
        durability: match config.store.durability {
            Durability::Full => colophon_store::Durability::Full,
            Durability::Fast => colophon_store::Durability::Fast,
        },
        cache_bytes: config.store.cache_bytes,
        owner: owner_text(config),
        ..Options::default()
    }
}

fn owner_text(config: &Config) -> String {
    format!("pid {} at http://{}", std::process::id(), config.listen)
}

/// The URL in what the process that holds a data directory says of itself.
pub fn owner_url(owner: &str) -> Option<String> {
    let url = owner.trim().rsplit_once(" at ")?.1;
    url.starts_with("http://").then(|| url.to_owned())
}
