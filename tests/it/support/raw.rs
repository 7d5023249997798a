//! HTTP/1.1 as bytes: paths that no client library would send, and answers as they came.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::TRACEPARENT;

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// In the order in which they came, with names in small letters, without `date`.
    pub(crate) headers: Vec<(String, String)>,
    /// Without the transfer coding.
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to the server at `url`.
pub(crate) fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap()
}

/// Sends a request over a connection of its own. `head` is the request line and the headers, one a line.
pub(crate) fn exchange(url: &str, head: &str, body: &[u8]) -> Raw {
    let mut stream = connect(url);
    let head = head.trim_end().replace('\n', "\r\n");
    let length = if body.is_empty() { String::new() } else { content_length(body) };
    let trace = format!("traceparent: {TRACEPARENT}");
    let start =
        format!("{head}\r\n{trace}\r\nHost: localhost\r\nConnection: close\r\n{length}\r\n");
    stream.write_all(start.as_bytes()).unwrap();
    // A server that has said no need not read on.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

fn content_length(body: &[u8]) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

/// An answer that ends with its connection.
pub(crate) fn parse(answer: &[u8]) -> Raw {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| name != "date")
        .collect();
    let body = &answer[end + 4..];
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_vec() };
    Raw { status, headers, body }
}

/// What chunks hold (RFC 9112 §7.1). The last one must be there: without it the answer was cut.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let start = line + 2;
        body.extend_from_slice(&rest[start..start + size]);
        if size == 0 {
            return body;
        }
        rest = &rest[start + size + 2..];
    }
}

/// The packets of a request body: `0000` and `0001` stand for themselves (gitprotocol-common).
pub(crate) fn packets(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}
