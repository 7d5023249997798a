//! What a request is made under: the protocol's version and our limits.

use colophon_model::Oid;

use crate::{Error, pkt};

/// A version of Git's wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// The original one, spoken when nothing is asked for. libgit2, JGit and others know no other.
    V0,
    /// As version 0, with an announcement of the version.
    V1,
    /// Commands (gitprotocol-v2), the default of Git since 2.26.
    V2,
}

impl Protocol {
    /// Reads the `Git-Protocol` header: `version=<n>` among colon-separated keys. The highest known
    /// version wins; unknown keys and versions are ignored, as the protocol demands.
    pub fn from_header(header: Option<&str>) -> Self {
        let versions = header.unwrap_or_default().split(':').filter_map(|key| match key {
            "version=1" => Some(Self::V1),
            "version=2" => Some(Self::V2),
            _ => None,
        });
        versions.max().unwrap_or(Self::V0)
    }
}

/// What one request may ask for. Over a limit it gets [`Error::Limit`] and costs nothing more, except
/// where a field says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body, after decompression.
    pub body: usize,
    /// Packets in the body.
    pub packets: usize,
    /// `want` lines. Some clients send one for every tag that they are offered.
    pub wants: usize,
    /// `have` lines.
    pub haves: usize,
    /// `shallow` lines.
    pub shallow: usize,
    /// Commits and names in trees that one request may make the server look at. Only requests for a
    /// part of history look at any.
    pub objects: usize,
    /// `ref-prefix` lines. With more of them all refs are listed: they only ever were a hint
    /// (gitprotocol-v2), and Git does the same past 65,536.
    pub ref_prefixes: usize,
    /// Refs that are named to be wanted or left out: `want-ref` and `deepen-not` lines.
    pub named_refs: usize,
}

impl Default for Limits {
    /// 10 MiB, 300,000 packets, 16,384 wants and 200,000 haves: what the largest real clients
    /// were seen to send, with room; as many shallow lines and named refs as wants. 2 million objects: about a
    /// second. 256 prefixes: Git sends up to six for each name that its user asks for.
    fn default() -> Self {
        Self {
            body: 10 << 20,
            packets: 300_000,
            wants: 16_384,
            haves: 200_000,
            shallow: 16_384,
            objects: 2_000_000,
            ref_prefixes: 256,
            named_refs: 16_384,
        }
    }
}

impl Limits {
    /// Adds a `want` or `have` to a list that the limit named `what` bounds.
    pub(crate) fn push(
        list: &mut Vec<Oid>,
        oid: &str,
        what: &'static str,
        most: usize,
    ) -> Result<(), Error> {
        if list.len() == most {
            return Err(Error::Limit { what, most });
        }
        list.push(parse_oid(oid)?);
        Ok(())
    }

    pub(crate) fn decode<'a>(&self, body: &'a [u8]) -> Result<Vec<pkt::Packet<'a>>, Error> {
        if body.len() > self.body {
            return Err(Error::Limit { what: "bytes", most: self.body });
        }
        pkt::decode(body, self.packets)
    }
}

pub(crate) fn parse_oid(text: &str) -> Result<Oid, Error> {
    text.parse().map_err(|_| Error::Protocol(format!("`{}` is not an object id", cut(text))))
}

pub(crate) fn unexpected(line: &str) -> Error {
    Error::Protocol(format!("unexpected line: `{}`", cut(line)))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What a client is ready to receive in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PackOptions {
    /// Deltas against objects that the client has.
    pub(crate) thin: bool,
    /// Deltas that name their base by its distance in the pack.
    pub(crate) ofs_delta: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_known_version_wins() {
        for (header, version) in [
            (None, Protocol::V0),
            (Some(""), Protocol::V0),
            (Some("version=0"), Protocol::V0),
            (Some("version=1"), Protocol::V1),
            (Some("version=2"), Protocol::V2),
            (Some("foo:version=1:version=2"), Protocol::V2),
            (Some("version=3"), Protocol::V0),
            (Some("version=2;x"), Protocol::V0),
        ] {
            assert_eq!(Protocol::from_header(header), version, "{header:?}");
        }
    }
}
