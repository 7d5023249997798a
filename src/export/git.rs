//! The Git objects of a bag: an incremental bundle that stock git fetches from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use colophon_gitbridge::{
    Error, ExportError as PackError, ObjectLog as _, Ref, Stretch, bundle_header, write_pack,
};
use colophon_model::{BuildRecord, Oid, Ordinal, TagObject, TenantBranch};
use colophon_store::View;
use colophon_store::rows::TenantRow;

use super::error::ExportError;
use crate::projection::TenantLog;

/// Which objects and refs.
#[derive(Debug)]
pub(super) struct GitPart {
    since: Option<Oid>,
    tip: Oid,
    part: Stretch,
    refs: Vec<Ref>,
    tags: Vec<TagObject>,
}

impl GitPart {
    /// What came to the branch after `since` up to `tip`, and the tags of `records` as far as they have not
    /// ended; `None` when that is nothing.
    pub(super) fn new(
        view: &View,
        tenant: &TenantRow,
        (since, tip): (Option<Oid>, Oid),
        records: &[BuildRecord],
    ) -> Result<Option<Self>, ExportError> {
        let log = TenantLog::new(view, tenant.uid);
        let tags = tags(&log, records)?;
        if since == Some(tip) && tags.is_empty() {
            return Ok(None);
        }
        let part = Stretch {
            since: since.map(|oid| ordinal(&log, &oid)).transpose()?,
            until: Some(ordinal(&log, &tip)?),
        };
        let branch = TenantBranch::new(tenant.slug.clone()).full_name();
        let mut refs = vec![Ref { name: branch, oid: tip, peeled: None }];
        let mut objects = Vec::new();
        for (one, tag) in tags {
            refs.push(one);
            objects.push(tag);
        }
        Ok(Some(Self { since, tip, part, refs, tags: objects }))
    }

    /// Writes the bundle (gitformat-bundle, version 2) to `file`, which is empty.
    pub(super) fn write(
        &self,
        view: &View,
        tenant: &TenantRow,
        file: &File,
    ) -> Result<(), ExportError> {
        let log = TenantLog::new(view, tenant.uid);
        let mut out = BufWriter::new(file);
        out.write_all(&bundle_header(self.since, self.tip, &self.refs))
            .map_err(ExportError::Aside)?;
        write_pack(&log, self.part, &self.tags, &mut out, &|_| {}).map_err(
            |error| match error {
                PackError::Log(error) => ExportError::Git(error),
                PackError::Write(error) => ExportError::Aside(error),
            },
        )?;
        out.flush().map_err(ExportError::Aside)
    }
}

/// The tags of builds, by name, with their objects. Those that have ended are not there any more.
fn tags(
    log: &TenantLog<'_>,
    records: &[BuildRecord],
) -> Result<Vec<(Ref, TagObject)>, ExportError> {
    let mut found = BTreeMap::new();
    for record in records {
        let made = record.tags.iter().map(colophon_model::BuildTag::full_name);
        let failed = record.failure.iter().map(|failure| failure.tag.full_name());
        for name in made.chain(failed) {
            let Some(one) = log.find_ref(&name).map_err(Error::Read)? else { continue };
            let tag = log.tag(&one.oid).map_err(Error::Read)?.ok_or(Error::Missing(one.oid))?;
            found.insert(name, (one, tag));
        }
    }
    Ok(found.into_values().collect())
}

fn ordinal(log: &TenantLog<'_>, oid: &Oid) -> Result<Ordinal, ExportError> {
    Ok(log.ordinal(oid).map_err(Error::Read)?.ok_or(Error::Missing(*oid))?)
}
