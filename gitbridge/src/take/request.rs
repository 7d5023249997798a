//! Bodies of requests, and their answers taken apart.

use colophon_model::Oid;

use super::TakeError;
use super::pack::{Taken, TakenLimits};
use super::packets::Packets;
use crate::pkt;

/// How much of what is wanted comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A commit with its trees: no history, no blobs.
    WithoutBlobs,
    /// The objects themselves and what they hold; for blobs that is nothing more.
    Whole,
}

/// A ref of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// Its full name.
    pub name: String,
    /// What it names; for an annotated tag, what that names.
    pub oid: Oid,
}

/// Asks what the refs name whose full names begin with one of `prefixes`.
pub fn refs_request(prefixes: &[&str]) -> Vec<u8> {
    let mut out = command("ls-refs");
    pkt::put(&mut out, "peel\n");
    for prefix in prefixes {
        pkt::put(&mut out, format!("ref-prefix {prefix}\n"));
    }
    out.extend_from_slice(pkt::FLUSH);
    out
}

/// Reads the answer.
///
/// # Errors
/// [`TakeError::Malformed`] or [`TakeError::Refused`].
pub fn parse_refs(body: &[u8]) -> Result<Vec<RemoteRef>, TakeError> {
    let (mut packets, mut found) = (Packets::new(body), Vec::new());
    while let Some(line) = packets.line()? {
        found.push(remote_ref(line).ok_or(TakeError::Malformed("a line is no ref"))?);
    }
    Ok(found)
}

/// `<oid> <name>[ <attribute>…]`.
fn remote_ref(line: &str) -> Option<RemoteRef> {
    let mut words = line.split(' ');
    let (oid, name) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    let oid = peeled.map_or(Some(oid), |peeled| peeled.parse().ok())?;
    Some(RemoteRef { name, oid })
}

/// Asks for objects by their ids.
pub fn objects_request(wants: &[Oid], part: Part) -> Vec<u8> {
    let mut out = command("fetch");
    for line in ["no-progress\n", "ofs-delta\n"] {
        pkt::put(&mut out, line);
    }
    if part == Part::WithoutBlobs {
        pkt::put(&mut out, "deepen 1\n");
        pkt::put(&mut out, "filter blob:none\n");
    }
    for want in wants {
        pkt::put(&mut out, format!("want {want}\n"));
    }
    pkt::put(&mut out, "done\n");
    out.extend_from_slice(pkt::FLUSH);
    out
}

/// Reads the answer into `taken`.
///
/// # Errors
/// When the answer is cut or malformed, or the server refuses.
pub fn parse_objects(
    body: &[u8],
    limits: &TakenLimits,
    taken: &mut Taken,
) -> Result<(), TakeError> {
    let mut packets = Packets::new(body);
    loop {
        match packets.line()? {
            Some("packfile") => break,
            None if packets.is_done() => return Err(TakeError::Malformed("it holds no pack")),
            // `shallow-info`, its lines and its end: we have no history, and know it.
            Some(_) | None => {}
        }
    }
    taken.read_pack(&packets.band()?, limits)
}

fn command(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pkt::put(&mut out, format!("command={name}\n"));
    pkt::put(&mut out, concat!("agent=colophon/", env!("CARGO_PKG_VERSION"), "\n"));
    pkt::put(&mut out, "object-format=sha1\n");
    out.extend_from_slice(pkt::DELIMITER);
    out
}
