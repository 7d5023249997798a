//! The command `ls-refs` of protocol version 2 (gitprotocol-v2).

use crate::protocol::unexpected;
use crate::{Error, Limits, ObjectLog, RefForm, Response, UploadPack, pkt, refs};

/// What the client asks for.
#[derive(Default)]
pub(crate) struct LsRefs<'a> {
    symrefs: bool,
    peel: bool,
    unborn: bool,
    /// Which refs to list; all of them when there is none.
    prefixes: Vec<&'a str>,
}

impl<'a> LsRefs<'a> {
    pub(crate) fn parse(arguments: &[&'a str], limits: &Limits) -> Result<Self, Error> {
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
        // Too many count as none.
        if request.prefixes.len() > limits.ref_prefixes {
            request.prefixes.clear();
        }
        Ok(request)
    }

    fn wants(&self, name: &str) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

pub(crate) fn answer(
    server: &UploadPack,
    log: &dyn ObjectLog,
    request: &LsRefs<'_>,
) -> Result<Response, Error> {
    let mut out = Vec::new();
    if request.wants("HEAD") {
        put_head(server, log, request, &mut out)?;
    }
    let form = if request.peel { RefForm::Peeled } else { RefForm::Listed };
    let refs = refs::packets(log, server.tags, &request.prefixes, form)?;
    Ok(Response::of_refs(out, refs))
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
