//! pkt-lines of an answer, which may hold any bytes.

use gix_packetline::PacketLineRef;
use gix_packetline::decode::{Stream, streaming};

use super::RemoteError;
use super::report::visible;

/// Packets one after the other.
pub(super) struct Packets<'a>(&'a [u8]);

/// One packet of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered<'a> {
    Data(&'a [u8]),
    Flush,
}

impl<'a> Packets<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The next packet; `None` at the end of the body.
    pub(super) fn next(&mut self) -> Result<Option<Answered<'a>>, RemoteError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let Ok(Stream::Complete { line, bytes_consumed }) = streaming(self.0) else {
            return Err(RemoteError::Malformed("a packet is cut or has a wrong length"));
        };
        self.0 = &self.0[bytes_consumed..];
        match line {
            PacketLineRef::Data(bytes) => match bytes.strip_prefix(b"ERR ") {
                Some(text) => Err(RemoteError::Refused(visible(text))),
                None => Ok(Some(Answered::Data(bytes))),
            },
            PacketLineRef::Flush => Ok(Some(Answered::Flush)),
            _ => Err(RemoteError::Malformed("a packet of protocol version 2")),
        }
    }

    /// The next packet, which must hold data, without its line feed. `None` at a flush.
    pub(super) fn line(&mut self) -> Result<Option<&'a [u8]>, RemoteError> {
        match self.next()? {
            Some(Answered::Data(bytes)) => Ok(Some(bytes.strip_suffix(b"\n").unwrap_or(bytes))),
            Some(Answered::Flush) => Ok(None),
            None => Err(RemoteError::Malformed("it ends early")),
        }
    }
}
