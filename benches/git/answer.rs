//! An answer of `fetch` taken apart: the pack, and where shallow history ends (gitprotocol-v2).

use anyhow::{Context as _, bail};

/// What a client takes from an answer.
pub(crate) struct Answer {
    pub(crate) pack: Vec<u8>,
    pub(crate) shallow: Vec<String>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut answer = Self { pack: Vec::new(), shallow: Vec::new() };
        let (mut rest, mut in_pack) = (bytes, false);
        while let Some((packet, after)) = packet(rest)? {
            rest = after;
            match packet {
                b"packfile\n" => in_pack = true,
                [1, data @ ..] if in_pack => answer.pack.extend_from_slice(data),
                [3, said @ ..] if in_pack => bail!("{}", String::from_utf8_lossy(said)),
                line => {
                    if let Some(oid) = line.strip_prefix(b"shallow ") {
                        answer.shallow.push(String::from_utf8(oid.trim_ascii().to_vec())?);
                    }
                }
            }
        }
        anyhow::ensure!(
            in_pack,
            "no pack: {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(99)])
        );
        Ok(answer)
    }
}

/// The first packet and what follows it. A delimiter or flush is an empty one.
fn packet(bytes: &[u8]) -> anyhow::Result<Option<(&[u8], &[u8])>> {
    let Some((length, rest)) = bytes.split_at_checked(4) else { return Ok(None) };
    let length = usize::from_str_radix(std::str::from_utf8(length)?, 16)?;
    if length < 4 {
        return Ok(Some((&[], rest)));
    }
    rest.split_at_checked(length - 4).context("the answer was cut").map(Some)
}
