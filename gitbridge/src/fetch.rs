//! The command `fetch` of protocol version 2 (gitprotocol-v2).

use colophon_model::Oid;

use crate::filter::Filter;
use crate::framing::Framing;
use crate::negotiate::Hearing;
use crate::pkt::Sections;
use crate::protocol::{PackOptions, unexpected};
use crate::select::{Terms, Wanted};
use crate::shallow::DepthRequest;
use crate::stream::PackStream;
use crate::{Error, Limits, ObjectLog, Response, UploadPack};

/// What the client asks for.
#[derive(Default)]
pub(crate) struct Fetch {
    wants: Vec<Oid>,
    want_refs: Vec<String>,
    haves: Vec<Oid>,
    depth: DepthRequest,
    done: bool,
    wait_for_done: bool,
    sideband_all: bool,
    terms: Terms,
    options: PackOptions,
}

impl Fetch {
    pub(crate) fn parse(server: &UploadPack, arguments: &[&str]) -> Result<Self, Error> {
        let mut fetch = Self::default();
        for argument in arguments {
            match argument.strip_prefix("want-ref ").filter(|_| server.ref_in_want) {
                Some(name) => fetch.want_ref(name, &server.limits)?,
                None => fetch.argument(argument, &server.limits)?,
            }
        }
        Ok(fetch)
    }

    fn argument(&mut self, line: &str, limits: &Limits) -> Result<(), Error> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("want", oid) => Limits::push(&mut self.wants, oid, "wants", limits.wants)?,
            ("have", oid) => Limits::push(&mut self.haves, oid, "haves", limits.haves)?,
            ("filter", spec) => self.terms.filter = Filter::parse(spec)?,
            ("done", "") => self.done = true,
            ("wait-for-done", "") => self.wait_for_done = true,
            ("sideband-all", "") => self.sideband_all = true,
            ("thin-pack", "") => self.options.thin = true,
            ("ofs-delta", "") => self.options.ofs_delta = true,
            ("include-tag", "") => self.terms.include_tag = true,
            ("no-progress", "") => {} // there is none
            _ if self.depth.take(line, limits)? => {}
            _ => return Err(unexpected(line)),
        }
        Ok(())
    }

    fn want_ref(&mut self, name: &str, limits: &Limits) -> Result<(), Error> {
        if self.want_refs.len() == limits.named_refs {
            return Err(Error::Limit { what: "want-ref lines", most: limits.named_refs });
        }
        self.want_refs.push(name.to_owned());
        Ok(())
    }

    fn wants_something(&self) -> bool {
        !self.wants.is_empty() || !self.want_refs.is_empty()
    }
}

/// The sections, in the order that is documented: Git's own server sends `wanted-refs` before
/// `shallow-info`, and Git's own client does not take that.
pub(crate) fn answer(
    server: &UploadPack,
    log: &dyn ObjectLog,
    fetch: &Fetch,
) -> Result<Response, Error> {
    if !fetch.wants_something() && !fetch.wait_for_done {
        return Ok(Response::without_pack(Vec::new()));
    }
    let named = named(server, log, &fetch.want_refs)?;
    let oids: Vec<Oid> = fetch.wants.iter().copied().chain(named.iter().map(|n| n.0)).collect();
    let wanted = Wanted::find(log, &oids)?;
    let mut out = Sections::new(fetch.sideband_all);
    let hearing = hear(log, fetch, &mut out)?;
    let Some(hearing) = hearing else { return Ok(Response::without_pack(out.end())) };
    let boundary = fetch.depth.settle(log, &wanted.commits)?;
    if fetch.depth.is_used() {
        out.section("shallow-info\n", boundary.lines(log)?);
    }
    if !named.is_empty() {
        out.section("wanted-refs\n", named.iter().map(|(oid, name)| format!("{oid} {name}\n")));
    }
    out.line("packfile\n");
    let plan = wanted.plan(log, hearing.commits(), &boundary, fetch.terms, &server.limits)?;
    let pack = PackStream::new(plan, fetch.options, Framing::SideBand64k)?;
    Ok(Response::with_pack(out.into_bytes(), pack))
}

/// Refs that are wanted by name: what they name at this moment.
fn named(
    server: &UploadPack,
    log: &dyn ObjectLog,
    names: &[String],
) -> Result<Vec<(Oid, String)>, Error> {
    let branch = server.branch.full_name();
    let find = |name: &String| {
        let full = if name == "HEAD" { &branch } else { name };
        let found = log.find_ref(full).map_err(Error::Read)?;
        let found = found.ok_or_else(|| unknown_ref(name))?;
        Ok((found.oid, name.clone()))
    };
    names.iter().map(find).collect()
}

fn unknown_ref(name: &str) -> Error {
    Error::Protocol(format!("unknown ref {}", name.chars().take(200).collect::<String>()))
}

/// Hears what the client has and acknowledges it; `None` when it has more to say before a pack.
fn hear<'a>(
    log: &'a dyn ObjectLog,
    fetch: &Fetch,
    out: &mut Sections,
) -> Result<Option<Hearing<'a>>, Error> {
    let mut hearing = Hearing::new(log);
    let mut known = Vec::new();
    for have in &fetch.haves {
        if hearing.have(*have)? {
            known.push(*have);
        }
    }
    if fetch.haves.is_empty() || fetch.done {
        return Ok(Some(hearing));
    }
    let ready = hearing.is_enough() && !fetch.wait_for_done;
    out.line("acknowledgments\n");
    if known.is_empty() {
        out.line("NAK\n");
    }
    for oid in known {
        out.line(&format!("ACK {oid}\n"));
    }
    if !ready {
        return Ok(None);
    }
    out.line("ready\n");
    out.delimiter();
    Ok(Some(hearing))
}
