//! Configuration: a TOML file, then `COLOPHON_*` variables, then flags; the later wins.

mod admin;
mod console;
mod edge;
mod events;
mod export;
mod intake;
mod layers;
mod limits;
mod maintenance;
mod outbound;
mod secrets;
mod server;
mod settings;
mod telemetry;
mod tokens;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::gates::{GatesConfig, Mode};
use crate::units::{Size, Span};

use layers::Layers;

pub use admin::Admin;
pub use console::ConsoleConfig;
pub use edge::Edge;
pub use events::Events;
pub use export::{Encryption, ExportConfig};
pub use intake::Intake;
pub use limits::Limits;
pub(crate) use limits::processors;
pub use maintenance::Maintenance;
pub use outbound::Outbound;
pub use secrets::{KeysConfig, SecretsConfig, SopsConfig, VaultConfig};
pub use server::{Server, Tls};
pub use settings::example;
pub use telemetry::{Fraction, LogFormat, Telemetry};
pub use tokens::Tokens;

/// Everything an operator can set. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// URL under which clients reach the server; default `http://<listen>`.
    pub public_url: Option<String>,
    /// How connections are taken and given up.
    pub server: Server,
    /// TLS on the public listener.
    pub tls: Tls,
    /// Bounds on requests.
    pub limits: Limits,
    /// How deliveries are checked.
    pub intake: Intake,
    /// Builds a tenant may make.
    pub quota: Quota,
    /// What flows are compiled with.
    pub compiler: CompilerConfig,
    /// How Git clients are served.
    pub git: Git,
    /// How edge agents are served.
    pub edge: Edge,
    /// Streams that tell how far builds are.
    pub events: Events,
    /// How the store writes.
    pub store: StoreConfig,
    /// When the disk counts as full.
    pub space: Space,
    /// How long things are kept that end.
    pub retention: Retention,
    /// What the server does by itself to keep its store in order.
    pub maintenance: Maintenance,
    /// How long tokens last.
    pub tokens: Tokens,
    /// Where the server's own keys are.
    pub keys: KeysConfig,
    /// Where other secrets are found.
    pub secrets: SecretsConfig,
    /// How upstream repositories are pushed to.
    pub mirror: Mirror,
    /// How events are sent to endpoints.
    pub outbound: Outbound,
    /// How what tenants built is exported for auditors.
    pub export: ExportConfig,
    /// What a build must pass before it is committed.
    pub gates: GatesConfig,
    /// The listener for operators.
    pub admin: Admin,
    /// The pages for people.
    pub console: ConsoleConfig,
    /// Where traces and logs go.
    pub telemetry: Telemetry,
}

/// Builds a tenant may make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Builds per tenant and target in any 24 hours. A no-op is free. Over it: 429.
    pub builds_per_day: NonZeroU64,
}

/// What flows are compiled with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompilerConfig {
    /// A folder with templates of the operator, which take the place of built-in ones. None: built-in
    /// templates alone.
    pub templates: Option<PathBuf>,
    /// A folder with Python wheels that flows may ask into their edge bundles. None: no wheels.
    pub wheels: Option<PathBuf>,
}

/// How Git clients are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Git {
    /// Tags that are listed at `/git/<slug>.git`, the newest. All are at `/git/<slug>+all.git`.
    pub tags: usize,
    /// Whether clients may ask for refs by name (`ref-in-want`); off in Git too by default.
    pub ref_in_want: bool,
    /// Memory for objects that are asked for again and again.
    pub cache: Size,
    /// Requests of one tenant that are answered at a time. Others wait for 30 seconds, then get 429.
    pub per_tenant: usize,
    /// How long a client may take nothing of an answer before it is cut off.
    pub idle: Span,
    /// How long an answer may take in all.
    pub longest: Span,
}

/// How the store writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `full` or `fast`; both survive power loss, see docs/store-format.md.
    pub durability: Durability,
    /// Cache of the metadata file, in bytes.
    pub cache_bytes: usize,
}

/// How much a commit does beyond being durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Two-phase commit and quick repair: a crash is followed by a start without a scan.
    Full,
    /// One sync per commit; after a crash the start checks the whole metadata file.
    Fast,
}

/// When the disk counts as full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Space {
    /// With less free space than this, builds get 507. 0: never.
    pub low: Size,
    /// With this much free space, beside the reserve, builds are taken again. Below `low` it counts
    /// as `low`.
    pub high: Size,
    /// Kept back in a file, for maintenance on a full disk.
    pub reserve: Size,
}

/// How long things are kept that end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Tags of builds, and rendered bundles that are not current.
    pub tags: Span,
    /// Ids of deliveries, by which one that is sent again is known.
    pub delivery_ids: Span,
    /// The log of deliveries.
    pub deliveries: Span,
    /// Bodies of deliveries that were refused.
    pub refused_bodies: Span,
    /// Where acts in the audit log came from: addresses, and what clients call themselves.
    pub origins: Span,
    /// Events that were sent, and attempts to send them.
    pub events: Span,
}

/// How upstream repositories are pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Whether anything is pushed. What is due waits.
    pub enabled: bool,
    /// Pushes that run at a time, each to another repository.
    pub workers: usize,
    /// Least time between two pushes to one repository.
    pub push_every: Span,
    /// Whether `http://` is allowed to other machines too. Credentials then go unprotected.
    pub plain_http: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("colophon-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            public_url: None,
            server: Server::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            intake: Intake::default(),
            quota: Quota::default(),
            compiler: CompilerConfig::default(),
            git: Git::default(),
            store: StoreConfig::default(),
            space: Space::default(),
            retention: Retention::default(),
            maintenance: Maintenance::default(),
            edge: Edge::default(),
            events: Events::default(),
            tokens: Tokens::default(),
            keys: KeysConfig::default(),
            secrets: SecretsConfig::default(),
            mirror: Mirror::default(),
            outbound: Outbound::default(),
            export: ExportConfig::default(),
            gates: GatesConfig::default(),
            admin: Admin::default(),
            console: ConsoleConfig::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self { builds_per_day: NonZeroU64::new(100).expect("a hundred is not zero") }
    }
}

impl Default for Git {
    fn default() -> Self {
        Self {
            tags: 200,
            ref_in_want: false,
            cache: Size::mib(256),
            per_tenant: 16,
            idle: Span::seconds(60),
            longest: Span::hours(1),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { durability: Durability::Full, cache_bytes: 256 * 1024 * 1024 }
    }
}

impl Default for Space {
    fn default() -> Self {
        Self { low: Size::mib(256), high: Size::mib(512), reserve: Size::mib(64) }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            tags: Span::days(30),
            delivery_ids: Span::days(7),
            deliveries: Span::days(30),
            refused_bodies: Span::days(7),
            origins: Span::days(90),
            events: Span::days(30),
        }
    }
}

impl Default for Mirror {
    /// GitHub recommends at most six pushes a minute to a repository.
    fn default() -> Self {
        Self { enabled: true, workers: 4, push_every: Span::seconds(10), plain_http: false }
    }
}

/// What flags and environment variables say; `None` leaves the file's word.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Configuration file (TOML)
    #[arg(long, env = "COLOPHON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory [default: colophon-data]
    #[arg(long, env = "COLOPHON_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8787]
    #[arg(long, env = "COLOPHON_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// URL under which clients reach the server [default: http://LISTEN]
    #[arg(long, env = "COLOPHON_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Builds per tenant and target in any 24 hours [default: 100]
    #[arg(long, env = "COLOPHON_QUOTA_BUILDS_PER_DAY", value_name = "N")]
    pub builds_per_day: Option<NonZeroU64>,
    /// Folder with templates that take the place of built-in ones [default: none]
    #[arg(long, env = "COLOPHON_TEMPLATES", value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// Free space below which builds get 507, such as 1GiB; 0 for never [default: 256MiB]
    #[arg(long, env = "COLOPHON_SPACE_LOW", value_name = "SIZE")]
    pub space_low: Option<Size>,
    /// Whether the server purges, collects and scrubs by itself: on or off [default: on]
    #[arg(
        long,
        env = "COLOPHON_MAINTENANCE",
        value_name = "ON|OFF",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub maintenance: Option<bool>,
    /// For trying things out: gates that are missing are skipped, and not required
    #[arg(long)]
    pub dev: bool,
    /// Whether builds must pass their smoke test: required, auto or off [default: required]
    #[arg(long, env = "COLOPHON_GATES_SMOKE", value_name = "MODE")]
    pub smoke: Option<Mode>,
    /// The Python interpreter of the smoke gate, in which langgraph is installed [default: python3]
    #[arg(long, env = "COLOPHON_GATES_PYTHON", value_name = "FILE")]
    pub gates_python: Option<PathBuf>,
    /// Address of the listener for metrics and health [default: none]
    #[arg(long, env = "COLOPHON_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Send traces to this OTLP/HTTP endpoint
    #[arg(long, env = "COLOPHON_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// What to log to stderr, such as `warn` or `colophon=debug` [default: info]
    #[arg(long, env = "COLOPHON_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Config {
    /// Reads the file that `overrides` names, if any, and lays the overrides over it.
    pub fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        let mut layers = Layers::default();
        if let Some(path) = &overrides.config {
            layers.file(path)?;
        }
        layers.environment(&|name| std::env::var(name).ok());
        let problems = match layers.config() {
            Some(mut config) => {
                config.apply(overrides);
                let problems = config.problems().into_iter().map(|p| layers.placed(p)).collect();
                let problems = [layers.into_problems(), problems].concat();
                if problems.is_empty() {
                    return Ok(config);
                }
                problems
            }
            None => layers.into_problems(),
        };
        bail!("the configuration is not valid:\n  {}", problems.join("\n  "))
    }

    /// The error of TOML says where in the table, which is not where in the file.
    fn deserialize_table(table: toml::Table) -> Result<Self, String> {
        table.try_into().map_err(|error| error.message().to_owned())
    }

    fn apply(&mut self, overrides: &Overrides) {
        fn lay<T: Clone>(over: Option<&T>, onto: &mut T) {
            if let Some(value) = over {
                onto.clone_from(value);
            }
        }
        lay(overrides.data.as_ref(), &mut self.data);
        lay(overrides.gates_python.as_ref(), &mut self.gates.python);
        lay(overrides.smoke.as_ref(), &mut self.gates.smoke);
        if overrides.dev {
            self.gates.relax();
        }
        lay(overrides.listen.as_ref(), &mut self.listen);
        lay(overrides.builds_per_day.as_ref(), &mut self.quota.builds_per_day);
        lay(overrides.space_low.as_ref(), &mut self.space.low);
        lay(overrides.maintenance.as_ref(), &mut self.maintenance.enabled);
        if overrides.admin_listen.is_some() {
            self.admin.listen = overrides.admin_listen;
        }
        if overrides.templates.is_some() {
            self.compiler.templates.clone_from(&overrides.templates);
        }
        for (over, onto) in [
            (&overrides.public_url, &mut self.public_url),
            (&overrides.otlp_endpoint, &mut self.telemetry.otlp_endpoint),
            (&overrides.log, &mut self.telemetry.log),
        ] {
            if over.is_some() {
                onto.clone_from(over);
            }
        }
    }

    /// URL under which clients reach the server, without a final slash.
    pub fn public_url(&self) -> String {
        let scheme = if self.tls.cert.is_some() { "https" } else { "http" };
        let listen = || format!("{scheme}://{}", self.listen);
        let url = self.public_url.clone().unwrap_or_else(listen);
        url.trim_end_matches('/').to_owned()
    }

    /// What types cannot say: every problem at once, each with its setting first.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.public_url.as_deref().is_some_and(|u| !has_scheme(u, &["http://", "https://"])) {
            problems.push("`public_url` must begin with http:// or https://".to_owned());
        }
        if !(1..=64).contains(&self.mirror.workers) {
            problems.push("`mirror.workers` must be 1 to 64".to_owned());
        }
        problems.extend(self.limits.problems());
        problems.extend(self.outbound.problems());
        problems.extend(self.server.problems());
        problems.extend(self.tls.problems());
        problems.extend(self.edge.problems());
        problems.extend(self.events.problems());
        problems.extend(self.export.problems());
        problems.extend(self.export.problems_in(&self.data));
        if self.export.needs_vault() && self.secrets.vault.address.is_none() {
            let text = "`export.recipients` names a key of a vault, and `secrets.vault.address` names none";
            problems.push(text.to_owned());
        }
        problems.extend(self.tokens.problems());
        problems.extend(self.intake.problems(&self.retention));
        problems.extend(self.keys.problems());
        problems.extend(self.secrets.problems());
        problems.extend(self.gates.problems());
        problems.extend(self.telemetry.problems());
        problems
    }
}

fn has_scheme(url: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|s| url.strip_prefix(s).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, overrides: Overrides) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        Config::load(&Overrides { config: Some(path), ..overrides })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "listen = \"127.0.0.1:1\"\n[quota]\nbuilds_per_day = 5\n";
        let flags = Overrides { builds_per_day: NonZeroU64::new(7), ..Overrides::default() };
        let config = load(file, flags).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.quota.builds_per_day.get(), 7);
        assert_eq!(config.limits, Limits::default());
    }

    /// What `check-config` prints can be a configuration file again.
    #[test]
    fn what_is_printed_is_read_back() {
        let file = "[space]\nlow = \"1GiB\"\nhigh = 2147483648\n[retention]\ntags = \"7d\"\n\
                    [maintenance]\ngc_every = \"0s\"\ngc_share = 50\n";
        let flags = Overrides { maintenance: Some(false), ..Overrides::default() };
        let config = load(file, flags).unwrap();
        assert_eq!(config.space.high.get(), 2 << 30);
        assert_eq!(config.retention.tags, Span::days(7));
        assert!(!config.maintenance.enabled);
        let printed = toml::to_string_pretty(&config).unwrap();
        assert_eq!(load(&printed, Overrides::default()).unwrap(), config);
        for (bad, hint) in [
            ("[space]\nlow = \"lots\"", "write it like `512MiB`"),
            ("[retention]\ntags = \"30\"", "write it like `90s`"),
            ("[maintenance]\ngc_share = 0", "1 to 100"),
        ] {
            let error = format!("{:#}", load(bad, Overrides::default()).unwrap_err());
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_all_at_once() {
        assert!(load("lisen = \"x\"", Overrides::default()).is_err(), "unknown key");
        let bad = "public_url = \"ftp://x\"\n[limits]\nedge_url_seconds = 0\nbody_bytes = 1\n\
                   [mirror]\nworkers = 0\n[edge]\nencoders = 0\nrenders = 0\n[telemetry]\notlp_endpoint = \"ftp://x\"\nlog = \"a=b=c\"\n";
        let text = load(bad, Overrides::default()).unwrap_err().to_string();
        for word in [
            "public_url",
            "edge_url_seconds",
            "body_bytes",
            "workers",
            "edge.encoders",
            "edge.renders",
            "otlp_endpoint",
            "telemetry.log",
        ] {
            assert!(text.contains(word), "{text}");
        }
    }
}
