//! One cell: a request asked again and again over some connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::process;
use crate::server::Server;
use crate::table::{median, percentile};

/// Answers to wait for, however long they take.
const LEAST: usize = 5;
/// Requests of one connection while memory is measured.
const WEIGHED: usize = 2;

/// What a cell gave in one round.
#[derive(Clone)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of the server and its children a request, in milliseconds.
    pub(crate) cpu: f64,
    /// Bytes of the body of an answer.
    pub(crate) bytes: usize,
}

/// The largest resident sets seen, in MB.
#[derive(Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) server: f64,
    /// Of one child.
    pub(crate) child: f64,
}

/// Asks for as long as `time`.
pub(crate) fn run(
    server: &Server,
    request: &[u8],
    connections: usize,
    time: Duration,
) -> anyhow::Result<Measured> {
    let (answered, start) = (AtomicUsize::new(0), Instant::now());
    let cpu = process::cpu(server.pid())?;
    let goes_on = || start.elapsed() < time || answered.load(Ordering::Relaxed) < LEAST;
    let (mut times, bytes) = ask(server, request, connections, &|_| goes_on(), &answered)?;
    let elapsed = start.elapsed().as_secs_f64();
    let count = times.len() as f64;
    Ok(Measured {
        per_second: count / elapsed,
        p50: percentile(&mut times, 50),
        p99: percentile(&mut times, 99),
        cpu: (process::cpu(server.pid())? - cpu) * 1e3 / count,
        bytes,
    })
}

/// Asks a few times and looks at the memory meanwhile, which would disturb what is timed.
pub(crate) fn weigh(server: &Server, request: &[u8], connections: usize) -> anyhow::Result<Peak> {
    process::forget_peak(server.pid())?;
    let stop = AtomicBool::new(false);
    let child = std::thread::scope(|scope| {
        let looking = scope.spawn(|| process::largest_below(server.pid(), &stop));
        let answered = AtomicUsize::new(0);
        let asked = ask(server, request, connections, &|asked| asked < WEIGHED, &answered);
        stop.store(true, Ordering::Relaxed);
        let child = looking.join().expect("looking at /proc does not panic");
        asked.map(|_| child)
    })?;
    Ok(Peak { server: process::peak(server.pid()).unwrap_or_default(), child })
}

/// Asks over `connections` at once while `goes_on` with the number of a connection's requests.
/// Returns how long each answer took, in milliseconds, and its bytes.
fn ask(
    server: &Server,
    request: &[u8],
    connections: usize,
    goes_on: &(dyn Fn(usize) -> bool + Sync),
    answered: &AtomicUsize,
) -> anyhow::Result<(Vec<f64>, usize)> {
    let client = || -> anyhow::Result<(Vec<f64>, usize)> {
        let mut client = Client::connect(&server.address)?;
        let (mut times, mut body) = (Vec::new(), Vec::new());
        while goes_on(times.len()) {
            let from = Instant::now();
            client.ask(request, &mut body)?;
            times.push(from.elapsed().as_secs_f64() * 1e3);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok((times, body.len()))
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        let (mut times, mut bytes) = (Vec::new(), 0);
        for client in clients {
            let (own, length) = client.join().expect("a client does not panic")?;
            times.extend(own);
            bytes = bytes.max(length);
        }
        Ok((times, bytes))
    })
}

impl Measured {
    /// The median of each number over the rounds.
    pub(crate) fn middle(rounds: &[Self]) -> Self {
        let of = |number: fn(&Self) -> f64| median(rounds.iter().map(number));
        Self {
            per_second: of(|round| round.per_second),
            p50: of(|round| round.p50),
            p99: of(|round| round.p99),
            cpu: of(|round| round.cpu),
            bytes: rounds.iter().map(|round| round.bytes).max().unwrap_or_default(),
        }
    }
}
