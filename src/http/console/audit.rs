//! Pages about audit logs.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use colophon_model::audit::Chain;
use colophon_store::rows::TenantRow;

use super::super::path::Segments;
use super::desk::{Desk, Stop, run, show as shown};
use super::form::Fields;
use crate::app::SharedApp;
use crate::audit::ChainReport;
use crate::console::audit;
use crate::console::session::Use;

/// The chain of the tenant in the path or, without one, the system's.
fn chain(desk: &Desk, slug: Option<&str>) -> Result<(Chain, Option<TenantRow>), Stop> {
    desk.audits()?;
    let Some(slug) = slug else {
        desk.operator()?;
        return Ok((Chain::System, None));
    };
    let tenant = desk.tenant(slug)?;
    Ok((Chain::Tenant(tenant.uid), Some(tenant)))
}

fn page(
    desk: &Desk,
    (chain, tenant): (Chain, Option<TenantRow>),
    from: Option<u64>,
    verified: Option<ChainReport>,
) -> Result<Response, Stop> {
    let slug = tenant.as_ref().map(|tenant| &tenant.slug);
    let here = slug.map_or("/console/audit".to_owned(), |slug| format!("/console/t/{slug}/audit"));
    let page = audit::page(&desk.view, chain, &here, from, verified)?;
    desk.page("audit.html", &desk.frame("Audit log", "audit", tenant.as_ref()), &page)
}

async fn entries(app: SharedApp, slug: Option<String>, headers: HeaderMap, uri: Uri) -> Response {
    shown(app, headers, move |desk| {
        let chain = chain(desk, slug.as_deref())?;
        page(desk, chain, Fields::of_query(&uri)?.value("from")?, None)
    })
    .await
}

/// Checks a chain from its first line on, which may take long: one at a time, apart from maintenance, which has
/// one place too.
async fn verify(app: SharedApp, slug: Option<String>, headers: HeaderMap, body: Body) -> Response {
    let fields = match Fields::posted(&app, &headers, body).await {
        Ok(fields) => fields,
        Err(error) => return Stop::from(error).answer(&app),
    };
    run(
        app,
        headers,
        |app| &app.audits,
        Use::ByPerson,
        move |desk| {
            let chain = chain(desk, slug.as_deref())?;
            fields.check(&desk.session.form_key)?;
            let key = desk.app.press.keys.note_key().verifier();
            let report = crate::audit::verify(&desk.view, chain.0, &key)?;
            page(desk, chain, None, Some(report))
        },
    )
    .await
}

/// A tenant's log.
pub(super) async fn of_tenant(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    entries(app, Some(slug), headers, uri).await
}

/// The server's own log.
pub(super) async fn of_system(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    entries(app, None, headers, uri).await
}

/// Checks a tenant's log.
pub(super) async fn verify_tenant(
    State(app): State<SharedApp>,
    Segments(slug): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    verify(app, Some(slug), headers, body).await
}

/// Checks the server's own log.
pub(super) async fn verify_system(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    verify(app, None, headers, body).await
}
