//! What a client learns first: capabilities, and in versions 0 and 1 all refs.

use bytes::Bytes;
use colophon_model::Oid;

use crate::{Error, ObjectLog, Protocol, Ref, RefForm, Response, UploadPack, pkt, refs};

/// Stands for no object, where the format wants one.
const NO_OID: Oid = Oid::from_bytes([0; Oid::LEN]);

pub(crate) fn advertise(
    server: &UploadPack,
    log: &dyn ObjectLog,
    protocol: Protocol,
) -> Result<Response, Error> {
    let mut out = Vec::new();
    pkt::put(&mut out, "# service=git-upload-pack\n");
    out.extend_from_slice(pkt::FLUSH);
    match protocol {
        Protocol::V2 => {
            commands(server, &mut out);
            return Ok(Response::of_refs(out, Vec::new()));
        }
        Protocol::V1 => pkt::put(&mut out, "version 1\n"),
        Protocol::V0 => {}
    }
    let refs = all_refs(server, log, &mut out)?;
    Ok(Response::of_refs(out, refs))
}

/// gitprotocol-v2, "Capability Advertisement". Nothing stands here that does not work.
fn commands(server: &UploadPack, out: &mut Vec<u8>) {
    pkt::put(out, "version 2\n");
    pkt::put(out, format!("agent={}\n", server.agent));
    pkt::put(out, "ls-refs=unborn\n");
    let by_name = if server.ref_in_want { " ref-in-want" } else { "" };
    pkt::put(out, format!("fetch=shallow wait-for-done filter{by_name} sideband-all\n"));
    pkt::put(out, "object-info\n");
    pkt::put(out, "object-format=sha1\n");
}

/// gitprotocol-pack, "Reference Discovery": the first line carries the capabilities. It is `HEAD` once
/// there is a commit, so that the lines behind it are the same for everyone.
fn all_refs(
    server: &UploadPack,
    log: &dyn ObjectLog,
    out: &mut Vec<u8>,
) -> Result<Vec<Bytes>, Error> {
    let branch = server.branch.full_name();
    let head = log.find_ref(&branch).map_err(Error::Read)?.map(|tip| tip.oid);
    let capabilities = capabilities(server, head.map(|_| &*branch));
    if let Some(oid) = head {
        pkt::put(out, format!("{oid} HEAD\0{capabilities}\n"));
        return refs::packets(log, server.tags, &[], RefForm::Advertised);
    }
    let refs = refs::list(log, server.tags, &[])?;
    let lines = refs.iter().flat_map(ref_lines);
    let mut tail = format!("\0{capabilities}");
    let nothing = refs.is_empty().then(|| (NO_OID, "capabilities^{}".to_owned()));
    for (oid, name) in nothing.into_iter().chain(lines) {
        pkt::put(out, format!("{oid} {name}{}\n", std::mem::take(&mut tail)));
    }
    Ok(Vec::new())
}

/// A ref, and what it peels to.
fn ref_lines(r: &Ref) -> impl Iterator<Item = (Oid, String)> {
    let peeled = r.peeled.map(|oid| (oid, format!("{}^{{}}", r.name)));
    std::iter::once((r.oid, r.name.clone())).chain(peeled)
}

/// gitprotocol-capabilities. Wants by id are allowed for all that the tip reaches, which is the whole
/// log.
fn capabilities(server: &UploadPack, head: Option<&str>) -> String {
    let symref = head.map_or(String::new(), |branch| format!(" symref=HEAD:{branch}"));
    format!(
        "multi_ack multi_ack_detailed no-done thin-pack side-band side-band-64k ofs-delta \
         shallow deepen-since deepen-not deepen-relative no-progress include-tag filter \
         allow-tip-sha1-in-want allow-reachable-sha1-in-want{symref} object-format=sha1 agent={}",
        server.agent
    )
}
