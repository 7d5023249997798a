//! The storm: a process with 64 clients of one tenant, each of which asks again as soon as it is answered.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::content::{Kind, Tenant};
use crate::priority::Priority;
use crate::raw::Client;

const CLIENTS: usize = 64;

/// What the process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: String,
    kind: usize,
    tenant: Tenant,
}

/// A storm that rages.
pub(crate) struct Storm {
    process: Child,
    start: Instant,
}

impl Storm {
    pub(crate) fn start(address: &str, kind: Kind, tenant: &Tenant) -> anyhow::Result<Self> {
        let (address, tenant) = (address.to_owned(), tenant.clone());
        let orders = serde_json::to_string(&Orders { address, kind: kind as usize, tenant })?;
        let process = Priority::Last
            .again()?
            .args(["--storm", &orders])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { process, start: Instant::now() })
    }

    /// Ends it. Says how many of its requests were answered in a second, and how many were turned away.
    pub(crate) fn stop(mut self) -> anyhow::Result<(f64, f64)> {
        drop(self.process.stdin.take());
        let seconds = self.start.elapsed().as_secs_f64();
        let mut told = String::new();
        self.process.stdout.take().context("no output")?.read_to_string(&mut told)?;
        anyhow::ensure!(self.process.wait()?.success(), "the storm failed");
        let (done, refused) = told.trim().split_once(' ').context("the storm told nothing")?;
        Ok((done.parse::<f64>()? / seconds, refused.parse::<f64>()? / seconds))
    }
}

/// Rages until standard input ends.
#[expect(clippy::print_stdout, reason = "it tells its parent what it did")]
pub(crate) fn run(orders: &str) -> anyhow::Result<()> {
    let Orders { address, kind, tenant } = serde_json::from_str(orders)?;
    let kind = *Kind::ALL.get(kind).context("no such storm")?;
    let (ended, done, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (ended, counts) = (&ended, (&done, &refused));
                let (address, tenant) = (&address, &tenant);
                scope.spawn(move || client(address, (kind, tenant), n, ended, counts))
            })
            .collect();
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client panicked")?;
        }
        Ok(())
    })?;
    println!("{} {}", done.into_inner(), refused.into_inner());
    Ok(())
}

fn client(
    address: &str,
    (kind, tenant): (Kind, &Tenant),
    n: usize,
    ended: &AtomicBool,
    (done, refused): (&AtomicU64, &AtomicU64),
) -> anyhow::Result<()> {
    // Revisions of a flow rise from one storm to the next.
    let flow = format!("storm_{n}");
    #[expect(clippy::disallowed_methods, reason = "no clock of the program's is here")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut number = u64::try_from(since.as_millis())?;
    let mut client = Client::connect(address)?;
    let mut request = tenant.request(kind, &flow, number);
    while !ended.load(Ordering::Relaxed) {
        if kind == Kind::Cold {
            number += 1;
            request = tenant.request(kind, &flow, number);
        }
        let answer = client.ask(&request)?;
        match answer.status {
            status if status == kind.status() => drop(done.fetch_add(1, Ordering::Relaxed)),
            429 | 503 => {
                refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => anyhow::bail!("{}", answer.text()),
        }
    }
    Ok(())
}
