//! pkt-lines (gitprotocol-common): four hex digits of length, then that many bytes less four.

use colophon_model::Oid;
use gix_packetline::PacketLineRef;
use gix_packetline::decode::{Stream, streaming};

use crate::Error;

/// Longest packet, with its length.
pub(crate) const MAX_PACKET: usize = 65_520;

/// One packet of a request. Text comes without its line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Text(&'a str),
    Flush,
    Delimiter,
}

/// Splits a request body. Everything that a client sends to upload-pack is text.
pub(crate) fn decode(mut body: &[u8], most: usize) -> Result<Vec<Packet<'_>>, Error> {
    let mut packets = Vec::new();
    while !body.is_empty() {
        if packets.len() == most {
            return Err(Error::Limit { what: "packets", most });
        }
        let malformed = || Error::Protocol(format!("packet {} is malformed", packets.len() + 1));
        let Ok(Stream::Complete { line, bytes_consumed }) = streaming(body) else {
            return Err(malformed());
        };
        let packet = to_packet(line).ok_or_else(malformed)?;
        packets.push(packet);
        body = &body[bytes_consumed..];
    }
    Ok(packets)
}

fn to_packet(line: PacketLineRef<'_>) -> Option<Packet<'_>> {
    match line {
        PacketLineRef::Data(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(Packet::Text(text.strip_suffix('\n').unwrap_or(text)))
        }
        PacketLineRef::Flush => Some(Packet::Flush),
        PacketLineRef::Delimiter => Some(Packet::Delimiter),
        PacketLineRef::ResponseEnd => None,
    }
}

/// Appends one packet. Callers keep `bytes` below [`MAX_PACKET`] less four.
pub(crate) fn put(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    put_parts(out, &[bytes.as_ref()]);
}

/// How the length of a packet of `bytes` with its length is spelled.
pub(crate) fn length(bytes: usize) -> [u8; 4] {
    debug_assert!(bytes <= MAX_PACKET, "packets have a four-digit length");
    hex::<4>(&(bytes as u16).to_be_bytes())
}

/// The same of a packet that comes in parts.
pub(crate) fn put_parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&self::length(length));
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// `bytes` in `D` hexadecimal digits, two for each byte. Not by way of [`std::fmt`]: a list of refs is
/// mostly this.
fn hex<const D: usize>(bytes: &[u8]) -> [u8; D] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| {
        let byte = bytes[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
}

/// An object id as it stands in packets.
pub(crate) fn oid(oid: &Oid) -> [u8; 2 * Oid::LEN] {
    hex(oid.as_bytes())
}

pub(crate) const FLUSH: &[u8] = b"0000";
pub(crate) const DELIMITER: &[u8] = b"0001";

/// The answer to a command of version 2, section by section.
pub(crate) struct Sections {
    bytes: Vec<u8>,
    /// Whether every line goes into the first side band (`sideband-all`).
    banded: bool,
}

impl Sections {
    pub(crate) const fn new(banded: bool) -> Self {
        Self { bytes: Vec::new(), banded }
    }

    pub(crate) fn line(&mut self, text: &str) {
        if self.banded {
            put(&mut self.bytes, format!("\u{1}{text}"));
        } else {
            put(&mut self.bytes, text);
        }
    }

    pub(crate) fn delimiter(&mut self) {
        self.bytes.extend_from_slice(DELIMITER);
    }

    /// A whole section that another one follows.
    pub(crate) fn section(&mut self, title: &str, lines: impl IntoIterator<Item = String>) {
        self.line(title);
        lines.into_iter().for_each(|line| self.line(&line));
        self.delimiter();
    }

    /// The answer as it stands, with the flush that ends it.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(FLUSH);
        self.bytes
    }

    /// The answer as it stands; more follows.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// An `ERR` packet, which may stand in the place of any other packet of an answer. Control characters
/// are replaced, so that a message cannot drive a terminal, and it is cut to 1,000 bytes or so.
pub fn error_packet(message: &str) -> Vec<u8> {
    let clean = message.chars().take(250).map(|c| if c.is_control() { '?' } else { c });
    let mut out = Vec::new();
    put(&mut out, format!("ERR {}", clean.collect::<String>()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_told_apart() {
        let body = b"0009done\n0008done00010000";
        let expected =
            [Packet::Text("done"), Packet::Text("done"), Packet::Delimiter, Packet::Flush];
        assert_eq!(decode(body, 4).unwrap(), expected);
        assert!(matches!(decode(body, 3), Err(Error::Limit { most: 3, .. })));
    }

    #[test]
    fn malformed_packets_are_refused() {
        for bad in [
            &b"0"[..],
            b"000",
            b"0003",
            b"0004",
            b"0002",
            b"00zz",
            b"0009don",
            b"+005a",
            b"0005\xff",
        ] {
            assert!(matches!(decode(bad, 9), Err(Error::Protocol(_))), "{bad:?}");
        }
    }

    /// A message of any kind stays one packet, free of terminal escapes.
    #[test]
    fn error_packets_are_tame() {
        assert_eq!(error_packet("no"), b"000aERR no");
        assert_eq!(error_packet("\u{1b}[2J\n"), b"000dERR ?[2J?");
        assert!(error_packet(&"é".repeat(100_000)).len() < 1_100);
    }

    proptest! {
        #[test]
        fn decoding_never_panics(body: Vec<u8>) {
            let _ = decode(&body, 10);
        }

        #[test]
        fn what_is_put_decodes(lines in proptest::collection::vec("[a-z ]{1,50}", 0..8)) {
            let mut body = Vec::new();
            for line in &lines {
                put(&mut body, line);
            }
            let expected: Vec<_> = lines.iter().map(|line| Packet::Text(line)).collect();
            prop_assert_eq!(decode(&body, 8).unwrap(), expected);
        }
    }
}
