//! The quiet tenant's client: a process of its own, which asks for one thing after the other and takes the time.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::content::{Kind, Tenant};
use crate::priority::Priority;
use crate::raw::Client;

/// Between two requests of the quiet tenant: it is not a storm itself.
const PAUSE: Duration = Duration::from_millis(5);

/// What the process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: String,
    tenant: Tenant,
    window: Duration,
}

/// How long each request took, for each kind.
pub(crate) type Times = [Vec<Duration>; 3];

/// Has the process watch for `window`.
pub(crate) fn start(
    (address, tenant): (&str, &Tenant),
    window: Duration,
    priority: Priority,
) -> anyhow::Result<Times> {
    let (address, tenant) = (address.to_owned(), tenant.clone());
    let orders = serde_json::to_string(&Orders { address, tenant, window })?;
    let mut command = priority.again()?;
    let output = command.args(["--watch", &orders]).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the watch failed");
    serde_json::from_slice(&output.stdout).context("the watch told nothing")
}

/// Watches, and tells what was seen.
#[expect(clippy::print_stdout, reason = "it tells its parent what it saw")]
pub(crate) fn run(orders: &str) -> anyhow::Result<()> {
    let Orders { address, tenant, window } = serde_json::from_str(orders)?;
    // Revisions of a flow rise from one watch to the next.
    #[expect(clippy::disallowed_methods, reason = "no clock of the program's is here")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut number = u64::try_from(since.as_millis())?;
    let mut client = Client::connect(&address)?;
    let mut times = Times::default();
    let start = Instant::now();
    while start.elapsed() < window {
        for kind in Kind::ALL {
            number += 1;
            let request = tenant.request(kind, "changing", number);
            let from = Instant::now();
            let answer = client.ask(&request)?;
            times[kind as usize].push(from.elapsed());
            anyhow::ensure!(answer.status == kind.status(), "{}", answer.text());
            std::thread::sleep(PAUSE);
        }
    }
    println!("{}", serde_json::to_string(&times)?);
    Ok(())
}
