//! A tenant in memory, a server for it, and Git to talk to that server.

mod answer;
mod counting;
mod git;
mod memory;
mod server;
pub(crate) mod tenant;

pub(crate) use answer::Answer;
pub(crate) use counting::CountingLog;
pub(crate) use git::Git;
pub(crate) use memory::MemoryLog;
pub(crate) use server::{Moment, Server};
pub(crate) use tenant::Tenant;

use colophon_gitbridge::{Limits, ObjectLog, Protocol, Response, Tags, UploadPack};

/// The server under test, for the tenant `acme`.
pub(crate) fn upload_pack() -> UploadPack {
    let slug = colophon_model::TenantSlug::new("acme").unwrap();
    UploadPack {
        branch: colophon_model::TenantBranch::new(slug),
        agent: "colophon/test",
        tags: Tags::All,
        ref_in_want: false,
        limits: Limits::default(),
    }
}

/// The packets of a request body: `0000` and `0001` stand for themselves.
pub(crate) fn body(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}

/// What an answer holds before its pack.
pub(crate) fn whole_head(response: &Response) -> Vec<u8> {
    response.refs.iter().fold(response.head.clone(), |head, part| [&head[..], part].concat())
}

/// A whole answer, drained.
pub(crate) fn drain(log: &dyn ObjectLog, response: Response) -> Vec<u8> {
    let mut out = whole_head(&response);
    if let Some(mut pack) = response.pack {
        while let Some(piece) = pack.next(log).unwrap() {
            assert!(piece.len() <= 65_520, "a piece is one packet at most");
            out.extend(piece);
        }
        assert_eq!(pack.next(log).unwrap(), None, "the end stays the end");
    }
    out
}

/// The answer to `lines`, or the text of the error.
pub(crate) fn ask(
    log: &dyn ObjectLog,
    protocol: Protocol,
    lines: &[&str],
) -> Result<Vec<u8>, String> {
    let response = upload_pack().answer(log, protocol, &body(lines));
    response.map(|response| drain(log, response)).map_err(|error| {
        assert!(error.is_clients(), "{error:?}");
        error.to_string()
    })
}
