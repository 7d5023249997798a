//! Whether every stored Git object is the one that its id names.

use colophon_model::{Ordinal, TagObject};
use colophon_store::rows::{TenantHead, TenantRow};
use colophon_store::{Error, FsckReport, Problem, Progress, Report, Store};

use crate::http::chain;
use crate::projection::TenantLog;

/// Objects read in one short view.
const PAGE: u32 = 512;

/// Rehashes the objects and tags of every tenant.
pub(super) fn check(
    store: &Store,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let tenants: Vec<TenantRow> =
        store.view()?.scan::<TenantRow>(&()).map(|row| Ok(row?.1)).collect::<Result<_, Error>>()?;
    for tenant in tenants {
        let mut next = 0;
        while let Some(after) = check_page(store, &tenant, next, found)? {
            next = after;
            report(Progress { stage: "checking Git objects", done: next.into(), total: None });
        }
        check_tags(store, &tenant, found)?;
    }
    Ok(())
}

/// Where to go on, if there is more.
fn check_page(
    store: &Store,
    tenant: &TenantRow,
    from: u32,
    found: &mut FsckReport,
) -> Result<Option<u32>, Error> {
    let view = store.view()?;
    let end = view.get::<TenantHead>(&tenant.uid)?.map_or(0, |head| head.next_ordinal);
    let log = TenantLog::new(&view, tenant.uid);
    let to = end.min(from.saturating_add(PAGE));
    for at in (from..to).map(Ordinal::new) {
        if let Err(error) = colophon_gitbridge::verify(&log, at) {
            add(found, tenant, chain(&error));
        }
    }
    Ok((to < end).then_some(to))
}

fn check_tags(store: &Store, tenant: &TenantRow, found: &mut FsckReport) -> Result<(), Error> {
    let view = store.view()?;
    for row in view.scan::<TagObject>(&tenant.uid) {
        let (_, tag) = row?;
        if !colophon_gitbridge::verify_tag(&tag).unwrap_or(false) {
            add(found, tenant, format!("tag object {} is damaged", tag.oid));
        }
    }
    Ok(())
}

fn add(found: &mut FsckReport, tenant: &TenantRow, message: String) {
    let place = format!("tenant {}", tenant.slug);
    found.add(Problem { code: "E_GIT_OBJECT".into(), place, message, repaired: false });
}
