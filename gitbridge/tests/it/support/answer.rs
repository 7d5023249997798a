//! An answer taken apart, whoever gave it.

use std::collections::BTreeSet;

/// What an answer to a fetch holds.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// `shallow` and `unshallow` lines.
    pub(crate) shallow: BTreeSet<String>,
    /// The pack, out of its side band.
    pub(crate) pack: Vec<u8>,
}

impl Answer {
    /// Reads packets up to the end, or to where the sender stopped.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        while let Some((length, rest)) = bytes.split_at_checked(4) {
            let length = usize::from_str_radix(std::str::from_utf8(length).unwrap(), 16).unwrap();
            let (packet, rest) = rest.split_at(length.saturating_sub(4));
            match packet {
                [1, data @ ..] => answer.pack.extend(data),
                _ if packet.starts_with(b"shallow ") || packet.starts_with(b"unshallow ") => {
                    let line = String::from_utf8_lossy(packet).into_owned();
                    answer.shallow.insert(line);
                }
                _ => {}
            }
            bytes = rest;
        }
        answer
    }
}
