//! pkt-lines of an answer of version 2, which may hold any bytes.

use gix_packetline::PacketLineRef;
use gix_packetline::decode::{Stream, streaming};

use super::TakeError;
use crate::push::visible;

/// Packets one after the other.
pub(super) struct Packets<'a>(&'a [u8]);

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data(&'a [u8]),
    Delimiter,
    Flush,
}

impl<'a> Packets<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The next packet. That there is none is an error: every answer ends in a flush.
    pub(super) fn next(&mut self) -> Result<Packet<'a>, TakeError> {
        let Ok(Stream::Complete { line, bytes_consumed }) = streaming(self.0) else {
            return Err(TakeError::Malformed("a packet is cut or has a wrong length"));
        };
        self.0 = &self.0[bytes_consumed..];
        match line {
            PacketLineRef::Data(bytes) => match bytes.strip_prefix(b"ERR ") {
                Some(text) => Err(TakeError::Refused(visible(text))),
                None => Ok(Packet::Data(bytes)),
            },
            PacketLineRef::Flush => Ok(Packet::Flush),
            PacketLineRef::Delimiter => Ok(Packet::Delimiter),
            PacketLineRef::ResponseEnd => Err(TakeError::Malformed("it ends twice")),
        }
    }

    /// The next line of text without its line feed; `None` at a delimiter or flush.
    pub(super) fn line(&mut self) -> Result<Option<&'a str>, TakeError> {
        let Packet::Data(bytes) = self.next()? else { return Ok(None) };
        let text = str::from_utf8(bytes).map_err(|_| TakeError::Malformed("a line is no text"))?;
        Ok(Some(text.strip_suffix('\n').unwrap_or(text)))
    }

    /// Whether nothing follows.
    pub(super) const fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// All that comes by the first side band until the flush.
    pub(super) fn band(&mut self) -> Result<Vec<u8>, TakeError> {
        let mut out = Vec::with_capacity(self.0.len());
        loop {
            match self.next()? {
                Packet::Flush => return Ok(out),
                Packet::Delimiter => return Err(TakeError::Malformed("a pack is cut in two")),
                Packet::Data(bytes) => match bytes.split_first() {
                    Some((1, data)) => out.extend_from_slice(data),
                    Some((2, _)) => {} // progress, for people
                    Some((3, text)) => return Err(TakeError::Refused(visible(text))),
                    _ => return Err(TakeError::Malformed("a packet of no side band")),
                },
            }
        }
    }
}
