//! The command `object-info` of protocol version 2 (gitprotocol-v2).

use colophon_model::Oid;

use crate::protocol::unexpected;
use crate::{Error, Limits, ObjectLog, Response, pkt, read};

/// Tells sizes of objects. One that is not in this repository has none, wherever else it may be.
pub(crate) fn answer(
    log: &dyn ObjectLog,
    arguments: &[&str],
    limits: &Limits,
) -> Result<Response, Error> {
    let (mut oids, mut size) = (Vec::new(), false);
    for line in arguments {
        match line.split_once(' ') {
            None if *line == "size" => size = true,
            Some(("oid", oid)) => Limits::push(&mut oids, oid, "object ids", limits.wants)?,
            _ => return Err(unexpected(line)),
        }
    }
    let mut out = Vec::new();
    if size {
        pkt::put(&mut out, "size");
    }
    for oid in oids {
        let tail = if size { format!(" {}", size_of(log, oid)?) } else { String::new() };
        pkt::put(&mut out, format!("{oid}{tail}"));
    }
    out.extend_from_slice(pkt::FLUSH);
    Ok(Response::without_pack(out))
}

fn size_of(log: &dyn ObjectLog, oid: Oid) -> Result<String, Error> {
    if let Some(at) = log.ordinal(&oid).map_err(Error::Read)? {
        return Ok(read::shape(log, at)?.size.to_string());
    }
    let tag = log.tag(&oid).map_err(Error::Read)?;
    Ok(tag.map_or(String::new(), |tag| tag.bytes.len().to_string()))
}
