//! One kept connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, ensure};

/// Bytes read from the connection at a time.
const BUFFER: usize = 1 << 16;

/// A client's end, which costs little beside the server's.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER, stream), line: Vec::new() })
    }

    /// Sends a request and takes the whole answer into `body`. The status of the answer.
    pub(crate) fn ask(&mut self, request: &[u8], body: &mut Vec<u8>) -> anyhow::Result<u16> {
        self.stream.get_mut().write_all(request)?;
        let status = number(self.line()?.get(9..12).context("no status")?)?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(0));
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(number(value[1..].trim_ascii())?);
            }
        }
        body.clear();
        match length {
            Some(length) => self.take(length, body)?,
            None => self.chunks(body)?,
        }
        Ok(status as u16)
    }

    fn line(&mut self) -> anyhow::Result<&[u8]> {
        self.line.clear();
        ensure!(self.stream.read_until(b'\n', &mut self.line)? > 0, "the server has hung up");
        Ok(self.line.trim_ascii_end())
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            let size = usize::from_str_radix(str::from_utf8(self.line()?)?, 16)?;
            self.take(size, body)?;
            ensure!(self.line()?.is_empty(), "a chunk is longer than it says");
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
        let read = self.stream.by_ref().take(length as u64).read_to_end(body)?;
        ensure!(read == length, "the answer was cut");
        Ok(())
    }
}

fn number(text: &[u8]) -> anyhow::Result<usize> {
    Ok(str::from_utf8(text)?.parse()?)
}
