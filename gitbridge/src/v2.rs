//! Protocol version 2 (gitprotocol-v2): the commands `ls-refs` and `fetch`.

use colophon_model::Oid;

use crate::negotiate::Hearing;
use crate::pkt::{self, Packet};
use crate::protocol::{PackOptions, unexpected};
use crate::select::Wanted;
use crate::stream::{Framing, PackStream};
use crate::{Error, Limits, ObjectLog, Ref, Response, UploadPack};

pub(crate) fn answer(
    server: &UploadPack,
    log: &dyn ObjectLog,
    packets: &[Packet<'_>],
) -> Result<Response, Error> {
    match Request::parse(packets)? {
        None => Ok(Response::without_pack(Vec::new())),
        Some(Request { command: "ls-refs", arguments }) => {
            ls_refs(server, log, &LsRefs::parse(&arguments, &server.limits)?)
        }
        Some(Request { command: "fetch", arguments }) => {
            fetch(log, &Fetch::parse(&arguments, &server.limits)?)
        }
        Some(Request { command: "object-info", .. }) => Err(Error::Unsupported("`object-info`")),
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

#[derive(Default)]
struct LsRefs<'a> {
    symrefs: bool,
    peel: bool,
    unborn: bool,
    /// Which refs to list; all of them when there is none. Sorted, and none starts with another.
    prefixes: Vec<&'a str>,
}

impl<'a> LsRefs<'a> {
    fn parse(arguments: &[&'a str], limits: &Limits) -> Result<Self, Error> {
        let mut request = Self::default();
        for argument in arguments {
            match *argument {
                "symrefs" => request.symrefs = true,
                "peel" => request.peel = true,
                "unborn" => request.unborn = true,
                line => match line.strip_prefix("ref-prefix ") {
                    Some(prefix) => request.prefixes.push(prefix),
                    None => return Err(unexpected(line)),
                },
            }
        }
        request.tidy_prefixes(limits.ref_prefixes);
        Ok(request)
    }

    /// Too many prefixes count as none. Of two that overlap the shorter one says it all; without the
    /// other no ref is found twice.
    fn tidy_prefixes(&mut self, most: usize) {
        if self.prefixes.len() > most {
            self.prefixes.clear();
        }
        self.prefixes.sort_unstable();
        self.prefixes.dedup_by(|longer, kept| longer.starts_with(*kept));
    }

    fn wants(&self, name: &str) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The refs under any of the prefixes, sorted, since the prefixes are. Each is read once.
    fn select(&self, log: &dyn ObjectLog) -> Result<Vec<Ref>, Error> {
        if self.prefixes.is_empty() {
            return log.refs("").map_err(Error::Read);
        }
        let mut found = Vec::new();
        for prefix in &self.prefixes {
            found.extend(log.refs(prefix).map_err(Error::Read)?);
        }
        Ok(found)
    }
}

fn ls_refs(
    server: &UploadPack,
    log: &dyn ObjectLog,
    request: &LsRefs<'_>,
) -> Result<Response, Error> {
    let mut out = Vec::new();
    if request.wants("HEAD") {
        put_head(server, log, request, &mut out)?;
    }
    for Ref { name, oid, peeled } in request.select(log)? {
        let peeled = peeled.filter(|_| request.peel);
        let tail = peeled.map_or(String::new(), |oid| format!(" peeled:{oid}"));
        pkt::put(&mut out, format!("{oid} {name}{tail}\n"));
    }
    out.extend_from_slice(pkt::FLUSH);
    Ok(Response::without_pack(out))
}

/// `HEAD` is symbolic. While its branch is unborn, only a client that can say so hears of it.
fn put_head(
    server: &UploadPack,
    log: &dyn ObjectLog,
    request: &LsRefs<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let branch = server.branch.full_name();
    let refs = log.refs(&branch).map_err(Error::Read)?;
    let oid = match refs.iter().find(|r| r.name == branch) {
        Some(tip) => tip.oid.to_string(),
        None if request.unborn => "unborn".to_owned(),
        None => return Ok(()),
    };
    let target = if request.symrefs { format!(" symref-target:{branch}") } else { String::new() };
    pkt::put(out, format!("{oid} HEAD{target}\n"));
    Ok(())
}

#[derive(Default)]
struct Fetch {
    wants: Vec<Oid>,
    haves: Vec<Oid>,
    done: bool,
    wait_for_done: bool,
    options: PackOptions,
}

impl Fetch {
    fn parse(arguments: &[&str], limits: &Limits) -> Result<Self, Error> {
        let mut fetch = Self::default();
        for argument in arguments {
            fetch.argument(argument, limits)?;
        }
        Ok(fetch)
    }

    fn argument(&mut self, line: &str, limits: &Limits) -> Result<(), Error> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("want", oid) => Limits::push(&mut self.wants, oid, "wants", limits.wants)?,
            ("have", oid) => Limits::push(&mut self.haves, oid, "haves", limits.haves)?,
            ("done", "") => self.done = true,
            ("wait-for-done", "") => self.wait_for_done = true,
            ("thin-pack", "") => self.options.thin = true,
            ("ofs-delta", "") => self.options.ofs_delta = true,
            ("include-tag", "") => self.options.include_tag = true,
            ("no-progress", "") => {} // there is none
            ("shallow" | "deepen" | "deepen-since" | "deepen-not" | "deepen-relative", _) => {
                return Err(Error::Unsupported("shallow history"));
            }
            ("filter", _) => return Err(Error::Unsupported("a partial clone filter")),
            ("want-ref", _) => return Err(Error::Unsupported("`want-ref`")),
            _ => return Err(unexpected(line)),
        }
        Ok(())
    }
}

/// The sections `acknowledgments` and `packfile`, in the order in which Git's own server decides on
/// them.
fn fetch(log: &dyn ObjectLog, fetch: &Fetch) -> Result<Response, Error> {
    let mut out = Vec::new();
    if fetch.wants.is_empty() && !fetch.wait_for_done {
        return Ok(Response::without_pack(out));
    }
    let wanted = Wanted::find(log, &fetch.wants)?;
    let mut hearing = Hearing::new(log);
    let mut known = Vec::new();
    for have in &fetch.haves {
        if hearing.have(*have)? {
            known.push(*have);
        }
    }
    let common = hearing.common();
    if !fetch.haves.is_empty() && !fetch.done {
        let ready = common.is_enough() && !fetch.wait_for_done;
        put_acknowledgments(&known, ready, &mut out);
        if !ready {
            return Ok(Response::without_pack(out));
        }
    }
    pkt::put(&mut out, "packfile\n");
    let plan = wanted.plan(log, common, fetch.options.include_tag)?;
    let pack = PackStream::new(plan, fetch.options, Framing::SideBand64k)?;
    Ok(Response { head: out, pack: Some(pack) })
}

fn put_acknowledgments(known: &[Oid], ready: bool, out: &mut Vec<u8>) {
    pkt::put(out, "acknowledgments\n");
    if known.is_empty() {
        pkt::put(out, "NAK\n");
    }
    for oid in known {
        pkt::put(out, format!("ACK {oid}\n"));
    }
    if ready {
        pkt::put(out, "ready\n");
    }
    out.extend_from_slice(if ready { pkt::DELIMITER } else { pkt::FLUSH });
}
