//! A small fake of a builder's API: it holds flows, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it answers to one path: a status, further headers, and a body.
type Answers = HashMap<String, (u16, String, Vec<u8>)>;

/// Listens until the process ends.
pub(crate) struct Builder {
    pub(crate) url: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Builder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let (answers, asked) = (Arc::default(), Arc::default());
        let builder = Self { url, answers, asked };
        let (answers, asked) = (builder.answers.clone(), builder.asked.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                answer(client.unwrap(), &answers, &asked);
            }
        });
        builder
    }

    /// Sets the answer to a path with its query, below `/api`.
    pub(crate) fn set(&self, path: &str, status: u16, headers: &str, body: &[u8]) {
        let answer = (status, headers.to_owned(), body.to_vec());
        self.answers.lock().unwrap().insert(format!("/api{path}"), answer);
    }

    /// The heads of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(client: TcpStream, answers: &Mutex<Answers>, asked: &Mutex<Vec<String>>) {
    let mut head = String::new();
    let mut lines = BufReader::new(client.try_clone().unwrap());
    while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let missing = (404, String::new(), b"{}".to_vec());
    let (status, headers, body) = answers.lock().unwrap().get(&path).cloned().unwrap_or(missing);
    // The answer stands, so whoever sees the question may set another one.
    asked.lock().unwrap().push(head);
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    let mut client = client;
    let _ = client.write_all(answer.as_bytes()).and_then(|()| client.write_all(&body));
}
