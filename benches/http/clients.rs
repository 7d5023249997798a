//! Clients that ask over kept connections, and what that took on both sides.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::family;
use crate::load::Connection;
use crate::process;
use crate::table::{median, percentile};

/// Who is asked: an address, and the process that answers there.
pub(crate) type Side<'a> = (&'a str, u32);

/// How many ask, and for how long; but until at least so many answers came.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) clients: usize,
    pub(crate) time: Duration,
    pub(crate) least: usize,
}

/// What they ask, and what is right.
pub(crate) struct Question<'a> {
    /// Puts the next request of a client where its last one stands.
    pub(crate) next: &'a (dyn Fn(usize, &mut Vec<u8>) + Sync),
    /// The status of the answer.
    pub(crate) status: u16,
    /// Is shown the body of every answer.
    pub(crate) seen: &'a (dyn Fn(&[u8]) + Sync),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// Milliseconds of the server's processors a request, with all processes that it started.
    pub(crate) cpu: f64,
    /// How many processors the server kept busy.
    pub(crate) server: f64,
    /// How many processors the clients kept busy.
    pub(crate) clients: f64,
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
            server: of(|round| round.server),
            clients: of(|round| round.clients),
        }
    }
}

/// The same bytes whatever the turn: `requests` by client, over again when there are more clients.
pub(crate) fn steady(requests: &[Vec<u8>]) -> impl Fn(usize, &mut Vec<u8>) + Sync {
    move |client, into| {
        if into.is_empty() {
            into.extend_from_slice(&requests[client % requests.len()]);
        }
    }
}

/// Asks `question` of `side`.
pub(crate) fn ask(side: Side, effort: Effort, question: &Question) -> anyhow::Result<Measured> {
    let (start, answered) = (Instant::now(), AtomicUsize::new(0));
    let before = (family::seconds(side.1)?, process::cpu_of_self()?);
    let goes_on =
        || start.elapsed() < effort.time || answered.load(Ordering::Relaxed) < effort.least;
    let client = |number: usize| -> anyhow::Result<Vec<f64>> {
        let mut connection = Connection::open(side.0)?;
        let (mut request, mut body, mut times) = (Vec::new(), Vec::new(), Vec::new());
        while goes_on() {
            (question.next)(number, &mut request);
            let from = Instant::now();
            let status = connection.ask(&request, &mut body)?;
            times.push(from.elapsed().as_secs_f64() * 1e3);
            let text = || String::from_utf8_lossy(&body[..body.len().min(2_000)]);
            ensure!(status == question.status, "{} answered {status}: {}", side.0, text());
            (question.seen)(&body);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(times)
    };
    let mut times = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..effort.clients).map(|number| scope.spawn(move || client(number))).collect();
        let times = clients.into_iter().map(|c| c.join().expect("a client does not panic"));
        times.collect::<anyhow::Result<Vec<_>>>().map(|times| times.concat())
    })?;
    let wall = start.elapsed().as_secs_f64();
    let server = family::seconds(side.1)? - before.0;
    let clients = process::cpu_of_self()? - before.1;
    let count = times.len() as f64;
    Ok(Measured {
        per_second: count / wall,
        p50: percentile(&mut times, 50),
        p99: percentile(&mut times, 99),
        cpu: server * 1e3 / count,
        server: server / wall,
        clients: clients / wall,
    })
}
