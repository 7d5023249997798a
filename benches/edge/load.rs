//! Requests over kept connections, and polls that each bring their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::processor;

/// Connections at once.
const CONNECTIONS: usize = 8;

/// How fast requests were answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Milliseconds of the server's processors a request.
    pub(crate) cpu: f64,
}

/// One connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(1 << 16, stream)))
    }

    /// Sends a request and takes the whole answer into `body`. The status of the answer.
    pub(crate) fn ask(&mut self, request: &[u8], body: &mut Vec<u8>) -> anyhow::Result<u16> {
        self.0.get_mut().write_all(request)?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
        }
        body.clear();
        let read = self.0.by_ref().take(length).read_to_end(body)? as u64;
        ensure!(read == length, "the answer was cut");
        Ok(status)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the server has hung up");
        Ok(line.trim_end().to_owned())
    }
}

/// A GET as bytes on the connection.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// The same file again and again, as long as `time`.
pub(crate) fn read(
    (address, pid): (&str, u32),
    request: &[u8],
    wanted: &[u8],
    time: Duration,
) -> anyhow::Result<Rate> {
    let start = Instant::now();
    let reader = |answered: &AtomicUsize| -> anyhow::Result<()> {
        let (mut connection, mut body) = (Connection::open(address)?, Vec::new());
        while start.elapsed() < time {
            let status = connection.ask(request, &mut body)?;
            ensure!(
                status == 200 && body == wanted,
                "{address} answered {status} with other bytes"
            );
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    rate(pid, start, reader)
}

/// `agents` polls, each over a connection of its own with `requests` one after the other.
pub(crate) fn poll(
    (address, pid): (&str, u32),
    requests: &[(Vec<u8>, u16)],
    agents: usize,
) -> anyhow::Result<Rate> {
    let next = AtomicUsize::new(0);
    let poller = |answered: &AtomicUsize| -> anyhow::Result<()> {
        let mut body = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < agents {
            let mut connection = Connection::open(address)?;
            for (request, expected) in requests {
                let status = connection.ask(request, &mut body)?;
                ensure!(status == *expected, "a poll was answered {status}");
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    rate(pid, Instant::now(), poller)
}

fn rate(
    pid: u32,
    start: Instant,
    work: impl Fn(&AtomicUsize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Rate> {
    let (answered, cpu) = (AtomicUsize::new(0), processor::family(pid)?);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| work(&answered))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a client does not panic"))
    })?;
    let (count, cpu) = (answered.into_inner() as f64, processor::family(pid)? - cpu);
    Ok(Rate { per_second: count / start.elapsed().as_secs_f64(), cpu: cpu as f64 / 1e6 / count })
}
