//! `colophon serve`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use rayon::ThreadPoolBuilder;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::out::Out;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides};
use crate::fair::{self, slice};
use crate::secrets::Secrets;
use crate::serve::{Server, Signals};
use crate::telemetry;

/// How long blocking work may go on after the last connection is closed.
const LAST_WORK: Duration = Duration::from_secs(10);

/// So many tasks a busy thread goes on with before it looks which others have come from clients: one may be a whole no-op,
/// and is followed by up to three that it has woken before the next is counted. tokio's own 61 were some milliseconds, in
/// which a clone that was ready waited to be sent.
const EVENT_INTERVAL: u32 = 1;
/// So many until it looks what came from other threads: with 1 its own would wait for all of those.
const OTHERS_INTERVAL: u32 = 2;

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
    let runtime = runtime(&mut Builder::new_multi_thread())?;
    // Threads that are started on the way work for long, as the store's does. This one takes connections afterwards.
    slice::long();
    // Threads of the pool would take after whoever needs it first.
    let pool = ThreadPoolBuilder::new().start_handler(|_| slice::long());
    if let Err(error) = pool.build_global() {
        tracing::debug!(%error, "there is a pool already");
    }
    let result = runtime.block_on(async {
        let data = config.data.display().to_string();
        let server = Server::start(config, Arc::new(SystemClock)).await?;
        slice::short();
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

/// Its threads are of two kinds that begin alike: some answer requests, some work. The first go before the others,
/// whatever those are at. Only they park.
fn runtime(builder: &mut Builder) -> std::io::Result<Runtime> {
    builder.on_thread_start(slice::long).on_thread_park(|| {
        slice::short();
        fair::rest();
    });
    builder.event_interval(EVENT_INTERVAL).global_queue_interval(OTHERS_INTERVAL);
    builder.enable_all().build()
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;
    use crate::fair::slice::tests::{BATCH, OTHER, told};

    /// One that answers goes before one that works, whoever started it.
    #[test]
    fn threads_that_answer_go_before_those_that_work() {
        let before = told();
        let runtime = runtime(Builder::new_multi_thread().worker_threads(1)).unwrap();
        let both = async {
            // It parks until then.
            tokio::time::sleep(Duration::from_millis(1)).await;
            #[expect(clippy::disallowed_methods, reason = "the thread is what is asked about")]
            let working = tokio::task::spawn_blocking(told).await.unwrap();
            (told(), working)
        };
        let (answering, working) = runtime.block_on(runtime.spawn(both)).unwrap();
        let usual = before.map(|(_, slice)| (BATCH, slice));
        assert_eq!((answering, working), (before.map(|_| (OTHER, 100_000)), usual));
    }
}
