//! What an erasure takes out of the bucket for bundles, and what it must leave to people.

use colophon_model::TenantSlug;

use super::{ClearedBucket, Outside};
use crate::artifacts::{Cleared, Shelf};
use crate::http::chain;
use crate::maintenance::Site;

const VERSIONS: &str = "delete old versions and delete markers in the tenant's folder";

/// Takes the tenant's bundles out of the bucket, when there is one. The rows are gone by then: an upload that is
/// under way takes back what it wrote.
pub(super) fn clear(site: Site<'_>, slug: &TenantSlug) -> Result<Option<ClearedBucket>, String> {
    let (Some(url), Some(place)) = (&site.config.edge.artifacts, site.press.artifacts.name())
    else {
        return Ok(None);
    };
    let shelf = Shelf::open(url, site.config, &site.press.secrets);
    let shelf = shelf.map_err(|trouble| trouble.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| chain(&error))?;
    let cleared = runtime.block_on(shelf.take_away(slug, |_| true));
    let Cleared { removed, left, unseen } = cleared.map_err(|trouble| trouble.to_string())?;
    let (place, removed) = (place.to_owned(), removed.len() as u64);
    Ok(Some(ClearedBucket { place, removed, left, unseen: unseen.map(|trouble| trouble.text) }))
}

/// What is left to do: in the bucket in use, as far as it could not be cleared, and in those that were used before.
pub(super) fn outside(
    place: Option<&str>,
    cleared: &Result<Option<ClearedBucket>, String>,
    before: &[String],
) -> Vec<Outside> {
    let here = place.and_then(|place| match cleared {
        Ok(Some(ClearedBucket { left, .. })) if !left.is_empty() => Some(Outside {
            what: format!(
                "{} versions of the tenant's bundles in the bucket {place}: {}",
                left.len(),
                left[0]
            ),
            how: format!("{VERSIONS}; what is locked, when its lock ends"),
        }),
        Ok(Some(ClearedBucket { unseen: Some(problem), .. })) => Some(Outside {
            what: format!(
                "old versions of the tenant's bundles in the bucket {place}, which nobody could look for: {problem}"
            ),
            how: format!("{VERSIONS}, if the bucket has versioning"),
        }),
        Ok(_) => None,
        Err(problem) => Some(Outside {
            what: format!("the tenant's bundles in the bucket {place}: {problem}"),
            how: "the server takes them away as soon as it can, and tries again at its next start; look whether the \
                  tenant's folder there is gone, old versions included"
                .to_owned(),
        }),
    });
    let before = before.iter().map(|place| Outside {
        what: format!("the tenant's bundles in the bucket {place}, which is not in use any more"),
        how: "delete the tenant's folder there, old versions included".to_owned(),
    });
    here.into_iter().chain(before).collect()
}
