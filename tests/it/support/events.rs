//! A reader of server-sent events (WHATWG HTML §9.2) that sees every piece as it comes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::raw::connect;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_mins(3);

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    /// Its type.
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// An open stream.
pub(crate) struct EventStream {
    reader: BufReader<TcpStream>,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl EventStream {
    /// Asks for `path`; each header is a line.
    pub(crate) fn open(url: &str, path: &str, headers: &[String]) -> Self {
        let mut stream = connect(url);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = headers.iter().fold(String::new(), |all, line| all + line + "\r\n");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let status = line(&mut reader).split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader);
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Self { reader, status, headers, text: String::new() }
    }

    /// With a token, behind the event with id `last`.
    pub(crate) fn with(url: &str, path: &str, token: &str, last: Option<u64>) -> Self {
        let mut headers = vec![format!("Authorization: Bearer {token}")];
        headers.extend(last.map(|last| format!("Last-Event-ID: {last}")));
        Self::open(url, path, &headers)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The next piece, without the empty line behind it: an event or a comment. `None`: the stream has ended as
    /// it should, with its last chunk.
    pub(crate) fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(piece);
            }
            let size = line(&mut self.reader);
            let size = usize::from_str_radix(&size, 16).expect("a chunk");
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                assert_eq!(self.text, "", "no event is cut");
                return None;
            }
            self.text += std::str::from_utf8(&chunk[..size]).unwrap();
        }
    }

    /// The next event; what says nothing is passed over.
    pub(crate) fn event(&mut self) -> Option<Event> {
        loop {
            let piece = self.piece()?;
            let field = |name: &str| {
                let mut lines = piece.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
            };
            let Some(data) = field("data") else { continue };
            let id = field("id").map(|id| id.parse().unwrap());
            let data = serde_json::from_str(&data).unwrap();
            return Some(Event { id, kind: field("event").unwrap(), data });
        }
    }

    /// The next event of this type.
    pub(crate) fn until(&mut self, wanted: &str) -> Event {
        loop {
            let event = self.event().expect(wanted);
            if event.kind == wanted {
                return event;
            }
        }
    }

    /// All events to the end.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
