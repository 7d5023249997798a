//! Whether what lies in the bucket is what should: bundles that are missing are brought again, bundles of current
//! heads that were never asked for are, and those that were purged are taken away.

use colophon_model::{Sha256, UnixMillis};
use colophon_store::rows::{ArtifactRow, BundleAlias, FlowHead, SlugOf, TenantRow, UploadRow};
use colophon_store::{Change, CommitError, Error, Store, View};

use super::shelf::Seen;

/// What follows from a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Bundles that are to be brought, for the first time or again.
    pub(super) missing: Vec<Sha256>,
    /// Objects that no bundle is behind.
    pub(super) left: Vec<Sha256>,
}

/// Compares what was seen with the rows, and writes down what follows. Nothing of the tenant may be on its way meanwhile.
pub(super) fn compare(
    store: &Store,
    tenant: &TenantRow,
    (place, seen): (&str, &Seen),
    now: UnixMillis,
) -> Result<Findings, Error> {
    let view = store.view()?;
    let mut found = Findings::default();
    let mut change = Change::new();
    change.use_reserve();
    change.expect(&tenant.uid, Some(&SlugOf { slug: tenant.slug.clone() }));
    for row in view.scan::<ArtifactRow>(&tenant.uid) {
        let (key, row) = row?;
        let is_here = row.place == place && seen.there.contains(&key.1);
        let alias = view.get::<BundleAlias>(&key)?;
        if alias.is_none() {
            change.expect(&key, None::<&BundleAlias>);
        }
        if alias.is_none() || !is_here {
            change.expect(&key, Some(&row)).delete::<ArtifactRow>(&key);
        }
        if alias.is_some() && !is_here {
            found.missing.push(key.1);
        }
    }
    found.missing.extend(never_asked_for(&view, tenant)?);
    for zip in &found.missing {
        let key = (tenant.uid, *zip);
        if view.get::<UploadRow>(&key)?.is_none() {
            change.expect(&key, None::<&UploadRow>).put(&key, &UploadRow::new(now));
        }
    }
    for zip in &seen.all {
        let key = (tenant.uid, *zip);
        let is_wanted = view.get::<BundleAlias>(&key)?.is_some();
        if !is_wanted && view.get::<UploadRow>(&key)?.is_none() {
            found.left.push(*zip);
        }
    }
    match store.commit(change) {
        Ok(()) => Ok(found),
        // A build came in between: what it asked for is on its way, and the rest is seen the next time.
        Err(CommitError::Conflict(_)) => Ok(Findings::default()),
        Err(error) => Err(error.into()),
    }
}

/// Current bundles from before there was a bucket.
fn never_asked_for(view: &View, tenant: &TenantRow) -> Result<Vec<Sha256>, Error> {
    let mut zips = Vec::new();
    for row in view.scan::<FlowHead>(&tenant.uid) {
        let Some(edge) = row?.1.edge else { continue };
        let key = (tenant.uid, edge.output.sha256);
        if view.get::<ArtifactRow>(&key)?.is_none() && view.get::<UploadRow>(&key)?.is_none() {
            zips.push(key.1);
        }
    }
    Ok(zips)
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{CodePolicy, Digest, TenantUid};
    use colophon_store::rows::RootsOrigin;

    const HERE: &str = "http://127.0.0.1:1 s3://edge-artifacts";
    const UID: TenantUid = TenantUid::from_bytes([1; 16]);

    fn tenant() -> TenantRow {
        TenantRow {
            uid: UID,
            slug: "acme".parse().unwrap(),
            created: UnixMillis::new(1),
            policy: CodePolicy::None,
            roots: RootsOrigin::Server,
            suspended: None,
            archived: None,
            held: None,
        }
    }

    fn zip(n: u8) -> Sha256 {
        Sha256::of(&[n])
    }

    fn alias() -> BundleAlias {
        BundleAlias {
            tree: Digest::of(b""),
            render: "1".to_owned(),
            length: 1,
            name: "x.zip".to_owned(),
            documents: std::collections::BTreeMap::default(),
        }
    }

    /// Everything that can differ, at once: each has its own remedy, and what is right stays as it is.
    #[test]
    fn rows_and_bucket_are_brought_together() {
        let (store, tenant, now) = (Store::in_memory().unwrap(), tenant(), UnixMillis::new(9));
        let mut change = Change::new();
        change.put(&UID, &SlugOf { slug: tenant.slug.clone() });
        let there = |place: &str| ArtifactRow { place: place.to_owned(), since: now };
        // 1 is right, 2 was deleted there, 3 was purged here, 4 lies in another bucket, 5 nobody knows, 6 is on its way.
        for n in [1, 2, 4, 6] {
            change.put(&(UID, zip(n)), &alias());
        }
        for (n, place) in [(1, HERE), (2, HERE), (3, HERE), (4, "aws s3://old")] {
            change.put(&(UID, zip(n)), &there(place));
        }
        change.put(&(UID, zip(6)), &UploadRow::new(UnixMillis::new(1)));
        store.commit(change).unwrap();
        // Of 7 an old version is left, of 2 too; the one of 2 is as good as the bundle that is brought.
        let (there, all) = ([1, 3, 5, 6].map(zip).into(), [1, 2, 3, 5, 6, 7].map(zip).into());
        let seen = Seen { there, all, ..Seen::default() };
        let mut found = compare(&store, &tenant, (HERE, &seen), now).unwrap();
        found.missing.sort();
        found.left.sort();
        let sorted = |numbers: &[u8]| {
            let mut zips: Vec<Sha256> = numbers.iter().copied().map(zip).collect();
            zips.sort();
            zips
        };
        assert_eq!(found, Findings { missing: sorted(&[2, 4]), left: sorted(&[3, 5, 7]) });
        let view = store.view().unwrap();
        let lies = |n| view.get::<ArtifactRow>(&(UID, zip(n))).unwrap().is_some();
        assert_eq!([1, 2, 3, 4].map(lies), [true, false, false, false]);
        let comes = |n| view.get::<UploadRow>(&(UID, zip(n))).unwrap().map(|row| row.since.get());
        assert_eq!([1, 2, 3, 4, 6].map(comes), [None, Some(9), None, Some(9), Some(1)]);
    }

    /// Nothing is written of a tenant that was erased while the bucket was listed.
    #[test]
    fn a_tenant_that_is_gone_is_left_alone() {
        let store = Store::in_memory().unwrap();
        let seen = Seen { all: [zip(1)].into(), ..Seen::default() };
        let found = compare(&store, &tenant(), (HERE, &seen), UnixMillis::new(9)).unwrap();
        assert_eq!(found, Findings::default());
    }
}
