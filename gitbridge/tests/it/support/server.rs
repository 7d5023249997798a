//! The least HTTP/1.1 that Git needs, on a loopback port: a thread per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, RwLock};

use colophon_gitbridge::{Error, Protocol, Response};

use super::{Tenant, upload_pack, whole_head};

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) tenant: Arc<RwLock<Tenant>>,
    /// What was asked, one line per request: method, protocol, body length, transfer coding.
    pub(crate) seen: Arc<RwLock<Vec<String>>>,
    /// Capabilities that the advertisement keeps to itself.
    pub(crate) hidden: Arc<RwLock<Vec<String>>>,
    meanwhile: Arc<Mutex<Option<(Moment, Act)>>>,
}

/// When something happens while a client is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A client asks for objects that it has been told of.
    Asked,
    /// The first piece of a pack is sent, and others are still to come.
    MidPack,
}

type Act = Box<dyn FnOnce(&Server) -> std::io::Result<()> + Send>;

impl Server {
    /// Serves `tenant` until the test process ends.
    pub(crate) fn start(tenant: Tenant) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/git/acme.git", listener.local_addr().unwrap());
        let shared = Self {
            url,
            tenant: Arc::new(RwLock::new(tenant)),
            seen: Arc::default(),
            hidden: Arc::default(),
            meanwhile: Arc::default(),
        };
        let server = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                // A client may hang up; that is its business.
                std::thread::spawn(move || shared.serve(&stream.unwrap()).ok());
            }
        });
        server
    }

    pub(crate) fn build(&self, builds: usize) {
        (0..builds).for_each(|_| self.tenant.write().unwrap().build());
    }

    pub(crate) fn tenant(&self) -> std::sync::RwLockReadGuard<'_, Tenant> {
        self.tenant.read().unwrap()
    }

    /// Does `act` once, when `moment` comes. An error cuts the connection.
    pub(crate) fn once(
        &self,
        moment: Moment,
        act: impl FnOnce(&Server) -> std::io::Result<()> + Send + 'static,
    ) {
        *self.meanwhile.lock().unwrap() = Some((moment, Box::new(act)));
    }

    /// Whether what was to happen [`once`](Self::once) has happened.
    pub(crate) fn happened(&self) -> bool {
        self.meanwhile.lock().unwrap().is_none()
    }

    fn reach(&self, moment: Moment) -> std::io::Result<()> {
        let due = self.meanwhile.lock().unwrap().take_if(|(at, _)| *at == moment);
        due.map_or(Ok(()), |(_, act)| act(self))
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read_request(&mut reader)? {
            let protocol = Protocol::from_header(request.git_protocol.as_deref());
            let coding = if request.chunked { "chunked" } else { "plain" };
            let line = format!("{} {protocol:?} {} {coding}", request.line, request.body.len());
            self.seen.write().unwrap().push(line);
            self.respond(stream, protocol, &request)?;
        }
        Ok(())
    }

    fn respond(
        &self,
        mut out: &TcpStream,
        protocol: Protocol,
        request: &Request,
    ) -> std::io::Result<()> {
        let kind = if request.line.starts_with("GET") { "advertisement" } else { "result" };
        write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\n\
             Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        )?;
        if request.body.windows(5).any(|bytes| bytes == b"want " || bytes == b"want-") {
            self.reach(Moment::Asked)?;
        }
        let response = self.answer(protocol, request).unwrap_or_else(|error| Response {
            head: error.to_packet(),
            refs: Vec::new(),
            pack: None,
        });
        chunk(out, &whole_head(&response))?;
        let mut pack = response.pack;
        // A fresh view for every piece, as the service does it.
        while let Some(piece) =
            pack.as_mut().and_then(|pack| pack.next(&self.tenant().log).unwrap())
        {
            chunk(out, &piece)?;
            // The last piece of a pack with side-bands is a flush of its own.
            if piece.len() > 60_000 {
                self.reach(Moment::MidPack)?;
            }
        }
        out.write_all(b"0\r\n\r\n")
    }

    fn answer(&self, protocol: Protocol, request: &Request) -> Result<Response, Error> {
        let tenant = self.tenant();
        if !request.line.starts_with("GET") {
            return upload_pack().answer(&tenant.log, protocol, &request.body);
        }
        let response = upload_pack().advertise(&tenant.log, protocol)?;
        let mut text = String::from_utf8(whole_head(&response)).unwrap();
        for name in self.hidden.read().unwrap().iter() {
            // Of the same length, so that the packet stays what it is.
            text = text.replace(&format!("{name} "), &format!("{} ", "x".repeat(name.len())));
        }
        Ok(Response { head: text.into_bytes(), refs: Vec::new(), pack: None })
    }
}

#[derive(Default)]
struct Request {
    line: String,
    git_protocol: Option<String>,
    length: usize,
    chunked: bool,
    gzip: bool,
    body: Vec<u8>,
}

fn chunk(mut out: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    write!(out, "{:x}\r\n", bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(b"\r\n")
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut request = Request { line: read_line(reader)?, ..Request::default() };
    if request.line.is_empty() {
        return Ok(None);
    }
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "git-protocol" => request.git_protocol = Some(value.to_owned()),
            "content-length" => request.length = value.parse().unwrap(),
            "transfer-encoding" => request.chunked = value == "chunked",
            "content-encoding" => request.gzip = value == "gzip",
            _ => {}
        }
    }
    let raw = if request.chunked {
        read_chunks(reader)?
    } else {
        let mut raw = vec![0; request.length];
        reader.read_exact(&mut raw)?;
        raw
    };
    if request.gzip {
        flate2::read::GzDecoder::new(&raw[..]).read_to_end(&mut request.body)?;
    } else {
        request.body = raw;
    }
    Ok(Some(request))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&read_line(reader)?, 16).unwrap();
        let mut part = vec![0; length];
        reader.read_exact(&mut part)?;
        read_line(reader)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend(part);
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
