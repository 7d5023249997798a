//! The tags that stood when they were exported, as the headers of Git bundles name them.

use std::collections::BTreeMap;

use colophon_model::{Oid, TenantBranch};

use super::error::content;
use super::source::Source;
use super::{RestoreError, Surveyed};
use crate::export::layout;

/// Most of a bundle that is read for its header, in bytes.
const HEADER: usize = 4 << 20;

/// Tags by full name, and the ids of their objects. What was purged before it was exported is in none.
pub(super) async fn tags(
    source: &Source<'_>,
    from: &Surveyed,
) -> Result<BTreeMap<String, Oid>, RestoreError> {
    let branch = TenantBranch::new(from.tenant.slug.clone()).full_name();
    let mut tags = BTreeMap::new();
    for bag in &from.proven.bags {
        let Some(bytes) = source.beginning(bag, layout::MIRROR, HEADER).await? else { continue };
        let wrong = || content(bag.name.file(layout::MIRROR), "has a header that cannot be read");
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or_else(wrong)?;
        let header = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
        for line in header.lines().skip(1).filter(|line| !line.starts_with('-')) {
            let (oid, name) = line.split_once(' ').ok_or_else(wrong)?;
            if name != "HEAD" && name != branch {
                tags.insert(name.to_owned(), oid.parse().map_err(|_| wrong())?);
            }
        }
    }
    Ok(tags)
}
