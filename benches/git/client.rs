//! An HTTP/1.1 client that keeps its connection and costs little beside the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;

/// Bytes read from the connection at a time.
const BUFFER: usize = 64 * 1024;

/// One kept-alive connection.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> anyhow::Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        Ok(Self { connection: BufReader::with_capacity(BUFFER, connection) })
    }

    /// Sends `request` and takes its whole answer into `body`, which is emptied first.
    pub(crate) fn ask(&mut self, request: &[u8], body: &mut Vec<u8>) -> anyhow::Result<()> {
        self.connection.get_mut().write_all(request)?;
        body.clear();
        let head = self.head()?;
        match header(&head, "content-length") {
            Some(length) => self.take(length.parse()?, body)?,
            None => self.chunks(body)?,
        }
        let status = head.first().map_or("", String::as_str);
        let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
        ensure!(status.contains(" 200 "), "{status}: {text}");
        Ok(())
    }

    fn head(&mut self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(lines);
            }
            lines.push(line);
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.connection.read_line(&mut line)? > 0, "the server has hung up");
        Ok(line.trim_end().to_owned())
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).context("no size of a chunk")?;
            self.take(size, body)?;
            if !self.line()?.is_empty() {
                bail!("a chunk is longer than it says");
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
        let read = self.connection.by_ref().take(length as u64).read_to_end(body)?;
        ensure!(read == length, "the answer was cut");
        Ok(())
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let named =
        |line: &&String| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
    Some(head.iter().find(named)?.split_once(':')?.1.trim())
}

/// A request of protocol version 2 as bytes on the connection.
pub(crate) fn post(route: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let credentials = BASE64.encode(format!("git:{token}").as_bytes());
    let mut request = format!(
        "POST {route}/git-upload-pack HTTP/1.1\r\nHost: localhost\r\nUser-Agent: git/2.47.3\r\n\
         Authorization: Basic {credentials}\r\nContent-Type: application/x-git-upload-pack-request\r\n\
         Accept: application/x-git-upload-pack-result\r\nGit-Protocol: version=2\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
