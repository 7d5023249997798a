//! Builds per second over HTTP: no-op and cold, at 1 and 32 clients, beside an fdatasync baseline.
//!
//! The server is a process of its own with the defaults of `colophon serve`; the clients are threads
//! here, each with one kept-alive connection, so on a small machine both share its cores. Scenarios
//! alternate over several rounds; the median round is printed. `COLOPHON_BENCH_SECONDS` sets how
//! long a scenario runs in a round (default 3).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use colophon::intake::legacy_signature as webhook_signature;
use serde_json::{Value, json};

const ROUNDS: usize = 3;
const TENANTS: usize = 32;

fn main() -> anyhow::Result<()> {
    // `cargo bench` passes flags such as `--bench`; none of them matter here.
    let seconds = std::env::var("COLOPHON_BENCH_SECONDS").map_or(Ok(3.0), |s| s.parse::<f64>())?;
    let bench = Bench::start(Duration::from_secs_f64(seconds))?;
    let mut results: Vec<(&str, Vec<Measured>)> = Vec::new();
    for round in 1..=ROUNDS {
        for scenario in SCENARIOS {
            eprintln!("round {round}: {}", scenario.name);
            let measured = bench.run(scenario)?;
            match results.iter_mut().find(|(name, _)| *name == scenario.name) {
                Some((_, all)) => all.push(measured),
                None => results.push((scenario.name, vec![measured])),
            }
        }
    }
    report(&results);
    Ok(())
}

/// One row of the table.
struct Scenario {
    name: &'static str,
    clients: usize,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    /// Append 4 KiB and fdatasync, one thread: what the disk gives.
    Sync,
    /// Post a body that is its flow's current build already.
    NoOp(Body),
    /// Post a flow that was never posted before.
    Cold,
    /// Ask for `/healthz`: what HTTP alone costs here.
    Health,
}

#[derive(Clone, Copy)]
enum Body {
    /// A Builder flow of 20 nodes, about 8 KB.
    Builder,
    /// The LangFlow starter project `Basic Prompting`, 73 KB with its component sources.
    Langflow,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "fdatasync of 4 KiB, 1 thread", clients: 1, work: Work::Sync },
    Scenario { name: "GET /healthz, 32 clients", clients: 32, work: Work::Health },
    Scenario { name: "no-op, 8 KB flow, 1 client", clients: 1, work: Work::NoOp(Body::Builder) },
    Scenario { name: "no-op, 8 KB flow, 32 clients", clients: 32, work: Work::NoOp(Body::Builder) },
    Scenario {
        name: "no-op, 73 KB LangFlow export, 1 client",
        clients: 1,
        work: Work::NoOp(Body::Langflow),
    },
    Scenario {
        name: "no-op, 73 KB LangFlow export, 32 clients",
        clients: 32,
        work: Work::NoOp(Body::Langflow),
    },
    Scenario { name: "cold, 20 nodes, 1 client", clients: 1, work: Work::Cold },
    Scenario { name: "cold, 20 nodes, 32 clients, 32 tenants", clients: 32, work: Work::Cold },
];

/// What one scenario gave in one round.
struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

struct Tenant {
    slug: String,
    secret: String,
}

struct Bench {
    server: Child,
    url: String,
    dir: tempfile::TempDir,
    tenants: Vec<Tenant>,
    langflow: Vec<u8>,
    next: AtomicU64,
    time: Duration,
}

impl Bench {
    fn start(time: Duration) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let data = dir.path().join("data");
        let tenants = (0..TENANTS).map(|n| tenant(&data, n)).collect::<anyhow::Result<_>>()?;
        let (server, url) = serve(&data)?;
        let langflow = std::fs::read(langflow_file())
            .context("the LangFlow starter projects are missing: run `make test-setup`")?;
        let bench = Self { server, url, dir, tenants, langflow, next: AtomicU64::new(1), time };
        for tenant in &bench.tenants {
            for body in [Body::Builder, Body::Langflow] {
                bench.expect(&ureq::Agent::new_with_defaults(), tenant, &bench.body(body), 201)?;
            }
        }
        Ok(bench)
    }

    fn body(&self, body: Body) -> Vec<u8> {
        match body {
            Body::Builder => flow("steady", 0),
            Body::Langflow => self.langflow.clone(),
        }
    }

    fn run(&self, scenario: &Scenario) -> anyhow::Result<Measured> {
        if matches!(scenario.work, Work::Sync) {
            return self.sync();
        }
        let start = Instant::now();
        let times: Vec<Duration> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..scenario.clients)
                .map(|n| scope.spawn(move || self.client(n, scenario.work, start)))
                .collect();
            let times = clients.into_iter().map(|c| c.join().expect("a client panicked"));
            times.collect::<anyhow::Result<Vec<_>>>().map(|t| t.concat())
        })?;
        Ok(summary(times, start.elapsed()))
    }

    /// One client's requests until time is up.
    fn client(&self, n: usize, work: Work, start: Instant) -> anyhow::Result<Vec<Duration>> {
        let agent = ureq::Agent::new_with_defaults();
        let tenant = &self.tenants[n % TENANTS];
        let mut times = Vec::new();
        while start.elapsed() < self.time {
            let (body, status) = match work {
                Work::NoOp(body) => (self.body(body), 200),
                Work::Cold => (flow("changing", self.next.fetch_add(1, Ordering::Relaxed)), 201),
                Work::Health | Work::Sync => (Vec::new(), 200),
            };
            let from = Instant::now();
            match work {
                Work::Health => {
                    agent.get(format!("{}/healthz", self.url)).call()?.body_mut().read_to_vec()?;
                }
                _ => self.expect(&agent, tenant, &body, status)?,
            }
            times.push(from.elapsed());
        }
        Ok(times)
    }

    /// Posts a flow and checks that the answer is what the scenario is about.
    fn expect(
        &self,
        agent: &ureq::Agent,
        tenant: &Tenant,
        body: &[u8],
        status: u16,
    ) -> anyhow::Result<()> {
        let mut answer = agent
            .post(format!("{}/build", self.url))
            .header("x-tenant-slug", &tenant.slug)
            .header("x-ap-signature", webhook_signature(&tenant.secret, body))
            .send(body)?;
        let text = answer.body_mut().read_to_vec()?;
        ensure!(answer.status() == status, "{}", String::from_utf8_lossy(&text));
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<Measured> {
        let mut file = File::create(self.dir.path().join("baseline"))?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < self.time {
            let from = Instant::now();
            file.write_all(&[0x5a; 4096])?;
            file.sync_data()?;
            times.push(from.elapsed());
        }
        Ok(summary(times, start.elapsed()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn langflow_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/langflow-1.13.0/Basic Prompting.json")
}

fn tenant(data: &Path, n: usize) -> anyhow::Result<Tenant> {
    let slug = format!("tenant-{n}");
    let output = Command::new(env!("CARGO_BIN_EXE_colophon"))
        .args(["--json", "tenant", "create", &slug, "--data"])
        .arg(data)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout).context("no tenant was made")?;
    let secret = made["webhook_secret"].as_str().context("no secret was told")?.to_owned();
    Ok(Tenant { slug, secret })
}

fn serve(data: &Path) -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(env!("CARGO_BIN_EXE_colophon"))
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--builds-per-day", "100000000"])
        .args(["--log", "warn", "--smoke", "off", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("the server did not start")?;
    Ok((server, ready["listening"].as_str().context("no address")?.to_owned()))
}

/// A Builder flow of 20 nodes, about 8 KB; a different number gives different code.
fn flow(slug: &str, number: u64) -> Vec<u8> {
    let mut nodes = vec![json!({"id": "start", "kind": "trigger.webhook"})];
    let mut edges = Vec::new();
    let mut before = "start".to_owned();
    for n in 1..20 {
        let id = format!("step_{n}");
        let text =
            format!("number {number}, step {n}: {}", "the quick brown fox jumps. ".repeat(11));
        nodes.push(json!({"id": id, "kind": "data.map", "fields": {"text": text}}));
        edges.push(json!({"from": before, "to": id}));
        before = id;
    }
    let flow = json!({
        "schema_version": "1.0", "id": slug, "slug": slug, "name": slug, "revision": number,
        "nodes": nodes, "edges": edges,
    });
    serde_json::to_vec(&flow).expect("a flow is JSON")
}

fn summary(mut times: Vec<Duration>, elapsed: Duration) -> Measured {
    times.sort();
    let at = |percent: usize| {
        let index = times.len().saturating_sub(1) * percent / 100;
        times.get(index).copied().unwrap_or_default()
    };
    let count = u32::try_from(times.len()).expect("a round has fewer than 2^32 requests");
    let per_second = f64::from(count) / elapsed.as_secs_f64();
    Measured { per_second, p50: at(50), p99: at(99) }
}

/// The median round of each scenario, as a Markdown table.
#[expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
fn report(results: &[(&str, Vec<Measured>)]) {
    println!("| scenario | per second | p50 ms | p99 ms | rounds |");
    println!("|---|---|---|---|---|");
    for (name, rounds) in results {
        let mut order: Vec<&Measured> = rounds.iter().collect();
        order.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let median = order[order.len() / 2];
        let all: Vec<String> = rounds.iter().map(|r| format!("{:.0}", r.per_second)).collect();
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} | {} |",
            median.per_second,
            median.p50.as_secs_f64() * 1e3,
            median.p99.as_secs_f64() * 1e3,
            all.join(", ")
        );
    }
}
