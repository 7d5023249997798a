//! A small HTTP server that serves files from memory, writes down what it was asked, and can be told
//! to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    requests: Vec<Request>,
    faults: Vec<(&'static str, Fault)>,
}

/// What one request asked for, and how many bytes of body it was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) authorization: Option<String>,
    /// Every header, as it was sent.
    pub(crate) headers: Vec<String>,
    pub(crate) sent: usize,
    pub(crate) body: Vec<u8>,
}

/// How to misbehave, once per entry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Announce the whole body, send this many bytes, close.
    CutAfter(usize),
    /// Announce the whole body, send this many bytes, and no more until the client goes away.
    StallAfter(usize),
    /// Answer 200, compressed on the way.
    Gzip,
    /// Answer 200 with so many bytes of a sign-in page.
    PageOf(usize),
    /// Answer 200 with the whole file, whatever the range.
    IgnoreRange,
    /// Answer 206 with another part than was asked for.
    WrongRange,
    /// Another ETag than before, as for a file that changed.
    OtherEtag,
    /// Answer with this status and no body.
    Status(u16),
    /// Answer 204, with a header more.
    NoNews(&'static str),
    /// Answer 429 and ask to wait this many seconds.
    Busy(u64),
    /// Answer 200 with a web page.
    Page,
    /// Answer 307 and send on to this URL.
    SendOn(&'static str),
    /// Answer 200 with text that is no JSON.
    Garbage,
    /// Send this many bytes more than the file has, without announcing a length.
    Endless(usize),
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                // A client that closes early is part of the tests.
                std::thread::spawn(move || drop(answer(&stream.unwrap(), &state)));
            }
        });
        Self { url, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn put(&self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.lock().files.insert(path.into(), bytes.into());
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.clone()
    }

    pub(crate) fn replace_files(&self, files: BTreeMap<String, Vec<u8>>) {
        self.lock().files = files;
    }

    /// Misbehave at the next request whose path contains `part`.
    pub(crate) fn fault(&self, part: &'static str, fault: Fault) {
        self.lock().faults.push((part, fault));
    }

    /// The requests since the last call whose path contains `part`.
    pub(crate) fn requests(&self, part: &str) -> Vec<Request> {
        let requests = std::mem::take(&mut self.lock().requests);
        requests.into_iter().filter(|request| request.path.contains(part)).collect()
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut request = read_request(stream)?;
    let (body, fault) = {
        let mut state = state.lock().unwrap();
        let at = state.faults.iter().position(|(part, _)| request.path.contains(part));
        let fault = at.map(|at| state.faults.remove(at).1);
        let plain = request.path.split('?').next().unwrap_or_default();
        let file = state.files.get(&request.path).or_else(|| state.files.get(plain));
        (file.cloned(), fault)
    };
    let (head, body) = respond(&request, body, fault);
    // Written down before the last byte goes out, so that a client that is done is in the list.
    request.sent = body.len();
    state.lock().unwrap().requests.push(request);
    let mut stream = stream;
    stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes())?;
    stream.write_all(&body)?;
    if let Some(Fault::StallAfter(_)) = fault {
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, ..Request::default() };
    let mut length = 0;
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        request.headers.push(line.clone());
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        let value = Some(value.to_owned());
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value,
            "if-range" => request.if_range = value,
            "authorization" => request.authorization = value,
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// Status line and headers, and the bytes that are sent after them.
fn respond(request: &Request, file: Option<Vec<u8>>, fault: Option<Fault>) -> (String, Vec<u8>) {
    let plain = |status: &str, kind: &str, body: &[u8]| {
        let head = format!("{status}\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
        (head, body.to_vec())
    };
    match fault {
        Some(Fault::Status(status)) => return plain(&format!("{status} Fault"), "text/plain", b""),
        Some(Fault::NoNews(header)) => {
            return plain(&format!("204 No Content\r\n{header}"), "text/plain", b"");
        }
        Some(Fault::Busy(seconds)) => {
            return plain(&format!("429 Fault\r\nRetry-After: {seconds}"), "text/plain", b"");
        }
        Some(Fault::SendOn(to)) => {
            return plain(&format!("307 Temporary Redirect\r\nLocation: {to}"), "text/plain", b"");
        }
        Some(Fault::Page) => {
            return plain("200 OK", "text/html; charset=utf-8", b"<html>Sign in</html>");
        }
        Some(Fault::PageOf(length)) => return plain("200 OK", "text/html", &vec![b' '; length]),
        Some(Fault::Gzip) => {
            let file = file.unwrap_or_default();
            let kind = "application/octet-stream\r\nContent-Encoding: gzip";
            return plain("200 OK", kind, &file[..file.len() / 2]);
        }
        Some(Fault::Garbage) => return plain("200 OK", "application/json", b"<not json>"),
        _ => {}
    }
    if !request.body.is_empty() {
        return plain("204 No Content", "text/plain", b"");
    }
    let Some(file) = file else { return plain("404 Not Found", "application/json", b"{}") };
    let etag = match fault {
        Some(Fault::OtherEtag) => "\"changed\"".to_owned(),
        _ => format!("\"etag-{}\"", file.len()),
    };
    let (status, mut body) = match wanted(request, &etag, file.len()) {
        Some(start) if !matches!(fault, Some(Fault::IgnoreRange)) => {
            let start = if matches!(fault, Some(Fault::WrongRange)) { start - 1 } else { start };
            let range = format!("bytes {start}-{}/{}", file.len() - 1, file.len());
            (format!("206 Partial Content\r\nContent-Range: {range}"), file[start..].to_vec())
        }
        _ => ("200 OK".to_owned(), file),
    };
    let length = if let Some(Fault::Endless(more)) = fault {
        body.extend(std::iter::repeat_n(b'x', more));
        String::new()
    } else {
        format!("\r\nContent-Length: {}", body.len())
    };
    if let Some(Fault::CutAfter(count) | Fault::StallAfter(count)) = fault {
        body.truncate(count);
    }
    (format!("{status}\r\nETag: {etag}\r\nAccept-Ranges: bytes{length}"), body)
}

/// Where the range begins that the client asked for, if its condition holds.
fn wanted(request: &Request, etag: &str, length: usize) -> Option<usize> {
    let start =
        request.range.as_deref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
    let unchanged = request.if_range.as_deref().is_none_or(|known| known == etag);
    (unchanged && start < length).then_some(start)
}
