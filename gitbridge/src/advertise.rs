//! What a client learns first: capabilities, and in versions 0 and 1 all refs.

use colophon_model::Oid;

use crate::{Error, ObjectLog, Protocol, Ref, UploadPack, pkt, refs};

/// Stands for no object, where the format wants one.
const NO_OID: Oid = Oid::from_bytes([0; Oid::LEN]);

pub(crate) fn advertise(
    server: &UploadPack,
    log: &dyn ObjectLog,
    protocol: Protocol,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    pkt::put(&mut out, "# service=git-upload-pack\n");
    out.extend_from_slice(pkt::FLUSH);
    match protocol {
        Protocol::V2 => commands(server, &mut out),
        Protocol::V1 => {
            pkt::put(&mut out, "version 1\n");
            all_refs(server, log, &mut out)?;
        }
        Protocol::V0 => all_refs(server, log, &mut out)?,
    }
    out.extend_from_slice(pkt::FLUSH);
    Ok(out)
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

/// gitprotocol-pack, "Reference Discovery": the first line carries the capabilities.
fn all_refs(server: &UploadPack, log: &dyn ObjectLog, out: &mut Vec<u8>) -> Result<(), Error> {
    let refs = refs::list(log, server.tags, &[])?;
    let branch = server.branch.full_name();
    let head = refs.iter().find(|r| r.name == branch).map(|r| (r.oid, "HEAD".to_owned()));
    let lines: Vec<_> = head.iter().cloned().chain(refs.iter().flat_map(ref_lines)).collect();
    let symref = head.map(|_| branch);
    let mut capabilities = Some(capabilities(server, symref.as_deref()));
    let nothing = [(NO_OID, "capabilities^{}".to_owned())];
    for (oid, name) in if lines.is_empty() { &nothing[..] } else { &lines } {
        let tail = capabilities.take().map_or(String::new(), |list| format!("\0{list}"));
        pkt::put(out, format!("{oid} {name}{tail}\n"));
    }
    Ok(())
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
