//! Stands before a store and counts what it is asked. What goes through is not changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A proxy that counts.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Proxy {
    pub(crate) fn before(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self { port: listener.local_addr()?.port(), count: Arc::default() };
        let count = proxy.count.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    join(client, server, &count);
                }
            }
        });
        Ok(proxy)
    }

    /// Requests, and bytes of what was sent with all its heads, since the last time.
    pub(crate) fn take(&self) -> (u64, u64) {
        let Count { requests, bytes } = &*self.count;
        (requests.swap(0, Ordering::Relaxed), bytes.swap(0, Ordering::Relaxed))
    }
}

fn join(client: TcpStream, server: TcpStream, count: &Arc<Count>) {
    let (Ok(from), Ok(to), count) = (client.try_clone(), server.try_clone(), count.clone()) else {
        return;
    };
    std::thread::spawn(move || {
        let mut reader = Requests::default();
        pass(from, to, |bytes| {
            count.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            count.requests.fetch_add(reader.read(bytes), Ordering::Relaxed);
        });
    });
    std::thread::spawn(move || pass(server, client, |_| {}));
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Finds requests in what goes over a connection (RFC 9112). Every body has a `Content-Length` here.
#[derive(Debug, Default)]
struct Requests {
    head: Vec<u8>,
    /// Bytes of a body that are to come.
    body: u64,
}

impl Requests {
    /// How many heads end in these bytes.
    fn read(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skip = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
            self.body -= skip as u64;
            bytes = &bytes[skip..];
            let Some((byte, rest)) = bytes.split_first() else { break };
            self.head.push(*byte);
            bytes = rest;
            if self.head.ends_with(b"\r\n\r\n") {
                self.body = length(&String::from_utf8_lossy(&self.head));
                self.head.clear();
                found += 1;
            }
        }
        found
    }
}

fn length(head: &str) -> u64 {
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}
