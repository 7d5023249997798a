//! A receiver of webhooks in this process: it answers as it is told, and keeps what it was sent.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};

use super::collector::{Received, receive};
use super::upstream::until;

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A status and further headers, each with its line end.
    Status(u16, &'static str),
    /// Nothing, until the receiver is gone.
    Hang,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    usual: Mutex<Option<Reply>>,
    seen: Mutex<Vec<Received>>,
    /// Whether the receiver is gone, and who waits for that.
    gone: (Mutex<bool>, Condvar),
}

/// Listens until the process ends; gives up what hangs when dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same at a given address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let receiver = Self { url: format!("http://{address}/hooks"), address, shared };
        let shared = receiver.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || answer(&shared, stream.unwrap()));
            }
        });
        receiver
    }

    /// One that answers everything so.
    pub(crate) fn always(reply: Reply) -> Self {
        let receiver = Self::start();
        *receiver.shared.usual.lock().unwrap() = Some(reply);
        receiver
    }

    /// How it answers the next requests; those after them it takes.
    pub(crate) fn replies(&self, replies: &[Reply]) {
        self.shared.replies.lock().unwrap().extend(replies);
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Waits until so many requests came, and takes them.
    pub(crate) fn take(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} requests come"), || self.count() >= count);
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        *self.shared.gone.0.lock().unwrap() = true;
        self.shared.gone.1.notify_all();
    }
}

fn answer(shared: &Shared, stream: std::net::TcpStream) {
    let Some((received, mut stream)) = receive(stream) else { return };
    let reply = shared.replies.lock().unwrap().pop_front();
    let reply = reply.or(*shared.usual.lock().unwrap()).unwrap_or(Reply::Status(204, ""));
    shared.seen.lock().unwrap().push(received);
    match reply {
        Reply::Status(status, headers) => {
            let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\n{headers}{end}").as_bytes());
        }
        Reply::Hang => {
            let (gone, told) = &shared.gone;
            drop(told.wait_while(gone.lock().unwrap(), |gone| !*gone).unwrap());
        }
    }
}
