//! Protocol version 2 (gitprotocol-v2): a request holds one command.

use crate::fetch::Fetch;
use crate::ls_refs::LsRefs;
use crate::pkt::Packet;
use crate::protocol::unexpected;
use crate::{Error, ObjectLog, Response, UploadPack, fetch, ls_refs, object_info};

pub(crate) fn answer(
    server: &UploadPack,
    log: &dyn ObjectLog,
    packets: &[Packet<'_>],
) -> Result<Response, Error> {
    match Request::parse(packets)? {
        None => Ok(Response::without_pack(Vec::new())),
        Some(Request { command: "ls-refs", arguments }) => {
            ls_refs::answer(server, log, &LsRefs::parse(&arguments, &server.limits)?)
        }
        Some(Request { command: "fetch", arguments }) => {
            fetch::answer(server, log, &Fetch::parse(server, &arguments)?)
        }
        Some(Request { command: "object-info", arguments }) => {
            object_info::answer(log, &arguments, &server.limits)
        }
        Some(Request { command, .. }) => Err(unexpected(&format!("command={command}"))),
    }
}

/// One command with its arguments.
struct Request<'a> {
    command: &'a str,
    arguments: Vec<&'a str>,
}

impl<'a> Request<'a> {
    /// `command=…` and capabilities; a delimiter and arguments; a flush. A flush alone asks for
    /// nothing.
    fn parse(packets: &[Packet<'a>]) -> Result<Option<Self>, Error> {
        let Some((Packet::Flush, packets)) = packets.split_last() else {
            return if packets.is_empty() { Ok(None) } else { Err(ends_early()) };
        };
        let mut parts = packets.split(|packet| *packet == Packet::Delimiter);
        let capabilities = texts(parts.next().unwrap_or_default())?;
        let arguments = texts(parts.next().unwrap_or_default())?;
        if parts.next().is_some() {
            return Err(Error::Protocol("a request has one delimiter".to_owned()));
        }
        if capabilities.is_empty() && arguments.is_empty() {
            return Ok(None);
        }
        let mut command = None;
        for line in capabilities {
            match line.split_once('=') {
                Some(("command", name)) if command.is_none() => command = Some(name),
                Some(("agent", _) | ("object-format", "sha1")) => {}
                Some(("object-format", _)) => return Err(Error::Unsupported("this object format")),
                _ => return Err(unexpected(line)),
            }
        }
        let command = command.ok_or(Error::Protocol("no command was given".to_owned()))?;
        Ok(Some(Self { command, arguments }))
    }
}

fn texts<'a>(packets: &[Packet<'a>]) -> Result<Vec<&'a str>, Error> {
    let text = |packet: &Packet<'a>| match packet {
        Packet::Text(text) => Ok(*text),
        Packet::Flush | Packet::Delimiter => {
            Err(Error::Protocol("a request holds one command".to_owned()))
        }
    };
    packets.iter().map(text).collect()
}

fn ends_early() -> Error {
    Error::Protocol("the request ends early".to_owned())
}
