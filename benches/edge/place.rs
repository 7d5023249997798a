//! The server under measurement: a data directory with one tenant, and the process over it.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use colophon::app::{App, Owner, open_press};
use colophon::clock::{Clock as _, SystemClock};
use colophon::config::Config;
use colophon::gates::Mode;
use colophon::intake::legacy_signature as webhook_signature;
use colophon::tenants;
use colophon::tokens::{self, TokenKind};
use colophon_model::{CodePolicy, TenantSlug};
use colophon_store::rows::TenantRow;

use crate::served::{self, Server};
use crate::stored::Stored;

pub(crate) const TENANT: &str = "bench-tenant";

/// Where the data and the wheels of bundles are.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    pub(crate) wheels: PathBuf,
}

/// What a builder and the agents of the tenant need.
pub(crate) struct Tenant {
    secret: String,
    pub(crate) token: String,
    pub(crate) root: Vec<u8>,
}

impl Place {
    fn config(&self) -> Config {
        let mut config = Config { data: self.data.clone(), ..Config::default() };
        config.quota.builds_per_day = NonZeroU64::MAX;
        config.gates.smoke = Mode::Off;
        config.compiler.wheels = Some(self.wheels.clone());
        config
    }

    /// A fresh data directory with the tenant.
    pub(crate) fn make(&self) -> anyhow::Result<Tenant> {
        let press = open_press(&self.config(), Arc::new(SystemClock), Owner::Command)?;
        let slug: TenantSlug = TENANT.parse()?;
        let made = tenants::create(&press, &slug, CodePolicy::default())?;
        let now = SystemClock.now();
        let token = tokens::create_token(&press.store, &slug, TokenKind::Edge, "bench", 1, now)?;
        let token = token.token.reveal().to_owned();
        Ok(Tenant { secret: made.webhook_secret, token, root: made.root })
    }

    /// What the blobs of the tenant take as they lie in the store. Nobody may be serving it.
    pub(crate) fn stored(&self) -> anyhow::Result<Stored> {
        let press = open_press(&self.config(), Arc::new(SystemClock), Owner::Command)?;
        let view = press.store.view()?;
        let tenant = view.get::<TenantRow>(&TENANT.parse()?)?.context("there is no tenant")?;
        Stored::of(&view, tenant.uid)
    }

    /// Serves until standard input ends.
    pub(crate) fn serve(&self) -> anyhow::Result<()> {
        served::serve(|| {
            let app = Arc::new(App::open(self.config(), Arc::new(SystemClock))?);
            Ok(colophon::http::router(app))
        })
    }

    /// The same, as a child.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        Server::start(command.arg("--serve").arg(&self.data).arg("--wheels").arg(&self.wheels))
    }
}

impl Tenant {
    /// Delivers a flow as a builder does. It must become a build.
    pub(crate) fn deliver(&self, server: &Server, flow: &[u8]) -> anyhow::Result<()> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(format!("http://{}/build", server.address))
            .header("x-tenant-slug", TENANT)
            .header("x-ap-signature", webhook_signature(&self.secret, flow))
            .send(flow)?;
        let said = answer.body_mut().read_to_string()?;
        ensure!(answer.status() == 201, "{}: {said}", answer.status());
        Ok(())
    }
}

/// An empty folder at `path`.
pub(crate) fn fresh(path: &Path) -> anyhow::Result<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    std::fs::create_dir_all(path)?;
    Ok(path.to_owned())
}
