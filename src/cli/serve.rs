//! `colophon serve`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use super::out::Out;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides};
use crate::secrets::Secrets;
use crate::serve::{Server, Signals};
use crate::telemetry;

/// How long blocking work may go on after the last connection is closed.
const LAST_WORK: Duration = Duration::from_secs(10);

/// So many steps of requests are taken before a busy thread looks which others have come: a step may be a whole
/// no-op, and tokio's own 61 of them are some milliseconds.
const EVENT_INTERVAL: u32 = 16;

#[derive(Serialize)]
struct Ready {
    listening: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<String>,
    data: String,
}

/// Serves until SIGINT or SIGTERM; a second one ends it at once. The first line on stdout says that it is ready.
pub(super) fn run(overrides: &Overrides, out: Out) -> anyhow::Result<()> {
    let config = Config::load(overrides)?;
    let secrets = Secrets::new(&config.secrets, Arc::new(SystemClock));
    let _telemetry = telemetry::start(&config.telemetry, &secrets)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.event_interval(EVENT_INTERVAL).enable_all().build()?;
    let result = runtime.block_on(async {
        let data = config.data.display().to_string();
        let server = Server::start(config, Arc::new(SystemClock)).await?;
        let signals = Signals::new();
        let admin = server.admin_address().map(|address| format!("http://{address}"));
        let ready = Ready { listening: server.url(), admin, data };
        out.data(&ready, |r| format!("listening on {} with data in {}", r.listening, r.data))?;
        tokio::select! {
            ended = server.run(signals.nth(1)) => ended,
            () = signals.nth(2) => Err(anyhow!("ended at once, as a second signal asked for")),
        }
    });
    if result.is_err() {
        runtime.shutdown_background();
        return result;
    }
    // Work that hangs must not keep the process: what it had acknowledged is durable.
    runtime.shutdown_timeout(LAST_WORK);
    result
}
