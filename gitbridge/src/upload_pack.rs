//! The door: one request in, one answer out.

use bytes::Bytes;
use colophon_model::TenantBranch;

use crate::{Error, Limits, ObjectLog, PackStream, Protocol, Tags, advertise, pkt, v0, v2};

/// Bytes of refs that are copied sooner than sent in parts.
const SHORT: usize = 16 * 1024;

/// Answers for one tenant's repository. Read-only: there is no receive-pack.
#[derive(Debug, Clone)]
pub struct UploadPack {
    /// What `HEAD` points to.
    pub branch: TenantBranch,
    /// How the server names itself, such as `colophon/0.1.0`. Printable, without spaces.
    pub agent: &'static str,
    /// Which tags are listed.
    pub tags: Tags,
    /// Whether clients may ask for refs by name instead of by what they name (`ref-in-want`). Off in
    /// Git too unless it is asked for: a clone by Git 2.47 that goes shallow while a build lands then
    /// gets the new tip and still writes the old one to its branch. Nothing is lost without it,
    /// because what a branch once named stays.
    pub ref_in_want: bool,
    /// What a request may ask for.
    pub limits: Limits,
}

/// An answer: `head` first, then `refs`, then the pieces of `pack`, when there is one.
#[derive(Debug)]
pub struct Response {
    /// The first bytes of the body.
    pub head: Vec<u8>,
    /// What follows, in order: parts of lists that other answers share.
    pub refs: Vec<Bytes>,
    /// The rest of the body.
    pub pack: Option<PackStream>,
}

impl UploadPack {
    /// The body for `GET info/refs?service=git-upload-pack`
    /// (`application/x-git-upload-pack-advertisement`).
    pub fn advertise(&self, log: &dyn ObjectLog, protocol: Protocol) -> Result<Response, Error> {
        advertise::advertise(self, log, protocol)
    }

    /// Answers `POST git-upload-pack` (`application/x-git-upload-pack-result`). `body` is
    /// decompressed. The whole answer is decided from `log`; only pack bytes are left to stream.
    ///
    /// An error becomes [`Error::to_packet`] in an answer with status 200, which is where Git
    /// clients look for it.
    pub fn answer(
        &self,
        log: &dyn ObjectLog,
        protocol: Protocol,
        body: &[u8],
    ) -> Result<Response, Error> {
        let packets = self.limits.decode(body)?;
        match protocol {
            Protocol::V0 | Protocol::V1 => v0::answer(self, log, &packets),
            Protocol::V2 => v2::answer(self, log, &packets),
        }
    }
}

impl Response {
    pub(crate) const fn without_pack(head: Vec<u8>) -> Self {
        Self { head, refs: Vec::new(), pack: None }
    }

    pub(crate) const fn with_pack(head: Vec<u8>, pack: PackStream) -> Self {
        Self { head, refs: Vec::new(), pack: Some(pack) }
    }

    /// `head`, `refs` and a flush. What is short is in one piece.
    pub(crate) fn of_refs(mut head: Vec<u8>, mut refs: Vec<Bytes>) -> Self {
        if refs.iter().map(Bytes::len).sum::<usize>() <= SHORT {
            refs.drain(..).for_each(|part| head.extend_from_slice(&part));
            head.extend_from_slice(pkt::FLUSH);
        } else {
            refs.push(Bytes::from_static(pkt::FLUSH));
        }
        Self { head, refs, pack: None }
    }
}
