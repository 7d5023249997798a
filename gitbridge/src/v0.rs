//! Protocol versions 0 and 1 over stateless HTTP (gitprotocol-pack, "Packfile Negotiation").

use colophon_model::Oid;

use crate::filter::Filter;
use crate::framing::Framing;
use crate::negotiate::Hearing;
use crate::pkt::{self, Packet};
use crate::protocol::{PackOptions, parse_oid, unexpected};
use crate::select::{Terms, Wanted};
use crate::shallow::DepthRequest;
use crate::stream::PackStream;
use crate::{Error, Limits, ObjectLog, Response, UploadPack};

pub(crate) fn answer(
    server: &UploadPack,
    log: &dyn ObjectLog,
    packets: &[Packet<'_>],
) -> Result<Response, Error> {
    let (request, rest) = Request::parse(packets, &server.limits)?;
    if request.wants.is_empty() {
        // Git probes with a lone flush before it sends a long body in chunks.
        return Ok(Response::without_pack(Vec::new()));
    }
    let wanted = Wanted::find(log, &request.wants)?;
    let mut talk = Negotiation::new(log, &request);
    let boundary = request.depth.settle(log, &wanted.commits)?;
    if request.depth.is_change() {
        boundary.lines(log)?.iter().for_each(|line| pkt::put(&mut talk.out, line));
        talk.out.extend_from_slice(pkt::FLUSH);
    }
    // A client may first ask where its history will end, and come back with the rest.
    if rest.is_empty() || !talk.hear_all(rest, server.limits.haves)? {
        return Ok(Response::without_pack(talk.out));
    }
    let haves = talk.hearing.commits();
    let plan = wanted.plan(log, haves, &boundary, request.terms, &server.limits)?;
    let pack = PackStream::new(plan, request.options, request.framing)?;
    Ok(Response::with_pack(talk.out, pack))
}

/// How a client wants its `have` lines answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acks {
    /// One `ACK` for the first object in common.
    Single,
    /// `ACK … continue` for each (`multi_ack`).
    Multi,
    /// `ACK … common` for each, and `ACK … ready` (`multi_ack_detailed`).
    Detailed,
}

#[derive(Default)]
struct Lines<'a> {
    wants: Vec<Oid>,
    /// What stands behind the first `want`.
    capabilities: &'a str,
    depth: DepthRequest,
    filter: Filter,
}

impl<'a> Lines<'a> {
    fn take(&mut self, line: &'a str, limits: &Limits) -> Result<(), Error> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("want", tail) => {
                let (oid, list) = tail.split_once(' ').unwrap_or((tail, ""));
                if self.wants.is_empty() {
                    self.capabilities = list;
                }
                Limits::push(&mut self.wants, oid, "wants", limits.wants)
            }
            ("filter", spec) => {
                self.filter = Filter::parse(spec)?;
                Ok(())
            }
            // A capability here, and no line as in version 2.
            ("deepen-relative", _) => Err(unexpected(line)),
            _ if self.depth.take(line, limits)? => Ok(()),
            _ => Err(unexpected(line)),
        }
    }
}

struct Request {
    wants: Vec<Oid>,
    depth: DepthRequest,
    terms: Terms,
    options: PackOptions,
    acks: Acks,
    /// Whether the pack follows `ready` at once, without a round for `done`.
    no_done: bool,
    framing: Framing,
}

impl Request {
    /// Reads the `want` lines up to the first flush and gives back what follows it.
    fn parse<'a, 'p>(
        packets: &'p [Packet<'a>],
        limits: &Limits,
    ) -> Result<(Self, &'p [Packet<'a>]), Error> {
        let end = packets.iter().position(|packet| *packet == Packet::Flush);
        let (lines, rest) = packets.split_at(end.unwrap_or(packets.len()));
        let mut request = Lines::default();
        for packet in lines {
            let Packet::Text(line) = packet else { return Err(unexpected("0001")) };
            request.take(line, limits)?;
        }
        if end.is_none() && !request.wants.is_empty() {
            return Err(Error::Protocol("the request ends early".to_owned()));
        }
        Ok((Self::new(request)?, rest.get(1..).unwrap_or_default()))
    }

    /// Unknown capabilities are ignored, as Git's own server does.
    fn new(lines: Lines<'_>) -> Result<Self, Error> {
        let Lines { wants, capabilities, mut depth, filter } = lines;
        let has = |name: &str| capabilities.split(' ').any(|capability| capability == name);
        if capabilities
            .split(' ')
            .any(|c| c.starts_with("object-format=") && c != "object-format=sha1")
        {
            return Err(Error::Unsupported("this object format"));
        }
        let options = PackOptions { thin: has("thin-pack"), ofs_delta: has("ofs-delta") };
        let terms = Terms { filter, include_tag: has("include-tag") };
        if has("deepen-relative") {
            depth.count_from_the_ends();
        }
        let acks = match (has("multi_ack_detailed"), has("multi_ack")) {
            (true, _) => Acks::Detailed,
            (false, true) => Acks::Multi,
            (false, false) => Acks::Single,
        };
        let framing = match (has("side-band-64k"), has("side-band")) {
            (true, _) => Framing::SideBand64k,
            (false, true) => Framing::SideBand,
            (false, false) => Framing::Raw,
        };
        Ok(Self { wants, depth, terms, options, acks, no_done: has("no-done"), framing })
    }
}

/// The exchange of `have` and `ACK`, answered line by line as Git's own server does.
struct Negotiation<'a> {
    hearing: Hearing<'a>,
    request: &'a Request,
    /// The last object found to be in common.
    last: Option<Oid>,
    batch: Batch,
    said_ready: bool,
    out: Vec<u8>,
}

/// What came since the last flush.
#[derive(Default)]
struct Batch {
    known: bool,
    unknown: bool,
}

impl<'a> Negotiation<'a> {
    fn new(log: &'a dyn ObjectLog, request: &'a Request) -> Self {
        Self {
            hearing: Hearing::new(log),
            request,
            last: None,
            batch: Batch::default(),
            said_ready: false,
            out: Vec::new(),
        }
    }

    /// Hears the client out; true when a pack follows. A body that ends counts as a flush.
    fn hear_all(&mut self, packets: &[Packet<'_>], most: usize) -> Result<bool, Error> {
        let mut haves = 0;
        for packet in packets {
            match *packet {
                Packet::Text("done") => return Ok(self.done()),
                Packet::Text(line) => {
                    let have = line.strip_prefix("have ").ok_or_else(|| unexpected(line))?;
                    haves += 1;
                    if haves > most {
                        return Err(Error::Limit { what: "haves", most });
                    }
                    self.have(parse_oid(have)?)?;
                }
                Packet::Flush if self.flush() => return Ok(true),
                Packet::Flush => {}
                Packet::Delimiter => return Err(unexpected("0001")),
            }
        }
        let flushed = packets.last() == Some(&Packet::Flush);
        Ok(!flushed && self.flush())
    }

    fn have(&mut self, oid: Oid) -> Result<(), Error> {
        if self.hearing.have(oid)? {
            self.batch.known = true;
            let first = self.last.replace(oid).is_none();
            match self.request.acks {
                Acks::Detailed => self.ack(oid, " common"),
                Acks::Multi => self.ack(oid, " continue"),
                Acks::Single if first => self.ack(oid, ""),
                Acks::Single => {}
            }
        } else {
            self.batch.unknown = true;
            match self.request.acks {
                Acks::Detailed if self.hearing.is_enough() => {
                    self.said_ready = true;
                    self.ack(oid, " ready");
                }
                // Stops the client from listing more of what it alone has.
                Acks::Multi if self.hearing.is_enough() => self.ack(oid, " continue"),
                Acks::Detailed | Acks::Multi | Acks::Single => {}
            }
        }
        Ok(())
    }

    /// The end of a batch; true when a pack follows without `done`.
    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        let agreed = batch.known && !batch.unknown && self.request.acks == Acks::Detailed;
        if let Some(last) = self.last.filter(|_| agreed) {
            self.said_ready = true;
            self.ack(last, " ready");
        }
        if self.last.is_none() || self.request.acks != Acks::Single {
            pkt::put(&mut self.out, "NAK\n");
        }
        match self.last {
            Some(last) if self.request.no_done && self.said_ready => {
                self.ack(last, "");
                true
            }
            _ => false,
        }
    }

    /// `done`: a pack follows.
    fn done(&mut self) -> bool {
        match self.last {
            Some(last) if self.request.acks != Acks::Single => self.ack(last, ""),
            Some(_) => {}
            None => pkt::put(&mut self.out, "NAK\n"),
        }
        true
    }

    fn ack(&mut self, oid: Oid, status: &str) {
        pkt::put(&mut self.out, format!("ACK {oid}{status}\n"));
    }
}
