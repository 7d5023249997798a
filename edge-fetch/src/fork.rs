//! Evidence that a tenant's keys signed two bundles under one number.

use colophon_trust::TargetName;

use crate::disk;
use crate::{Cache, Error};

/// Keeps both signed lists of bundles: the one from before, and the one that contradicts it. The first pair
/// stays, since the file from before is replaced by then.
pub(crate) fn keep(
    cache: &Cache,
    (name, seq): (&TargetName, u64),
    known: Option<&[u8]>,
    offered: &[u8],
) -> Result<(), Error> {
    let folder = cache.dir().join(format!("state/forks/{name}.{seq}"));
    let last = folder.join("offered.json");
    if disk::read(&last)?.is_some() {
        return Ok(());
    }
    disk::make_folder(&folder)?;
    if let Some(known) = known {
        disk::replace(&folder.join("known.json"), known)?;
    }
    disk::replace(&last, offered)
}
