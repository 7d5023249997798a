//! What stands between a client and a server, and counts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What went over all connections since the last look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Bytes from the client.
    pub(crate) sent: Vec<u8>,
    /// Bytes from the server, heads of answers and all.
    pub(crate) received: usize,
}

impl Seen {
    /// The first lines of the requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.sent).into_owned();
        text.lines().filter(|line| line.ends_with(" HTTP/1.1")).map(str::to_owned).collect()
    }
}

/// Passes on everything to `server`, a `host:port`. Ends with the process.
pub(crate) struct Relay {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Relay {
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (server, shared) = (server.to_owned(), seen.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                shared.lock().unwrap().connections += 1;
                let (up, down) = (shared.clone(), shared.clone());
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                pass(ends.0, ends.1, move |bytes| up.lock().unwrap().sent.extend(bytes));
                pass(server, client, move |bytes| down.lock().unwrap().received += bytes.len());
            }
        });
        Self { url, seen }
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Counted before they are passed on, so that a client that is done is in the numbers.
fn pass(mut from: TcpStream, mut to: TcpStream, count: impl Fn(&[u8]) + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            count(&buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // Whoever closed its half closes the other's.
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
