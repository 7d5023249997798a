//! What an erasure takes out of the bucket for bundles, and what it must leave to people.

use colophon_model::TenantSlug;

use super::{ClearedBucket, Outside};
use crate::artifacts::Shelf;
use crate::http::chain;
use crate::maintenance::Site;

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
    let removed = runtime.block_on(shelf.clear(slug)).map_err(|trouble| trouble.to_string())?;
    Ok(Some(ClearedBucket { place: place.to_owned(), removed }))
}

/// What is left to do: in the bucket in use, as far as it could not be cleared and for versions that it may keep, and
/// in those that were used before.
pub(super) fn outside(
    place: Option<&str>,
    cleared: &Result<Option<ClearedBucket>, String>,
    before: &[String],
) -> Vec<Outside> {
    let here = place.map(|place| match cleared {
        Ok(_) => Outside {
            what: format!("versions of the tenant's bundles that the bucket {place} keeps"),
            how: "delete old versions and delete markers in the tenant's folder, if the bucket has versioning"
                .to_owned(),
        },
        Err(problem) => Outside {
            what: format!("the tenant's bundles in the bucket {place}: {problem}"),
            how: "the server takes them away as soon as it can, and tries again at its next start; look whether the \
                  tenant's folder there is gone"
                .to_owned(),
        },
    });
    let before = before.iter().map(|place| Outside {
        what: format!("the tenant's bundles in the bucket {place}, which is not in use any more"),
        how: "delete the tenant's folder there, old versions included".to_owned(),
    });
    here.into_iter().chain(before).collect()
}
